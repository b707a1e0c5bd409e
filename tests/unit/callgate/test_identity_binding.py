"""Tokens bound to a key: which proofs count (RFC 9449), and whose word on a certificate (RFC 8705)."""

import contextlib
import json
import uuid
from typing import Any
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from identity_certificates import HOLDER, JWK, PEM, RFC9440, THUMBPRINT
from identity_fakes import (
    EC_KEY,
    NOW,
    OTHER_EC_KEY,
    RSA_KEY,
    Clock,
    FakeIssuer,
    b64,
    claims,
    ec_jwk,
    raw_token,
    rsa_jwk,
    settings,
    token,
)
from jwt.algorithms import OKPAlgorithm

from callgate.identity.authenticator import Authenticator
from callgate.identity.binding import PEER, VERIFIED, Binding, Presented, passed_on_certificate
from callgate.identity.errors import PROOF_ALGORITHMS, Refusal, Unauthenticated
from callgate.identity.proofs import PROOF_LIMIT, thumbprint_of, token_hash
from callgate.identity.settings import ClientCertificateSettings

URL = "https://callgate.example"
CALLS = f"{URL}/v1/calls"
BOUND = token(claims(cnf={"jkt": thumbprint_of(JWK)}))


class Used:
    def __init__(self) -> None:
        self.seen: set[str] = set()

    async def use(self, proof: str) -> bool:
        first = proof not in self.seen
        self.seen.add(proof)
        return first


def authenticator(**more: Any) -> Authenticator:
    clock = Clock()
    binding = Binding(clock, Used(), URL)
    return Authenticator([settings(**more)], clock=clock, http=FakeIssuer(ec_jwk(EC_KEY, "k1")), binding=binding)


def proof(key: Any = HOLDER, algorithm: str = "ES256", header: dict[str, Any] | None = None, **more: Any) -> str:
    """A good proof for a POST of a call with the bound token, but for what is said otherwise; None leaves out."""
    head = {"typ": "dpop+jwt", "alg": algorithm, "jwk": JWK, **(header or {})}
    body = {"jti": str(uuid.uuid4()), "htm": "POST", "htu": CALLS, "iat": int(NOW), "ath": token_hash(BOUND), **more}
    kept = [{name: value for name, value in part.items() if value is not None} for part in (head, body)]
    return raw_token(json.dumps(kept[0]), json.dumps(kept[1]), key, algorithm)


async def sent(
    found: Authenticator,
    *proofs: str,
    scheme: str = "DPoP",
    access: str = BOUND,
    method: str = "POST",
    url: str = CALLS,
) -> Refusal | None:
    try:
        await found.authenticate(f"{scheme} {access}", Presented(method, url, proofs))
    except Unauthenticated as refused:
        return refused.code if refused.status == 401 else None
    return None


async def test_a_fresh_proof_by_the_right_key_counts_once() -> None:
    found = authenticator()
    first = proof()
    principal = await found.authenticate(f"dpop {BOUND}", Presented("POST", CALLS, (first,)))
    assert (principal.id, principal.bound_by) == ("alice", "dpop")
    assert await sent(found, first) is Refusal.PROOF_REPLAYED
    assert await sent(found, proof()) is None


@pytest.mark.parametrize(
    "variant",
    [
        {"htu": "HTTPS://CALLGATE.example:443/v1/calls"},
        {"htu": f"{CALLS}?x=1#y"},
        {"iat": int(NOW) - 60},
        {"iat": NOW + 59.5},
        {"jti": "x"},
    ],
)
async def test_good_variants_of_a_proof(variant: dict[str, Any]) -> None:
    assert await sent(authenticator(), proof(**variant)) is None


