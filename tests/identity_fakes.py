"""An issuer and its tokens, in memory."""

import asyncio
import base64
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.identity.fetch import FetchFailed
from callgate.identity.settings import IssuerSettings

ISSUER = "https://id.example"
JWKS = "https://id.example/keys"
NOW = 1_800_000_000.0

EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class FakeIssuer:
    """A Fetcher: answers with the documents it holds, counts, fails or hangs when told to."""

    def __init__(self, *keys: dict[str, Any]) -> None:
        self.documents: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.down = False
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self.publish(*keys)

    def publish(self, *keys: dict[str, Any]) -> None:
        self.documents[JWKS] = json.dumps({"keys": keys}).encode()

    async def get(self, url: str) -> bytes:
        self.requests.append(url)
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.down or url not in self.documents:
            raise FetchFailed("away")
        return self.documents[url]


def ec_jwk(key: ec.EllipticCurvePrivateKey, kid: str | None, **more: Any) -> dict[str, Any]:
    return {**ECAlgorithm.to_jwk(key.public_key(), as_dict=True), **({"kid": kid} if kid else {}), **more}


def rsa_jwk(key: rsa.RSAPrivateKey, kid: str, **more: Any) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, **more}


def settings(**more: Any) -> IssuerSettings:
    return IssuerSettings(**{"issuer": ISSUER, "jwks_url": JWKS, "audience": "callgate", **more})


def claims(**more: Any) -> dict[str, Any]:
    """Good claims; None leaves one out."""
    good = {"iss": ISSUER, "sub": "alice", "aud": "callgate", "iat": int(NOW), "exp": int(NOW) + 600}
    return {name: value for name, value in {**good, **more}.items() if value is not None}


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw_token(header: str, payload: str, key: Any = EC_KEY, algorithm: str = "ES256") -> str:
    """A correctly signed token over exactly this text, which no honest library would write."""
    signed = f"{b64(header.encode())}.{b64(payload.encode())}"
    signature = jwt.get_algorithm_by_name(algorithm).sign(signed.encode(), key)
    return f"{signed}.{b64(signature)}"


def token(
    payload: dict[str, Any] | None = None,
    *,
    key: Any = EC_KEY,
    kid: Any = "k1",
    algorithm: str = "ES256",
    **header: Any,
) -> str:
    full = {"alg": algorithm, "typ": "JWT", **({"kid": kid} if kid is not None else {}), **header}
    full = {name: value for name, value in full.items() if value is not None}
    return raw_token(json.dumps(full), json.dumps(claims() if payload is None else payload), key, algorithm)


async def refusal(authenticator: Authenticator, sent: str | None) -> Refusal:
    with pytest.raises(Unauthenticated) as caught:
        await authenticator.authenticate(sent)
    return caught.value.code
