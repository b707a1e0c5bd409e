"""Outcomes as an HTTP client of the proxy hears them, and requests that it does not take."""

from typing import Any

import pytest
from ingress_calls import begun
from starlette.datastructures import Headers

from callgate.http import Problem
from callgate.http_mapping.errors import MappingError
from contracts.functions import FORM, JSON, FunctionSpec
from services.ingress.calls import Answered
from services.ingress.domain import outcome_of
from services.ingress.proxy.answering import refused, shown, waits
from services.ingress.proxy.receiving import check_connection, check_head, problem_of, received_of, target_of

POST, GET = FunctionSpec(path="/x"), FunctionSpec(path="/x", method="GET")


def of(**headers: str) -> Headers:
    return Headers({name.replace("_", "-"): value for name, value in headers.items()})


def refusal(work: Any, *given: Any) -> tuple[int, str]:
    with pytest.raises(Problem) as caught:
        work(*given)
    assert caught.value.detail
    return caught.value.status, caught.value.code


@pytest.mark.parametrize(
    ("upstream", "sent"),
    [
        ((), "no-store"),
        ((("cache-control", "max-age=60"),), "private, max-age=60"),
        ((("cache-control", "public, s-maxage=10, max-age=60"),), "private, max-age=60"),
        ((("cache-control", "PUBLIC"), ("cache-control", "no-cache")), "private, no-cache"),
        ((("cache-control", "max-age=60\r\nset-cookie: b"),), "no-store"),
        ((("cache-control", "no-cache"), ("cache-control", "max-age=…")), "private, no-cache"),
    ],
)
def test_no_shared_cache_gives_an_answer_to_somebody_else(upstream: tuple[tuple[str, str], ...], sent: str) -> None:
    response = shown(begun(), Answered(200, JSON, b"{}", (*upstream, ("vary", "accept-language"))))
    assert response.headers.getlist("cache-control") == [sent]
    varies = ["accept-language"] if sent == "no-store" else ["Authorization", "accept-language"]
    assert response.headers.getlist("vary") == varies


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_a_body_has_none_whatever_came(status: int) -> None:
    response = shown(begun(), Answered(status, JSON, b"{}"))
    assert response.body == b""
    assert "content-type" not in response.headers


def test_a_text_says_that_it_is_utf_8_now() -> None:
    assert shown(begun(), Answered(200, "text/csv", b"a")).headers["content-type"] == "text/csv; charset=utf-8"


def test_a_value_that_is_no_header_any_more_is_left_out() -> None:
    headers = (("etag", "a\r\nset-cookie: b"), ("link", "<a>"), ("link", "<b>"))
    response = shown(begun(), Answered(200, JSON, b"{}", headers))
    assert "etag" not in response.headers
    assert response.headers.getlist("link") == ["<a>", "<b>"]


@pytest.mark.parametrize(("status", "withheld"), [(200, "no_view"), (101, None), (999, None)])
def test_an_answer_that_cannot_be_given_is_a_502_that_says_it_ran(status: int, withheld: str | None) -> None:
    with pytest.raises(Problem) as caught:
        shown(begun(), Answered(status, JSON, b"{}", withheld=withheld))
    problem = caught.value
    assert (problem.status, problem.code, problem.extra["upstream_status"]) == (502, "result_withheld", status)
    assert problem.headers["Callgate-Call"]
    assert "was run" in problem.detail


@pytest.mark.parametrize(
    ("status", "http"),
    [("denied", 403), ("rejected", 403), ("expired", 403), ("cancelled", 409), ("failed", 502), ("unknown", 504)],
)
def test_every_end_of_a_call_is_a_status(status: str, http: int) -> None:
    call = begun()
    document = outcome_of(call) | {"status": status, "code": "some_code", "policies": ["p1"], "detail": "Why."}
    problem = refused(call, document)
    assert (problem.status, problem.code, problem.extra["policies"]) == (http, "some_code", ["p1"])
    assert (problem.extra["id"], problem.extra["call_status"]) == (str(call.ref), status)


def test_who_waits_is_told_how_to_wait_on() -> None:
    call = begun()
    problem = waits(call, outcome_of(call), 1, keyed=True)
    assert (problem.status, problem.code, problem.headers["Retry-After"]) == (503, "pending", "1")
    assert "X-Should-Retry" not in problem.headers
    assert "Idempotency-Key" in problem.detail


