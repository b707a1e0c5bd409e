"""Requests and arguments are made of each other, and the one undoes the other."""

import contextlib
import json
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from callgate.http_mapping.building import build
from callgate.http_mapping.errors import MappingError
from callgate.http_mapping.reading import RequestReader
from callgate.http_mapping.received import Received
from callgate.jsontext import dump
from contracts.functions import FORM, FunctionSpec

PROPERTIES: dict[str, Any] = {
    "id": {"type": "string"},
    "page": {"type": "integer"},
    "q": {"type": "string"},
    "ok": {"type": "boolean"},
    "price": {"type": "number"},
    "tags": {"type": "array", "items": {"type": "string"}},
    "sizes": {"type": ["array", "null"], "items": {"$ref": "#/$defs/size"}},
    "currency": {"enum": ["EUR", "USD"]},
    "either": {"type": ["integer", "string"]},
    "flag": {"anyOf": [{"type": "boolean"}, {"type": "integer"}]},
    "untyped": {},
}
INPUT = {
    "type": "object",
    "required": ["id"],
    "properties": PROPERTIES,
    "$defs": {"size": {"type": "integer", "minimum": 0}},
}


def spec(method: str = "GET", path: str = "/x/{id}", **more: Any) -> FunctionSpec:
    return FunctionSpec.model_validate({"method": method, "path": path, "input": INPUT, **more})


def text_spec() -> FunctionSpec:
    properties = {"id": {"type": "string"}, "body": {"type": "string"}}
    schema = {"type": "object", "properties": properties, "required": ["id"]}
    return FunctionSpec.model_validate({"method": "PUT", "path": "/x/{id}", "input": schema, "content": "text/csv"})


def request(path: str, query: str = "", body: bytes = b"", content_type: str | None = None) -> Received:
    return Received(path, query, () if content_type is None else (("content-type", content_type),), body)


def read(one: FunctionSpec, received: Received) -> dict[str, Any]:
    return RequestReader(one).read(received)


def refused(one: FunctionSpec, received: Received) -> str:
    with pytest.raises(MappingError) as caught:
        read(one, received)
    assert caught.value.parameter is None or caught.value.parameter in PROPERTIES
    return caught.value.code


def sent(one: FunctionSpec, arguments: dict[str, Any]) -> Received:
    """What is built of the arguments, as it would reach a door."""
    built = build(one, arguments)
    path, _, query = built.target.partition("?")
    return request(path, query, built.body or b"", built.content_type)


# Both ways

_text = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
_segment = st.text(
    st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Z"], exclude_characters="/\\%"), min_size=1
)
_number = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_arguments = st.fixed_dictionaries(
    {"id": _segment.filter(lambda text: text not in (".", ".."))},
    optional={
        "page": st.integers(),
        "q": _text,
        "ok": st.booleans(),
        "price": _number,
        "tags": st.lists(_text, min_size=1),
        "sizes": st.lists(st.integers(), min_size=1),
        "currency": st.sampled_from(["EUR", "USD"]),
    },
)
_SPECS = [spec(), spec("DELETE"), spec("POST", query=("q", "page")), spec("PATCH"), spec("POST", content=FORM)]


@given(_arguments, st.sampled_from(_SPECS))
def test_what_is_built_is_read_as_it_was(arguments: dict[str, Any], one: FunctionSpec) -> None:
    again = read(one, sent(one, arguments))
    assert json.dumps(again, sort_keys=True) == json.dumps(arguments, sort_keys=True)
    # The bytes that are compared where a request is sent as it came: stable, whatever order a query had.
    assert dump(read(one, sent(one, again))) == dump(again)


@given(_segment.filter(lambda text: text not in (".", "..")), _text)
def test_a_text_is_its_body(name: str, text: str) -> None:
    assume(text and not text.startswith("\ufeff"))
    arguments = {"id": name, "body": text}
    assert read(text_spec(), sent(text_spec(), arguments)) == arguments


_raw = st.lists(
    st.sampled_from(
        [*"azAZ09-._~!$&'()*+,;=:@/?#[]%\\\"<>{}|^` \x00\x7fé", "%2f", "%2E", "%00", "%c3%a9", "%41", "..", "%25"]
    )
).map("".join)


