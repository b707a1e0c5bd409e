"""By which schema an amendment is tried where functions change while the service runs, as tools of MCP servers do."""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, cast

import pytest
from approval_calls import SEALED, START, asked, person

from contracts.functions import Catalog, HttpConnection
from contracts.lifecycle import Call
from services.approval.aggregate import Approval, Decider
from services.approval.amending import Amending, Amendment, BadAmendment
from services.approval.views import View

FINA = person("fina", "finance")


def catalog(amount: str) -> Catalog:
    """`payments.refund`, which takes an amount of that type."""
    schema = {"type": "object", "properties": {"amount": {"type": amount}}}
    functions = {"refund": {"path": "/refunds", "input": schema}}
    connection = HttpConnection.model_validate({"base_url": "http://127.0.0.1:9", "functions": functions})
    return Catalog({"payments": connection})


class Changing:
    """A catalog whose functions are declared anew."""

    def __init__(self, known: Catalog) -> None:
        self.known = known

    def get(self, name: str) -> Any:
        return self.known.get(name)


class Calls:
    """One call, for what is tried on it."""

    def __init__(self) -> None:
        approval = Approval.of(asked().call)
        assert approval is not None
        self.approval = approval
        self.known = ""

    def turn(self, _: object) -> contextlib.AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()

    async def get(self, _: object) -> Approval:
        return self.approval

    async def continued(self, approval: Approval, decide: Callable[[Approval], Awaitable[None]]) -> Approval:
        await decide(approval)
        return approval

    async def over(self, *_: object) -> Decider:
        return Decider(FINA, permitted=True)

    async def of(self, _: object) -> View:
        return View({"amount": 250})

    async def seal(self, *_: object) -> Any:
        return SEALED

    def know(self, call: Call) -> None:
        self.known = call.state


def clock() -> datetime:
    return START


async def amend(amending: Amending, calls: Calls, amount: object) -> None:
    patch: Any = [{"op": "replace", "path": "/amount", "value": amount}]
    await amending.amend(calls.approval.ref, FINA, Amendment(calls.approval.must_question.digest, patch))


async def test_the_schema_of_this_moment_counts() -> None:
    calls, functions = Calls(), Changing(catalog("integer"))
    parts: Any = calls
    amending = Amending(parts, parts, parts, parts, parts, cast("Any", functions), clock)
    with pytest.raises(BadAmendment, match="breaks_schema"):
        await amend(amending, calls, "forty")
    functions.known = catalog("string")
    await amend(amending, calls, "forty")
    assert calls.approval.call.state == calls.known == "arguments_amended"
