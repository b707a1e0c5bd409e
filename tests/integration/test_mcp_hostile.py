"""MCP servers that answer what no server should: what becomes of the call, and that the next one is served."""

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from contracts.functions import McpConnection, ToolSpec
from contracts.tools import function_of
from services.executor.mcp.upstream import Upstream
from services.executor.mcp.wire import pooled
from services.executor.outcomes import Attempt, Completed, NotSent, Outcome, Unknown

TOOL = {"name": "pay", "description": "Pays.", "inputSchema": {"type": "object"}}
META = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
Answer = Callable[[web.Request, Any], Awaitable[web.StreamResponse]]


@dataclass
class Hostile:
    """Lists one tool; `answer` is how it answers calls."""

    answer: Answer
    tool: dict[str, Any] = field(default_factory=lambda: dict(TOOL))
    calls: int = 0
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        message = json.loads(await request.read())
        if message.get("method") == "tools/list":
            return said({**META, "tools": [self.tool]}, message["id"])
        if message.get("method") != "tools/call":
            return web.json_response(
                {"jsonrpc": "2.0", "id": message.get("id"), "error": {"code": -32601, "message": ""}}
            )
        self.calls += 1
        return await self.answer(request, message)


def said(result: Any, message_id: Any) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": message_id, "result": result})


def failed(code: int, text: str, message_id: Any) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": text}})


async def good(_: web.Request, message: Any) -> web.StreamResponse:
    return said({**META, "content": [{"type": "text", "text": "paid"}]}, message["id"])


async def another_id(_: web.Request, __: Any) -> web.StreamResponse:
    return said({**META, "content": [{"type": "text", "text": "paid"}]}, "another")


async def redirect(_: web.Request, __: Any) -> web.StreamResponse:
    return web.Response(status=307, headers={"Location": "/mcp"})


async def compressed(_: web.Request, message: Any) -> web.StreamResponse:
    body = gzip.compress(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {"content": []}}).encode())
    return web.Response(body=body, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})


async def web_page(_: web.Request, __: Any) -> web.StreamResponse:
    return web.Response(text="<html>", content_type="text/html")


async def no_json(_: web.Request, __: Any) -> web.StreamResponse:
    return web.Response(text='{"jsonrpc": "2.0", "id"', content_type="application/json")


async def no_result(_: web.Request, message: Any) -> web.StreamResponse:
    return said({**META, "content": "paid"}, message["id"])


async def cut_off(request: web.Request, _: Any) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"jsonrpc"')
    assert request.transport is not None
    request.transport.abort()
    return response


async def events_that_end(request: web.Request, _: Any) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b": nothing\n\n")
    return response


async def endless(request: web.Request, _: Any) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65536)


async def asks_for_more(_: web.Request, message: Any) -> web.StreamResponse:
    asked = {"who": {"method": "roots/list", "params": {}}}
    return said({"resultType": "input_required", "inputRequests": asked, "requestState": "s"}, message["id"])


async def refuses(_: web.Request, message: Any) -> web.StreamResponse:
    return failed(-32602, "amount is missing", message["id"])


async def unauthorised(_: web.Request, __: Any) -> web.StreamResponse:
    return web.Response(status=401)


@pytest.fixture
async def hostile() -> AsyncIterator[Hostile]:
    server = Hostile(good)
    app = web.Application()
    app.router.add_post("/mcp", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
    yield server
    await runner.cleanup()


@pytest.fixture
async def upstream(hostile: Hostile) -> AsyncIterator[Upstream]:
    connection = McpConnection(kind="mcp", url=hostile.url, protocol="2026-07-28", timeout=5, response_limit=100_000)
    one = Upstream("shop", connection, {}, pooled(ssl.create_default_context()))
    yield one
    await one.drop()


async def pay(upstream: Upstream, seconds: float = 5.0) -> Outcome:
    found = await upstream.look()
    spec = function_of("shop", "pay", upstream.connection, found["pay"]).spec
    assert isinstance(spec, ToolSpec)
    return await upstream.call(spec, {}, Attempt("c1", seconds))


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (compressed, "protocol_error"),
        (web_page, "protocol_error"),
        (no_json, "protocol_error"),
        (no_result, "protocol_error"),
        (cut_off, "disconnected"),
        (events_that_end, "disconnected"),
    ],
)
async def test_no_answer_is_no_outcome(hostile: Hostile, upstream: Upstream, answer: Answer, code: str) -> None:
    hostile.answer = answer
    outcome = await pay(upstream)
    assert isinstance(outcome, Unknown)
    assert outcome.code == code
    assert hostile.calls == 1, "it is sent once"
    hostile.answer = good
    assert isinstance(await pay(upstream), Completed)


async def test_an_answer_to_nothing_asked_is_waited_out(hostile: Hostile, upstream: Upstream) -> None:
    hostile.answer = another_id
    assert await pay(upstream, seconds=0.5) == Unknown("timeout")
    hostile.answer = good
    assert isinstance(await pay(upstream), Completed)


@pytest.mark.parametrize(
    ("answer", "status"), [(redirect, 307), (unauthorised, 401), (refuses, 400), (asks_for_more, 500)]
)
async def test_refusals_are_answers(hostile: Hostile, upstream: Upstream, answer: Answer, status: int) -> None:
    hostile.answer = answer
    outcome = await pay(upstream)
    assert isinstance(outcome, Completed)
    assert outcome.status == status
    assert json.loads(outcome.body)["isError"] is True
    assert hostile.calls == 1, "no redirect is followed, and nothing is sent again"


async def test_an_endless_answer_is_cut_off(hostile: Hostile, upstream: Upstream) -> None:
    hostile.answer = endless
    outcome = await pay(upstream)
    assert isinstance(outcome, Completed)
    assert (outcome.body, outcome.truncated) == (b"", True)


async def test_one_call_that_breaks_ends_no_other(hostile: Hostile, upstream: Upstream) -> None:
    release, arrived = asyncio.Event(), asyncio.Event()

    async def wait(request: web.Request, message: Any) -> web.StreamResponse:
        arrived.set()
        await release.wait()
        return await good(request, message)

    hostile.answer = wait
    patient = asyncio.create_task(pay(upstream))
    await arrived.wait()
    hostile.answer = cut_off
    assert isinstance(await pay(upstream), Unknown)
    release.set()
    assert isinstance(await patient, Completed)


async def test_a_tool_that_is_listed_otherwise_is_not_called(hostile: Hostile, upstream: Upstream) -> None:
    found = await upstream.look()
    spec = function_of("shop", "pay", upstream.connection, found["pay"]).spec
    assert isinstance(spec, ToolSpec)
    hostile.tool["description"] = "Pays twice."
    await upstream.drop()  # as a server does that was restarted
    assert await upstream.call(spec, {}, Attempt("c1", 5.0)) == NotSent("function_changed")
    hostile.tool["name"] = "pay_more"
    await upstream.drop()
    assert await upstream.call(spec, {}, Attempt("c1", 5.0)) == NotSent("function_gone")
    assert hostile.calls == 0


async def test_a_deadline_that_has_passed_sends_nothing(hostile: Hostile, upstream: Upstream) -> None:
    found = await upstream.look()
    spec = function_of("shop", "pay", upstream.connection, found["pay"]).spec
    assert isinstance(spec, ToolSpec)
    assert await upstream.call(spec, {}, Attempt("c1", 0.0)) == NotSent("deadline_passed")
    assert hostile.calls == 0
