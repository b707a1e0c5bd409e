"""Which keys of an issuer's set are used, and for which tokens."""

from collections.abc import Iterator
from math import prod
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from identity_fakes import (
    EC_KEY,
    OTHER_EC_KEY,
    RSA_KEY,
    Clock,
    FakeIssuer,
    b64,
    ec_jwk,
    refusal,
    rsa_jwk,
    settings,
    token,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Refusal


@pytest.fixture
def clock() -> Clock:
    return Clock()


def unusable_keys() -> Iterator[tuple[str, dict[str, Any]]]:
    good = ec_jwk(EC_KEY, "k1")
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    modulus = RSA_KEY.public_key().public_numbers().n
    primes = prod(n for n in range(2, 168) if all(n % smaller for smaller in range(2, n)))
    computable = ((1 << 2047) // primes + 1) * primes + pow(65537, 12345, primes)
    yield "for encryption", {**good, "use": "enc"}
    yield "not for verifying", {**good, "key_ops": ["encrypt"]}
    yield "symmetric", {"kty": "oct", "kid": "k1", "k": b64(b"s" * 32)}
    yield "symmetric in disguise", {"kty": "oct", "kid": "k1", "k": b64(b"s" * 32), "alg": "ES256"}
    yield "private", ECAlgorithm.to_jwk(EC_KEY, as_dict=True) | {"kid": "k1"}
    yield "another alg", {**good, "alg": "ES384"}
    yield "an alg that nobody registered", {**good, "alg": "ES521"}
    yield "an alg of encryption", rsa_jwk(RSA_KEY, "k1", alg="RSA1_5")
    yield "another curve than its point's", {**good, "crv": "P-384"}
    yield "another type than its members'", {**good, "kty": "RSA"}
    yield "alg of another type", {**good, "alg": "RS256"}
    yield "off the curve", {**good, "x": b64(bytes(31) + b"\x01")}
    yield "numbers for text", {**good, "x": 5}
    yield "kid no text", {**good, "kid": 5}
    yield "unknown type", {**good, "kty": "X"}
    yield "unknown curve", {**good, "crv": "secp256k1"}
    yield "weak RSA", rsa_jwk(weak, "k1")
    yield "RSA without a secret", _rsa_of(modulus, 1)
    yield "RSA with an even exponent", _rsa_of(modulus, 65536)
    yield "RSA of chips that chose badly (ROCA)", _rsa_of(computable, 65537)


def _rsa_of(modulus: int, exponent: int) -> dict[str, Any]:
    members = {
        name: b64(number.to_bytes(-(-number.bit_length() // 8))) for name, number in (("n", modulus), ("e", exponent))
    }
    return {"kty": "RSA", "kid": "k1", **members}


@pytest.mark.parametrize(
    ("why", "key"), list(unusable_keys()), ids=lambda value: value if isinstance(value, str) else ""
)
async def test_an_unusable_key_is_ignored_beside_good_ones(clock: Clock, why: str, key: dict[str, Any]) -> None:
    issuer = FakeIssuer(key, ec_jwk(OTHER_EC_KEY, "k2"))
    authenticator = Authenticator([settings()], clock=clock, http=issuer)
    assert await refusal(authenticator, f"Bearer {token()}") is Refusal.UNKNOWN_KEY, why
    assert (await authenticator.authenticate(f"Bearer {token(key=OTHER_EC_KEY, kid='k2')}")).id == "alice"


async def test_a_token_without_kid_needs_a_single_fitting_key(clock: Clock) -> None:
    sent = f"Bearer {token(kid=None)}"
    single = FakeIssuer(ec_jwk(EC_KEY, None), rsa_jwk(RSA_KEY, "r1"))
    assert (await Authenticator([settings()], clock=clock, http=single).authenticate(sent)).id == "alice"
    several = FakeIssuer(ec_jwk(EC_KEY, "k1"), ec_jwk(OTHER_EC_KEY, "k2"))
    assert await refusal(Authenticator([settings()], clock=clock, http=several), sent) is Refusal.UNKNOWN_KEY


async def test_ed25519_and_pss_work_where_allowed(clock: Clock) -> None:
    edwards = ed25519.Ed25519PrivateKey.generate()
    jwk = {**OKPAlgorithm.to_jwk(edwards.public_key(), as_dict=True), "kid": "e1"}
    issuer = FakeIssuer(jwk, rsa_jwk(RSA_KEY, "r1"))
    authenticator = Authenticator([settings(algorithms=("EdDSA", "PS256"))], clock=clock, http=issuer)
    for sent in (token(key=edwards, kid="e1", algorithm="EdDSA"), token(key=RSA_KEY, kid="r1", algorithm="PS256")):
        assert (await authenticator.authenticate(f"Bearer {sent}")).id == "alice"
