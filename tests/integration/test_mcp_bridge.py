"""`callgate mcp`: a real client starts it as a command; and what it does where Callgate is away or has forgotten."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from governed_scene import PAY, PAY_ROUTE, Governed, governed
from mcp import Client, StdioServerParameters
from mcp_scene import GENERATIONS, call_of, ref_of, text_of

from cli import bridge as bridging
from cli.bridge import Bridge
from contracts.subjects import CallRef

HELLO = b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}'
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"n":1.10}}}'
LIST = b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}'


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path, ingress={"mcp": {"hold": 20}}) as running:
        yield running


def command(scene: Governed, token_file: Path) -> StdioServerParameters:
    arguments = ["-m", "cli.main", "mcp", "--url", scene.url, "--token-file", str(token_file)]
    root = str(Path(__file__).parents[2])
    return StdioServerParameters(command=sys.executable, args=arguments, cwd=root, env={"PYTHONPATH": root})


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_a_client_that_starts_a_command(scene: Governed, tmp_path: Path, mode: str) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(scene.issuer.mint("support-bot"))
    seen: list[str] = []
    asked = asyncio.Event()

    async def told(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")
        if "waiting for approval" in seen[-1]:
            asked.set()

    async with Client(command(scene, token_file), mode=mode) as client:
        assert "shop-look" in [tool.name for tool in (await client.list_tools()).tools]
        first = await client.call_tool("shop-look", {"id": "c42"})
        assert first.structured_content["plan"] == "free"
        calling = asyncio.create_task(client.call_tool("shop-pay", {"amount": 250, **PAY}, progress_callback=told))
        await asyncio.wait_for(asked.wait(), 20)
        await scene.vote(await waiting(scene), "fay")
        paid = await calling
        assert not paid.is_error
        assert call_of(paid)["session"] == call_of(first)["session"], "one process, one agent run"
        denied = await client.call_tool("shop-wall", {"rule": "all", "action": "add"})
        assert text_of(denied).startswith("Denied")
    assert scene.ledger.executed[PAY_ROUTE] == 1
    assert (await scene.names(ref_of(paid)))[-1] == "result_masked"


async def waiting(scene: Governed) -> CallRef:
    (partition,) = scene.partitions
    async with asyncio.timeout(20):
        async for recorded in scene.audit.log.follow(partition, 0, "approval_required"):
            return recorded.ref
    raise AssertionError


async def test_without_a_token_it_says_who_to_be() -> None:
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "mcp"),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=str(Path(__file__).parents[2]),
        env={"PATH": "/usr/bin:/bin"},
    )
    _, told = await started.communicate()
    assert started.returncode == 2
    assert b"--token-file" in told


# Against an answering machine


class Machine:
    """What answers at /mcp, and what it was sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[Callable[[web.Request], Awaitable[web.StreamResponse]]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.method, dict(request.headers), body))
        if request.method == "DELETE":
            return web.Response()
        if self.answers and b"initialize" not in body:
            return await self.answers.pop(0)(request)
        message = json.loads(body)
        if "id" not in message:
            return web.Response(status=202)
        session = {"Mcp-Session-Id": f"s{len(self.seen)}"} if message["method"] == "initialize" else {}
        result = {"jsonrpc": "2.0", "id": message["id"], "result": {"protocolVersion": "2025-11-25"}}
        return web.json_response(result, headers=session)

    def sent(self, name: str) -> list[bytes]:
        return [body for method, _, body in self.seen if method == "POST" and name.encode() in body]