@given(_raw, _raw, st.sampled_from(_SPECS))
def test_whatever_is_read_is_built_into_the_same_again(raw: str, query: str, one: FunctionSpec) -> None:
    """Nothing is accepted that means one thing here and another where it goes."""
    for received in (request(f"/x/{raw}", query), request(f"/x/{raw}", f"q={query}"), request("/x/a", f"tags={query}")):
        try:
            arguments = read(one, received)
        except MappingError:
            continue
        assert dump(read(one, sent(one, arguments))) == dump(arguments)
        assert received.path.count("/") == 2
        assert ";" not in received.target


@given(st.binary(max_size=60), st.sampled_from([*_SPECS, text_spec()]))
def test_no_body_makes_it_fail_otherwise_than_by_its_own_error(body: bytes, one: FunctionSpec) -> None:
    with contextlib.suppress(MappingError):
        assert read(one, request("/x/a", "", body, one.content))["id"] == "a"


# Typing


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("page=7", {"page": 7}),
        ("page=-7", {"page": -7}),
        ("ok=true", {"ok": True}),
        ("ok=false", {"ok": False}),
        ("price=10.50", {"price": 10.5}),
        ("price=1e3", {"price": 1000.0}),
        ("price=7", {"price": 7}),
        ("q=", {"q": ""}),
        ("q=7", {"q": "7"}),
        ("q=a=b", {"q": "a=b"}),
        ("q=a%2Bb%20c%26", {"q": "a+b c&"}),
        ("%71=a", {"q": "a"}),
        ("tags=a", {"tags": ["a"]}),
        ("tags=b&q=x&tags=a", {"tags": ["b", "a"], "q": "x"}),
        ("sizes=1&sizes=2", {"sizes": [1, 2]}),
        ("currency=EUR", {"currency": "EUR"}),
        ("flag=true", {"flag": True}),
        ("flag=1", {"flag": 1}),
        ("either=a", {"either": "a"}),
    ],
)
def test_a_text_is_what_the_schema_says(query: str, arguments: dict[str, Any]) -> None:
    assert dump(read(spec(), request("/x/a", query))) == dump({"id": "a", **arguments})
    form = read(spec("POST", content=FORM), request("/x/a", "", query.replace("%20", "+").encode(), FORM))
    assert dump(form) == dump({"id": "a", **arguments})


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("page=07", "parameter_mistyped"),
        ("page=-0", "parameter_mistyped"),
        ("page=1.0", "parameter_mistyped"),
        ("page=+1", "query_malformed"),
        ("page=%2B1", "parameter_mistyped"),
        ("page=%20%31", "parameter_mistyped"),
        ("page=1_0", "parameter_mistyped"),
        ("page=%D9%A1", "parameter_mistyped"),  # ARABIC-INDIC DIGIT ONE, which Python's int takes
        ("page=", "parameter_mistyped"),
        ("page=1&page=1", "parameter_repeated"),
        ("page=1&%70age=2", "parameter_repeated"),
        ("price=NaN", "parameter_mistyped"),
        ("price=Infinity", "parameter_mistyped"),
        ("price=0x10", "parameter_mistyped"),
        ("price=.5", "parameter_mistyped"),
        ("price=0.1234567890123456789", "number_precision"),
        ("price=1e400", "number_precision"),
        ("ok=True", "parameter_mistyped"),
        ("ok=1", "parameter_mistyped"),
        ("either=1", "parameter_ambiguous"),
        ("untyped=a", "parameter_ambiguous"),
        ("PAGE=1", "parameter_unknown"),
        ("page[]=1", "parameter_unknown"),
        ("page%00=1", "not_utf8"),
        ("q=%00", "not_utf8"),
        ("q=%ff", "not_utf8"),
        ("q=%c0%af", "not_utf8"),
        ("q=%ed%a0%80", "not_utf8"),
        ("q=%u0041", "query_malformed"),
        ("q=%4", "query_malformed"),
        ("q=%", "query_malformed"),
        ("q", "query_malformed"),
        ("=q", "query_malformed"),
        ("q=1&", "query_malformed"),
        ("&q=1", "query_malformed"),
        ("q=1&&ok=true", "query_malformed"),
        ("q=1;page=2", "query_malformed"),
        ("q=a+b", "query_malformed"),
        ("q=a b", "query_malformed"),
        ("q=é", "query_malformed"),
        ("q=a#b", "query_malformed"),
        ("q=\r\nHost:%20x", "query_malformed"),
        ("id=b", "parameter_unknown"),
        ("admin=1", "parameter_unknown"),
    ],
)
def test_what_a_query_could_mean_twice_is_refused(query: str, code: str) -> None:
    assert refused(spec(), request("/x/a", query)) == code


