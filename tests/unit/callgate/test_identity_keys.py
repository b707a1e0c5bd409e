"""An issuer's keys: which are used, for how long, and how often they are asked for."""

import asyncio
import json
from typing import Any

import pytest
from identity_fakes import (
    EC_KEY,
    ISSUER,
    JWKS,
    NOW,
    OTHER_EC_KEY,
    RSA_KEY,
    Clock,
    FakeIssuer,
    claims,
    ec_jwk,
    refusal,
    rsa_jwk,
    settings,
    token,
)
from pydantic import ValidationError

from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Refusal, Unauthenticated


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def issuer() -> FakeIssuer:
    return FakeIssuer(ec_jwk(EC_KEY, "k1"), rsa_jwk(RSA_KEY, "r1", alg="RS256"))


@pytest.fixture
def authenticator(clock: Clock, issuer: FakeIssuer) -> Authenticator:
    return Authenticator([settings()], clock=clock, http=issuer)


async def test_rotation_is_followed_and_the_withdrawn_key_ends(
    authenticator: Authenticator, issuer: FakeIssuer, clock: Clock
) -> None:
    old = f"Bearer {token()}"
    new = f"Bearer {token(key=OTHER_EC_KEY, kid='k2')}"
    await authenticator.authenticate(old)
    issuer.publish(ec_jwk(OTHER_EC_KEY, "k2"), ec_jwk(EC_KEY, "k1"))
    clock.now += 10
    assert (await authenticator.authenticate(new)).id == "alice"
    assert (await authenticator.authenticate(old)).id == "alice"
    assert len(issuer.requests) == 2

    issuer.publish(ec_jwk(OTHER_EC_KEY, "k2"))
    clock.now += 599
    old = f"Bearer {token(claims(iat=int(clock.now), exp=int(clock.now) + 600))}"
    assert (await authenticator.authenticate(old)).id == "alice", "within keys_max_age"
    clock.now += 1
    assert await refusal(authenticator, old) is Refusal.UNKNOWN_KEY, "the cached token went with its key"


