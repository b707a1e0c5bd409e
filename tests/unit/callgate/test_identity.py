"""Tokens: whoever is refused, and with which code."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from identity_attacks import ATTACKS, actor_chain
from identity_fakes import (
    EC_KEY,
    ISSUER,
    JWKS,
    NOW,
    RSA_KEY,
    Clock,
    FakeIssuer,
    b64,
    claims,
    ec_jwk,
    refusal,
    rsa_jwk,
    settings,
    token,
)
from identity_signatures import pss_signatures, signatures, well_made

from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.identity.token import credentials


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


BENT = dict(signatures()) | dict(pss_signatures())


@pytest.fixture
def any_of_its_key(clock: Clock) -> Authenticator:
    """Takes whatever its issuer's keys may verify, so that a signature is refused for what it is."""
    issuer = FakeIssuer(ec_jwk(EC_KEY, "k1"), rsa_jwk(RSA_KEY, "r1"))
    return Authenticator([settings(algorithms=("ES256", "RS256", "PS256"))], clock=clock, http=issuer)


@pytest.mark.parametrize("name", BENT)
async def test_a_bent_signature_is_refused(any_of_its_key: Authenticator, name: str) -> None:
    code = await refusal(any_of_its_key, f"Bearer {BENT[name]}")
    assert code in (Refusal.MALFORMED_TOKEN, Refusal.BAD_SIGNATURE)


@pytest.mark.parametrize(("algorithm", "sent"), list(well_made()))
async def test_what_bends_signatures_makes_good_ones_too(
    any_of_its_key: Authenticator, algorithm: str, sent: str
) -> None:
    assert (await any_of_its_key.authenticate(f"Bearer {sent}")).id == "alice", algorithm


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
