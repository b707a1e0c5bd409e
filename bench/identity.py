"""What it costs to know who asks: `python -m bench.identity`. Microseconds of CPU, the best of five rounds."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from callgate.identity.authenticator import Authenticator
from callgate.identity.proofs import Request, check_proof, thumbprint_of, token_hash
from callgate.identity.settings import IssuerSettings
from contracts.events import Sealed
from contracts.identity import Principal
from contracts.records import Record, Revoked, Unrevoked, make_record
from contracts.revocations import Revocations
from contracts.subjects import revocation_subject

_ROUNDS, _TIMES = 5, 500
_ISSUER, _URL = "https://id.example", "https://callgate.example/v1/calls"
_SINCE = datetime.now(UTC)


class _Keys:
    """A Fetcher with the issuer's one document."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self._document = json.dumps({"keys": keys}).encode()

    async def get(self, url: str) -> bytes:
        del url
        return self._document


def _claims(number: int) -> dict[str, Any]:
    now = int(time.time())
    groups = [f"group-{index}" for index in range(8)]
    times = {"iat": now, "exp": now + 3600}
    return {"iss": _ISSUER, "sub": "support-bot", "aud": "callgate", "jti": str(number), "groups": groups, **times}


def _revoked(number: int) -> Record[Revoked | Unrevoked]:
    by = Principal(id="rosa", issuer=_ISSUER)
    sealed = Sealed(key_id="k", nonce="AAAAAAAAAAAAAAAA", ciphertext="c2VhbGVk")
    data = Revoked(revocation_id=str(number), scope="token", target=f"t-{number}", issuer=_ISSUER, by=by, reason=sealed)
    return make_record(str(number), "bench", revocation_subject(str(number)), _SINCE, data)


async def _microseconds(work: Callable[[int], Awaitable[object]]) -> float:
    best = float("inf")
    for round_ in range(_ROUNDS):
        begin = time.process_time()
        for number in range(_TIMES):
            await work(round_ * _TIMES + number)
        best = min(best, time.process_time() - begin)
    return best / _TIMES * 1e6


async def _measured() -> dict[str, float]:
    curve, modulus = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    keys = _Keys(
        {**ECAlgorithm.to_jwk(curve.public_key(), as_dict=True), "kid": "e"},
        {**RSAAlgorithm.to_jwk(modulus.public_key(), as_dict=True), "kid": "r"},
    )
    issuer = IssuerSettings(issuer=_ISSUER, jwks_url=f"{_ISSUER}/keys", audience="callgate")
    count = _ROUNDS * _TIMES
    fresh = {
        "ES256": [jwt.encode(_claims(n), curve, "ES256", {"kid": "e"}) for n in range(count)],
        "RS256": [jwt.encode(_claims(n), modulus, "RS256", {"kid": "r"}) for n in range(count)],
    }
    found: dict[str, float] = {}
    for algorithm, tokens in fresh.items():
        authenticator = Authenticator([issuer], clock=time.time, http=keys)

        async def verify(number: int, asked: Authenticator = authenticator, sent: list[str] = tokens) -> object:
            return await asked.authenticate(f"Bearer {sent[number]}")

        found[f"a new token, {algorithm}"] = await _microseconds(verify)
    again = fresh["ES256"][0]
    known = Authenticator([issuer], clock=time.time, http=keys)
    found["a known token"] = await _microseconds(lambda _: known.authenticate(f"Bearer {again}"))
    book = Revocations()
    for number in range(10_000):
        book.apply(_revoked(number))
    asked = Authenticator(
        [issuer],
        clock=time.time,
        http=keys,
        revoked=lambda one: book.ending(one.principal, _SINCE, _SINCE) is not None,
    )
    found["a known token, beside 10,000 revocations"] = await _microseconds(
        lambda _: asked.authenticate(f"Bearer {again}")
    )
    found["a DPoP proof, without its record on the broker"] = await _proof(curve, again, count)
    return found


async def _proof(key: ec.EllipticCurvePrivateKey, token: str, count: int) -> float:
    member = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    thumbprint, now = thumbprint_of(member), time.time()
    body = {"htm": "POST", "htu": _URL, "iat": int(now), "ath": token_hash(token)}
    head = {"typ": "dpop+jwt", "jwk": member}
    proofs = [jwt.encode({**body, "jti": str(number)}, key, "ES256", head) for number in range(count)]

    async def check(number: int) -> object:
        return check_proof(proofs[number], token, thumbprint, Request("POST", _URL), now, 60)

    return await _microseconds(check)


def main() -> None:
    for name, cost in asyncio.run(_measured()).items():
        print(f"{cost:8.1f} µs  {name}")


if __name__ == "__main__":
    main()
