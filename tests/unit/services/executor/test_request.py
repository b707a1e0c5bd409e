"""Arguments become a request without ever becoming syntax."""

import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from callgate.http_mapping.errors import MappingError
from callgate.http_mapping.received import Received
from callgate.jsontext import RawNumber
from contracts.functions import FunctionSpec, HttpConnection
from services.executor.request import HttpRequest, build_request

BASE = "https://api.example.com/v1"


def build(path: str, arguments: dict[str, Any], method: str = "GET", query: tuple[str, ...] = ()) -> HttpRequest:
    names = re.findall(r"\{(\w+)\}", path)
    schema = {"type": "object", "properties": {name: {} for name in [*names, *query]}, "required": names}
    spec = FunctionSpec.model_validate({"method": method, "path": path, "query": query, "input": schema})
    connection = HttpConnection(base_url=BASE, functions={"f": spec})
    return build_request(connection, spec, arguments)


def attempt(path: str, arguments: dict[str, Any]) -> HttpRequest | str:
    """The request, or the code of its refusal."""
    try:
        return build(path, arguments)
    except MappingError as error:
        return error.code


def refused(path: str, arguments: dict[str, Any], **options: Any) -> tuple[str, str | None]:
    with pytest.raises(MappingError) as caught:
        build(path, arguments, **options)
    assert caught.value.__context__ is None  # the library's own error would carry the value into a traceback
    return caught.value.code, caught.value.parameter


@given(st.text(st.characters(codec="utf-8")))
def test_path_parameter_is_one_segment_that_decodes_to_the_argument(value: str) -> None:
    request = attempt("/customers/{id}/orders", {"id": value})
    if isinstance(request, str):
        assert request == ("dot_segment" if value else "path_parameter_empty")
        assert not value or set(re.split(r"[/\\]", value)) & {".", ".."}
        return
    url = urlsplit(request.url)
    assert (url.scheme, url.netloc, url.query, url.fragment) == ("https", "api.example.com", "", "")
    assert request.url.isascii()
    empty, version, customers, segment, orders = url.path.split("/")
    assert (empty, version, customers, unquote(segment), orders) == ("", "v1", "customers", value, "orders")


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_adjacent_parameters_stay_under_the_base_path(a: str, b: str) -> None:
    request = attempt("/x/.{a}{b}", {"a": a, "b": b})
    if isinstance(request, str):
        assert request == "dot_segment"
        return
    assert request.url.startswith(f"{BASE}/x/")
    decoded = unquote(urlsplit(request.url).path)
    assert not {".", ".."} & set(re.split(r"[/\\]", decoded))


scalars = st.text(st.characters(codec="utf-8")) | st.integers() | st.booleans()


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1), scalars | st.lists(scalars) | st.none()))
def test_query_decodes_to_the_arguments(arguments: dict[str, Any]) -> None:
    def text(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value)

    expected = [
        (name, text(item))
        for name, value in arguments.items()
        if value is not None
        for item in (value if isinstance(value, list) else [value])
    ]
    request = build("/search", arguments)
    url = urlsplit(request.url)
    assert (url.netloc, url.path, url.fragment) == ("api.example.com", "/v1/search", "")
    assert parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(expected)) == expected
    assert request.body is None


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("a/b", "a%2Fb"),
        ("a?b=c#d", "a%3Fb%3Dc%23d"),
        ("%2e%2e", "%252e%252e"),
        ("a b+c", "a%20b%2Bc"),
        ("zoë", "zo%C3%AB"),
        ("\r\nHost: x", "%0D%0AHost%3A%20x"),
        ("...", "..."),
        (True, "true"),
        (12345678901234567890123, "12345678901234567890123"),
        (RawNumber("1.10"), "1.10"),
    ],
)
def test_path_encoding(value: Any, segment: str) -> None:
    assert build("/x/{id}", {"id": value}).url == f"{BASE}/x/{segment}"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "path_parameter_missing"),
        ({"id": ""}, "path_parameter_empty"),
        ({"id": None}, "path_parameter_not_scalar"),
        ({"id": ["a"]}, "path_parameter_not_scalar"),
        ({"id": {}}, "path_parameter_not_scalar"),
        ({"id": "\ud800"}, "lone_surrogate"),
    ],
)
def test_path_parameter_refused(arguments: dict[str, Any], code: str) -> None:
    assert refused("/x/{id}", arguments) == (code, "id")


