"""`tools/list`: the tools of the functions that a principal may call, and those of the door's own."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from mcp import MCPError
from mcp_types import INVALID_PARAMS, ListToolsResult, Tool, ToolAnnotations

from callgate.catalog import Derived
from contracts.functions import Catalog, Function, ToolSpec
from contracts.identity import Principal
from services.ingress.mcp.results import CANCEL_TOOL, OUTCOME_TOOL
from services.ingress.permitted import Permitted
from services.ingress.tools import description_of, output_schema_of, tool_name

PAGE = 100
FUNCTION_META = "dev.callgate/function"


class ToolList:
    """Every tool, and who may see it."""

    def __init__(self, catalog: Catalog, permitted: Permitted) -> None:
        self.tools = permitted.tools
        self._described = Derived(catalog, _described)
        self._own = _own_tools()
        self._permitted = permitted

    async def page(self, principal: Principal, cursor: str | None) -> ListToolsResult:
        """The tools after a cursor, ours first. MCPError for a cursor that is none of ours."""
        after = _read_cursor(cursor)
        permitted, described = await self._permitted.names(principal), self._described()
        names = [name for name in permitted if name in described and (after is None or name > after)]
        tools = [described[name] for name in names[:PAGE]]
        more = _cursor(names[PAGE - 1]) if len(names) > PAGE else None
        return ListToolsResult(tools=[*(self._own if after is None else []), *tools], next_cursor=more)


def _described(catalog: Catalog) -> Mapping[str, Tool]:
    names = ((tool_name(function.name), function) for function in catalog)
    return {name: _tool(name, one, catalog.connections[one.connection].description) for name, one in names}


def _tool(name: str, function: Function, connection: str) -> Tool:
    return Tool(
        name=name,
        title=function.spec.title if isinstance(function.spec, ToolSpec) else None,
        description=description_of(function, connection),
        input_schema=function.spec.input,
        output_schema=output_schema_of(function),
        annotations=_annotations(function),
        _meta={FUNCTION_META: function.name},
    )


def _annotations(function: Function) -> ToolAnnotations:
    """Hints, as far as the declaration makes them true: GET is safe by HTTP's own rules; nothing else is known not to
    change or destroy. Of another MCP server's tool, that server's own word."""
    if isinstance(function.spec, ToolSpec):
        told = function.spec.hints
        return ToolAnnotations(
            read_only_hint=told.read_only,
            destructive_hint=told.destructive,
            idempotent_hint=told.idempotent,
            open_world_hint=told.open_world,
        )
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
