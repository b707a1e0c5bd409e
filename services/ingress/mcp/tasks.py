"""The extension io.modelcontextprotocol/tasks (SEP-2663, of 2026-07-28): a call as a task that its client polls.

A task is the call itself, its id the call's: so it is durable before it is named, any replica answers for it, nobody
but its caller finds it, and it never expires. No call asks its client for input, so `tasks/update` has nothing to take.
"""

from collections.abc import Mapping
from typing import Any

from mcp import MCPError
from mcp.server import Server
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    ClientCapabilities,
    EmptyResult,
    RequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from callgate.errors import BrokerAway
from callgate.http import Problem
from contracts.lifecycle import WAITING_FOR_PEOPLE, Call
from contracts.model import rfc3339
from services.ingress.answers import standing
from services.ingress.domain import is_answered
from services.ingress.doors import FrontDesk
from services.ingress.mcp.asked import Asked, Context, asked_of
from services.ingress.mcp.results import result_of

TASKS = "io.modelcontextprotocol/tasks"

_POLL_MS = 1000
_POLL_PEOPLE_MS = 5000


class TaskParams(RequestParams):
    """Of tasks/get and tasks/cancel."""

    task_id: str


class UpdateParams(TaskParams):
    input_responses: dict[str, Any]


class Tasks:
    """tasks/get, tasks/update, tasks/cancel."""

    def __init__(self, desk: FrontDesk) -> None:
        self._desk = desk

    def register(self, server: Server[Any]) -> None:
        server.add_request_handler("tasks/get", TaskParams, self.get)
        server.add_request_handler("tasks/update", UpdateParams, self.update)
        server.add_request_handler("tasks/cancel", TaskParams, self.cancel)

    async def get(self, ctx: Context, params: TaskParams) -> dict[str, Any]:
        call = await self._found(_checked(ctx, params), params.task_id)
        try:
            document = await self._desk.outcome(call)
        except Problem:
            raise MCPError(INTERNAL_ERROR, "The task cannot be read now; ask again.") from None
        return task_of(call, document)

    async def update(self, ctx: Context, params: UpdateParams) -> EmptyResult:
        """Nothing is ever outstanding, and what answers nothing is ignored."""
        await self._found(_checked(ctx, params), params.task_id)
        return EmptyResult()

    async def cancel(self, ctx: Context, params: TaskParams) -> EmptyResult:
        """Withdraws the call where it has not begun; acknowledged all the same where it has."""
        asked = _checked(ctx, params)
        try:
            await self._desk.cancel(asked.principal, params.task_id)
        except Problem as problem:
            if problem.code != "too_late":
                raise _unknown() from None
        except BrokerAway:
            raise MCPError(INTERNAL_ERROR, "The task cannot be cancelled now; ask again.") from None
        return EmptyResult()

    async def _found(self, asked: Asked, task_id: str) -> Call:
        try:
            return await self._desk.look(asked.principal, task_id, 0.0, _never)
        except Problem:
            raise _unknown() from None
        except BrokerAway:
            raise MCPError(INTERNAL_ERROR, "The task cannot be read now; ask again.") from None


def speaks_tasks(capabilities: ClientCapabilities | None, protocol_version: str) -> bool:
    """Whether the client may be given a task for this request: it says so in each, from 2026-07-28 on."""
    declared = capabilities is not None and TASKS in (capabilities.extensions or {})
    return declared and protocol_version in MODERN_PROTOCOL_VERSIONS


def task_of(call: Call, document: Mapping[str, Any]) -> dict[str, Any]:
    """The task that a call is. Whatever became of it is a result; `failed` is for errors of the protocol."""
    waits = call.state in WAITING_FOR_PEOPLE
    task: dict[str, Any] = {
        "taskId": str(call.ref),
        "status": "working",
        "createdAt": rfc3339(call.chain[0].event.at),
        "lastUpdatedAt": rfc3339(call.chain[-1].event.at),
        "ttlMs": None,
        "pollIntervalMs": _POLL_PEOPLE_MS if waits else _POLL_MS,
    }
    if not is_answered(call):
        return task | {"statusMessage": standing(document)}
    if call.state == "cancelled":
        return task | {"status": "cancelled", "statusMessage": document.get("detail", "It was withdrawn.")}
    result = result_of(document).model_dump(by_alias=True, mode="json", exclude_none=True)
    return task | {"status": "completed", "result": result}


def _checked(ctx: Context, params: TaskParams) -> Asked:
    """Who asks, once the request is one of a client that speaks this extension."""
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        raise MCPError(METHOD_NOT_FOUND, "Method not found")
    if not speaks_tasks(ctx.session.client_capabilities, ctx.protocol_version):
        required: dict[str, Any] = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
        raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, "Missing required client capability", required)
    asked = asked_of(ctx)
    if decode_header_value(asked.headers.get(MCP_NAME_HEADER)) != params.task_id:
        raise MCPError(HEADER_MISMATCH, "The header Mcp-Name must be the task's id.")
    return asked


def _unknown() -> MCPError:
    return MCPError(INVALID_PARAMS, "There is no such task of yours.")


async def _never() -> bool:
    return False