# Paths


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/x/a", "a"),
        ("/x/%61", "a"),
        ("/x/caf%c3%a9", "café"),
        ("/x/a%20b", "a b"),
        ("/x/a+b@c:d", "a+b@c:d"),
        ("/x/...", "..."),
    ],
)
def test_a_segment_is_its_parameter(path: str, value: str) -> None:
    assert read(spec(), request(path)) == {"id": value}


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/x/..", "dot_segment"),
        ("/x/%2e%2e", "dot_segment"),
        ("/x/.%2E", "dot_segment"),
        ("/x/.", "dot_segment"),
        ("/x/a%2fb", "encoded_slash"),
        ("/x/a%5Cb", "encoded_slash"),
        ("/x/..%2f..%2fadmin", "dot_segment"),
        ("/x/..%5cadmin", "dot_segment"),
        ("/x/%252e%252e", "path_malformed"),
        ("/x/a%252Fb", "path_malformed"),
        ("/x/a;v=1", "path_malformed"),
        ("/x/a%00", "not_utf8"),
        ("/x/a%0d%0aHost:x", "path_malformed"),
        ("/x/%ff", "not_utf8"),
        ("/x/a\\b", "path_malformed"),
        ("/x/a b", "path_malformed"),
        ("/x/é", "path_malformed"),
        ("/x/a%", "path_malformed"),
        ("/x/a%zz", "path_malformed"),
        ("/x/", "no_such_route"),
        ("/x//a", "no_such_route"),
        ("//x/a", "no_such_route"),
        ("/x/a/", "no_such_route"),
        ("/x/a/../a", "no_such_route"),
        ("/%78/a", "no_such_route"),
        ("/X/a", "no_such_route"),
        ("x/a", "no_such_route"),
    ],
)
def test_what_a_path_could_mean_twice_is_refused(path: str, code: str) -> None:
    assert refused(spec(), request(path)) == code


# Bodies

_JSON = "application/json"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"page":1,"page":2}', "duplicate_key"),
        (b'{"page":1,"p\\u0061ge":2}', "duplicate_key"),
        (b'{"page":1,"Page":2}', "parameter_repeated"),
        (b'{"PAGE":2}', "parameter_repeated"),
        (b'{"new":1,"NEW":2}', "parameter_repeated"),
        (b'{"id":"b"}', "parameter_repeated"),
        (b'\xef\xbb\xbf{"page":1}', "byte_order_mark"),
        ('{"page":1}'.encode("utf-16"), "not_utf8"),
        (b'{"q":"\xff"}', "not_utf8"),
        (b'{"q":"\\ud800"}', "lone_surrogate"),
        (b'{"price":NaN}', "not_a_number"),
        (b'{"price":0.1234567890123456789}', "number_precision"),
        (b'{"page":1}{"page":2}', "syntax"),
        (b'{"page":1} //', "syntax"),
        (b"{'page':1}", "syntax"),
        (b'{"page":1,}', "syntax"),
        (b"[" * 70 + b"]" * 70, "too_deep"),
        (b"[]", "body_not_an_object"),
        (b"null", "body_not_an_object"),
        (b" ", "syntax"),
    ],
)
def test_what_a_body_could_mean_twice_is_refused(body: bytes, code: str) -> None:
    assert refused(spec("POST"), request("/x/a", "", body, _JSON)) == code


def test_members_of_a_body_need_no_schema_since_json_says_what_they_are() -> None:
    body = b' {"extra": [1, 1.0, null], "untyped": "1"} '
    assert (
        dump(read(spec("POST"), request("/x/a", "", body, _JSON))) == b'{"id":"a","extra":[1,1.0,null],"untyped":"1"}'
    )


def test_no_body_is_no_arguments() -> None:
    assert read(spec("POST"), request("/x/a")) == {"id": "a"}


@pytest.mark.parametrize(
    ("method", "content_type", "code"),
    [
        ("POST", None, "media_type_unknown"),
        ("POST", "text/plain", "media_type_unknown"),
        ("POST", "application/x-www-form-urlencoded", "media_type_unknown"),
        ("POST", "multipart/form-data", "media_type_unknown"),
        ("GET", _JSON, "body_unexpected"),
        ("DELETE", _JSON, "body_unexpected"),
    ],
)
def test_a_body_is_of_the_type_that_the_function_takes(method: str, content_type: str | None, code: str) -> None:
    assert refused(spec(method), request("/x/a", "", b"{}", content_type)) == code