@pytest.mark.parametrize("value", [".", "..", "../admin", "a/../../admin", "a\\..\\b", "x/."])
def test_dot_segments_are_refused_even_though_encoded(value: str) -> None:
    assert refused("/x/{id}", {"id": value}) == ("dot_segment", None)


def test_two_dots_from_two_parameters_are_refused() -> None:
    assert refused("/x/.{a}", {"a": "./y"}) == ("dot_segment", None)
    assert refused("/x/.{a}{b}", {"a": "/", "b": "y"}) == ("dot_segment", None)


def test_body_is_what_neither_path_nor_query_took() -> None:
    request = build(
        "/customers/{id}/orders",
        {"id": 7, "dry": False, "amount": 0.1, "note": None, "big": 2**70, "exact": RawNumber("1e400")},
        method="POST",
        query=("dry",),
    )
    assert request.url == f"{BASE}/customers/7/orders?dry=false"
    assert request.body == b'{"amount":0.1,"note":null,"big":1180591620717411303424,"exact":1e400}'
    assert dict(request.headers) == {"Accept": "application/json", "Content-Type": "application/json"}


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_body_is_an_empty_object_when_nothing_remains(method: str) -> None:
    assert build("/x/{id}", {"id": "1"}, method=method).body == b"{}"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_no_body_and_no_content_type_without_one(method: str) -> None:
    request = build("/x", {"tag": ["a", "b"], "none": None, "empty": []}, method=method)
    assert (request.url, request.body) == (f"{BASE}/x?tag=a&tag=b", None)
    assert dict(request.headers) == {"Accept": "application/json"}


@pytest.mark.parametrize("value", [{}, {"a": 1}, [{}], [["a"]], [None]])
def test_query_takes_no_structures(value: Any) -> None:
    assert refused("/x", {"q": value}, query=("q",)) == ("query_parameter_not_scalar", "q")
    assert refused("/x", {"made up by the agent": value}) == ("query_parameter_not_scalar", None)


def test_lone_surrogates_are_refused_wherever_they_are() -> None:
    assert refused("/x", {"q": "\ud800"})[0] == "lone_surrogate"
    assert refused("/x", {"\ud800": "q"})[0] == "lone_surrogate"
    assert refused("/x", {"q": ["\ud800"]}, method="POST")[0] == "lone_surrogate"


def test_no_argument_becomes_a_header() -> None:
    request = build("/x", {"Authorization": "Bearer mine", "Idempotency-Key": "k"}, method="POST")
    assert {name for name, _ in request.headers} == {"Accept", "Content-Type"}
    assert json.loads(request.body or b"") == {"Authorization": "Bearer mine", "Idempotency-Key": "k"}


PAYMENT = FunctionSpec.model_validate(
    {
        "method": "PUT",
        "path": "/accounts/{id}",
        "query": ["dry"],
        "input": {
            "type": "object",
            "properties": {"id": {"type": "string"}, "dry": {"type": "boolean"}, "amount": {"type": "number"}},
            "required": ["id"],
        },
    }
)
HERE = HttpConnection(base_url=BASE, functions={"f": PAYMENT})
SENT = Received(
    "/accounts/%61",
    "dry=true",
    (("accept", "text/csv"), ("content-type", "Application/JSON"), ("if-match", '"v7"')),
    b'{ "amount": 1.50 }',
)


def test_what_came_through_the_proxy_is_sent_as_it_came_where_it_says_what_was_judged() -> None:
    request = build_request(HERE, PAYMENT, {"id": "a", "dry": True, "amount": 1.5}, SENT)
    assert (request.method, request.url, request.body) == ("PUT", f"{BASE}/accounts/%61?dry=true", SENT.body)
    assert dict(request.headers) == {"Accept": "text/csv", "Content-Type": "Application/JSON", "If-Match": '"v7"'}