async def test_a_proof_may_be_signed_with_other_kinds_of_keys() -> None:
    edwards = ed25519.Ed25519PrivateKey.generate()
    for key, algorithm, jwk in (
        (RSA_KEY, "PS256", {name: value for name, value in rsa_jwk(RSA_KEY, "x").items() if name != "kid"}),
        (edwards, "EdDSA", OKPAlgorithm.to_jwk(edwards.public_key(), as_dict=True)),
    ):
        access = token(claims(cnf={"jkt": thumbprint_of(jwk)}))
        made = proof(key, algorithm, {"jwk": jwk}, ath=token_hash(access))
        assert await sent(authenticator(), made, access=access) is None


PRIVATE = {**JWK, "d": b64(HOLDER.private_numbers().private_value.to_bytes(32))}
SYMMETRIC = {"kty": "oct", "k": b64(b"x" * 32)}
BAD_PROOFS: dict[str, Any] = {
    "of another key": lambda: proof(OTHER_EC_KEY, header={"jwk": ec_jwk(OTHER_EC_KEY, None)}),
    "the right key named, another used": lambda: proof(OTHER_EC_KEY),
    "another method": lambda: proof(htm="GET"),
    "method in lower case": lambda: proof(htm="post"),
    "another path": lambda: proof(htu=f"{URL}/v1/calls/x"),
    "another host": lambda: proof(htu="https://evil.example/v1/calls"),
    "another scheme": lambda: proof(htu="http://callgate.example/v1/calls"),
    "another port": lambda: proof(htu="https://callgate.example:8443/v1/calls"),
    "no URL": lambda: proof(htu=7),
    "a broken URL": lambda: proof(htu="https://callgate.example:port/v1/calls"),
    "of another token": lambda: proof(ath=token_hash(token())),
    "without a token": lambda: proof(ath=None),
    "too old": lambda: proof(iat=int(NOW) - 61),
    "from the future": lambda: proof(iat=int(NOW) + 61),
    "iat a text": lambda: proof(iat=str(int(NOW))),
    "iat true": lambda: proof(iat=True),
    "iat beyond what a float holds": lambda: proof(iat=10**309),
    "no jti": lambda: proof(jti=None),
    "jti empty": lambda: proof(jti=""),
    "jti long": lambda: proof(jti="x" * 257),
    "an access token": lambda: token(claims(jti="x", htm="POST", htu=CALLS, ath=token_hash(BOUND))),
    "typ JWT": lambda: proof(header={"typ": "JWT"}),
    "no typ": lambda: proof(header={"typ": None}),
    "no key": lambda: proof(header={"jwk": None}),
    "a private key": lambda: proof(header={"jwk": PRIVATE}),
    "a symmetric key": lambda: proof(header={"jwk": SYMMETRIC}),
    "alg none": lambda: proof(header={"alg": "none"}),
    "alg HS256": lambda: proof(header={"alg": "HS256"}),
    "alg of another curve": lambda: proof(header={"alg": "ES384"}),
    "alg a list": lambda: proof(header={"alg": ["ES256"]}),
    "crit": lambda: proof(header={"crit": ["x"], "x": 1}),
    "b64 false": lambda: proof(header={"b64": False}),
    "jwk of broken numbers": lambda: proof(header={"jwk": {**JWK, "x": 5}}),
    "too long": lambda: proof(pad="x" * PROOF_LIMIT),
    "no JWT": lambda: "abc",
    "payload exchanged": lambda: ".".join((proof().split(".")[0], proof().split(".")[1], proof().split(".")[2])),
    "duplicate members": lambda: raw_token(
        json.dumps({"typ": "dpop+jwt", "alg": "ES256", "jwk": JWK}), '{"jti":"a","jti":"b"}', HOLDER
    ),
}


@pytest.mark.parametrize("name", BAD_PROOFS)
async def test_a_proof_that_proves_nothing_is_refused(name: str) -> None:
    assert await sent(authenticator(), BAD_PROOFS[name]()) is Refusal.INVALID_PROOF