@contextlib.asynccontextmanager
async def serving(machine: Machine, port: int = 0) -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_route("*", "/mcp", machine.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class Session:
    """A bridge at work: `say` a line, `heard` gives what it wrote next."""

    def __init__(self, http: aiohttp.ClientSession, port: int, token: Callable[[], str] = lambda: "t") -> None:
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._written: asyncio.Queue[bytes] = asyncio.Queue()
        bridge = Bridge(http, f"http://127.0.0.1:{port}/mcp", token, "run-1", self._written.put_nowait)
        self.over = asyncio.create_task(bridge.serve(self._given()))

    async def _given(self) -> AsyncIterator[bytes]:
        while (line := await self._lines.get()) is not None:
            yield line

    async def say(self, line: bytes) -> Any:
        self._lines.put_nowait(line)
        return json.loads(await asyncio.wait_for(self._written.get(), 10))

    async def end(self) -> None:
        self._lines.put_nowait(None)
        await asyncio.wait_for(self.over, 10)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def forgotten(request: web.Request) -> web.StreamResponse:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Session not found"}}
    return web.json_response(error, status=404)


async def broken(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def test_bytes_go_on_as_they_came_with_who_asks_and_which_run(http: aiohttp.ClientSession) -> None:
    machine = Machine()
    async with serving(machine) as port:
        session = Session(http, port)
        await session.say(HELLO)
        await session.say(CALL)
        await session.end()
    assert machine.sent("tools/call") == [CALL], "1.10 stays 1.10"
    (_, first, _), (_, second, _), (ended, last, _) = machine.seen
    assert (first["Authorization"], first["Callgate-Session"]) == ("Bearer t", "run-1")
    assert "Mcp-Session-Id" not in first
    assert (second["Mcp-Session-Id"], second["MCP-Protocol-Version"]) == ("s1", "2025-11-25")
    assert (ended, last["Mcp-Session-Id"]) == ("DELETE", "s1")


async def test_a_session_that_was_forgotten_begins_anew(http: aiohttp.ClientSession) -> None:
    machine = Machine()
    machine.answers = [forgotten]
    async with serving(machine) as port:
        session = Session(http, port)
        await session.say(HELLO)
        answer = await session.say(CALL)
        assert "result" in answer
        await session.end()
    sessions = [headers.get("Mcp-Session-Id") for _, headers, body in machine.seen if body == CALL]
    assert sessions[0] == "s1"
    assert sessions[1] not in (None, "s1")
    assert len(machine.sent("notifications/initialized")) == 1


async def test_a_call_whose_answer_was_lost_is_not_made_again(http: aiohttp.ClientSession) -> None:
    machine = Machine()
    async with serving(machine) as port:
        session = Session(http, port)
        await session.say(HELLO)
        machine.answers = [broken]
        answer = await session.say(CALL)
        assert "may go on" in answer["error"]["message"]
        assert len(machine.sent("tools/call")) == 1
        machine.answers = [broken]
        assert "result" in await session.say(LIST), "what changes nothing is asked again"
        await session.end()


async def test_callgate_that_comes_back_is_found(http: aiohttp.ClientSession) -> None:
    machine = Machine()
    async with serving(machine) as port:
        session = Session(http, port)
        await session.say(HELLO)
    saying = asyncio.create_task(session.say(CALL))
    await asyncio.sleep(0)
    async with serving(machine, port):
        assert "result" in await saying
        await session.end()


async def test_callgate_that_stays_away_is_told(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridging, "GIVE_UP_AFTER", 0.0)
    async with serving(Machine()) as port:
        pass
    session = Session(http, port)
    answer = await session.say(CALL)
    assert (answer["id"], answer["error"]["code"]) == (1, -32001)
    assert "nothing was sent" in answer["error"]["message"]
    await session.end()


async def test_a_token_that_was_renewed_is_read_again(http: aiohttp.ClientSession) -> None:
    current = "old"

    async def expired(request: web.Request) -> web.StreamResponse:
        nonlocal current
        current = "new"
        return web.json_response(
            {"detail": "The token has expired."}, status=401, content_type="application/problem+json"
        )

    machine = Machine()
    machine.answers = [expired, expired]
    async with serving(machine) as port:
        session = Session(http, port, lambda: current)
        answer = await session.say(CALL)
        assert answer["error"]["message"] == "Callgate answered 401: The token has expired."
        assert [headers["Authorization"] for _, headers, _ in machine.seen] == ["Bearer old", "Bearer new"]
        await session.end()


@pytest.mark.parametrize("line", [b"nonsense", b"[1]", b"{"])
async def test_a_line_that_is_no_message(http: aiohttp.ClientSession, line: bytes) -> None:
    session = Session(http, 1)
    assert (await session.say(line))["error"]["code"] == -32700
    await session.end()


async def test_a_stream_is_written_message_by_message(http: aiohttp.ClientSession) -> None:
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
    result = {"jsonrpc": "2.0", "id": 1, "result": {}}

    async def streaming(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": ping\r\n\r\nid: 1\r\ndata: \r\n\r\n")
        for message in (progress, result):
            await response.write(f"event: message\r\ndata: {json.dumps(message)}\r\n\r\n".encode())
        return response

    machine = Machine()
    machine.answers = [streaming]
    async with serving(machine) as port:
        session = Session(http, port)
        assert await session.say(CALL) == progress
        assert json.loads(await session._written.get()) == result
        await session.end()


async def test_a_result_may_be_as_long_as_it_likes(http: aiohttp.ClientSession) -> None:
    result = {"jsonrpc": "2.0", "id": 1, "result": {"text": "x" * 3_000_000}}

    async def streaming(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(f"event: message\r\ndata: {json.dumps(result)}\r\n\r\n".encode())
        return response

    machine = Machine()
    machine.answers = [streaming]
    async with serving(machine) as port:
        session = Session(http, port)
        assert await session.say(CALL) == result
        await session.end()


@pytest.mark.parametrize("body", [b"[1, 2", b"[]", b"7", b"[" * 100_000])
async def test_what_came_back_and_is_no_message_is_a_lost_answer(http: aiohttp.ClientSession, body: bytes) -> None:
    async def garbled(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    machine = Machine()
    machine.answers = [garbled]
    async with serving(machine) as port:
        session = Session(http, port)
        answer = await session.say(CALL)
        assert (answer["id"], answer["error"]["code"]) == (1, -32002)
        assert len(machine.sent("tools/call")) == 1
        await session.end()
