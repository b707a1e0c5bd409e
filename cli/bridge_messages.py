"""The messages that `callgate mcp` passes on: lines on one side, bodies and streams of events on the other."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from mcp_types import PROTOCOL_VERSION_META_KEY


@dataclass(frozen=True, slots=True)
class Line:
    """A message of the client, with what its headers are made of."""

    text: bytes
    method: str
    request_id: str | int | None
    params: Mapping[str, Any]
    key: str | None = None
    """The idempotency key that it is sent under, however often."""

    @property
    def version(self) -> str | None:
        """The protocol that a message of 2026-07-28 or later names; None before."""
        meta = self.params.get("_meta")
        named = meta.get(PROTOCOL_VERSION_META_KEY) if isinstance(meta, dict) else None
        return named if isinstance(named, str) else None

    @property
    def takes_back(self) -> str | int | None:
        """The id of the request that its client waits for no more."""
        named = self.params.get("requestId") if self.method == "notifications/cancelled" else None
        return named if isinstance(named, str | int) else None


def parsed(text: bytes) -> Line | None:
    """The message of a line; None for what is none."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    params, request_id = message.get("params"), message.get("id")
    known = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    return Line(
        text.strip(),
        str(message.get("method", "")),
        request_id if known and "method" in message else None,
        params if isinstance(params, dict) else {},
    )


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The data of a stream of events (WHATWG HTML, section 9.2), comments and empty events left out."""
    data: list[bytes] = []
    async for line in _split(response.content):
        stripped = line.rstrip(b"\r")
        if stripped.startswith(b"data:"):
            data.append(stripped[5:].removeprefix(b" "))
        elif not stripped and data:
            text, data = b"\n".join(data), []
            if text.strip():
                yield text


async def _split(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Without the limit of the library's own reading by lines: a result may be many megabytes long."""
    parts: list[bytes] = []
    async for chunk in content.iter_any():
        first, *more = chunk.split(b"\n")
        parts.append(first)
        for line in more:
            yield b"".join(parts)
            parts = [line]


async def refusal(response: aiohttp.ClientResponse) -> str:
    """What a problem document says, in one line."""
    try:
        problem = json.loads(await response.read())
        return f"Callgate answered {response.status}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"Callgate answered {response.status}."


def error(request_id: str | int | None, code: int, message: str) -> bytes:
    told = {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}
    return json.dumps(told, ensure_ascii=False).encode()