def test_query_parameters_of_a_post_are_those_that_are_declared_as_such() -> None:
    one = spec("POST", query=("page",))
    assert read(one, request("/x/a", "page=1", b'{"q":"b"}', _JSON)) == {"id": "a", "page": 1, "q": "b"}
    assert refused(one, request("/x/a", "q=b")) == "parameter_unknown"
    assert refused(one, request("/x/a", "page=1", b'{"page":2}', _JSON)) == "parameter_repeated"
    assert (
        refused(spec("POST", query=("page",), content=FORM), request("/x/a", "", b"page=1", FORM))
        == "parameter_unknown"
    )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"q=a;page=1", "form_malformed"),
        (b"q=\xc3\xa9", "form_malformed"),
        (b"q=%ff", "not_utf8"),
        (b"q", "query_malformed"),
        (b"q=1&q=2", "parameter_repeated"),
        (b"_charset_=utf-7", "parameter_unknown"),
        (b"q=a\r\n", "form_malformed"),
    ],
)
def test_what_a_form_could_mean_twice_is_refused(body: bytes, code: str) -> None:
    assert refused(spec("POST", content=FORM), request("/x/a", "", body, FORM)) == code


@pytest.mark.parametrize("body", [b"\xff", b"a\0b", b"\xef\xbb\xbfa", "a".encode("utf-16")])
def test_a_text_is_utf_8_without_a_mark(body: bytes) -> None:
    assert refused(text_spec(), request("/x/a", "", body, "text/csv")) == "not_utf8"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [({"id": "a", "body": 1}, "body_not_text"), ({"id": "a", "body": "x", "more": "y"}, "body_not_text")],
)
def test_a_text_is_one_string(arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(MappingError, match=code):
        build(text_spec(), arguments)


def test_a_form_holds_no_structures() -> None:
    with pytest.raises(MappingError, match="form_field_not_scalar"):
        build(spec("POST", content=FORM), {"id": "a", "q": {}})


# What is declared


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"method": "GET", "content": FORM}, "no body"),
        ({"content": "text/plain"}, "one string"),
        ({"content": "multipart/form-data"}, "pattern"),
        ({"content": "image/png"}, "pattern"),
    ],
)
def test_a_content_that_no_arguments_make_is_refused_at_configuration(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        spec(**({"method": "POST"} | more))


def test_the_digest_of_a_function_is_what_it_was_before_it_could_say_its_content() -> None:
    assert "content" not in spec("POST").model_dump(mode="json")
    assert spec("POST", content=FORM).model_dump(mode="json")["content"] == FORM


# As it travels

_HEADERS = (("accept", "text/csv;q=0.5, */*"), ("if-match", 'W/"a", "b"'), ("content-type", "application/json"))


@given(st.text(st.characters(codec="ascii")), st.text(st.characters(codec="ascii")), st.binary())
def test_a_received_request_travels_whole(path: str, query: str, body: bytes) -> None:
    received = Received(path, query, _HEADERS, body)
    assert Received.decode(received.encode()) == received


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"path":"/x","query":"","headers":[["host","evil"]]}',
        b'{"path":"/x","query":"","headers":[["authorization","Bearer x"]]}',
        b'{"path":"/x","query":"","headers":[["if-match","*\\r\\nhost: evil"]]}',
        b'{"path":"/x","query":"","headers":[["if-match","*"],["if-match","*"]]}',
        b'{"path":"/x","query":"","headers":[["accept"]]}',
        b'{"path":"/x","query":"","headers":[["accept",1]]}',
        b'{"path":"/\\u00e9","query":"","headers":[]}',
        b'{"path":1,"query":"","headers":[]}',
    ],
)
def test_what_no_door_took_is_no_received_request(head: bytes) -> None:
    with pytest.raises(ValueError, match=re.compile("")):
        Received.decode(head + b"\nbody")


def test_repr_shows_no_value() -> None:
    assert CARD not in repr(request(f"/x/{CARD}", f"q={CARD}", CARD.encode()))
    assert CARD not in repr(build(spec(), {"id": CARD, "q": CARD}))


CARD = "4111111111111111"