def test_who_waits_without_a_key_is_not_told_to_ask_again() -> None:
    """Clients repeat a 503 by themselves, and each repetition would be another call for people to approve."""
    call = begun()
    problem = waits(call, outcome_of(call), 1, keyed=False)
    assert problem.status == 503
    assert "Retry-After" not in problem.headers
    assert problem.headers["X-Should-Retry"] == "false"
    assert "another call" in problem.detail


@pytest.mark.parametrize(("status", "told"), [("unknown", "false"), ("cancelled", "false"), ("failed", None)])
def test_what_may_have_happened_is_not_to_be_sent_again(status: str, told: str | None) -> None:
    call = begun()
    problem = refused(call, outcome_of(call) | {"status": status, "code": "some_code"})
    assert problem.headers.get("X-Should-Retry") == told


# Requests


def test_a_target_is_taken_apart_as_it_came() -> None:
    assert target_of(b"/proxy/crm/a%2Fb/", b"q=a+b%2B") == ("crm", "/a%2Fb/", "q=a%20b%2B")
    assert target_of(b"/proxy/crm", b"") == ("crm", "/", "")
    assert refusal(target_of, b"/%70roxy/crm/a", b"") == (404, "no_such_connection")
    assert refusal(target_of, "/proxy/crm/é".encode(), b"") == (400, "target_malformed")
    assert refusal(target_of, b"/proxy/crm/a", b"\xff") == (400, "target_malformed")


@pytest.mark.parametrize(
    ("spec", "headers", "expected"),
    [
        (GET, {"content_length": "1"}, (400, "body_unexpected")),
        (GET, {"transfer_encoding": "chunked"}, (400, "body_unexpected")),
        (POST, {"content_length": "1"}, (415, "media_type_unsupported")),
        (POST, {"content_length": "1", "content_type": FORM}, (415, "media_type_unsupported")),
        (POST, {"content_length": "1", "content_type": f"{JSON}; charset=latin-1"}, (415, "charset_unsupported")),
        (POST, {"content_encoding": "br"}, (415, "content_encoded")),
        (POST, {"content_range": "bytes 0-1/2"}, (400, "content_range")),
    ],
)
def test_a_head_that_promises_what_cannot_be_taken(
    spec: FunctionSpec, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    assert refusal(check_head, of(**headers), spec) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"upgrade": "websocket"}, (501, "upgrade_unsupported")),
        ({"connection": "Upgrade", "upgrade": "h2c, WebSocket"}, (501, "upgrade_unsupported")),
        ({"connection": "keep-alive, If-Match"}, (400, "header_malformed")),
        ({"connection": "close,authorization"}, (400, "header_malformed")),
        ({"connection": "CALLGATE-SESSION"}, (400, "header_malformed")),
        ({"connection": "idempotency-key"}, (400, "header_malformed")),
    ],
)
def test_a_connection_that_is_no_plain_one(headers: dict[str, str], expected: tuple[int, str]) -> None:
    assert refusal(check_connection, of(**headers)) == expected


def test_a_connection_may_be_what_clients_make_of_it() -> None:
    check_connection(of(connection="Upgrade, HTTP2-Settings", upgrade="h2c"))
    check_connection(of(connection="keep-alive, TE, X-Foo", te="trailers", x_foo="1"))
    check_connection(of(connection=""))


def test_a_head_without_a_body_promises_nothing() -> None:
    for spec in (GET, POST):
        check_head(of(content_length="0", content_type="multipart/form-data"), spec)
        check_head(of(), spec)


def test_headers_that_go_on_and_those_that_stay() -> None:
    target = target_of(b"/proxy/crm/x", b"")
    several = Headers(raw=[(b"accept", b"a/b"), (b"accept", b"c/d"), (b"cookie", b"x"), (b"content-type", b"text/x")])
    assert received_of(target, several, b"").headers == (("accept", "a/b, c/d"),)
    twice = Headers(raw=[(b"if-match", b'"a"'), (b"if-match", b'"b"')])
    assert refusal(received_of, target, twice, b"") == (400, "header_malformed")


def test_every_reason_of_the_mapping_has_words() -> None:
    assert problem_of(MappingError("duplicate_key")).extra == {"reason": "duplicate_key"}
    assert problem_of(MappingError("parameter_mistyped", "page")).extra == {"parameter": "page"}
