"""What of an answer's headers leaves the executor: those on the list, with no address of the function in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.answer_headers import led_back, shown

BASE = "https://api.internal:8443/v1"
ASKED = f"{BASE}/customers/c42?page=1"


def led(name: str, value: str, base: str = BASE, asked: str = ASKED) -> str | None:
    return dict(led_back(((name, value),), asked, base, "crm")).get(name)


def test_headers_that_say_nothing_of_the_server_or_its_sessions() -> None:
    answer = [
        ("Content-Type", "application/json"),
        ("ETag", '"v1"'),
        ("Accept-Ranges", "bytes"),
        ("Vary", "Accept-Language"),
        ("Age", "40"),
        ("Set-Cookie", "session=1"),
        ("Server", "nginx"),
        ("X-Powered-By", "php"),
        ("WWW-Authenticate", "Bearer"),
        ("Authorization", "Bearer x"),
        ("RateLimit-Remaining", "7"),
        ("X-RateLimit-Reset", "60"),
        ("Link", "</a>; rel=next"),
        ("LINK", "</b>; rel=prev"),
        ("Access-Control-Allow-Origin", "*"),
        ("Callgate-Call", "forged"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "7"),
        ("X-Request-Id", "a\r\nset-cookie: b"),
        ("Last-Modified", "é"),
    ]
    assert shown(answer) == (
        ("etag", '"v1"'),
        ("vary", "Accept-Language"),
        ("age", "40"),
        ("ratelimit-remaining", "7"),
        ("x-ratelimit-reset", "60"),
        ("link", "</a>; rel=next"),
        ("link", "</b>; rel=prev"),
    )


def test_many_and_long_headers_are_not_carried() -> None:
    assert len(shown([("Link", f"</{number}>") for number in range(100)])) == 32
    assert shown([("ETag", "x" * 3000)]) == ()
    assert sum(len(value) for _, value in shown([("Link", "x" * 2000)] * 30)) <= 16 * 1024


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (f"{BASE}/customers/c43", "/proxy/crm/customers/c43"),
        ("https://API.internal:8443/v1/customers/c43?a=b#c", "/proxy/crm/customers/c43?a=b#c"),
        ("/v1/customers/c43", "/proxy/crm/customers/c43"),
        ("c43", "/proxy/crm/customers/c43"),
        ("../orders/7", "/proxy/crm/orders/7"),
        ("?page=2", "/proxy/crm/customers/c42?page=2"),
        ("//api.internal:8443/v1/x", "/proxy/crm/x"),
        (BASE, "/proxy/crm"),
        # the same host, but nothing of the connection's
        ("/admin", None),
        ("/v1evil", None),
        ("../../admin", None),
        ("https://api.internal/v1/x", None),
        ("http://api.internal:8443/v1/x", None),
        ("https://api.internal:9000/", None),
        ("https://api.internal:notaport/v1", None),
        # elsewhere: as it is; the agent may go there by itself, or not
        ("https://cdn.example.com/file?sig=1", "https://cdn.example.com/file?sig=1"),
        ("https://user:secret@cdn.example.com/file", None),
        ("https://sign-in.example.com/?return_to=https://api.internal:8443/v1", None),
        ("/v1/go?to=https://api.internal:8443/v1", None),
        ("javascript:alert(1)", None),
        ("file:///etc/passwd", None),
        ("https://[::1", None),
    ],
)
def test_where_an_answer_leads(location: str, expected: str | None) -> None:
    assert led("location", location) == expected


def test_a_connection_at_the_root_of_its_host() -> None:
    assert led("location", "/x/1", "http://127.0.0.1:8081", "http://127.0.0.1:8081/x") == "/proxy/crm/x/1"


def test_a_host_that_is_a_plain_word_is_not_looked_for_in_paths() -> None:
    base = "http://payments:8000"
    assert led("location", "/payments/7", base, f"{base}/payments") == "/proxy/crm/payments/7"
    assert led("location", "/x?next=//payments:8000/y", base, f"{base}/payments") is None


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (f'<{BASE}/customers?page=2>; rel="next"', '</proxy/crm/customers?page=2>; rel="next"'),
        (
            '</v1/a>; rel="next", </admin>; rel="up",<https://other.example/x>; rel=help; title="a, b"',
            '</proxy/crm/a>; rel="next", <https://other.example/x>; rel=help; title="a, b"',
        ),
        ('</v1/a>; rel="next"; anchor="https://api.internal:8443/v1"', None),
        ('</v1/a>; title="see api.internal"', None),
        ("/v1/a; rel=next", None),
        ("<https://api.internal:8443/v1/a", None),
        ('</v1/a>; rel="next" https://api.internal:8443/secret', None),
    ],
)
def test_links_are_led_back_one_by_one(link: str, expected: str | None) -> None:
    assert led("link", link) == expected


def test_no_other_header_names_the_host_either() -> None:
    assert led("x-request-id", "api.internal-4711") is None
    assert led("etag", '"v1"') == '"v1"'


@given(st.sampled_from(["location", "link"]), st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_whatever_comes_names_no_host_of_the_function(name: str, value: str) -> None:
    for text in (value, f"<{value}>; rel=next", f"{BASE}{value}", f"<{BASE}{value}>, <{value}>"):
        found = led(name, text)
        assert found is None or "api.internal:8443" not in found.lower()
