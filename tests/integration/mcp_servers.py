"""MCP servers that tests put behind Callgate: of the official SDK, and some that misbehave."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from mcp.server import Server, ServerRequestContext
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolRequestParams,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    TextResourceContents,
    Tool,
)
from starlette.applications import Starlette

CARD = "4111 1111 1111 1111"
PIXEL = base64.b64encode(b"\x89PNG" + bytes(range(200))).decode()


def text_tool(name: str, description: str, **properties: str) -> Tool:
    typed = {key: {"type": kind} for key, kind in properties.items()}
    schema = {"type": "object", "properties": typed, "required": list(properties), "additionalProperties": False}
    return Tool(name=name, description=description, input_schema=schema)


@dataclass
class Everything:
    """A server with a tool of each kind; `tools` may be changed, `calls` are what reached it."""

    tools: dict[str, Tool] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    release: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        for tool in (
            text_tool("echo", "Says what it was told.", text="string"),
            text_tool("Pay-Invoice", "Pays.", amount="integer"),
            text_tool("fail", "Fails."),
            text_tool("pictures", "Everything but text."),
            text_tool("structured", "A customer."),
            text_tool("huge", "More than anybody asked for."),
            text_tool("wait", "Waits until it is released."),
        ):
            self.tools[tool.name] = tool

    async def list_tools(self, _: Any, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=list(self.tools.values()))

    async def call(self, context: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> CallToolResult:
        arguments = params.arguments or {}
        self.calls.append((params.name, arguments))
        self.arrived.set()
        match params.name:
            case "echo":
                return CallToolResult(content=[_text(f"You said: {arguments['text']}")])
            case "Pay-Invoice":
                return CallToolResult(content=[_text(f"Paid {arguments['amount']} with {CARD}")])
            case "fail":
                return CallToolResult(content=[_text(f"Could not charge {CARD}")], is_error=True)
            case "pictures":
                return CallToolResult(content=_everything())
            case "structured":
                customer = {"name": "c-1", "card": CARD, "n": 3}
                return CallToolResult(content=[_text("see there")], structured_content=customer)
            case "huge":
                return CallToolResult(content=[_text("x" * 3_000_000)])
            case _:
                await self.release.wait()
                return CallToolResult(content=[_text("released")])


def _text(text: str) -> TextContent:
    return TextContent(type="text", text=text)


def _everything() -> list[Any]:
    return [
        ImageContent(type="image", data=PIXEL, mime_type="image/png"),
        AudioContent(type="audio", data=PIXEL, mime_type="audio/wav"),
        EmbeddedResource(
            type="resource", resource=TextResourceContents(uri="note://1", mime_type="text/plain", text=f"card {CARD}")
        ),
        EmbeddedResource(type="resource", resource=BlobResourceContents(uri="note://2", blob=PIXEL)),
    ]


@contextlib.asynccontextmanager
async def served(here: Everything, port: int = 0) -> AsyncIterator[str]:
    """The server over Streamable HTTP, in both generations; its URL."""
    server: Server[Any] = Server("everything", on_list_tools=here.list_tools, on_call_tool=here.call)
    async with serving_mcp(server.streamable_http_app(), port) as url:
        yield url


@contextlib.asynccontextmanager
async def serving_mcp(app: Starlette, port: int = 0) -> AsyncIterator[str]:
    """An MCP server's application, served on loopback; its URL."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio leaves Nagle on
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        running.should_exit = running.force_exit = True
        await task
