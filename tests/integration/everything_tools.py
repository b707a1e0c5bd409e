"""The tools that the official conformance suite asks of a server: their names, and what each gives, are its facts."""

import asyncio
import base64
import hashlib
import hmac
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, PromptsListChanged, ToolsListChanged
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    CreateMessageRequest,
    CreateMessageResult,
    ElicitRequest,
    ElicitResult,
    InputRequiredResult,
    LoggingMessageNotification,
    ServerRequest,
    Tool,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter

Context = ServerRequestContext[Any, Any]
Result = CallToolResult | InputRequiredResult
Run = Callable[[Context, CallToolRequestParams], Awaitable[Result]]
MISSING_CAPABILITY: Final = -32021
LONGEST: Final = 0.2
"""Seconds: the suite asks for a minute, and waits for no end of it."""


def _png() -> str:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0\xff\0\0")
    image = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")
    return base64.b64encode(image).decode()


def _wav() -> str:
    form = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 2) + b"\x80\x80"
    return base64.b64encode(b"RIFF" + struct.pack("<I", len(body)) + body).decode()


PNG: Final = _png()
"""One red pixel."""
_IMAGE: Final = {"type": "image", "data": PNG, "mimeType": "image/png"}
_AUDIO: Final = {"type": "audio", "data": _wav(), "mimeType": "audio/wav"}
_JSON_SCHEMA: Final = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def resource(uri: str, words: str, mime: str = "text/plain") -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": words}}


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _result(*content: dict[str, Any], failed: bool = False) -> CallToolResult:
    return CallToolResult.model_validate({"content": content, "isError": failed}, by_name=False)


def _says(*content: dict[str, Any], failed: bool = False) -> Run:
    async def run(_: Context, params: CallToolRequestParams) -> Result:
        return _result(*content, failed=failed)

    return run


async def _progress(context: Context, params: CallToolRequestParams) -> Result:
    for done in (0, 50, 100):
        await context.session.report_progress(done, 100, f"{done} of 100")
    return _result(text("done"))


async def _logs(context: Context, params: CallToolRequestParams) -> Result:
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:  # there it is sent only to whoever asks for it
        for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            told = {"method": "notifications/message", "params": {"level": "info", "data": words}}
            notification = LoggingMessageNotification.model_validate(told, by_name=False)
            await context.session.send_notification(notification, related_request_id=context.request_id)
    return _result(text("logged"))


async def _greets(_: Context, params: CallToolRequestParams) -> Result:
    return _result(text(f"Hello, {(params.arguments or {})['name']}!"))


async def _computes(_: Context, params: CallToolRequestParams) -> Result:
    await asyncio.sleep(min((params.arguments or {})["seconds"], LONGEST))
    return _result(text("computed"))


async def _repeats(_: Context, params: CallToolRequestParams) -> Result:
    return _result(text(str(params.arguments)))


async def _needs_sampling(context: Context, params: CallToolRequestParams) -> Result:
    capabilities = context.session.client_capabilities
    if capabilities is None or capabilities.sampling is None:
        needed: dict[str, Any] = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(MISSING_CAPABILITY, "this tool asks the client's model", needed)
    return _result(text("sampled"))


def _form(message: str, **properties: Any) -> dict[str, Any]:
    params = {"mode": "form", "message": message, "requestedSchema": _object(**properties)}
    return {"method": "elicitation/create", "params": params}


