"""Tool loops whose calls cannot all be taken: what ran is told, and what did not can be sent again."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request, Response
from ingress_calls import AGENT, completed, result, then

from callgate.errors import BrokerAway
from callgate.http import Problem
from callgate.ingress_settings import IngressSettings
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from services.ingress.domain import CallRequest
from services.ingress.tool_routes import tool_routes
from services.ingress.tools import Tools

FUNCTIONS = {name: FunctionSpec(path=f"/{name}") for name in ("one", "two")}
CATALOG = Catalog({"crm": HttpConnection(base_url="http://crm.test", functions=FUNCTIONS)})
DONE = then(completed(), result())
LIMITED = Problem(429, "rate_limited", "Too many calls; nothing was recorded.", {"Retry-After": "7"})
PERHAPS = Problem(503, "broker_away", "Ask whether it stands.", extra={"id": "1-0.s.c"})


class Desk:
    """Every call completes at once, but those of functions that something is wrong with."""

    def __init__(self, **wrong: Exception) -> None:
        self.wrong = wrong
        self.asked: list[CallRequest] = []

    def admit(self) -> None:
        """Calls are taken."""

    async def submit(self, _principal: Any, request: CallRequest, *_: Any) -> Any:
        self.asked.append(request)
        wrong = self.wrong.get(request.function.removeprefix("crm."))
        if wrong is not None:
            raise wrong
        return DONE

    async def outcome(self, _call: Any) -> dict[str, Any]:
        return {"id": "1-0.s.d", "session": "s", "status": "completed", "result": {"status": 200, "body": {"ok": 1}}}


async def send(desk: Desk, **headers: str) -> tuple[Response, list[str]]:
    """The answer to a model that calls both functions, and what it is told of them."""

    async def identify(_: Request) -> Any:
        return AGENT

    authenticator, permitted = SimpleNamespace(identify=identify), SimpleNamespace(tools=Tools(CATALOG))
    router = tool_routes(desk, authenticator, CATALOG, permitted, IngressSettings())  # type: ignore[arg-type]
    endpoint = next(one.endpoint for one in router.routes if one.path == "/v1/tool-calls/openai")  # type: ignore[attr-defined]
    calls = [{"id": name, "function": {"name": f"crm-{name}", "arguments": "{}"}} for name in FUNCTIONS]
    body = {"type": "http.request", "body": json.dumps({"tool_calls": calls}).encode(), "more_body": False}
    lines = {"content-type": "application/json", **headers}
    encoded = [(name.replace("_", "-").encode(), value.encode()) for name, value in lines.items()]

    async def receive() -> Any:
        return body

    answer: Response = await endpoint(Request({"type": "http", "method": "POST", "headers": encoded}, receive))
    return answer, [one["content"] for one in json.loads(bytes(answer.body))["messages"]]


@pytest.mark.parametrize("wrong", [LIMITED, BrokerAway(), PERHAPS])
async def test_what_ran_is_told_though_another_could_not_be_taken(wrong: Exception) -> None:
    """Whoever is told that nothing ran sends the request again, and without a key all of it would run again."""
    answer, told = await send(Desk(two=wrong))
    assert (answer.status_code, told[0]) == (200, '{"ok":1}')
    assert told[1].startswith(("Not run (", "It is not known what became of this call (broker_away). "))


@pytest.mark.parametrize("wrong", [LIMITED, BrokerAway(), PERHAPS])
async def test_under_a_key_the_same_request_takes_up_what_was_put_off(wrong: Exception) -> None:
    desk = Desk(two=wrong)
    answer, told = await send(desk, idempotency_key="k")
    assert (answer.status_code, answer.headers["retry-after"], told[0]) == (202, "5", '{"ok":1}')
    desk.wrong = {}
    answer, told = await send(desk, idempotency_key="k")
    assert (answer.status_code, told) == (200, ['{"ok":1}'] * 2)
    first, second = desk.asked[:2], desk.asked[2:]
    assert [(one.key, one.digest, one.default_session) for one in first] == [
        (one.key, one.digest, one.default_session) for one in second
    ]


async def test_where_nothing_could_be_taken_the_request_is_refused() -> None:
    with pytest.raises(Problem) as caught:
        await send(Desk(one=LIMITED, two=LIMITED), idempotency_key="k")
    assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "7")


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "run/7"])
async def test_a_session_that_can_be_none_is_refused(name: str) -> None:
    with pytest.raises(Problem, match="bad_session"):
        await send(Desk(), callgate_session=name)