async def test_an_unchanged_key_set_keeps_the_cached_tokens(
    authenticator: Authenticator, issuer: FakeIssuer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = f"Bearer {token(claims(exp=int(NOW) + 6000))}"
    first = await authenticator.authenticate(sent)
    monkeypatch.setattr(authenticator, "_verify", None)  # from here on, only the cache can answer
    issuer.publish(rsa_jwk(RSA_KEY, "r1", alg="RS256"), ec_jwk(EC_KEY, "k1"))
    clock.now += 601
    assert await authenticator.authenticate(sent) is first
    assert len(issuer.requests) == 2


async def test_a_cached_token_still_expires(authenticator: Authenticator, clock: Clock) -> None:
    sent = f"Bearer {token(claims(exp=int(NOW) + 100))}"
    await authenticator.authenticate(sent)
    clock.now += 129
    await authenticator.authenticate(sent)
    clock.now += 1
    assert await refusal(authenticator, sent) is Refusal.EXPIRED


async def test_a_cached_token_does_not_count_before_its_time(authenticator: Authenticator, clock: Clock) -> None:
    sent = f"Bearer {token()}"
    await authenticator.authenticate(sent)
    clock.now -= 31
    assert await refusal(authenticator, sent) is Refusal.NOT_YET_VALID


async def test_the_cache_is_bounded(clock: Clock, issuer: FakeIssuer) -> None:
    authenticator = Authenticator([settings()], clock=clock, http=issuer, cache_size=2)
    sent = [f"Bearer {token(claims(jti=str(number)))}" for number in range(3)]
    first = await authenticator.authenticate(sent[0])
    second = await authenticator.authenticate(sent[1])
    assert await authenticator.authenticate(sent[0]) is first
    await authenticator.authenticate(sent[2])
    assert await authenticator.authenticate(sent[0]) is first, "used last, so kept"
    assert await authenticator.authenticate(sent[1]) is not second, "the least recently used went"


async def test_a_flood_of_unknown_kids_costs_one_fetch_an_interval(
    authenticator: Authenticator, issuer: FakeIssuer, clock: Clock
) -> None:
    await authenticator.authenticate(f"Bearer {token()}")
    clock.now += 10
    flood = [f"Bearer {token(kid=f'x{number}')}" for number in range(50)]
    codes = await asyncio.gather(*(refusal(authenticator, sent) for sent in flood))
    assert set(codes) == {Refusal.UNKNOWN_KEY}
    assert len(issuer.requests) == 2
    clock.now += 9.9
    await refusal(authenticator, flood[0])
    assert len(issuer.requests) == 2
    clock.now += 0.1
    await refusal(authenticator, flood[0])
    assert len(issuer.requests) == 3


async def test_concurrent_callers_share_one_fetch_and_one_who_leaves_does_not_end_it(
    authenticator: Authenticator, issuer: FakeIssuer
) -> None:
    issuer.gate = asyncio.Event()
    sent = f"Bearer {token()}"
    leaving = asyncio.create_task(authenticator.authenticate(sent))
    await issuer.asked.wait()
    staying = [asyncio.create_task(authenticator.authenticate(sent)) for _ in range(20)]
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert leaving.cancelled()
    issuer.gate.set()
    assert {principal.id for principal in await asyncio.gather(*staying)} == {"alice"}
    assert issuer.requests == [JWKS]


async def test_an_issuer_never_reached_is_a_503_and_is_tried_again(
    authenticator: Authenticator, issuer: FakeIssuer, clock: Clock
) -> None:
    issuer.down = True
    sent = f"Bearer {token()}"
    with pytest.raises(Unauthenticated) as caught:
        await authenticator.authenticate(sent)
    assert (caught.value.code, caught.value.status) == (Refusal.ISSUER_UNREACHABLE, 503)
    issuer.down = False
    assert await refusal(authenticator, sent) is Refusal.ISSUER_UNREACHABLE, "not yet tried again"
    assert len(issuer.requests) == 1
    clock.now += 1
    assert (await authenticator.authenticate(sent)).id == "alice"


async def test_stale_keys_serve_while_the_issuer_is_away_but_not_for_ever(
    authenticator: Authenticator, issuer: FakeIssuer, clock: Clock
) -> None:
    cached = f"Bearer {token(claims(exp=int(NOW) + 9000))}"
    await authenticator.authenticate(cached)
    issuer.down = True
    clock.now += 601
    assert (await authenticator.authenticate(cached)).id == "alice"
    uncached = f"Bearer {token(claims(exp=int(NOW) + 9000, jti='2'))}"
    assert (await authenticator.authenticate(uncached)).id == "alice"
    assert len(issuer.requests) == 2, "one failed attempt, then the interval"
    unknown = f"Bearer {token(kid='k2')}"
    assert await refusal(authenticator, unknown) is Refusal.ISSUER_UNREACHABLE, "the key may well be a new one"
    clock.now = NOW + 600 + 3600
    assert await refusal(authenticator, cached) is Refusal.ISSUER_UNREACHABLE
    issuer.down = False
    clock.now += 10
    assert (await authenticator.authenticate(cached)).id == "alice"


async def test_with_stale_keys_only_the_first_failure_is_waited_for(
    authenticator: Authenticator, issuer: FakeIssuer, clock: Clock
) -> None:
    sent = f"Bearer {token(claims(exp=int(NOW) + 9000))}"
    await authenticator.authenticate(sent)
    issuer.down = True
    clock.now += 601
    await authenticator.authenticate(sent)
    issuer.gate = asyncio.Event()  # from here on the issuer hangs
    clock.now += 10
    async with asyncio.timeout(10):
        assert (await authenticator.authenticate(sent)).id == "alice"
    await authenticator.aclose()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": [null, 1]}',
        b'{"keys": [{"kty": "EC"}]}',
    ],
)
async def test_a_broken_key_set_is_as_if_the_issuer_were_away(
    authenticator: Authenticator, issuer: FakeIssuer, clock: Clock, document: bytes
) -> None:
    sent = f"Bearer {token(claims(exp=int(NOW) + 9000))}"
    await authenticator.authenticate(sent)
    issuer.documents[JWKS] = document
    clock.now += 601
    assert (await authenticator.authenticate(sent)).id == "alice", "the former keys stay"
    fresh = Authenticator([settings()], clock=clock, http=issuer)
    assert await refusal(fresh, sent) is Refusal.ISSUER_UNREACHABLE


# -- discovery and settings --

