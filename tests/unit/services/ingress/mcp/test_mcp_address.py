"""Under which names the door is reached, and what a client without a token is told."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from callgate.http import Problem
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.ingress_settings import McpSettings
from services.ingress.mcp.address import Address

PUBLIC = "https://gate.example:8443"


def address(public_url: str | None = PUBLIC, listen: str = "0.0.0.0:8080", **more: object) -> Address:
    return Address(McpSettings.model_validate(more), public_url, listen, ["https://issuer.example"])


def refused(headers: dict[str, str], **more: Any) -> str | None:
    try:
        address(**more).check(Headers(headers))
    except Problem as problem:
        return problem.code
    return None


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("gate.example", None),
        ("GATE.example:8443", None),
        ("localhost:1", None),
        ("127.0.0.1", None),
        ("[::1]:8080", None),
        ("evil.example", "unknown_host"),
        ("gate.example.evil.example", "unknown_host"),
        ("gate.example:x", "unknown_host"),
        ("[::1", "unknown_host"),
        ("[::1]evil", "unknown_host"),
        ("", "unknown_host"),
    ],
)
def test_hosts(host: str, code: str | None) -> None:
    assert refused({"host": host}) == code


def test_hosts_of_the_operator() -> None:
    assert refused({"host": "ingress:8080"}) == "unknown_host"
    assert refused({"host": "ingress:8080"}, hosts=("ingress:8080",)) is None
    assert refused({"host": "ingress:8081"}, hosts=("ingress:8080",)) == "unknown_host"
    assert refused({"host": "ingress:8081"}, hosts=("ingress",)) is None
    assert refused({"host": "anything.example"}, hosts=("*",)) is None
    assert refused({"host": "10.0.0.7:8080"}, listen="10.0.0.7:8080") is None
    assert refused({"host": "[2001:db8::1]:8080"}, hosts=("*",)) is None
    with pytest.raises(Problem):
        address().check(Headers(raw=[(b"host", b"localhost"), (b"host", b"evil.example")]))


@pytest.mark.parametrize(
    "host",
    ['a", realm="evil', "a b", "a,b", "a\\", "user@a", "a/b", "a?b", "a:80:90", ":80", "[a]", "[::1", "[1.2.3.4]"],
)
def test_any_host_is_a_name_all_the_same(host: str) -> None:
    """It is quoted in WWW-Authenticate and the metadata."""
    assert refused({"host": host}, hosts=("*",), public_url=None) == "unknown_host"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20))
def test_no_host_that_is_taken_breaks_the_challenge(host: str) -> None:
    here, headers = address(None, hosts=("*",)), Headers({"host": host})
    try:
        here.check(headers)
    except Problem:
        return
    challenge = here.challenge(Unauthenticated(Refusal.MISSING_TOKEN, "no token"), headers)
    assert re.fullmatch(r'Bearer resource_metadata="[^"\\ ,]+", scope="openid"', challenge)


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("https://gate.example:8443", None),
        ("http://localhost:6274", None),
        ("http://[::1]:3000", None),
        ("https://inspector.example", None),
        ("https://inspector.example.evil.example", "unknown_origin"),
        ("https://gate.example", "unknown_origin"),
        ("http://localhost.evil.example", "unknown_origin"),
        ("http://localhost@evil.example", "unknown_origin"),
        ("ftp://localhost", "unknown_origin"),
        ("http://[::1", "unknown_origin"),
        ("http://a]", "unknown_origin"),
        ("http://localhost/x", "unknown_origin"),
        ("null", "unknown_origin"),
        ("", "unknown_origin"),
    ],
)
def test_origins(origin: str, code: str | None) -> None:
    headers = {"host": "localhost", "origin": origin}
    assert refused(headers, origins=("https://inspector.example/",)) == code


@pytest.mark.parametrize(
    ("settings", "url", "metadata"),
    [
        ({}, f"{PUBLIC}/mcp", f"{PUBLIC}/.well-known/oauth-protected-resource/mcp"),
        (
            {"url": "https://agents.example/tools/mcp"},
            "https://agents.example/tools/mcp",
            "https://agents.example/.well-known/oauth-protected-resource/tools/mcp",
        ),
        (
            {"public_url": None},
            "http://localhost:8080/mcp",
            "http://localhost:8080/.well-known/oauth-protected-resource/mcp",
        ),
    ],
)
def test_what_a_client_without_a_token_is_told(settings: dict[str, Any], url: str, metadata: str) -> None:
    here, headers = address(**settings), Headers({"host": "localhost:8080"})
    assert here.metadata(headers)["resource"] == url
    missing = Unauthenticated(Refusal.MISSING_TOKEN, "no token")
    assert here.challenge(missing, headers) == f'Bearer resource_metadata="{metadata}", scope="openid"'
    expired = Unauthenticated(Refusal.EXPIRED, "expired")
    assert here.challenge(expired, headers).startswith('Bearer error="invalid_token", resource_metadata=')
    silent = address(**{**settings, "scopes": ()}).challenge(missing, headers)
    assert silent == f'Bearer resource_metadata="{metadata}"'