def _sampling(prompt: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": text(prompt)}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 100}}


_NAME: Final = _form("What is your name?", name={"type": "string"})
_COLOUR: Final = _form("Which colour do you like?", color={"type": "string"})
_CONFIRM: Final = _form("Is that so?", ok={"type": "boolean"})
_ROOTS: Final = {"method": "roots/list", "params": {}}
_CAPABILITY: Final = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
_CHOICES: Final = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]
_OPTIONS: Final = ["option1", "option2", "option3"]
_ENUMS: Final = _form(
    "Choose.",
    untitledSingle={"type": "string", "enum": _OPTIONS},
    titledSingle={"type": "string", "oneOf": _CHOICES},
    legacyEnum={"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
    untitledMulti={"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
    titledMulti={"type": "array", "items": {"anyOf": _CHOICES}},
)
_DEFAULTS: Final = _form(
    "Change what is not so.",
    name={"type": "string", "default": "John Doe"},
    age={"type": "integer", "default": 30},
    score={"type": "number", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "default": True},
)
_ASKING: Final[TypeAdapter[ServerRequest]] = TypeAdapter(ElicitRequest | CreateMessageRequest)


def _asks_now(what: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Run:
    """Up to 2025-11-25 a server asks its client while the call goes on."""

    async def run(context: Context, params: CallToolRequestParams) -> Result:
        asking = _ASKING.validate_python(what(params.arguments or {}), by_name=False)
        kind = ElicitResult if isinstance(asking, ElicitRequest) else CreateMessageResult
        related = ServerMessageMetadata(related_request_id=context.request_id)  # on the stream of the call itself
        answer = await context.session.send_request(asking, kind, metadata=related)
        return _result(text(answer.model_dump_json(by_alias=True)))

    return run


def asks_first(*rounds: Mapping[str, Any], state: bool = False) -> Run:
    """Since 2026-07-28 it answers with what it asks, and is called again with the answers to that."""

    async def run(context: Context, params: CallToolRequestParams) -> Result:
        done = _round_of(params.request_state, len(rounds)) if state and params.request_state is not None else 0
        asked, given = rounds[done], params.input_responses or {}
        if not asked.keys() <= given.keys():
            return _required(asked, done if state else None)
        if done + 1 < len(rounds):
            return _required(rounds[done + 1], done + 1)
        return _result(text("state-ok " + " ".join(given[name].model_dump_json(by_alias=True) for name in asked)))

    return run


def _required(asked: Mapping[str, Any], done: int | None) -> InputRequiredResult:
    said = {"inputRequests": asked} | ({"requestState": _sealed(done)} if done is not None else {})
    return InputRequiredResult.model_validate(said, by_name=False)


def _sealed(done: int) -> str:
    return f"{done}.{hmac.new(b'everything', str(done).encode(), hashlib.sha256).hexdigest()}"


def _round_of(state: str, rounds: int) -> int:
    for done in range(rounds):
        if hmac.compare_digest(_sealed(done).encode(), state.encode()):
            return done
    raise MCPError(INVALID_PARAMS, "the state is none of ours")


async def _asks_what_it_may(context: Context, params: CallToolRequestParams) -> Result:
    declared = context.session.client_capabilities
    wanted = {"name": _NAME, "capital": _sampling("What is the capital of France?"), "roots": _ROOTS}
    may = {name: one for name, one in wanted.items() if getattr(declared, _CAPABILITY[one["method"]], None) is not None}
    return _required(may, None)


@dataclass(frozen=True)
class Fixture:
    run: Run
    schema: Mapping[str, Any]


def _fixture(run: Run, **properties: Any) -> Fixture:
    return Fixture(run, _object(**properties) if properties else {"type": "object", "properties": {}})


_WORDS: Final = {"type": "string"}
FIXTURES: Final[Mapping[str, Fixture]] = {
    "test_simple_text": _fixture(_says(text("This is a simple text response for testing."))),
    "test_image_content": _fixture(_says(_IMAGE)),
    "test_audio_content": _fixture(_says(_AUDIO)),
    "test_embedded_resource": _fixture(_says(resource("test://embedded-resource", "An embedded resource."))),
    "test_multiple_content_types": _fixture(
        _says(text("Several:"), _IMAGE, resource("test://mixed-content-resource", '{"a": 1}', "application/json"))
    ),
    "test_error_handling": _fixture(_says(text("This tool intentionally returns an error for testing"), failed=True)),
    "test_tool_with_progress": _fixture(_progress),
    "test_tool_with_logging": _fixture(_logs),
    "test_logging_tool": _fixture(_logs),
    "test_missing_capability": _fixture(_needs_sampling),
    "test_headers": _fixture(_repeats, region={"type": "string", "x-mcp-header": "Region"}),
    "json_schema_2020_12_tool": Fixture(_repeats, _JSON_SCHEMA),
    "greet": _fixture(_greets, name=_WORDS),
    "slow_compute": Fixture(
        _computes,
        {"type": "object", "properties": {"seconds": {"type": "number"}, "label": _WORDS}, "required": ["seconds"]},
    ),
    "failing_job": _fixture(_says(text("The job failed."), failed=True)),
    "test_sampling": _fixture(_asks_now(lambda given: _sampling(given["prompt"])), prompt=_WORDS),
    "test_elicitation": _fixture(
        _asks_now(lambda given: _form(given["message"], username=_WORDS, email=_WORDS)), message=_WORDS
    ),
    "test_elicitation_sep1034_defaults": _fixture(_asks_now(lambda _: _DEFAULTS)),
    "test_elicitation_sep1330_enums": _fixture(_asks_now(lambda _: _ENUMS)),
    "test_streaming_elicitation": _fixture(asks_first({"user_name": _NAME})),
    "test_input_required_result_elicitation": _fixture(asks_first({"user_name": _NAME})),
    "test_input_required_result_sampling": _fixture(
        asks_first({"capital_question": _sampling("What is the capital of France?")})
    ),
    "test_input_required_result_list_roots": _fixture(asks_first({"client_roots": _ROOTS})),
    "test_input_required_result_request_state": _fixture(asks_first({"confirm": _CONFIRM}, state=True)),
    "test_input_required_result_multiple_inputs": _fixture(
        asks_first(
            {"user_name": _NAME, "greeting": _sampling("Generate a greeting"), "client_roots": _ROOTS}, state=True
        )
    ),
    "test_input_required_result_multi_round": _fixture(asks_first({"step1": _NAME}, {"step2": _COLOUR}, state=True)),
    "test_input_required_result_tampered_state": _fixture(asks_first({"confirm": _CONFIRM}, state=True)),
    "test_input_required_result_capabilities": _fixture(_asks_what_it_may),
}


class Tools:
    """All of them, and two that change the lists of tools and of prompts for whoever listens."""

    def __init__(self, bus: InMemorySubscriptionBus) -> None:
        self._more = False

        async def tools_change(_: Context, params: CallToolRequestParams) -> Result:
            self._more = not self._more
            await bus.publish(ToolsListChanged())
            return _result(text("changed"))

        async def prompts_change(_: Context, params: CallToolRequestParams) -> Result:
            await bus.publish(PromptsListChanged())
            return _result(text("changed"))

        changing = {"test_trigger_tool_change": tools_change, "test_trigger_prompt_change": prompts_change}
        self._fixtures = {**FIXTURES, **{name: _fixture(run) for name, run in changing.items()}}

    def listed(self) -> list[Tool]:
        more = {"test_more": _fixture(_says(text("more")))} if self._more else {}
        return [
            Tool(name=name, description=f"{name} of the conformance suite.", input_schema=dict(one.schema))
            for name, one in (self._fixtures | more).items()
        ]

    async def call(self, context: Context, params: CallToolRequestParams) -> Result:
        fixture = self._fixtures.get(params.name)
        if fixture is None:
            raise MCPError(INVALID_PARAMS, f"Unknown tool: {params.name}")
        return await fixture.run(context, params)
