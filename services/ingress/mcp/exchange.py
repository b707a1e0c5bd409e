"""The SDK's kernel for one message: it validates, dispatches and shapes; here is what it needs of a transport.

The SDK's own HTTP transport keeps tasks and streams for every session and every request, which takes 75 KB and 3 ms a
waiting call. This server never asks its clients anything, so one request with one response is all there is.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp import MCPError
from mcp.server import Server
from mcp.server.connection import Connection
from mcp.server.runner import ServerRunner
from mcp.shared.dispatcher import CallOptions
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp_types import INVALID_PARAMS, ErrorData
from pydantic import ValidationError

from services.ingress.mcp.asked import Asked


class NoChannel:
    """To a client that is never asked or told anything beside the answer to its request."""

    async def send_raw_request(
        self,
        method: str,
        params: Mapping[str, Any] | None,  # noqa: ARG002
        opts: CallOptions | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        raise NoBackChannelError(method)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        """Dropped: there is nobody to tell."""


@dataclass
class _Exchange(NoChannel):
    """One request, as the kernel sees it. Progress is sent before the kernel is asked."""

    request_id: str | int
    message_metadata: ServerMessageMetadata
    transport: TransportContext = field(
        default_factory=lambda: TransportContext(kind="streamable-http", can_send_request=False)
    )
    cancel_requested: anyio.Event = field(default_factory=anyio.Event)
    can_send_request: bool = False

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        """Nothing is left to report."""


async def answered(
    server: Server[Any], connection: Connection, asked: Asked, request_id: str | int, method: str, params: Any
) -> dict[str, Any]:
    """The JSON-RPC response to a request."""
    exchange = _Exchange(request_id, ServerMessageMetadata(request_context=asked, can_send_request=False))
    try:
        result = await ServerRunner(server, connection, {}).on_request(exchange, method, params)
    except (MCPError, ValidationError) as error:
        return refused(request_id, error)
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def refused(request_id: str | int | None, error: MCPError | ValidationError) -> dict[str, Any]:
    """The JSON-RPC error of a request, in the SDK's own words or ours; what pydantic says quotes values."""
    data = error.error if isinstance(error, MCPError) else ErrorData(code=INVALID_PARAMS, message=_INVALID)
    told = data.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"jsonrpc": "2.0", "id": request_id, "error": told}


_INVALID = "Invalid request parameters"
