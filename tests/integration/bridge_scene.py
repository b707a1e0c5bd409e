"""The bridge of `callgate mcp` between a client and what answers in Callgate's place."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from cli.bridge import Bridge


class Machine:
    """What answers at /mcp, and what it was sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[Callable[[web.Request], Awaitable[web.StreamResponse]]] = []
        self.site: web.TCPSite | None = None
        self.streams: list[Callable[[web.Request], Awaitable[web.StreamResponse]]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.method, dict(request.headers), body))
        if request.method == "DELETE":
            return web.Response()
        if request.method == "GET":
            return await (self.streams.pop(0) if self.streams else no_stream)(request)
        if self.answers and b"initialize" not in body:
            return await self.answers.pop(0)(request)
        message = json.loads(body)
        if "id" not in message:
            return web.Response(status=202)
        session = {"Mcp-Session-Id": f"s{len(self.seen)}"} if message["method"] == "initialize" else {}
        result = {"jsonrpc": "2.0", "id": message["id"], "result": {"protocolVersion": "2025-11-25"}}
        return web.json_response(result, headers=session)

    def keys(self) -> list[str]:
        return [headers["Idempotency-Key"] for _, headers, body in self.seen if b"tools/call" in body]

    def sent(self, name: str) -> list[bytes]:
        return [body for method, _, body in self.seen if method == "POST" and name.encode() in body]


@contextlib.asynccontextmanager
async def serving(machine: Machine, port: int = 0) -> AsyncIterator[int]:
    application = web.Application()
    application.router.add_route("*", "/mcp", machine.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    machine.site = web.TCPSite(runner, "127.0.0.1", port)
    await machine.site.start()
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

    def tell(self, line: bytes) -> None:
        self._lines.put_nowait(line)

    async def heard(self) -> Any:
        return json.loads(await asyncio.wait_for(self._written.get(), 30))

    async def say(self, line: bytes) -> Any:
        self.tell(line)
        return await self.heard()

    async def end(self) -> None:
        self._lines.put_nowait(None)
        await asyncio.wait_for(self.over, 30)


async def forgotten(request: web.Request) -> web.StreamResponse:
    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "Session not found"}}
    return web.json_response(error, status=404)


async def no_stream(request: web.Request) -> web.StreamResponse:
    return web.Response(status=405)


async def broken(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


def stream_of(
    *messages: Any, ends: asyncio.Event | None = None
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def streaming(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b":\r\n\r\n")
        for message in messages:
            await response.write(f"data: {json.dumps(message)}\r\n\r\n".encode())
        if ends is not None:
            await ends.wait()
        return response

    return streaming
