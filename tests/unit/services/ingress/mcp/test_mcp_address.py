"""Under which names the door is reached, and what a client without a token is told."""

import pytest
from starlette.datastructures import Headers

from callgate.http import Problem
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.ingress_settings import McpSettings
from services.ingress.mcp.address import Address

PUBLIC = "https://gate.example:8443"


def address(public_url: str | None = PUBLIC, listen: str = "0.0.0.0:8080", **more: object) -> Address:
    return Address(McpSettings.model_validate(more), public_url, listen, ["https://issuer.example"])


def refused(headers: dict[str, str], **more: object) -> str | None:
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
    with pytest.raises(Problem):
        address().check(Headers(raw=[(b"host", b"localhost"), (b"host", b"evil.example")]))


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
def test_what_a_client_without_a_token_is_told(settings: dict[str, object], url: str, metadata: str) -> None:
    here, headers = address(**settings), Headers({"host": "localhost:8080"})
    assert here.metadata(headers)["resource"] == url
    missing = Unauthenticated(Refusal.MISSING_TOKEN, "no token")
    assert here.challenge(missing, headers) == f'Bearer resource_metadata="{metadata}", scope="openid"'
    expired = Unauthenticated(Refusal.EXPIRED, "expired")
    assert here.challenge(expired, headers).startswith('Bearer error="invalid_token", resource_metadata=')
    silent = address(**{**settings, "scopes": ()}).challenge(missing, headers)
    assert silent == f'Bearer resource_metadata="{metadata}"'
