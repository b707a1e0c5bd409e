"""The forms in which language models' APIs take tools, make tool calls and take their answers. Pure.

    openai     Chat Completions: `tool_calls` of a message; Responses: `function_call` items of an `output`
    anthropic  Messages: `tool_use` blocks of a `content`
    gemini, mcp  tools only

What a model wrote need not be well-formed: a call that cannot be read is answered to the model, which can mend it, and
is no error of the request.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal

from callgate.jsontext import JsonTextError, dump, parse
from contracts.functions import Function
from contracts.model import JsonValue
from services.ingress.domain import BadRequest

CALLS_LIMIT: Final = 64
"""Tool calls of one answer of a model."""
_ID_LIMIT: Final = 256
_NAME_LIMIT: Final = 128

ToolCalls = Literal["openai", "anthropic"]


class Format(StrEnum):
    """Of `GET /v1/functions`."""

    OPENAI = "openai"
    OPENAI_RESPONSES = "openai-responses"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    MCP = "mcp"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call of a model: `arguments` is the JSON of an object, or None where what it wrote is none."""

    id: str
    name: str
    arguments: bytes | None


@dataclass(frozen=True, slots=True)
class Asked:
    """The tool calls of one answer, and how their answers are written."""

    calls: tuple[ToolCall, ...]
    written: Callable[[Sequence["Told"]], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Told:
    """What the model is told of one call."""

    id: str
    text: str
    is_error: bool


def tools_in(format: Format, functions: Iterable[tuple[str, Function, str]]) -> list[dict[str, Any]]:
    """Functions, each with the name and the description of its tool, as an API's `tools` parameter takes them."""
    tools = [_TOOL[format](name, text, plain_schema(function.spec.input)) for name, function, text in functions]
    return [{"functionDeclarations": tools}] if format is Format.GEMINI and tools else tools


_TOOL: Mapping[Format, Callable[[str, str, dict[str, Any]], dict[str, Any]]] = {
    Format.OPENAI: lambda name, text, schema: {
        "type": "function",
        "function": {"name": name, "description": text, "parameters": schema},
    },
    Format.OPENAI_RESPONSES: lambda name, text, schema: {
        "type": "function",
        "name": name,
        "description": text,
        "parameters": schema,
        "strict": False,
    },
    Format.ANTHROPIC: lambda name, text, schema: {"name": name, "description": text, "input_schema": schema},
    Format.GEMINI: lambda name, text, schema: {"name": name, "description": text, "parametersJsonSchema": schema},
    Format.MCP: lambda name, text, schema: {"name": name, "description": text, "inputSchema": schema},
}


def plain_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without our own annotations: some APIs refuse keywords that they do not know. Always of an object."""
    plain = _without_annotations(dict(schema))
    return {"type": "object", "properties": {}, **plain}


def _without_annotations(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: _without_annotations(part) for name, part in node.items() if not name.startswith("x-callgate-")}
    if isinstance(node, list):
        return [_without_annotations(part) for part in node]
    return node


def asked_in(kind: ToolCalls, body: bytes, depth_limit: int) -> Asked:
    """The tool calls of a request. BadRequest for what is no answer of such a model."""
    try:
        document = parse(body, max_depth=depth_limit, numbers="exact")
    except JsonTextError as error:
        raise BadRequest(
            400, "bad_json", "The body is not JSON as it is accepted here.", {"reason": error.code}
        ) from None
    if not isinstance(document, dict):
        raise _not_an_answer(kind)
    asked = _openai(document, depth_limit) if kind == "openai" else _anthropic(document)
    if not asked.calls:
        raise BadRequest(422, "no_tool_calls", "The model's answer holds no tool call; there is nothing to run.")
    if len(asked.calls) > CALLS_LIMIT:
        raise BadRequest(422, "too_many_tool_calls", f"One request takes {CALLS_LIMIT} tool calls at most.")
    if len({call.id for call in asked.calls}) != len(asked.calls):
        raise BadRequest(
            422, "repeated_id", "Two tool calls have the same id, so their answers could not be told apart."
        )
    return asked


def _openai(document: Mapping[str, JsonValue], depth_limit: int) -> Asked:
    if "output" in document:
        items = [one for one in _list(document["output"], "openai") if one.get("type") == "function_call"]
        return Asked(tuple(_openai_call(one, one.get("call_id"), depth_limit) for one in items), _as_items)
    calls = []
    for one in _list(document.get("tool_calls"), "openai"):
        function = one.get("function")
        if not isinstance(function, dict):
            raise _not_an_answer("openai")
        calls.append(_openai_call(function, one.get("id"), depth_limit))
    return Asked(tuple(calls), _as_tool_messages)


def _openai_call(function: Mapping[str, JsonValue], call_id: JsonValue, depth_limit: int) -> ToolCall:
    """OpenAI's models write arguments as a text of JSON, which is theirs to get right."""
    name, text = function.get("name"), function.get("arguments")
    if not _is_short(call_id, _ID_LIMIT) or not _is_short(name, _NAME_LIMIT) or not isinstance(text, str):
        raise _not_an_answer("openai")
    try:
        arguments = parse((text.strip() or "{}").encode(), max_depth=depth_limit, numbers="exact")
    except JsonTextError:
        return ToolCall(str(call_id), str(name), None)
    return ToolCall(str(call_id), str(name), dump(arguments) if isinstance(arguments, dict) else None)


def _anthropic(document: Mapping[str, JsonValue]) -> Asked:
    calls = []
    for block in _list(document.get("content"), "anthropic"):
        if block.get("type") != "tool_use":
            continue
        call_id, name, given = block.get("id"), block.get("name"), block.get("input")
        if not _is_short(call_id, _ID_LIMIT) or not _is_short(name, _NAME_LIMIT):
            raise _not_an_answer("anthropic")
        calls.append(ToolCall(str(call_id), str(name), dump(given) if isinstance(given, dict) else None))
    return Asked(tuple(calls), _as_tool_results)


def _as_tool_messages(told: Sequence[Told]) -> list[dict[str, Any]]:
    return [{"role": "tool", "tool_call_id": one.id, "content": one.text} for one in told]


def _as_items(told: Sequence[Told]) -> list[dict[str, Any]]:
    return [{"type": "function_call_output", "call_id": one.id, "output": one.text} for one in told]


def _as_tool_results(told: Sequence[Told]) -> list[dict[str, Any]]:
    """Anthropic's API wants the answers to all calls in one message."""
    results = [
        {"type": "tool_result", "tool_use_id": one.id, "content": one.text, "is_error": one.is_error} for one in told
    ]
    return [{"role": "user", "content": results}]


def _list(value: JsonValue, kind: ToolCalls) -> list[dict[str, JsonValue]]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise _not_an_answer(kind)
    return [one for one in value if isinstance(one, dict)]


def _is_short(value: JsonValue, limit: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= limit


_SHAPE: Mapping[ToolCalls, str] = {
    "openai": 'the message with its `tool_calls`, or {"output": […]} of the Responses API',
    "anthropic": "the message with its `content`",
}


def _not_an_answer(kind: ToolCalls) -> BadRequest:
    return BadRequest(422, "not_an_answer", f"Send the model's answer as it came: {_SHAPE[kind]}.")
