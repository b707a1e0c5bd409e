"""Tools of MCP servers as functions: their definitions, their names, and whether what a server says of one counts.

The executor records on CONTROL what it finds; people record what they accept. Whoever follows both knows each
function, and that a tool which changed since it was accepted is held. Pure.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any, Final

from contracts.functions import Bar, Function, McpConnection, ToolHints, ToolOverride, ToolSpec
from contracts.model import Contract, JsonValue

RESULT_TYPE: Final = "application/vnd.mcp.result+json"
"""The content type of a recorded `CallToolResult`: `content`, `isError` and `structuredContent`, as MCP writes them."""

LONGEST_NAME: Final = 63
_DIGITS: Final = 8
_OURS: Final = re.compile(r"x[-_]?callgate", re.IGNORECASE)
_HIDDEN: Final = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\ue000-\uf8ff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
"""Characters that people do not see and models read: controls, zero widths, bidi, fillers, tags, private use."""


class ToolDefinition(Contract):
    """All that a model or a policy reads of a tool, as its server says it."""

    tool: str
    title: str | None = None
    description: str = ""
    input: dict[str, JsonValue]
    output: dict[str, JsonValue] | None = None
    hints: ToolHints = ToolHints()

    @property
    def digest(self) -> str:
        """SHA-256, in hex: what a person accepts is this definition and no other."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def hidden_characters(definition: ToolDefinition) -> bool:
    """Whether any text of it holds characters that nobody sees."""
    return any(_HIDDEN.search(text) for text in texts_of(definition.model_dump(mode="json")))


def texts_of(value: JsonValue) -> Iterator[str]:
    """Every text in a JSON value, names of members too."""
    waiting: list[Any] = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif isinstance(part, list):
            waiting += part


def function_names(connection: McpConnection, tools: Iterable[str]) -> dict[str, str]:
    """Tool → name of its function within the connection; tools that get none are left out.

    In lower case, with `_` for whatever is no letter, digit or `_`, `t_` before what begins with no letter, and cut
    off with eight hex digits of the tool's SHA-256 where it is too long. A tool whose name needs no change keeps it;
    of several others that would meet in one name none gets it, until `name:` tells them apart.
    """
    tools = list(dict.fromkeys(tools))
    wanted = {tool: override_of(connection, tool).name or _mapped(tool) for tool in tools}
    owners: dict[str, list[str]] = {}
    for tool, name in wanted.items():
        owners.setdefault(name, []).append(tool)
    names = {}
    for name, candidates in owners.items():
        named = [tool for tool in candidates if override_of(connection, tool).name]
        exact = named or ([name] if name in candidates else candidates)
        if len(exact) == 1:
            names[exact[0]] = name
    return names