async def test_a_bound_token_is_no_bearer_token_and_a_bearer_token_is_not_bound() -> None:
    found = authenticator()
    assert await sent(found, proof(), scheme="Bearer") is Refusal.PROOF_REQUIRED
    assert await sent(found) is Refusal.PROOF_REQUIRED
    assert await sent(found, proof(), proof()) is Refusal.PROOF_REQUIRED
    plain = token()
    assert await sent(found, proof(ath=token_hash(plain)), access=plain) is Refusal.NOT_BOUND
    assert await sent(found, access=plain, scheme="Bearer") is None


async def test_where_proofs_cannot_be_checked_a_bound_token_is_refused() -> None:
    found = Authenticator([settings()], clock=Clock(), http=FakeIssuer(ec_jwk(EC_KEY, "k1")))
    for scheme in ("Bearer", "DPoP"):
        with pytest.raises(Unauthenticated) as caught:
            await found.authenticate(f"{scheme} {BOUND}")
        assert caught.value.code is Refusal.PROOF_REQUIRED
        assert caught.value.challenge == f'DPoP error="invalid_token", algs="{" ".join(PROOF_ALGORITHMS)}"'


async def test_an_issuer_can_demand_bound_tokens() -> None:
    found = authenticator(sender_constrained=True)
    assert await sent(found, proof()) is None
    assert await sent(found, access=token(), scheme="Bearer") is Refusal.NOT_BOUND


@pytest.mark.parametrize(
    ("peer", "values", "form", "found"),
    [
        ("10.1.2.3", [RFC9440], "rfc9440", True),
        ("10.1.2.3", [PEM], "pem", True),
        ("::1", [RFC9440], "rfc9440", True),
        ("::ffff:10.1.2.3", [RFC9440], "rfc9440", True),
        ("::ffff:10.2.0.1", [RFC9440], "rfc9440", False),
        ("10.2.0.1", [RFC9440], "rfc9440", False),
        (None, [RFC9440], "rfc9440", False),
        ("unix", [RFC9440], "rfc9440", False),
        ("10.1.2.3", [RFC9440, RFC9440], "rfc9440", False),
        ("10.1.2.3", [], "rfc9440", False),
        ("10.1.2.3", [PEM], "rfc9440", False),
        ("10.1.2.3", [RFC9440], "pem", False),
        ("10.1.2.3", [":QUJD:"], "rfc9440", False),
        ("10.1.2.3", [RFC9440[:-5] + ":"], "rfc9440", False),
        ("10.1.2.3", ["\u00e9"], "rfc9440", False),
        ("10.1.2.3", ["x" * 20_000], "pem", False),
    ],
)
def test_only_a_trusted_terminator_says_which_certificate(
    peer: str | None, values: list[str], form: str, found: bool
) -> None:
    trusted = ClientCertificateSettings.model_validate({"format": form, "proxies": ["10.1.0.0/16", "::1/128"]})
    assert passed_on_certificate(trusted, peer, values) == (THUMBPRINT if found else None)


class Asked:
    """What is looked at of a request."""

    def __init__(self, peer: str, headers: dict[str, list[str]], path: str = "/v1/calls") -> None:
        self.method = "POST"
        self.headers = self
        self.scope: dict[str, Any] = {"path": unquote(path), "raw_path": path.encode(), PEER: peer}
        self._headers = headers

    def getlist(self, key: str) -> list[str]:
        return self._headers.get(key.lower(), [])


