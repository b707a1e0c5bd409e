"""The authorisation code flow against an issuer in memory: what is asked and refused, how the client proves itself."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from identity_fakes import EC_KEY, ISSUER, JWKS, NOW, OTHER_EC_KEY, Clock, FakeIssuer, ec_jwk, settings

from callgate.identity.client_settings import SignInSettings
from callgate.identity.fetch import FetchFailed
from services.approval.oidc import Attempt, Provider, SignInFailed, parse_metadata

DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
DOCUMENT = {
    "issuer": ISSUER,
    "jwks_uri": JWKS,
    "authorization_endpoint": f"{ISSUER}/authorize?tenant=acme",
    "token_endpoint": f"{ISSUER}/token",
    "end_session_endpoint": f"{ISSUER}/logout",
}
CLAIMS = {"iss": ISSUER, "sub": "rosa", "aud": "pages", "iat": NOW, "exp": NOW + 300, "groups": ["sre"]}
ATTEMPT = Attempt.new("oidc", "/approvals")


class TokenIssuer(FakeIssuer):
    """With a token endpoint: answers with what it is told, and keeps what it was asked."""

    def __init__(self, **document: Any) -> None:
        super().__init__(ec_jwk(EC_KEY, "k1"))
        self.documents[DISCOVERY] = json.dumps({**DOCUMENT, **document}).encode()
        self.answer: tuple[int, bytes] = (200, b"{}")
        self.asked_for: list[tuple[str, dict[str, str], str | None]] = []

    async def post(self, url: str, form: Mapping[str, str], authorization: str | None) -> tuple[int, bytes]:
        if self.down:
            raise FetchFailed("away")
        self.asked_for.append((url, dict(form), authorization))
        return self.answer

    def give(self, key: Any = EC_KEY, **claims: Any) -> None:
        said = {k: v for k, v in {**CLAIMS, "nonce": ATTEMPT.nonce, **claims}.items() if v is not None}
        token = jwt.encode(said, key, algorithm="ES256", headers={"kid": "k1"})
        self.answer = (200, json.dumps({"id_token": token, "access_token": "unused"}).encode())


def provider(http: TokenIssuer, clock: Clock | None = None, **client: Any) -> Provider:
    issuer = settings(algorithms=("ES256",))
    return Provider(issuer, SignInSettings(client_id="pages", **client), "https://cg.example/", http, clock or Clock())


async def redeemed(http: TokenIssuer, **answer: str) -> str:
    """The code of the failure."""
    with pytest.raises(SignInFailed) as failed:
        await provider(http).redeem(ATTEMPT, {"state": ATTEMPT.state, "code": "c0de", **answer})
    assert "c0de" not in failed.value.detail
    return failed.value.code


async def test_the_browser_is_sent_with_pkce_state_and_nonce_and_the_exact_address() -> None:
    there = provider(TokenIssuer(), scopes=("openid", "groups"))
    url = urlsplit(await there.begin(ATTEMPT))
    query = {name: value for name, (value,) in parse_qs(url.query, strict_parsing=True).items()}
    digest = hashlib.sha256(ATTEMPT.verifier.encode()).digest()
    assert url.path == "/authorize"
    assert query == {
        "tenant": "acme",
        "response_type": "code",
        "client_id": "pages",
        "redirect_uri": "https://cg.example/approvals/sign-in/oidc/callback",
        "scope": "openid groups",
        "state": ATTEMPT.state,
        "nonce": ATTEMPT.nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    assert len({*ATTEMPT[1:4]}) == 3
    assert 43 <= len(ATTEMPT.verifier) <= 128


async def test_a_code_becomes_a_person() -> None:
    http = TokenIssuer()
    http.give(auth_time=NOW - 60)
    there = provider(http)
    signed_in = await there.redeem(ATTEMPT, {"state": ATTEMPT.state, "code": "c0de", "iss": ISSUER})
    assert (signed_in.principal.id, signed_in.principal.groups) == ("rosa", ("sre",))
    assert signed_in.principal.authenticated_at is not None
    assert signed_in.principal.authenticated_at.timestamp() == NOW - 60
    ((url, form, authorization),) = http.asked_for
    assert (url, authorization) == (f"{ISSUER}/token", None)
    assert form == {
        "grant_type": "authorization_code",
        "code": "c0de",
        "redirect_uri": there.redirect_uri,
        "code_verifier": ATTEMPT.verifier,
        "client_id": "pages",
    }
    await there.aclose()


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"nonce": "another"}, "invalid_claim"),
        ({"nonce": None}, "invalid_claim"),
        ({"nonce": 1}, "invalid_claim"),
        ({"aud": "callgate"}, "wrong_audience"),
        ({"aud": ["pages", "other"]}, "missing_claim"),
        ({"aud": ["pages", "other"], "azp": "other"}, "invalid_claim"),
        ({"azp": "other"}, "invalid_claim"),
        ({"iss": "https://evil.example"}, "unknown_issuer"),
        ({"exp": NOW - 60, "iat": NOW - 360}, "expired"),
        ({"sub": None}, "missing_claim"),
        ({"key": OTHER_EC_KEY}, "bad_signature"),
    ],
)
async def test_an_id_token_that_is_not_the_answer_signs_nobody_in(claims: dict[str, Any], code: str) -> None:
    http = TokenIssuer()
    http.give(**claims)
    assert await redeemed(http) == code


async def test_several_audiences_are_fine_with_ourselves_as_the_party() -> None:
    http = TokenIssuer()
    http.give(aud=["pages", "other"], azp="pages")
    assert (await provider(http).redeem(ATTEMPT, {"state": ATTEMPT.state, "code": "x"})).principal.id == "rosa"


async def test_an_answer_of_another_sign_in_or_issuer_is_refused_before_any_code_is_sent() -> None:
    http = TokenIssuer()
    http.give()
    for state in ("", "x", ATTEMPT.state + "x", "ü"):
        assert await redeemed(http, state=state) == "state_mismatch"
    assert await redeemed(http, iss="https://evil.example") == "issuer_mixed_up"
    assert await redeemed(http, code="") == "code_missing"
    named = TokenIssuer(authorization_response_iss_parameter_supported=True)
    assert await redeemed(named) == "issuer_mixed_up", "it says that it always names itself (RFC 9207)"
    assert http.asked_for == named.asked_for == []


@pytest.mark.parametrize(
    ("error", "code"),
    [("access_denied", "access_denied"), ("server_error", "server_error"), ("<b>", "authorization_failed")],
)
async def test_an_error_of_the_issuer_is_told_in_our_words(error: str, code: str) -> None:
    assert await redeemed(TokenIssuer(), error=error) == code


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ((400, b'{"error":"invalid_grant","error_description":"c0de was used"}'), "invalid_grant"),
        ((401, b'{"error":"invalid_client"}'), "invalid_client"),
        ((400, b'{"error":["c0de"]}'), "token_endpoint_failed"),
        ((500, b"<html>"), "token_endpoint_failed"),
        ((302, b""), "token_endpoint_failed"),
        ((200, b"[]"), "id_token_missing"),
        ((200, b'{"id_token":1}'), "id_token_missing"),
        ((200, b'{"id_token":"a.b"}'), "malformed_token"),
    ],
)
async def test_a_token_endpoint_that_gives_no_id_token(answer: tuple[int, bytes], code: str) -> None:
    http = TokenIssuer()
    http.answer = answer
    assert await redeemed(http) == code


async def test_a_confidential_client_proves_itself_with_the_secret_of_the_moment(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for methods, secret in ((["client_secret_basic"], "s3/cret"), (None, "newer"), (["client_secret_post"], "third")):
        file.write_text(f"{secret}\n")
        http = TokenIssuer(**({} if methods is None else {"token_endpoint_auth_methods_supported": methods}))
        http.give()
        there = provider(http, client_secret_file=file)
        await there.redeem(ATTEMPT, {"state": ATTEMPT.state, "code": "x"})
        ((_, form, authorization),) = http.asked_for
        if methods == ["client_secret_post"]:
            assert (form["client_id"], form["client_secret"], authorization) == ("pages", secret, None)
        else:
            pair = f"pages:{secret.replace('/', '%2F')}".encode()
            assert authorization == f"Basic {base64.b64encode(pair).decode()}"
            assert not {"client_id", "client_secret"} & form.keys()
    file.unlink()
    with pytest.raises(SignInFailed, match="secret_missing"):
        await there.redeem(ATTEMPT, {"state": ATTEMPT.state, "code": "x"})


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example"},
        {"issuer": f"{ISSUER}/"},
        {"authorization_endpoint": "http://id.example/authorize"},
        {"token_endpoint": None},
        {"token_endpoint": "https://user@id.example/"},
        {"end_session_endpoint": "javascript:alert(1)"},
    ],
)
async def test_a_discovery_document_that_is_not_the_issuers_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="issuer"):
        parse_metadata(json.dumps({**DOCUMENT, **change}).encode(), settings())
    with pytest.raises(SignInFailed, match="issuer_unreachable"):
        await provider(TokenIssuer(**change)).begin(ATTEMPT)


async def test_endpoints_are_asked_for_once_by_all_who_wait_and_outlive_an_outage() -> None:
    http, clock = TokenIssuer(), Clock()
    there = provider(http, clock)
    http.gate = asyncio.Event()
    waiting = [asyncio.create_task(there.begin(ATTEMPT)) for _ in range(20)]
    await http.asked.wait()
    waiting[0].cancel()
    http.gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    await there.begin(ATTEMPT)
    assert http.requests == [DISCOVERY]
    clock.now += 601
    http.down = True
    await there.begin(ATTEMPT)
    assert http.requests == [DISCOVERY] * 2
    fresh = provider(http)
    with pytest.raises(SignInFailed, match="issuer_unreachable"):
        await fresh.begin(ATTEMPT)
    http.down = False
    await fresh.begin(ATTEMPT)


async def test_signing_out_of_the_issuer_where_it_can_be() -> None:
    there = provider(TokenIssuer())
    url = await there.end_session("a.b.c", "https://cg.example/approvals/sign-in")
    assert url is not None
    assert url.startswith(
        f"{ISSUER}/logout?id_token_hint=a.b.c&client_id=pages&post_logout_redirect_uri=https%3A%2F%2Fcg"
    )
    without = TokenIssuer(end_session_endpoint=None)
    assert await provider(without).end_session("a.b.c", "x") is None
    without.give()
    signed_in = await provider(without).redeem(ATTEMPT, {"state": ATTEMPT.state, "code": "x"})
    assert signed_in.id_token is None, "it would be kept for nothing"
