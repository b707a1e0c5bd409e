"""Results and tools of MCP servers, hostile ones too."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import Tool, ToolAnnotations

from contracts.functions import McpConnection
from services.executor.mcp.definitions import BadTool, definition_of
from services.executor.mcp.results import BadResult, result_body

CONNECTION = McpConnection(kind="mcp", url="http://127.0.0.1:1/mcp")
DATA = base64.b64encode(bytes(range(30))).decode()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def body(raw: dict[str, Any], binary: Any = "carry") -> Any:
    return json.loads(result_body(raw, binary)[0])


def test_what_mcp_defines_is_kept_and_the_rest_is_dropped() -> None:
    raw = {
        "content": [
            {"type": "text", "text": "hello", "data": "c2VjcmV0", "_meta": {"x": 1}},
            {"type": "image", "data": DATA, "mimeType": "image/png", "text": "unseen"},
            {"type": "resource", "resource": {"uri": "a://b", "text": "t", "blob": None, "other": 1}},
            {"type": "resource_link", "uri": "a://b", "name": "b", "blob": DATA},
        ],
        "structuredContent": {"a": [1, 2.5, None]},
        "_meta": {"secret": "x"},
        "resultType": "complete",
    }
    assert body(raw) == {
        "content": [
            {"type": "text", "text": "hello"},
            {"type": "image", "data": DATA, "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "a://b", "text": "t"}},
            {"type": "resource_link", "uri": "a://b", "name": "b"},
        ],
        "isError": False,
        "structuredContent": {"a": [1, 2.5, None]},
    }


def test_bytes_must_be_bytes_since_masking_does_not_look_at_them() -> None:
    texts = ["card 4111 1111 1111 1111", 7, None, "=" * 5]
    for text in texts:
        for block in ({"type": "image", "data": text}, {"type": "audio", "data": text}):
            assert body({"content": [block]})["content"][0]["type"] == "text"
    sly = body({"content": [{"type": "resource", "resource": {"uri": "a", "blob": "card 4111!"}}]})
    assert sly["content"] == [{"type": "text", "text": "(a resource that cannot be read)"}]


def test_bytes_are_withheld_where_the_operator_says_so() -> None:
    raw = {
        "content": [
            {"type": "image", "data": DATA, "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "a://b", "blob": DATA}},
        ]
    }
    said = [block["text"] for block in body(raw, "withhold")["content"]]
    assert said == ["(image of 30 bytes, withheld)", "(a resource of 30 bytes, withheld)"]


def test_a_block_of_an_unknown_kind_is_told() -> None:
    for block in ({"type": "video", "data": DATA}, {"type": ["text"]}, "text", None, {}):
        [told] = body({"content": [block]})["content"]
        assert told["type"] == "text"


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ({"content": "text"}, "malformed"),
        ({"content": [], "isError": "no"}, "malformed"),
        ({"content": [{"type": "text", "text": "x"}] * 1001}, "malformed"),
        ({"resultType": "input_required"}, "input_required"),
        ({"resultType": "task"}, "malformed"),
        ({"structuredContent": {"n": 1 << 70}}, "malformed"),
        ({"structuredContent": {"n": "\ud800"}}, "malformed"),
    ],
)
def test_no_results(raw: dict[str, Any], code: str) -> None:
    with pytest.raises(BadResult) as refused:
        result_body(raw, "carry")
    assert refused.value.code == code


@given(JSON, JSON, JSON)
def test_whatever_a_server_answers_is_a_result_or_refused(content: Any, structured: Any, failed: Any) -> None:
    try:
        found, _ = result_body({"content": content, "structuredContent": structured, "isError": failed}, "carry")
    except BadResult:
        return
    assert set(json.loads(found)) <= {"content", "isError", "structuredContent"}


def tool(name: str = "read", schema: Any = None, **more: Any) -> Tool:
    return Tool(name=name, input_schema={"type": "object"} if schema is None else schema, **more)


def test_a_definition() -> None:
    said = tool(
        description="Reads.",
        output_schema={"type": "object"},
        annotations=ToolAnnotations(title="Read", read_only_hint=True),
    )
    found = definition_of(said, "files", CONNECTION)
    assert (found.title, found.description, found.hints.read_only) == ("Read", "Reads.", True)
    assert found.output == {"type": "object"}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (tool("a b"), "bad_name"),
        (tool("a" * 129), "bad_name"),
        (tool("a\u202eb"), "bad_name"),
        (tool(""), "bad_name"),
        (tool(description="x" * 70_000), "too_large"),
        (tool(schema=nested(40)), "too_deep"),
        (tool(schema={"type": "string"}), "bad_schema"),
        (tool(schema={"type": "object", "properties": {"a": {"type": "text"}}}), "bad_schema"),
        (tool(schema={"type": "object", "properties": {"a": {"$ref": "https://example.com/x.json"}}}), "bad_schema"),
        (tool(schema={"type": "object", "properties": {"a": {"pattern": "("}}}), "bad_schema"),
        (tool(description="\ud800"), "bad_schema"),
    ],
)
def test_tools_that_can_be_no_functions(said: Tool, code: str) -> None:
    with pytest.raises(BadTool) as refused:
        definition_of(said, "files", CONNECTION)
    assert refused.value.code == code


def test_a_schema_of_an_earlier_draft_is_taken() -> None:
    said = tool(schema={"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {}})
    assert definition_of(said, "files", CONNECTION).input["type"] == "object"


def test_an_output_schema_that_is_none_is_left_out() -> None:
    assert definition_of(tool(output_schema={"type": "nothing"}), "files", CONNECTION).output is None
