"""The SDK's server with Callgate's answers: `tools/list`, `tools/call`, and the tasks extension."""

import logging
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any

from mcp import MCPError
from mcp.server import CacheHint, NotificationOptions, Server, ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp.server.models import InitializationOptions
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
)
from pydantic import ValidationError

from callgate.errors import BrokerAway
from callgate.http import Problem
from callgate.jsontext import parse
from callgate.telemetry import describe
from contracts.lifecycle import Call
from services.ingress.answers import standing
from services.ingress.calls import Begun
from services.ingress.domain import CallRequest, is_answered
from services.ingress.doors import FrontDesk
from services.ingress.mcp.asked import Asked, asked_of
from services.ingress.mcp.listing import ToolList
from services.ingress.mcp.results import CANCEL_TOOL, OUTCOME_TOOL, pending_of, refusal_of, result_of
from services.ingress.mcp.tasks import TASKS, Tasks, speaks_tasks, task_of
from services.ingress.mcp.waits import Waits
from services.ingress.waiting import Told

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
    """Extensions are of the protocol of 2026-07-28; a handshake of earlier ones does not offer them."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        return super().create_initialization_options(notification_options, experimental_capabilities, extensions or {})


def build_server(desk: FrontDesk, waits: Waits, tools: ToolList, hold: float) -> McpServer:
    """`hold` is for how many seconds a tool call is held open."""
    calls = ToolCalls(desk, waits, tools, hold)
    server = McpServer(
        "callgate",
        version=version("callgate"),
        title="Callgate",
        instructions=INSTRUCTIONS,
        cache_hints={"tools/list": CacheHint(ttl_ms=_FRESH_MS)},
        # Headers that mirror arguments are checked at the door: the SDK sees no arguments.
        get_tool_input_schema=lambda _: None,
        on_list_tools=calls.list_tools,
        on_call_tool=calls.call,
    )
    server.middleware[:] = [_contained]  # in place of the SDK's own spans: one of ours covers the call
    Tasks(desk).register(server)
    server.extensions = {TASKS: {}}
    return server


class ToolCalls:
    """`tools/list` and `tools/call`."""

    def __init__(self, desk: FrontDesk, waits: Waits, tools: ToolList, hold: float) -> None:
        self._desk = desk
        self._waits = waits
        self._tools = tools
        self._hold = hold

    async def list_tools(self, ctx: Context, params: PaginatedRequestParams | None) -> ListToolsResult:
        return await self._tools.page(asked_of(ctx).principal, params.cursor if params is not None else None)

    async def call(self, ctx: Context, params: CallToolRequestParams) -> Any:
        """MCPError for a tool that is none; everything else is a result, which the model reads."""
        asked = asked_of(ctx)
        told = self._teller(ctx)
        try:
            if params.name == OUTCOME_TOOL:
                return await self._look(ctx, asked, told)
            if params.name == CANCEL_TOOL:
                return result_of(await self._desk.outcome(await self._withdraw(asked)))
            return await self._submit(ctx, asked, params.name, told)
        except Problem as problem:
            return refusal_of(problem)
        except BrokerAway:
            return refusal_of(Problem(503, "broker_away", "The event log is out of reach; nothing was recorded."))

    async def _submit(self, ctx: Context, asked: Asked, tool: str, told: Told | None) -> Any:
        function = self._tools.tools.by_name.get(tool)
        if function is None:
            raise MCPError(INVALID_PARAMS, "Unknown tool; tools/list names those there are.")
        wanted = CallRequest(function.name, asked.arguments, asked.session)
        asked.arguments = b""  # sealed from here on; a call may wait for long

        def submit(begun: Begun) -> Coroutine[Any, Any, Call]:
            return self._desk.submit(
                asked.principal, wanted, self._hold, _never, asked.traceparent, begun=begun, told=told
            )

        return await self._answer(ctx, await self._waits.recorded(submit, asked.key), tool)

    async def _look(self, ctx: Context, asked: Asked, told: Told | None) -> Any:
        looking = self._desk.look(asked.principal, _call_id(asked.arguments), self._hold, _never, told)
        return await self._answer(ctx, await self._waits.watched(looking), OUTCOME_TOOL)

    async def _withdraw(self, asked: Asked) -> Call:
        return await self._waits.watched(self._desk.cancel(asked.principal, _call_id(asked.arguments)))

    async def _answer(self, ctx: Context, call: Call, tool: str) -> CallToolResult | dict[str, Any]:
        document = await self._desk.outcome(call)
        if is_answered(call):
            return result_of(document)
        if speaks_tasks(ctx):
            return {"resultType": "task", **task_of(call, document)}
        return pending_of(document, tool, self._hold)

    def _teller(self, ctx: Context) -> Told | None:
        """Sends progress, where the client asked for it."""
        if ctx.meta is None or ctx.meta.get("progress_token") is None:
            return None
        steps = 0

        async def told(call: Call) -> None:
            nonlocal steps
            steps += 1
            await ctx.session.report_progress(steps, message=standing(await self._desk.outcome(call)))

        return told


async def _contained(ctx: Context, call_next: CallNext) -> HandlerResult:
    """Keeps the text of errors in this process: the SDK would log it, and tell it to clients of 2025-11-25."""
    try:
        return await call_next(ctx)
    except (MCPError, ValidationError):  # in the SDK's own words, which quote nothing
        raise
    except Exception as error:
        logger.error("a request of an MCP client failed", extra={"method": ctx.method, "error": describe(error)})
        raise MCPError(INTERNAL_ERROR, "This is a fault of Callgate; its log says where.") from None


def _call_id(arguments: bytes) -> str:
    """The one argument of the door's own tools. Problem for anything else."""
    given = parse(arguments)
    call_id = given.get("call_id") if isinstance(given, dict) and given.keys() == {"call_id"} else None
    if not isinstance(call_id, str):
        raise Problem(422, "bad_arguments", 'The arguments must be {"call_id": "…"}, and nothing else.')
    return call_id


async def _never() -> bool:
    """The SDK ends the waiting itself where it knows that the client is gone."""
    return False
