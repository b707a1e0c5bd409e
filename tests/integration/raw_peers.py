"""Clients that send whatever they are told, against the server that every service runs."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from callgate.connections import LOST, Limits
from callgate.host import bind, serve_http
from callgate.http import PROBLEM, Problem, create_app, json_response
from callgate.service import Service
from contracts.identity import Role

GET = b"GET /size HTTP/1.1\r\nhost: callgate.test\r\n"
SECRET = b"4111111111111111"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def problem(self, status: int, code: str) -> None:
        assert (self.status, self.headers["content-type"]) == (status, PROBLEM)
        assert self.headers["connection"] == "close"
        document: dict[str, Any] = json.loads(self.body)
        assert (document["status"], document["code"]) == (status, code)
        assert document["type"] == f"https://callgate.dev/problems/{code}"
        assert document["title"]
        assert document["detail"]
        assert SECRET not in self.body


class Peer:
    """A client that sends whatever it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, *parts: bytes) -> int:
        """The bytes that went out before the server closed, if it did."""
        sent = 0
        with contextlib.suppress(ConnectionError):
            for part in parts:
                self._writer.write(part)
                await self._writer.drain()
                sent += len(part)
        return sent

    def half_close(self) -> None:
        """Sends no more, and goes on listening."""
        self._writer.write_eof()

    def close(self) -> None:
        self._writer.close()

    async def answer(self) -> Answer:
        async with asyncio.timeout(10):
            lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
            body = await self._reader.readexactly(int(headers["content-length"]))
        return Answer(int(lines[0].split()[1]), headers, body)

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(10):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""


class Door:
    """The server, and its peers."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._peers: list[asyncio.StreamWriter] = []
        self.held = asyncio.Event()
        """Set when a request is at the door that holds it."""
        self.let_go = asyncio.Event()
        self.over = asyncio.Event()
        """Set when an answer without an end has ended."""

    async def connect(self) -> Peer:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._peers.append(writer)
        return Peer(reader, writer)

    async def close(self) -> None:
        self.let_go.set()
        for writer in self._peers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@contextlib.asynccontextmanager
async def open_door(limits: Limits, *, staying: bool = False) -> AsyncIterator[Door]:
    """The peers are gone before the server stops, unless they are `staying`."""
    listener = bind("127.0.0.1:0")
    door = Door(listener.getsockname()[1])
    router = APIRouter()

    @router.post("/size")
    @router.get("/size")
    async def size(request: Request) -> Any:
        return json_response({"bytes": len(await request.body()), "headers": len(request.headers)})

    @router.get("/said")
    async def said(request: Request) -> Any:
        return json_response(request.headers.getlist("x-said"))

    @router.post("/refused")
    async def refuse() -> Any:
        raise Problem(415, "not_json", "Send JSON.", {"Connection": "close"})

    @router.get("/large")
    async def large() -> Any:
        return Response(bytes(30_000_000))

    @router.get("/endless")
    async def endless() -> Any:
        async def chunks() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield bytes(65536)
                    await asyncio.sleep(0)  # or nobody hears that the connection is lost
            finally:
                door.over.set()

        return StreamingResponse(chunks())

    @router.get("/held")
    async def hold(request: Request) -> Any:
        request.scope[LOST].tell(door.over.set)
        door.held.set()
        await door.let_go.wait()
        return json_response({"held": True})

    async with serve_http(create_app([Service(Role.POLICY, routers=(router,))]), listener, limits):
        yield door
        if not staying:
            await door.close()
    await door.close()
