"""Tools, tool calls and their answers in the forms of models' APIs, as those APIs document them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.functions import Catalog, FunctionSpec, HttpConnection
from services.ingress.domain import BadRequest
from services.ingress.tool_formats import CALLS_LIMIT, Format, Told, ToolCalls, asked_in, plain_schema, tools_in

SCHEMA = {
    "type": "object",
    "required": ["amount"],
    "properties": {"amount": {"type": "number"}, "card": {"type": "string", "x-callgate-mask": "CREDIT_CARD"}},
}
PLAIN = {
    "type": "object",
    "required": ["amount"],
    "properties": {"amount": {"type": "number"}, "card": {"type": "string"}},
}
PAY = FunctionSpec(path="/pay", input=SCHEMA)
FUNCTION = next(iter(Catalog({"shop": HttpConnection(base_url="http://shop.test", functions={"pay": PAY})})))


def openai(*calls: tuple[str, str, str]) -> dict[str, Any]:
    made = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls]
    return {"role": "assistant", "content": None, "tool_calls": made, "refusal": None}


def anthropic(*blocks: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(blocks), "stop_reason": "tool_use"}


def read(kind: ToolCalls, document: Any) -> Any:
    return asked_in(kind, json.dumps(document).encode(), 32)


@pytest.mark.parametrize(
    ("form", "tool"),
    [
        (Format.OPENAI, {"type": "function", "function": {"name": "p", "description": "d", "parameters": PLAIN}}),
        (
            Format.OPENAI_RESPONSES,
            {"type": "function", "name": "p", "description": "d", "parameters": PLAIN, "strict": False},
        ),
        (Format.ANTHROPIC, {"name": "p", "description": "d", "input_schema": PLAIN}),
        (Format.GEMINI, {"functionDeclarations": [{"name": "p", "description": "d", "parametersJsonSchema": PLAIN}]}),
        (Format.MCP, {"name": "p", "description": "d", "inputSchema": PLAIN}),
    ],
)
def test_a_function_as_each_api_takes_it(form: Format, tool: dict[str, Any]) -> None:
    assert tools_in(form, [("p", FUNCTION, "d")]) == [tool]
    assert tools_in(form, []) == []


def test_our_annotations_are_nothing_that_a_model_sees_and_properties_of_that_name_stay() -> None:
    assert plain_schema({}) == {"type": "object", "properties": {}}
    nested = {"allOf": [{"properties": {"x": {"x-callgate-accepts": ["EMAIL_ADDRESS"], "type": "string"}}}]}
    assert plain_schema(nested)["allOf"] == [{"properties": {"x": {"type": "string"}}}]


def test_tool_calls_of_chat_completions() -> None:
    asked = read("openai", openai(("call_1", "shop-pay", '{"amount": 12.50}'), ("call_2", "shop-look", "")))
    assert [(one.id, one.name, one.arguments) for one in asked.calls] == [
        ("call_1", "shop-pay", b'{"amount":12.5}'),
        ("call_2", "shop-look", b"{}"),
    ]
    assert asked.written([Told("call_1", "paid", is_error=False)]) == [
        {"role": "tool", "tool_call_id": "call_1", "content": "paid"}
    ]


def test_function_calls_of_responses() -> None:
    output = [
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "shop-pay", "arguments": "{}"},
    ]
    asked = read("openai", {"output": output})
    assert [(one.id, one.name) for one in asked.calls] == [("call_1", "shop-pay")]
    assert asked.written([Told("call_1", "paid", is_error=False)]) == [
        {"type": "function_call_output", "call_id": "call_1", "output": "paid"}
    ]


def test_tool_uses_of_messages() -> None:
    blocks = (
        {"type": "text", "text": "Let me pay that."},
        {"type": "tool_use", "id": "toolu_1", "name": "shop-pay", "input": {"amount": 1}},
        {"type": "tool_use", "id": "toolu_2", "name": "shop-pay", "input": {"amount": 2}},
    )
    asked = read("anthropic", anthropic(*blocks))
    assert [(one.id, one.arguments) for one in asked.calls] == [
        ("toolu_1", b'{"amount":1}'),
        ("toolu_2", b'{"amount":2}'),
    ]
    (message,) = asked.written([Told("toolu_1", "paid", is_error=False), Told("toolu_2", "denied", is_error=True)])
    assert message["role"] == "user"
    assert [(one["tool_use_id"], one["is_error"]) for one in message["content"]] == [
        ("toolu_1", False),
        ("toolu_2", True),
    ]


@pytest.mark.parametrize("text", ["{", "[1]", "null", '"x"', '{"a": 1, "a": 2}', '{"a": NaN}', "{}{}"])
def test_arguments_that_a_model_wrote_wrong_are_answered_to_it(text: str) -> None:
    (call,) = read("openai", openai(("call_1", "shop-pay", text))).calls
    assert call.arguments is None


@pytest.mark.parametrize(
    ("kind", "document", "code"),
    [
        ("openai", [], "not_an_answer"),
        ("openai", {}, "not_an_answer"),
        ("openai", {"tool_calls": []}, "no_tool_calls"),
        ("openai", {"tool_calls": [1]}, "not_an_answer"),
        ("openai", {"tool_calls": [{"id": "c", "type": "function"}]}, "not_an_answer"),
        ("openai", openai(("", "n", "{}")), "not_an_answer"),
        ("openai", openai(("c", "n" * 129, "{}")), "not_an_answer"),
        ("openai", openai(("c", "n", "{}"), ("c", "m", "{}")), "repeated_id"),
        ("openai", openai(*((f"c{n}", "n", "{}") for n in range(CALLS_LIMIT + 1))), "too_many_tool_calls"),
        ("openai", {"output": [{"type": "message"}]}, "no_tool_calls"),
        ("anthropic", {"content": "text"}, "not_an_answer"),
        ("anthropic", anthropic({"type": "text", "text": "x"}), "no_tool_calls"),
        ("anthropic", anthropic({"type": "tool_use", "name": "n", "input": {}}), "not_an_answer"),
    ],
)
def test_what_is_no_answer_of_a_model_is_refused(kind: ToolCalls, document: Any, code: str) -> None:
    with pytest.raises(BadRequest) as raised:
        read(kind, document)
    assert raised.value.code == code


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps))
def test_nothing_but_a_bad_request_comes_of_any_body(body: bytes | str) -> None:
    raw = body.encode() if isinstance(body, str) else body
    for kind in ("openai", "anthropic"):
        with pytest.raises(BadRequest):
            asked_in(kind, raw, 32)  # type: ignore[arg-type]
