"""What an MCP server says of a tool, as a definition that everybody can take. Pure."""

import re
from typing import Any, Final

import jsonschema_rs
import orjson
from mcp_types import Tool
from pydantic import ValidationError

from callgate.cedar.policies import PolicySet
from callgate.cedar.schema import cedar_schema
from callgate.errors import ConfigurationError
from callgate.inputs import InputSchema
from contracts.functions import Catalog, McpConnection, ToolHints
from contracts.model import JsonValue
from contracts.tools import ToolDefinition, function_of

MAX_TOOLS: Final = 512
"""Of one server."""
MAX_BYTES: Final = 64 * 1024
"""Of one definition, as JSON: it must fit a record and people's eyes."""
MAX_DEPTH: Final = 32
_NAME: Final = re.compile(r"[\x21-\x7e]{1,128}")


class BadTool(ValueError):
    """A tool that can be no function. `code` says why: `bad_name`, `too_large`, `too_deep`, `bad_schema`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def definition_of(tool: Tool, name: str, connection: McpConnection) -> ToolDefinition:
    """The definition, once it is sure that policy can judge what it takes. BadTool."""
    if not _NAME.fullmatch(tool.name):
        raise BadTool("bad_name")
    said = tool.annotations
    schemas: tuple[JsonValue, JsonValue] = (tool.input_schema, tool.output_schema)
    if any(_deeper(schema, MAX_DEPTH) for schema in schemas):
        raise BadTool("too_deep")
    try:
        definition = ToolDefinition(
            tool=tool.name,
            title=tool.title or (said.title if said is not None else None),
            description=tool.description or "",
            input=tool.input_schema,
            output=tool.output_schema if _is_schema(tool.output_schema) else None,
            hints=ToolHints()
            if said is None
            else ToolHints(
                read_only=said.read_only_hint,
                destructive=said.destructive_hint,
                idempotent=said.idempotent_hint,
                open_world=said.open_world_hint,
            ),
        )
        size = len(orjson.dumps(definition.model_dump(mode="json")))
    except (ValidationError, TypeError, ValueError):
        raise BadTool("bad_schema") from None
    if size > MAX_BYTES:
        raise BadTool("too_large")
    _require_judgeable(definition, name, connection)
    return definition


def _require_judgeable(definition: ToolDefinition, name: str, connection: McpConnection) -> None:
    """Every service compiles the schema; one that does not compile would stop it, so it ends here."""
    try:
        function = function_of(name, "tool", connection, definition)
        InputSchema(function)
        PolicySet.load({}, cedar_schema(Catalog({}, [function])))
    except (ConfigurationError, ValueError, TypeError, AttributeError, RecursionError):
        raise BadTool("bad_schema") from None


def _is_schema(schema: Any) -> bool:
    """An output schema only tells; one that is none is left out."""
    if not isinstance(schema, dict):
        return False
    try:
        jsonschema_rs.Draft202012Validator(schema, offline=True)
    except ValueError:
        return False
    return True


def _deeper(value: JsonValue, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [part for one in level for part in _parts(one)]
        if not level:
            return False
    return True


def _parts(value: JsonValue) -> list[JsonValue]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []
