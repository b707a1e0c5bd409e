"""`tools/list`: the tools of the functions that a principal may call, as far as the policies in force tell.

Ingress decides nothing by it: a tool that no call of this principal's could ever use is not shown, and every call is
judged all the same.
"""

import asyncio
import base64
import binascii
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from mcp import MCPError
from mcp_types import INVALID_PARAMS, ListToolsResult, Tool, ToolAnnotations

from callgate.cedar.published import PublishedPolicies
from callgate.cedar.schema import CONNECTION
from contracts.functions import Catalog, Function
from contracts.identity import Principal
from services.ingress.mcp.results import CANCEL_TOOL, OUTCOME_TOOL
from services.ingress.tools import Tools, description_of, output_schema_of

PAGE = 100
_KEPT = 1024
"""Principals whose list is remembered for the policies in force."""
_OF_THE_TOKEN = {"token_id", "authenticated_at"}
"""What is new with each token and no policy reads."""
_AT_ONCE = 8
"""Functions asked about before others get their turn: each takes Cedar half a millisecond."""
FUNCTION_META = "dev.callgate/function"


class ToolList:
    """Every tool, and who may see it."""

    def __init__(self, catalog: Catalog, policies: PublishedPolicies) -> None:
        self.tools = Tools(catalog)
        self._described = {
            name: _tool(name, function, catalog.connections[function.connection].description)
            for name, function in self.tools.by_name.items()
        }
        self._own = _own_tools()
        self._policies = policies
        self._seen: OrderedDict[tuple[str, str], tuple[str, ...]] = OrderedDict()

    async def page(self, principal: Principal, cursor: str | None) -> ListToolsResult:
        """The tools after a cursor, ours first. MCPError for a cursor that is none of ours."""
        after = _read_cursor(cursor)
        names = [name for name in await self._permitted(principal) if after is None or name > after]
        tools = [self._described[name] for name in names[:PAGE]]
        more = _cursor(names[PAGE - 1]) if len(names) > PAGE else None
        return ListToolsResult(tools=[*(self._own if after is None else []), *tools], next_cursor=more)

    async def _permitted(self, principal: Principal) -> tuple[str, ...]:
        """The names of the tools that the principal may call, in their order; none while no policies are in force."""
        policies = self._policies.current
        if policies is None:
            return ()
        key = (policies.digest, principal.model_dump_json(exclude=_OF_THE_TOKEN))
        known = self._seen.get(key)
        if known is not None:
            self._seen.move_to_end(key)
            return known
        names: list[str] = []
        for number, (name, function) in enumerate(sorted(self.tools.by_name.items())):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            resource = (CONNECTION, function.connection)
            if not policies.surely_denies(principal, function.name, resource):
                names.append(name)
        self._seen[key] = tuple(names)
        if len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        return tuple(names)


def _tool(name: str, function: Function, connection: str) -> Tool:
    return Tool(
        name=name,
        description=description_of(function, connection),
        input_schema=function.spec.input,
        output_schema=output_schema_of(function),
        annotations=_annotations(function),
        _meta={FUNCTION_META: function.name},
    )


def _annotations(function: Function) -> ToolAnnotations:
    """Hints, as far as the declaration makes them true: GET is safe by HTTP's own rules; nothing else is known not to
    change or destroy."""
    if function.spec.method == "GET":
        return ToolAnnotations(read_only_hint=True)
    destroys = True if function.spec.method == "DELETE" else None
    return ToolAnnotations(read_only_hint=False, destructive_hint=destroys, idempotent_hint=function.spec.idempotent)


def _own_tools() -> Sequence[Tool]:
    by_id: dict[str, Any] = {
        "type": "object",
        "properties": {"call_id": {"type": "string", "description": "As the pending call's result named it."}},
        "required": ["call_id"],
        "additionalProperties": False,
    }
    return (
        Tool(
            name=CANCEL_TOOL,
            description="Withdraw one of your calls that has not begun, for example one that waits for approval.",
            input_schema=by_id,
            annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True),
        ),
        Tool(
            name=OUTCOME_TOOL,
            description="The answer of a call of yours that had none yet, e.g. since people had to approve it. "
            "Waits for it, for up to a minute.",
            input_schema=by_id,
            annotations=ToolAnnotations(read_only_hint=True),
        ),
    )


def _cursor(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode()


def _read_cursor(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    try:
        return base64.b64decode(cursor.encode(), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise MCPError(INVALID_PARAMS, "The cursor is none of tools/list's.") from None
