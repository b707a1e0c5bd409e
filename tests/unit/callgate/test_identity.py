"""Tokens: whoever is refused, and with which code."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from identity_fakes import (
    EC_KEY,
    ISSUER,
    JWKS,
    NOW,
    OTHER_EC_KEY,
    RSA_KEY,
    Clock,
    FakeIssuer,
    b64,
    claims,
    ec_jwk,
    raw_token,
    refusal,
    rsa_jwk,
    settings,
    token,
)

from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.identity.token import TOKEN_LIMIT, credentials


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer(ec_jwk(EC_KEY, "k1"), rsa_jwk(RSA_KEY, "r1", alg="RS256"))


@pytest.fixture
def authenticator(clock: Clock, issuer: FakeIssuer) -> Authenticator:
    return Authenticator([settings()], clock=clock, http=issuer)


async def test_a_good_token_names_its_principal(authenticator: Authenticator) -> None:
    sent = token(claims(groups=["sre", "staff", "sre"], jti="t-1", auth_time=int(NOW) - 60))
    principal = await authenticator.authenticate(f"Bearer {sent}")
    assert principal.id == "alice"
    assert principal.issuer == ISSUER
    assert principal.groups == ("sre", "staff")
    assert principal.on_behalf_of is None
    assert principal.actors == ()
    assert principal.token_id == "t-1"
    assert principal.authenticated_at == datetime.fromtimestamp(NOW - 60, UTC)


@pytest.mark.parametrize(
    "sent",
    [
        lambda: token(key=RSA_KEY, kid="r1", algorithm="RS256"),
        lambda: token(typ="at+jwt"),
        lambda: token(typ="application/AT+JWT"),
        lambda: token(typ=None),
        lambda: token(claims(aud=["other", "callgate"])),
        lambda: token(claims(exp=int(NOW) - 29)),
        lambda: token(claims(nbf=NOW + 29.5)),
        lambda: token(claims(sub="Zoë Ångström")),
    ],
)
async def test_good_variants_are_accepted(authenticator: Authenticator, sent: Callable[[], str]) -> None:
    assert (await authenticator.authenticate(f"bearer {sent()}")).issuer == ISSUER


def hs256_with_public_key() -> str:
    """Key confusion: the public key, which everyone has, as HMAC secret."""
    secret = EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'k1'}).encode())}.{b64(json.dumps(claims()).encode())}"
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(signed.encode())
    return f"{signed}.{b64(mac.finalize())}"


def unsigned(algorithm: str, signature: str = "AAAA") -> str:
    return (
        f"{b64(json.dumps({'alg': algorithm, 'kid': 'k1'}).encode())}.{b64(json.dumps(claims()).encode())}.{signature}"
    )


def own_key_in_header(kid: str) -> str:
    own = ec_jwk(OTHER_EC_KEY, kid)
    return token(key=OTHER_EC_KEY, kid=kid, jwk=own, jku="https://evil.example/keys", x5u="https://evil.example/cert")


def tampered() -> str:
    header, _, signature = token().split(".")
    return f"{header}.{b64(json.dumps(claims(sub='root')).encode())}.{signature}"


def duplicated_claim() -> str:
    return raw_token('{"alg":"ES256","kid":"k1"}', json.dumps(claims())[:-1] + ', "sub": "root"}')


def actor_chain(depth: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": "a0"}
    for index in range(1, depth):
        act = {"sub": f"a{index}", "act": act}
    return act


ATTACKS: dict[str, tuple[Callable[[], str], Refusal]] = {
    "alg none, no signature": (lambda: unsigned("none", ""), Refusal.MALFORMED_TOKEN),
    "alg none": (lambda: unsigned("none"), Refusal.ALGORITHM_NOT_ALLOWED),
    "alg NoNe": (lambda: unsigned("NoNe"), Refusal.ALGORITHM_NOT_ALLOWED),
    "alg missing": (lambda: token(alg=None), Refusal.ALGORITHM_NOT_ALLOWED),
    "alg a list": (lambda: token(alg=["ES256"]), Refusal.ALGORITHM_NOT_ALLOWED),
    "key confusion HS256": (hs256_with_public_key, Refusal.ALGORITHM_NOT_ALLOWED),
    "alg of another key type": (lambda: token(alg="RS256"), Refusal.ALGORITHM_NOT_ALLOWED),
    "alg not on the list": (lambda: token(key=RSA_KEY, kid="r1", algorithm="PS256"), Refusal.ALGORITHM_NOT_ALLOWED),
    "kid unknown": (lambda: token(kid="k2"), Refusal.UNKNOWN_KEY),
    "kid a path": (lambda: token(kid="../../dev/null"), Refusal.UNKNOWN_KEY),
    "kid an SQL injection": (lambda: token(kid="' UNION SELECT 'k1"), Refusal.UNKNOWN_KEY),
    "kid a number": (lambda: token(kid=1), Refusal.MALFORMED_TOKEN),
    "own key embedded, unknown kid": (lambda: own_key_in_header("mine"), Refusal.UNKNOWN_KEY),
    "own key embedded, known kid": (lambda: own_key_in_header("k1"), Refusal.BAD_SIGNATURE),
    "signed by another key": (lambda: token(key=OTHER_EC_KEY), Refusal.BAD_SIGNATURE),
    "payload exchanged": (tampered, Refusal.BAD_SIGNATURE),
    "signature empty-ish": (lambda: unsigned("ES256"), Refusal.BAD_SIGNATURE),
    "signature all zero": (lambda: unsigned("ES256", b64(bytes(64))), Refusal.BAD_SIGNATURE),
    "signature not canonical base64": (lambda: unsigned("ES256", "AAB"), Refusal.MALFORMED_TOKEN),
    "crit": (lambda: token(crit=["exp"]), Refusal.MALFORMED_TOKEN),
    "crit of what PyJWT knows": (lambda: token(crit=["b64"], b64=True), Refusal.MALFORMED_TOKEN),
    "crit empty": (lambda: token(crit=[]), Refusal.MALFORMED_TOKEN),
    "b64 false": (lambda: token(b64=False), Refusal.MALFORMED_TOKEN),
    "typ of another use": (lambda: token(typ="logout+jwt"), Refusal.MALFORMED_TOKEN),
    "duplicate claim": (duplicated_claim, Refusal.MALFORMED_TOKEN),
    "duplicate header": (
        lambda: raw_token('{"alg":"ES256","kid":"k9","kid":"k1"}', json.dumps(claims())),
        Refusal.MALFORMED_TOKEN,
    ),
    "claims a list": (lambda: raw_token('{"alg":"ES256","kid":"k1"}', "[]"), Refusal.MALFORMED_TOKEN),
    "claims nested deep": (
        lambda: raw_token('{"alg":"ES256","kid":"k1"}', '{"a":' + "[" * 3000 + "]" * 3000 + "}"),
        Refusal.MALFORMED_TOKEN,
    ),
    "NaN": (lambda: raw_token('{"alg":"ES256","kid":"k1"}', '{"exp": NaN}'), Refusal.MALFORMED_TOKEN),
    "oversize": (lambda: token(claims(pad="x" * TOKEN_LIMIT)), Refusal.TOO_LARGE),
    "iss unknown": (lambda: token(claims(iss="https://evil.example")), Refusal.UNKNOWN_ISSUER),
    "iss with a slash": (lambda: token(claims(iss=ISSUER + "/")), Refusal.UNKNOWN_ISSUER),
    "iss a list": (lambda: token(claims(iss=[ISSUER])), Refusal.INVALID_CLAIM),
    "iss missing": (lambda: token(claims(iss=None)), Refusal.MISSING_CLAIM),
    "aud wrong": (lambda: token(claims(aud="other")), Refusal.WRONG_AUDIENCE),
    "aud a longer word": (lambda: token(claims(aud="callgate-admin")), Refusal.WRONG_AUDIENCE),
    "aud empty list": (lambda: token(claims(aud=[])), Refusal.WRONG_AUDIENCE),
    "aud an object": (lambda: token(claims(aud={"callgate": 1})), Refusal.INVALID_CLAIM),
    "aud missing": (lambda: token(claims(aud=None)), Refusal.MISSING_CLAIM),
    "expired": (lambda: token(claims(exp=int(NOW) - 31)), Refusal.EXPIRED),
    "older than max_age": (lambda: token(claims(iat=int(NOW) - 90_000)), Refusal.EXPIRED),
    "exp missing": (lambda: token(claims(exp=None)), Refusal.MISSING_CLAIM),
    "exp text": (lambda: token(claims(exp="never")), Refusal.INVALID_CLAIM),
    "exp true": (lambda: token(claims(exp=True)), Refusal.INVALID_CLAIM),
    "exp beyond all time": (lambda: token(claims(exp=10**300)), Refusal.INVALID_CLAIM),
    "iat missing": (lambda: token(claims(iat=None)), Refusal.MISSING_CLAIM),
    "iat in future": (lambda: token(claims(iat=int(NOW) + 31)), Refusal.NOT_YET_VALID),
    "nbf in future": (lambda: token(claims(nbf=int(NOW) + 31)), Refusal.NOT_YET_VALID),
    "nbf text": (lambda: token(claims(nbf="now")), Refusal.INVALID_CLAIM),
    "auth_time negative": (lambda: token(claims(auth_time=-1)), Refusal.INVALID_CLAIM),
    "sub missing": (lambda: token(claims(sub=None)), Refusal.MISSING_CLAIM),
    "sub empty": (lambda: token(claims(sub="")), Refusal.INVALID_CLAIM),
    "sub a number": (lambda: token(claims(sub=7)), Refusal.INVALID_CLAIM),
    "sub padded": (lambda: token(claims(sub="alice ")), Refusal.INVALID_CLAIM),
    "sub NUL": (lambda: token(claims(sub="alice\x00")), Refusal.INVALID_CLAIM),
    "sub new line": (lambda: token(claims(sub="alice\nroot")), Refusal.INVALID_CLAIM),
    "sub right to left": (lambda: token(claims(sub="alice\u202eecila")), Refusal.INVALID_CLAIM),
    "sub zero width": (lambda: token(claims(sub="al\u200bice")), Refusal.INVALID_CLAIM),
    "sub no-break space": (lambda: token(claims(sub="al\u00a0ice")), Refusal.INVALID_CLAIM),
    "sub decomposed": (lambda: token(claims(sub="Zoe\u0308")), Refusal.INVALID_CLAIM),
    "sub lone surrogate": (lambda: token(claims(sub="\ud800")), Refusal.MALFORMED_TOKEN),
    "sub long": (lambda: token(claims(sub="a" * 257)), Refusal.INVALID_CLAIM),
    "groups a string": (lambda: token(claims(groups="sre")), Refusal.INVALID_CLAIM),
    "groups of numbers": (lambda: token(claims(groups=[1])), Refusal.INVALID_CLAIM),
    "groups too many": (lambda: token(claims(groups=["g"] * 513)), Refusal.INVALID_CLAIM),
    "jti an object": (lambda: token(claims(jti={})), Refusal.INVALID_CLAIM),
    "act text": (lambda: token(claims(act="bot")), Refusal.INVALID_CLAIM),
    "act null": (
        lambda: raw_token('{"alg":"ES256","kid":"k1"}', json.dumps({**claims(), "act": None})),
        Refusal.INVALID_CLAIM,
    ),
    "act without sub": (lambda: token(claims(act={"groups": []})), Refusal.INVALID_CLAIM),
    "act broken inside": (lambda: token(claims(act={"sub": "bot", "act": []})), Refusal.INVALID_CLAIM),
    "act of another issuer": (
        lambda: token(claims(act={"sub": "bot", "iss": "https://other.example"})),
        Refusal.INVALID_CLAIM,
    ),
    "act too deep": (lambda: token(claims(act=actor_chain(9))), Refusal.INVALID_CLAIM),
}


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_is_refused_with_its_code(authenticator: Authenticator, issuer: FakeIssuer, name: str) -> None:
    attack, code = ATTACKS[name]
    sent = attack()
    with pytest.raises(Unauthenticated) as caught:
        await authenticator.authenticate(f"Bearer {sent}")
    assert caught.value.code is code
    assert caught.value.status == 401
    assert set(issuer.requests) <= {JWKS}, "a token chose where keys come from"
    told = f"{caught.value} {caught.value.__cause__} {caught.value.detail}"
    assert "alice" not in told
    assert not any(part in told for part in sent.split(".") if len(part) > 8)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (None, Refusal.MISSING_TOKEN),
        ("", Refusal.MISSING_TOKEN),
        ("Bearer", Refusal.MALFORMED_TOKEN),
        ("Bearer ", Refusal.MALFORMED_TOKEN),
        ("Bearer  {}", Refusal.MALFORMED_TOKEN),
        ("Bearer {} ", Refusal.MALFORMED_TOKEN),
        ("Bearer {}\n", Refusal.MALFORMED_TOKEN),
        ("Bearer\t{}", Refusal.MALFORMED_TOKEN),
        (" Bearer {}", Refusal.MALFORMED_TOKEN),
        ("Bearer {}, Bearer {}", Refusal.MALFORMED_TOKEN),
        ("Bearer {}=", Refusal.MALFORMED_TOKEN),
        ("Bearer {}.x", Refusal.MALFORMED_TOKEN),
        ("Basic {}", Refusal.MALFORMED_TOKEN),
        ("{}", Refusal.MALFORMED_TOKEN),
    ],
)
async def test_the_scheme_is_parsed_strictly(authenticator: Authenticator, sent: str | None, code: Refusal) -> None:
    assert await refusal(authenticator, sent.replace("{}", token()) if sent else sent) is code


def test_a_challenge_names_an_error_only_where_a_token_was_sent() -> None:
    assert Unauthenticated(Refusal.MISSING_TOKEN, "").challenge == "Bearer"
    assert Unauthenticated(Refusal.EXPIRED, "").challenge == 'Bearer error="invalid_token"'


@given(st.text(max_size=200))
def test_any_header_is_a_token_or_unauthenticated(sent: str) -> None:
    for header in (sent, f"Bearer {sent}"):
        try:
            found = credentials(header).token
        except Unauthenticated:
            continue
        assert header.split(" ")[1] == found


@given(st.binary(max_size=120), st.binary(max_size=120), st.binary(min_size=1, max_size=80))
def test_any_segments_are_unauthenticated(header: bytes, payload: bytes, signature: bytes) -> None:
    """No parser's exception escapes, whatever the segments decode to."""
    authenticator = Authenticator([settings()], clock=Clock(), http=FakeIssuer(ec_jwk(EC_KEY, "k1")))
    sent = f"Bearer {b64(header)}.{b64(payload)}.{b64(signature)}"
    with pytest.raises(Unauthenticated):
        asyncio.run(authenticator.authenticate(sent))


