"""`tools/call`: submitted, waited for, and answered in time."""

from typing import Any

from mcp import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult

from callgate.errors import BrokerAway
from callgate.http import Problem
from callgate.jsontext import parse
from contracts.lifecycle import Call
from services.ingress.answers import standing
from services.ingress.domain import CallRequest, is_answered
from services.ingress.doors import FrontDesk
from services.ingress.intake import key_among
from services.ingress.mcp.asked import Asked
from services.ingress.mcp.listing import ToolList
from services.ingress.mcp.reply import Progress
from services.ingress.mcp.results import OUTCOME_TOOL, OWN_TOOLS, pending_of, refused, refused_about, result_of
from services.ingress.mcp.tasks import task_of
from services.ingress.waiting import Gone, Told


class ToolCalls:
    """`hold` is for how many seconds a call is held open."""

    def __init__(self, desk: FrontDesk, tools: ToolList, hold: float) -> None:
        self._desk = desk
        self._tools = tools
        self._hold = hold

    async def run(self, asked: Asked, tool: str, progress: Progress, gone: Gone, *, as_task: bool) -> Any:
        """The result for the model, whatever it is; a task, where the client takes one, for what has no answer yet.
        MCPError for a tool that is none."""
        function = self._tools.tools.by_name.get(tool)
        if function is None and tool not in OWN_TOOLS:
            raise MCPError(INVALID_PARAMS, "Unknown tool; tools/list names those there are.")
        told = self._teller(progress)
        if function is None:
            return await self._about(asked, tool, gone, told, as_task=as_task)
        try:
            key, session = key_among(asked.keys), asked.session
            wanted = CallRequest(function.name, asked.arguments, session, key, default_session=asked.default_session)
            asked.arguments = b""  # sealed from here on; the call may wait for long
            call = await self._desk.submit(
                asked.principal, wanted, self._hold, gone, asked.traceparent, begun=asked.begun, told=told
            )
            return await self._result(call, tool, as_task=as_task)
        except Problem as problem:
            return refused(problem)
        except BrokerAway:
            return refused(Problem(503, "broker_away", "The event log is out of reach; nothing was recorded."))

    async def _about(self, asked: Asked, tool: str, gone: Gone, told: Told | None, *, as_task: bool) -> Any:
        """The result of one of the door's own tools, about a call that stands already."""
        call_id = None
        try:
            call_id = _call_id(asked.arguments)
            if tool == OUTCOME_TOOL:
                call = await self._desk.look(asked.principal, call_id, self._hold, gone, told)
            else:
                call = await self._desk.cancel(asked.principal, call_id)
            return await self._result(call, tool, as_task=as_task)
        except Problem as problem:
            return refused_about(tool, problem, call_id)
        except BrokerAway:
            return refused_about(tool, Problem(503, "broker_away", "The event log is out of reach."), call_id)

    async def _result(self, call: Call, tool: str, *, as_task: bool) -> CallToolResult | dict[str, Any]:
        document = await self._desk.outcome(call)
        if is_answered(call):
            return result_of(document)
        if as_task:
            return {"resultType": "task", **task_of(call, document)}
        return pending_of(document, tool, self._hold)

    def _teller(self, progress: Progress) -> Told | None:
        if not progress.wanted:
            return None

        async def told(call: Call) -> None:
            await progress.tell(standing(await self._desk.outcome(call)))

        return told


def _call_id(arguments: bytes) -> str:
    """The one argument of the door's own tools. Problem for anything else."""
    given = parse(arguments)
    call_id = given.get("call_id") if isinstance(given, dict) and given.keys() == {"call_id"} else None
    if not isinstance(call_id, str):
        raise Problem(422, "bad_arguments", 'The arguments must be {"call_id": "…"}, and nothing else.')
    return call_id
