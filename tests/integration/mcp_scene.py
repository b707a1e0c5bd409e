"""MCP clients of the official SDK at the door of a governed deployment, in both generations of the protocol."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

import aiohttp
from doors import bearer
from governed_scene import Governed
from mcp import Client
from mcp.client.extension import ClientExtension
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_types import CallToolResult, TextContent
from mcp_types.version import LATEST_MODERN_VERSION

from contracts.subjects import CallRef

T = TypeVar("T")
GENERATIONS = ("legacy", LATEST_MODERN_VERSION)
"""As `mcp.Client` calls them: the handshake of 2025-11-25, and 2026-07-28."""


@contextlib.asynccontextmanager
async def connected(
    scene: Governed,
    mode: str,
    who: str = "support-bot",
    extensions: Sequence[ClientExtension] | None = None,
    **headers: str,
) -> AsyncIterator[Client]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        create_mcp_http_client({**bearer(scene.issuer, who), **named}) as http,
        Client(
            streamable_http_client(f"{scene.url}/mcp", http_client=http), mode=mode, extensions=extensions
        ) as client,
    ):
        yield client


@contextlib.asynccontextmanager
async def kept(opening: contextlib.AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """The same, entered and left by one task: a fixture's teardown runs in another than its setup, which the SDK's
    cancel scopes refuse."""
    loop = asyncio.get_running_loop()
    opened: asyncio.Future[T] = loop.create_future()
    over = asyncio.Event()

    async def keep() -> None:
        async with opening as one:
            opened.set_result(one)
            await over.wait()

    task = asyncio.create_task(keep())
    await asyncio.wait((task, opened), return_when=asyncio.FIRST_COMPLETED)
    if not opened.done():
        await task
    try:
        yield opened.result()
    finally:
        over.set()
        await task


def text_of(result: CallToolResult) -> str:
    """Everything that a model reads of a result."""
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))


def call_of(result: CallToolResult) -> dict[str, Any]:
    """What Callgate says of the call beside the function's answer."""
    assert result.meta is not None
    told: dict[str, Any] = dict(result.meta)["dev.callgate/call"]
    return told


def ref_of(result: CallToolResult) -> CallRef:
    return CallRef.parse(call_of(result)["id"])


async def post(
    scene: Governed, message: Any, who: str | None = "support-bot", **headers: str
) -> tuple[aiohttp.ClientResponse, Any]:
    """A message as it is, and its answer where that is JSON."""
    sent = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    sent |= bearer(scene.issuer, who) if who else {}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"data": message} if isinstance(message, bytes) else {"json": message}
    async with scene.http.post(f"{scene.url}/mcp", headers=sent, **body) as response:
        is_json = "json" in response.headers.get("content-type", "")
        text = await response.read()
        return response, (await response.json(content_type=None) if is_json and text else text)
