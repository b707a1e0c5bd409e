"""The SDK's server with Callgate's answers: `tools/list`, `tools/call`, and the tasks extension."""

import logging
from importlib.metadata import version
from typing import Any

from mcp import MCPError
from mcp.server import CacheHint, NotificationOptions, Server, ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp.server.models import InitializationOptions
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import (
    INTERNAL_ERROR,
    CallToolRequestParams,
    ListToolsResult,
    PaginatedRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
)
from pydantic import ValidationError

from callgate.telemetry import describe
from services.ingress.doors import FrontDesk
from services.ingress.mcp.asked import asked_of
from services.ingress.mcp.listing import ToolList
from services.ingress.mcp.results import OUTCOME_TOOL
from services.ingress.mcp.tasks import TASKS, Tasks

logger = logging.getLogger("services.ingress")

Context = ServerRequestContext[Any, Any]

INSTRUCTIONS = (
    "Every call of these tools is checked by policy, and may wait until people approve it. A result that says that the "
    f"call has no answer yet is no failure: ask for the answer with {OUTCOME_TOOL}. A call that is denied says why, "
    "and whether other arguments would help. Sensitive values come masked, as [ENTITY] or tok_…; give them back as "
    "they are."
)
_FRESH_MS = 30_000
"""For which a client may keep the list of tools: policies change seldom, and every call is judged anyway."""


class McpServer(Server[Any]):
    """Extensions are of the protocol of 2026-07-28; a handshake of earlier ones does not offer them, but says that
    clients are told of their tools."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        notifies = notification_options or NotificationOptions(tools_changed=True)
        return super().create_initialization_options(notifies, experimental_capabilities, extensions or {})


def build_server(desk: FrontDesk, tools: ToolList) -> McpServer:
    async def list_tools(ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return await tools.page(asked_of(ctx).principal, params.cursor if params is not None else None)

    async def call_tool(ctx: Context, _: CallToolRequestParams) -> Any:
        return asked_of(ctx).result

    async def listened(ctx: Context, _: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        """The end of a stream that was told of its tools before, outside of the SDK as well."""
        return SubscriptionsListenResult(_meta={SUBSCRIPTION_ID_META_KEY: ctx.request_id})

    server = McpServer(
        "callgate",
        version=version("callgate"),
        title="Callgate",
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": CacheHint(ttl_ms=_FRESH_MS)},
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_subscriptions_listen=listened,
    )
    server.middleware[:] = [_contained]  # in place of the SDK's own spans: one of ours covers the call
    Tasks(desk).register(server)
    server.extensions = {TASKS: {}}
    return server


async def _contained(ctx: Context, call_next: CallNext) -> HandlerResult:
    """Keeps the text of errors in this process: the SDK would log it, and tell it to clients of 2025-11-25."""
    try:
        return await call_next(ctx)
    except (MCPError, ValidationError):  # in the SDK's own words, which quote nothing
        raise
    except Exception as error:
        logger.error("a request of an MCP client failed", extra={"method": ctx.method, "error": describe(error)})
        raise MCPError(INTERNAL_ERROR, "This is a fault of Callgate; its log says where.") from None
