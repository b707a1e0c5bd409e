"""Requests that their client takes back, while their call may or may not be withdrawn any more."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request
from ingress_calls import AGENT, begun, completed, new_ref, result, then

from callgate.errors import BrokerAway
from callgate.http import Problem
from callgate.ingress_settings import IngressSettings
from contracts.events import Cancelled
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from contracts.lifecycle import Call
from services.ingress.domain import outcome_of
from services.ingress.mcp.address import Address
from services.ingress.mcp.door import McpDoor
from services.ingress.mcp.listening import Listeners
from services.ingress.mcp.listing import ToolList
from services.ingress.mcp.server import build_server
from services.ingress.mcp.sessions import Session, Sessions
from services.ingress.mcp.toolcalls import ToolCalls
from services.ingress.tools import Tools

FUNCTIONS = {name: FunctionSpec(path=f"/{name}") for name in ("one", "two")}
CATALOG = Catalog({"crm": HttpConnection(base_url="http://crm.test", functions=FUNCTIONS)})
RAN = then(completed(), result())
WITHDRAWN = then(begun(), Cancelled(by="support-bot", code="withdrawn"))
TOO_LATE = Problem(409, "too_late", "The call has begun or is over.")


class Desk:
    """Calls are answered when a test says so, and so are withdrawals."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.answers: dict[str, asyncio.Future[Call]] = {f"crm.{name}": loop.create_future() for name in FUNCTIONS}
        self.begun = {name: asyncio.Event() for name in self.answers}
        self.calls: set[str] = set()
        self.withdrawing = asyncio.Event()
        self.withdrawn: asyncio.Future[Call] = loop.create_future()

    async def submit(self, _principal: Any, asked: Any, *_: Any, begun: Any, **__: Any) -> Call:
        ref = new_ref()
        self.calls.add(str(ref))
        begun(ref)
        self.begun[asked.function].set()
        return await self.answers[asked.function]

    async def cancel(self, _principal: Any, call_id: str) -> Call:
        assert call_id in self.calls
        self.withdrawing.set()
        return await self.withdrawn

    async def outcome(self, call: Call) -> dict[str, Any]:
        return outcome_of(call, b'{"paid": 7}')


class Client:
    """Of the door, and what the door keeps of it."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.now = 0.0
        self.sessions = Sessions(8, 60, lambda: self.now)
        self.session_id: str | None = None

        async def identify(_: Request) -> Any:
            return AGENT

        settings = IngressSettings()
        desk: Any = self.desk
        tools = ToolList(CATALOG, SimpleNamespace(tools=Tools(CATALOG)))  # type: ignore[arg-type]
        authenticator: Any = SimpleNamespace(identify=identify)
        address = Address(settings.mcp, None, "127.0.0.1:8080", [])
        server = build_server(desk, tools)
        calls, nobody = ToolCalls(desk, tools, 5), Listeners(streams=SimpleNamespace())  # type: ignore[arg-type]
        door = McpDoor(desk, server, tools, calls, self.sessions, nobody, authenticator, address, settings)
        self._post: Any = next(one.endpoint for one in door.router().routes if "POST" in one.methods)  # type: ignore[attr-defined]

    @property
    def session(self) -> Session:
        session = self.sessions.get(self.session_id or "", AGENT.session_owner)
        assert session is not None
        return session

    async def send(self, **message: Any) -> Any:
        """The answer to a message, None where it has none."""
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        lines = {
            "host": "localhost",
            "accept": "application/json, text/event-stream",
            "content-type": "application/json",
        }
        if self.session_id is not None:
            lines["mcp-session-id"] = self.session_id
        encoded = [(name.encode(), value.encode()) for name, value in lines.items()]
        sent = bytearray()

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(event: Any) -> None:
            sent.extend(event.get("body", b""))

        scope = {"type": "http", "method": "POST", "headers": encoded}
        response = await self._post(Request(scope, receive))
        await response(scope, receive, send)
        self.session_id = response.headers.get("mcp-session-id", self.session_id)
        return json.loads(sent) if sent else None

    async def calling(self, request_id: str | int, tool: str = "one") -> asyncio.Task[Any]:
        """A request whose call stands."""
        params = {"name": f"crm-{tool}", "arguments": {}}
        task = asyncio.create_task(self.send(id=request_id, method="tools/call", params=params))
        await self.desk.begun[f"crm.{tool}"].wait()
        return task

    async def takes_back(self, request_id: str | int) -> asyncio.Task[Any]:
        """That it does, as far as the withdrawal being asked for."""
        params = {"requestId": request_id}
        task = asyncio.create_task(self.send(method="notifications/cancelled", params=params))
        asked = asyncio.create_task(self.desk.withdrawing.wait())
        await asyncio.wait((task, asked), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        return task


@pytest.fixture
async def client() -> Client:
    """With a session open."""
    one = Client()
    info = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    await one.send(id=0, method="initialize", params=info)
    return one


def ran(answer: Any) -> bool:
    return bool(answer.get("result", {}).get("structuredContent") == {"paid": 7})


async def test_a_request_whose_call_is_withdrawn_is_answered_by_that(client: Client) -> None:
    calling = await client.calling(7)
    back = await client.takes_back(7)
    client.desk.answers["crm.one"].set_result(WITHDRAWN)  # what waits may hear of it before who withdrew
    answer = await calling
    assert (answer["id"], answer["error"]["code"]) == (7, -32800)
    client.desk.withdrawn.set_result(WITHDRAWN)
    assert await back is None


@pytest.mark.parametrize("wrong", [TOO_LATE, BrokerAway()])
async def test_a_call_that_ran_is_answered_though_it_was_taken_back(client: Client, wrong: Exception) -> None:
    """Whoever is told that it did not begin makes it again."""
    calling = await client.calling(7)
    back = await client.takes_back(7)
    client.desk.answers["crm.one"].set_result(RAN)
    assert ran(await calling)
    client.desk.withdrawn.set_exception(wrong)
    assert await back is None
    assert not client.session.calls
    client.now = 100
    client.sessions.open(client.sessions.new("another"))
    assert len(client.sessions) == 1, "the idle session is over, and none behind it waits for it"


async def test_a_call_that_could_not_be_withdrawn_can_be_taken_back_again(client: Client) -> None:
    calling = await client.calling(7)
    back = await client.takes_back(7)
    client.desk.withdrawn.set_exception(BrokerAway())
    await back
    client.desk.withdrawn = asyncio.get_running_loop().create_future()
    client.desk.withdrawing.clear()
    back = await client.takes_back(7)
    assert client.desk.withdrawing.is_set()
    client.desk.withdrawn.set_result(WITHDRAWN)
    client.desk.answers["crm.one"].set_result(WITHDRAWN)
    await back
    assert (await calling)["error"]["code"] == -32800


async def test_ids_that_only_look_alike_are_two_requests(client: Client) -> None:
    number, text = await client.calling(1), await client.calling("1", "two")
    assert len(client.session.calls) == 2
    for answer in client.desk.answers.values():
        answer.set_result(RAN)
    assert ran(await number)
    assert ran(await text)
    await client.takes_back(1)
    assert not client.desk.withdrawing.is_set(), "it is answered"


async def test_an_id_that_is_used_twice_at_once_names_the_later_request(client: Client) -> None:
    first, second = await client.calling(1), await client.calling(1, "two")
    client.desk.answers["crm.one"].set_result(RAN)
    assert ran(await first)
    client.desk.answers["crm.two"].set_result(RAN)
    assert ran(await second)
    assert not client.session.calls