async def test_the_honest_token_with_a_key_url_is_verified_with_our_keys_only(
    authenticator: Authenticator, issuer: FakeIssuer
) -> None:
    sent = token(jku="https://evil.example/keys", x5u="https://evil.example/cert")
    assert (await authenticator.authenticate(f"Bearer {sent}")).id == "alice"
    assert issuer.requests == [JWKS]


async def test_delegation_names_the_agent_its_user_and_the_chain(clock: Clock, issuer: FakeIssuer) -> None:
    authenticator = Authenticator([settings(subject_prefix="corp:")], clock=clock, http=issuer)
    act = {"sub": "support-bot", "groups": ["bots"], "iss": ISSUER, "act": {"sub": "router", "act": {"sub": "portal"}}}
    principal = await authenticator.authenticate(f"Bearer {token(claims(groups=['finance'], act=act))}")
    assert principal.id == "corp:support-bot"
    assert principal.on_behalf_of == "corp:alice"
    assert principal.actors == ("corp:support-bot", "corp:router", "corp:portal")
    assert principal.people == {"corp:support-bot", "corp:alice", "corp:router", "corp:portal"}
    assert principal.groups == ("bots",), "the user's groups are not lent to the agent"


async def test_the_longest_chain_of_actors_is_accepted(authenticator: Authenticator) -> None:
    principal = await authenticator.authenticate(f"Bearer {token(claims(act=actor_chain(8)))}")
    assert principal.actors == tuple(f"a{index}" for index in range(7, -1, -1))


@pytest.mark.parametrize(
    ("path", "more", "groups"),
    [
        ("realm_access.roles", {"realm_access": {"roles": ["sre"]}}, ("sre",)),
        ("realm_access.roles", {"realm_access": ["sre"]}, ()),
        ("realm_access.roles", {}, ()),
        ("https://x.example/groups", {"https://x.example/groups": ["sre"]}, ("sre",)),
        ("groups", {"roles": ["sre"]}, ()),
    ],
)
async def test_groups_come_from_the_configured_claim(
    clock: Clock, issuer: FakeIssuer, path: str, more: dict[str, Any], groups: tuple[str, ...]
) -> None:
    authenticator = Authenticator([settings(groups_claim=path)], clock=clock, http=issuer)
    assert (await authenticator.authenticate(f"Bearer {token(claims(**more))}")).groups == groups