def _mapped(tool: str) -> str:
    name = re.sub(r"[^a-z0-9_]", "_", tool.lower())
    if not re.match(r"[a-z]", name):
        name = f"t_{name}"
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(tool.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{name[: LONGEST_NAME - _DIGITS - 1]}_{digest}"


def override_of(connection: McpConnection, tool: str) -> ToolOverride:
    """What the operator says of one tool, all that fits it put together."""
    fitting = [one for pattern, one in connection.tools.items() if pattern != tool and fnmatchcase(tool, pattern)]
    if tool in connection.tools:
        fitting.append(connection.tools[tool])
    merged: dict[str, Any] = {}
    for one in fitting:
        said = {name: getattr(one, name) for name in one.model_fields_set}
        said["tags"] = tuple(dict.fromkeys((*merged.get("tags", ()), *one.tags)))
        said["input"] = _laid_over(merged.get("input", {}), one.input)
        said["output"] = _laid_over(merged.get("output", {}), one.output)
        merged |= said
    return ToolOverride(**merged)


@dataclass(frozen=True, slots=True)
class ToolState:
    """One function of an MCP connection, as CONTROL tells of it."""

    found: ToolDefinition | None = None
    """What the server said last; None where it offers the tool no more."""
    first: ToolDefinition | None = None
    accepted: ToolDefinition | None = None
    """What a person accepted last."""

    def find(self, definition: ToolDefinition | None) -> "ToolState":
        return replace(self, found=definition, first=self.first or definition)

    def accept(self, digest: str) -> "ToolState":
        """Void where the server has said something else since: nobody accepts what they did not see."""
        if self.found is None or self.found.digest != digest:
            return self
        return replace(self, accepted=self.found)

    def in_force(self, connection: McpConnection) -> ToolDefinition | None:
        """The definition that counts; None while nobody accepted any."""
        if self.accepted is not None or self.first is None:
            return self.accepted
        return self.first if connection.accept == "first" and not hidden_characters(self.first) else None

    def bar(self, connection: McpConnection) -> Bar | None:
        """Why the function may not be called now."""
        if self.found is None:
            return "function_gone"
        accepted = self.in_force(connection)
        return None if accepted is not None and accepted.digest == self.found.digest else "function_held"


States = Mapping[tuple[str, str], ToolState]
"""(connection, name of the function in it) → what is known of it."""


@dataclass(frozen=True, slots=True)
class Known:
    """The functions that tools make: those in force, and why which may not be called."""

    functions: tuple[Function, ...] = ()
    barred: Mapping[str, Bar] = field(default_factory=dict)


def known_of(connections: Mapping[str, Any], states: States) -> Known:
    """What the states come to under these connections; states of connections that are gone count for nothing."""
    functions: list[Function] = []
    barred: dict[str, Bar] = {}
    for (name, short), state in states.items():
        connection = connections.get(name)
        latest = state.found or state.in_force(connection) if isinstance(connection, McpConnection) else None
        if latest is None or not isinstance(connection, McpConnection) or override_of(connection, latest.tool).hidden:
            continue
        definition, bar = state.in_force(connection), state.bar(connection)
        if definition is not None:
            functions.append(function_of(name, short, connection, definition))
        if bar is not None:
            barred[f"{name}.{short}"] = bar
    return Known(tuple(functions), barred)


def function_of(name: str, short: str, connection: McpConnection, definition: ToolDefinition) -> Function:
    """The function that a definition makes, with what the operator says of it."""
    said = override_of(connection, definition.tool)
    hints = definition.hints
    trusted = connection.trust_hints and bool(hints.idempotent or hints.read_only)
    output = None if definition.output is None else _plain(definition.output)
    spec = ToolSpec(
        description=definition.description,
        tags=said.tags,
        idempotent=trusted if said.idempotent is None else said.idempotent,
        input=_laid_over(_plain(definition.input), said.input),
        output=_laid_over(output or {}, said.output) if output is not None or said.output else None,
        timeout=said.timeout,
        tool=definition.tool,
        title=definition.title,
        hints=hints,
        definition=definition.digest,
    )
    return Function(name=f"{name}.{short}", connection=name, spec=spec)


def result_schema(spec: ToolSpec) -> dict[str, JsonValue]:
    """The schema of a recorded result, for masking: the tool's output stands in `structuredContent`, and bytes in
    base64 are no text to look through."""
    never = {"x-callgate-mask": "never"}
    block = {"properties": {"data": never, "resource": {"properties": {"blob": never}}}}
    schema: dict[str, JsonValue] = {"type": "object", "properties": {"content": {"type": "array", "items": block}}}
    if spec.output is not None:
        kept: dict[str, JsonValue] = {
            name: spec.output[name] for name in ("$defs", "definitions") if name in spec.output
        }
        schema |= kept  # references in it begin at the root
        schema["properties"]["structuredContent"] = {k: v for k, v in spec.output.items() if k not in kept}
    return schema


def _plain(schema: JsonValue) -> JsonValue:
    """A server's schema without keywords of ours: only the operator says what masking leaves alone."""
    if isinstance(schema, dict):
        return {name: _plain(part) for name, part in schema.items() if not _OURS.match(name)}
    return [_plain(part) for part in schema] if isinstance(schema, list) else schema


def _laid_over(below: JsonValue, over: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    merged = dict(below)
    for name, value in over.items():
        beneath = merged.get(name)
        merged[name] = _laid_over(beneath, value) if isinstance(value, dict) and isinstance(beneath, dict) else value
    return merged
