"""Reading one message: what is taken, what is refused, and that nothing of an argument is lost or quoted."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.jsontext import JsonTextError, dump, parse
from services.ingress.mcp.messages import BadMessage, read_message


def body(**fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", **fields}).encode()


def refusal(text: bytes, headers: dict[str, str] | None = None, schema: dict[str, Any] | None = None) -> Any:
    with pytest.raises(BadMessage) as refused:
        read_message(text, 8, headers or {}, lambda _: schema)
    return refused.value.document


def test_the_arguments_of_a_call_go_beside_the_message_as_they_were_written() -> None:
    text = (
        b'{"jsonrpc":"2.0","id":"a","method":"tools/call",'
        b'"params":{"name":"x-y","arguments":{"n":123456789012345678901234567890,"f":0.1},"_meta":{"progressToken":7}}}'
    )
    message = read_message(text, 8, {})
    assert message.arguments == b'{"n":123456789012345678901234567890,"f":0.1}'
    assert message.params["arguments"] == {}
    assert (message.tool, message.request_id, message.progress_token) == ("x-y", "a", 7)
    assert "123456789" not in repr(message)


def test_arguments_that_are_no_object_are_left_to_the_validator() -> None:
    message = read_message(body(method="tools/call", params={"name": "x", "arguments": [1]}), 8, {})
    assert (message.arguments, message.params["arguments"]) == (b"{}", [1])


def test_a_notification_has_no_id_and_may_take_a_request_back() -> None:
    text = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}'
    message = read_message(text, 8, {})
    assert (message.request_id, message.cancelled) == (None, 7)
    assert read_message(body(params={"requestId": 7}), 8, {}).cancelled is None


@pytest.mark.parametrize(
    ("text", "code", "request_id"),
    [
        (b"", -32700, None),
        (b"\xff", -32700, None),
        (b'{"a":1,"a":1}', -32700, None),
        (b"[[[[[[[[[[[[]]]]]]]]]]]]", -32700, None),
        (b"[]", -32600, None),
        (b"7", -32600, None),
        (b'{"id":1,"method":"ping"}', -32600, None),
        (body(id=None), -32600, None),
        (body(id=True), -32600, None),
        (body(id=1.5), -32600, None),
        (b'{"jsonrpc":"2.0","id":5,"result":{}}', -32600, 5),
        (body(method=7), -32600, 1),
        (body(params=[]), -32602, 1),
        (body(params=None), -32602, 1),
    ],
)
def test_what_is_no_message(text: bytes, code: int, request_id: Any) -> None:
    document = refusal(text)
    assert (document["error"]["code"], document["id"]) == (code, request_id)


def test_the_session_is_named_in_the_message_or_by_a_header() -> None:
    named = read_message(body(params={"_meta": {"dev.callgate/session": "run-7"}}), 8, {})
    assert (named.session("run-8"), read_message(body(), 8, {}).session("run-8")) == ("run-7", "run-8")
    assert read_message(body(params={"_meta": "x"}), 8, {}).session(None) is None
    for wrong in (7, "", "a b", "x" * 65):
        with pytest.raises(BadMessage):
            read_message(body(params={"_meta": {"dev.callgate/session": wrong}}), 8, {}).session(None)


SCHEMA = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}


@pytest.mark.parametrize(
    ("headers", "fits"),
    [({"mcp-param-region": "eu"}, True), ({"mcp-param-region": "us"}, False), ({}, False)],
)
def test_headers_that_mirror_arguments_must_agree(headers: dict[str, str], fits: bool) -> None:
    text = body(method="tools/call", params={"name": "x", "arguments": {"region": "eu"}})
    if fits:
        assert read_message(text, 8, headers, lambda _: SCHEMA).arguments == b'{"region":"eu"}'
    else:
        assert refusal(text, headers, SCHEMA)["error"]["code"] == -32020


@given(st.binary() | st.recursive(st.none() | st.text(), st.lists).map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_message_or_is_refused(text: bytes) -> None:
    try:
        read_message(text, 8, {})
    except BadMessage as bad:
        json.dumps(bad.document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_arguments_arrive_unchanged(arguments: dict[str, Any]) -> None:
    text = body(method="tools/call", params={"name": "x", "arguments": arguments})
    try:
        parse(text, max_depth=10)
        written = dump(parse(json.dumps(arguments)))
    except JsonTextError:  # deeper than the door takes, or a lone surrogate
        return
    assert read_message(text, 8, {}).arguments == written