async def test_a_token_bound_to_a_certificate_needs_its_connection() -> None:
    clock = Clock()
    trusted = ClientCertificateSettings.model_validate({"proxies": ["10.0.0.1"]})
    binding = Binding(clock, Used(), URL, trusted)
    found = Authenticator([settings()], clock=clock, http=FakeIssuer(ec_jwk(EC_KEY, "k1")), binding=binding)

    async def asked(thumbprint: str, peer: str = "10.0.0.1", **headers: str) -> Refusal | None:
        access = token(claims(cnf={"x5t#S256": thumbprint}))
        sent_headers = {"authorization": [f"Bearer {access}"], **{name: [text] for name, text in headers.items()}}
        try:
            principal = await found.identify(Asked(peer, {k.replace("_", "-"): v for k, v in sent_headers.items()}))
        except Unauthenticated as refused:
            return refused.code
        assert principal.bound_by == "mtls"
        return None

    assert await asked(THUMBPRINT, client_cert=RFC9440) is None
    assert await asked("A" * 43, client_cert=RFC9440) is Refusal.CERTIFICATE_MISMATCH
    assert await asked(THUMBPRINT) is Refusal.CERTIFICATE_REQUIRED
    assert await asked(THUMBPRINT, peer="10.0.0.2", client_cert=RFC9440) is Refusal.CERTIFICATE_REQUIRED


async def test_a_request_is_identified_by_its_one_token_its_path_and_its_proof() -> None:
    found = authenticator()
    good = {"authorization": [f"DPoP {BOUND}"], "dpop": [proof()]}
    assert (await found.identify(Asked("127.0.0.1", good))).bound_by == "dpop"
    for headers, path in (
        ({**good, "dpop": [proof()]}, "/v1/other"),
        ({**good, "authorization": [f"DPoP {BOUND}"] * 2}, "/v1/calls"),
        ({"dpop": [proof()]}, "/v1/calls"),
    ):
        refused = Asked("127.0.0.1", headers, path)
        with pytest.raises(Unauthenticated):
            await found.identify(refused)
        assert VERIFIED not in refused.scope


async def test_an_identified_request_tells_for_how_long_its_token_counts() -> None:
    request = Asked("127.0.0.1", {"authorization": [f"DPoP {BOUND}"], "dpop": [proof()]})
    principal = await authenticator().identify(request)
    verified = request.scope[VERIFIED]
    assert verified.principal is principal
    assert verified.valid_from < verified.issued_at + 1 < verified.valid_until


@pytest.mark.parametrize(
    ("path", "claimed", "counts"),
    [
        ("/proxy/crm/a%20b", "/proxy/crm/a%20b", True),
        ("/proxy/crm/a%2fb", "/proxy/crm/a%2Fb", True),
        ("/proxy/crm/%7Ea", "/proxy/crm/~a", True),
        ("/proxy/crm/a%2Fb", "/proxy/crm/a/b", False),
        ("/proxy/crm/a%3Fb", "/proxy/crm/a", False),
        ("/proxy/crm/a%2520b", "/proxy/crm/a%20b", False),
    ],
)
async def test_a_proof_is_for_the_path_as_it_was_sent(path: str, claimed: str, counts: bool) -> None:
    headers = {"authorization": [f"DPoP {BOUND}"], "dpop": [proof(htu=URL + claimed)]}
    asked = Asked("127.0.0.1", headers, path)
    if counts:
        assert (await authenticator().identify(asked)).bound_by == "dpop"
        return
    with pytest.raises(Unauthenticated, match="another URL"):
        await authenticator().identify(asked)


async def test_a_path_may_have_a_public_address_of_its_own() -> None:
    clock, elsewhere = Clock(), "https://agents.example/mcp"
    binding = Binding(clock, Used(), URL, addresses={"/mcp": elsewhere})
    found = Authenticator([settings()], clock=clock, http=FakeIssuer(ec_jwk(EC_KEY, "k1")), binding=binding)
    for path, claimed, counts in (("/mcp", elsewhere, True), ("/mcp", f"{URL}/mcp", False), ("/v1/calls", CALLS, True)):
        asked = Asked("127.0.0.1", {"authorization": [f"DPoP {BOUND}"], "dpop": [proof(htu=claimed)]}, path)
        with contextlib.nullcontext() if counts else pytest.raises(Unauthenticated, match="another URL"):
            await found.identify(asked)


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    numbers = {
        "kty": "RSA",
        "n": (
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
            "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
            "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
            "kEgU8awapJzKnqDKgw"
        ),
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    assert thumbprint_of(numbers) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
