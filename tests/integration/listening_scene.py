"""Streams that tell of changed tools, as a client without the SDK sees them: `GET /mcp` and `subscriptions/listen`."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from doors import bearer
from governed_scene import Governed
from mcp_scene import post
from mcp_types.version import LATEST_MODERN_VERSION

from callgate.telemetry import HELD

LISTEN = "subscriptions/listen"
META = {
    "io.modelcontextprotocol/protocolVersion": LATEST_MODERN_VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
Token = dict[str, str] | None


@dataclass
class Line:
    """An open stream of events."""

    response: aiohttp.ClientResponse

    async def next(self) -> Any:
        """The next message as it comes; a comment is "", and None the end."""
        data = b""
        async with asyncio.timeout(30):
            while raw := await self.response.content.readline():
                line = raw.strip()
                if line == b":":
                    return ""
                data = line.removeprefix(b"data: ") if line.startswith(b"data: ") else data
                if not line and data:
                    return json.loads(data)
        return None

    async def message(self) -> Any:
        """The next that is no comment."""
        while (one := await self.next()) == "":
            pass
        return one

    async def until_end(self) -> list[Any]:
        messages = []
        while (one := await self.message()) is not None:
            messages.append(one)
        return messages


async def begun(scene: Governed) -> str:
    """The id of a new session."""
    response, _ = await post(scene, HELLO)
    return response.headers["Mcp-Session-Id"]


@contextlib.asynccontextmanager
async def listening_in(scene: Governed, session: str, token: Token = None) -> AsyncIterator[Line]:
    who = token or bearer(scene.issuer, "support-bot")
    headers = {**who, "Accept": "text/event-stream", "Mcp-Session-Id": session}
    async with scene.http.get(f"{scene.url}/mcp", headers=headers) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        yield Line(response)


@contextlib.asynccontextmanager
async def subscribed(
    scene: Governed, request_id: str | int = "l-1", token: Token = None, **wanted: bool
) -> AsyncIterator[Line]:
    async with subscribing(scene, request_id, token, notifications=wanted) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        yield Line(response)


@contextlib.asynccontextmanager
async def subscribing(
    scene: Governed, request_id: str | int = "l-1", token: Token = None, **params: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer to a subscription, whatever it is."""
    headers = {
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": LATEST_MODERN_VERSION,
        "Mcp-Method": LISTEN,
        **(token or bearer(scene.issuer, "support-bot")),
    }
    message = {"jsonrpc": "2.0", "id": request_id, "method": LISTEN, "params": {**params, "_meta": META}}
    async with scene.http.post(f"{scene.url}/mcp", json=message, headers=headers) as response:
        yield response


def held(count: int) -> Callable[[], Awaitable[bool | None]]:
    """Whether so many calls and streams are held now."""

    async def check() -> bool | None:
        return HELD._value.get() == count or None

    return check