@pytest.mark.parametrize(
    "arguments",
    [
        {"id": "a", "dry": True, "amount": 1.25},
        {"id": "b", "dry": True, "amount": 1.5},
        {"id": "a", "amount": 1.5},
        {"id": "a", "dry": 1, "amount": 1.5},
        {"id": "a", "dry": True, "amount": 1.5, "more": None},
    ],
)
def test_otherwise_it_is_made_of_what_was_judged_under_the_same_condition(arguments: dict[str, Any]) -> None:
    request = build_request(HERE, PAYMENT, arguments, SENT)
    assert request == replace(
        build_request(HERE, PAYMENT, arguments),
        headers=(("Accept", "text/csv"), ("If-Match", '"v7"'), ("Content-Type", "application/json")),
    )


@pytest.mark.parametrize(
    "received",
    [
        replace(SENT, path="/accounts/a/../b"),
        replace(SENT, path="/elsewhere/a"),
        replace(SENT, body=b'{"amount":1.5,"amount":1.5}'),
        replace(SENT, body=b"\xff"),
        replace(SENT, query="dry=true&dry=true"),
    ],
)
def test_a_request_that_cannot_be_read_is_never_sent(received: Received) -> None:
    arguments = {"id": "a", "dry": True, "amount": 1.5}
    request = build_request(HERE, PAYMENT, arguments, received)
    assert (request.url, request.body) == (f"{BASE}/accounts/a?dry=true", b'{"amount":1.5}')


@pytest.mark.parametrize("received", [None, SENT, replace(SENT, path="/elsewhere")])
def test_the_connections_own_headers_go_with_every_request(received: Received | None) -> None:
    connection = HERE.model_copy(update={"headers": {"Notion-Version": "2022-06-28"}})
    arguments = {"id": "a", "dry": True, "amount": 1.5}
    plain = build_request(HERE, PAYMENT, arguments, received)
    request = build_request(connection, PAYMENT, arguments, received)
    assert request == replace(plain, headers=(*plain.headers, ("Notion-Version", "2022-06-28")))


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"Content-Type": "text/plain"}, "set for each request"),
        ({"HOST": "evil.test"}, "set for each request"),
        ({"If-Match": "*"}, "set for each request"),
        ({"Authorization": "Bearer s3cret"}, "`credential:`"),
        ({"Cookie": "a=s3cret"}, "`credential:`"),
        ({"X Y": "s3cret"}, "name must be"),
        ({"X-Y:": "s3cret"}, "name must be"),
        ({"X-Y": "s3cret\r\nHost: evil"}, "visible ASCII"),
        ({"X-Y": ""}, "visible ASCII"),
        ({"X-Y": "é"}, "visible ASCII"),
        ({"X-Y": "x" * 1025}, "visible ASCII"),
        ({"X-Y": "1", "x-y": "2"}, "one header"),
        ({"X-Key": "1"}, "the credential's"),
    ],
)
def test_headers_that_are_not_a_connections_are_refused_at_configuration(headers: dict[str, str], told: str) -> None:
    credential = {"kind": "header", "header": "x-key", "env": "KEY"}
    document = {"base_url": BASE, "credential": credential, "headers": headers, "functions": {"f": {"path": "/x"}}}
    with pytest.raises(ValidationError) as refused:
        HttpConnection.model_validate(document)
    (error,) = refused.value.errors()
    assert told in error["msg"]
    assert "s3cret" not in error["msg"]


def test_a_request_without_a_body_has_none() -> None:
    request = build_request(HERE, PAYMENT, {"id": "a"}, Received("/accounts/a", "", (), b""))
    assert (request.url, request.headers, request.body) == (f"{BASE}/accounts/a", (), None)


def test_repr_shows_no_argument() -> None:
    assert "4000001234567899" not in repr(
        build("/x/{id}", {"id": "4000001234567899", "card": "4000001234567899"}, method="POST")
    )


@pytest.mark.parametrize("path", ["x", "/x?y=1", "/x#y", "/../x", "/x/..", "/{id", "/a b", "/a\\b", "/./x"])
def test_templates_that_are_no_plain_path_are_refused_at_configuration(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        FunctionSpec(path=path)


@pytest.mark.parametrize(
    "url", ["https://exämple.com", "https://u@example.com", "ftp://x", "http://x/?a", "http://x\\y"]
)
def test_base_urls_that_could_be_read_in_two_ways_are_refused_at_configuration(url: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        HttpConnection(base_url=url, functions={"f": FunctionSpec(path="/x")})
