"""What the proxy's door hands on of a request: its session, and word of its client's leaving."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request
from ingress_calls import AGENT, begun

from callgate.connections import LOST, Loss
from callgate.http import Problem
from callgate.ingress_settings import IngressSettings
from contracts.functions import FunctionSpec, HttpConnection
from contracts.lifecycle import Call
from services.ingress.domain import CallRequest, outcome_of
from services.ingress.proxy.door import ProxyDoor

CRM = HttpConnection.model_validate({"base_url": "http://crm.test", "proxy": {}, "functions": {
    "list": FunctionSpec(path="/customers", method="GET")
}})  # fmt: skip
CALL = begun()


class Desk:
    """Holds every call until its client leaves."""

    def __init__(self) -> None:
        self.asked: list[CallRequest] = []
        self.holding = asyncio.Event()

    def admit(self) -> None:
        """Calls are taken."""

    async def submit(self, _principal: Any, asked: CallRequest, _wait: float, gone: Any, _trace: Any) -> Call:
        self.asked.append(asked)
        left = asyncio.Event()
        with gone.telling(left.set):
            self.holding.set()
            await left.wait()
        return CALL

    async def outcome(self, call: Call) -> dict[str, Any]:
        return outcome_of(call)


async def send(desk: Desk, loss: Loss, *sessions: str, key: str | None = None) -> Any:
    async def identify(_: Request) -> Any:
        return AGENT

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    authenticator: Any = SimpleNamespace(identify=identify)
    door = ProxyDoor(desk, authenticator, {"crm": CRM}, IngressSettings())  # type: ignore[arg-type]
    scope = {
        "type": "http",
        "method": "GET",
        "raw_path": b"/proxy/crm/customers",
        "query_string": b"",
        "headers": [
            *((b"callgate-session", session.encode()) for session in sessions),
            *([(b"idempotency-key", key.encode())] if key else ()),
        ],
        LOST: loss,
    }
    return await door.answer(Request(scope, receive))


async def test_a_client_that_leaves_is_noticed_at_once() -> None:
    desk, loss = Desk(), Loss()
    sending = asyncio.create_task(send(desk, loss, "run-7"))
    await desk.holding.wait()
    loss.happen()
    with pytest.raises(Problem) as waits:
        await sending
    assert (waits.value.code, desk.asked[0].session) == ("pending", "run-7")


class LosingDesk(Desk):
    """Whose log goes away while a call is recorded."""

    async def submit(self, _principal: Any, asked: CallRequest, _wait: float, gone: Any, _trace: Any) -> Call:
        self.asked.append(asked)
        raise Problem(503, "broker_away", "Ask at Location.", {"Retry-After": "2"}, {"id": str(CALL.ref)})


@pytest.mark.parametrize("key", [None, "refund-1"])
async def test_what_may_stand_is_repeated_under_its_key_alone(key: str | None) -> None:
    """A client's library that repeats a 503 by itself would otherwise ask for a second refund."""
    with pytest.raises(Problem) as lost:
        await send(LosingDesk(), Loss(), key=key)
    told = lost.value.headers
    assert (lost.value.code, told["Callgate-Call"]) == ("broker_away", str(CALL.ref))
    assert (told.get("Retry-After"), told.get("X-Should-Retry")) == (("2", None) if key else (None, "false"))


@pytest.mark.parametrize("sessions", [("a b",), ("",), ("x" * 65,), ("run-7", "run-8")])
async def test_what_can_be_no_session_is_not_taken_for_one(sessions: tuple[str, ...]) -> None:
    desk = Desk()
    with pytest.raises(Problem) as refused:
        await send(desk, Loss(), *sessions)
    assert (refused.value.status, refused.value.code) == (422, "bad_session")
    assert not desk.asked