DISCOVERY = ISSUER + "/.well-known/openid-configuration"


async def test_without_a_key_url_it_is_discovered(clock: Clock, issuer: FakeIssuer) -> None:
    issuer.documents[DISCOVERY] = json.dumps({"issuer": ISSUER, "jwks_uri": JWKS}).encode()
    authenticator = Authenticator([settings(jwks_url=None)], clock=clock, http=issuer)
    assert (await authenticator.authenticate(f"Bearer {token()}")).id == "alice"
    assert issuer.requests == [DISCOVERY, JWKS]


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example", "jwks_uri": JWKS},
        {"issuer": ISSUER, "jwks_uri": "http://id.example/keys"},
        {"issuer": ISSUER, "jwks_uri": "http://127.0.0.1:8222/varz"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
        {"issuer": ISSUER, "jwks_uri": 5},
        {"issuer": ISSUER},
        [],
    ],
)
async def test_a_doubtful_discovery_document_is_not_followed(clock: Clock, issuer: FakeIssuer, document: Any) -> None:
    issuer.documents[DISCOVERY] = json.dumps(document).encode()
    authenticator = Authenticator([settings(jwks_url=None)], clock=clock, http=issuer)
    assert await refusal(authenticator, f"Bearer {token()}") is Refusal.ISSUER_UNREACHABLE
    assert issuer.requests == [DISCOVERY]


async def test_an_issuer_cannot_speak_for_another(clock: Clock, issuer: FakeIssuer) -> None:
    other = "https://other.example"
    issuer.documents[other + "/keys"] = json.dumps({"keys": [ec_jwk(OTHER_EC_KEY, "k1")]}).encode()
    both = [
        settings(subject_prefix="a:"),
        settings(issuer=other, jwks_url=other + "/keys", subject_prefix="b:"),
    ]
    authenticator = Authenticator(both, clock=clock, http=issuer)
    forged = token(claims(iss=ISSUER), key=OTHER_EC_KEY)
    assert await refusal(authenticator, f"Bearer {forged}") is Refusal.BAD_SIGNATURE
    own = token(claims(iss=other), key=OTHER_EC_KEY)
    assert (await authenticator.authenticate(f"Bearer {own}")).id == "b:alice"


@pytest.mark.parametrize(
    ("prefixes", "message"),
    [(("", ""), "subject_prefix"), (("", "b:"), "subject_prefix"), (("a", "ab"), "subject_prefix")],
)
def test_prefixes_must_keep_issuers_apart(prefixes: tuple[str, str], message: str) -> None:
    both = [settings(subject_prefix=prefixes[0]), settings(issuer="https://o.example", subject_prefix=prefixes[1])]
    with pytest.raises(ValueError, match=message):
        Authenticator(both, clock=Clock(), http=FakeIssuer())


def test_no_issuer_and_one_twice_are_refused() -> None:
    for issuers in ([], [settings(subject_prefix="a:"), settings(subject_prefix="b:")]):
        with pytest.raises(ValueError, match="issuer"):
            Authenticator(issuers, clock=Clock(), http=FakeIssuer())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"algorithms": ("none",)}, "mint tokens"),
        ({"algorithms": ("ES256", "HS256")}, "mint tokens"),
        ({"algorithms": ("hs512",)}, "mint tokens"),
        ({"algorithms": ("ES256K",)}, "unknown algorithm"),
        ({"algorithms": ()}, "at least 1"),
        ({"issuer": "http://id.example"}, "must use https"),
        ({"issuer": "id.example"}, "absolute"),
        ({"jwks_url": "https://user:pw@id.example/keys"}, "neither user"),
        ({"jwks_url": "https://id.example:99999/keys"}, "no URL"),
        ({"audience": ""}, "at least 1"),
        ({"jwks": "x"}, "Extra inputs"),
    ],
)
def test_unsafe_settings_are_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings(**more)


def test_plain_http_is_for_this_machine_or_by_a_frightening_name() -> None:
    for url in ("http://127.0.0.1:8099", "http://localhost:8099", "http://[::1]:8099"):
        assert settings(issuer=url, jwks_url=None).discovery_urls[0] == url + "/.well-known/openid-configuration"
    assert settings(issuer="http://keycloak:8080/realms/a/", unsafe_plain_http=True)
