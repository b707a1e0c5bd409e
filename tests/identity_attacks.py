"""Tokens that must identify nobody: known attacks on JWTs, each with the code of its refusal."""

import json
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from identity_fakes import (
    EC_KEY,
    ISSUER,
    NOW,
    OTHER_EC_KEY,
    RSA_KEY,
    b64,
    claims,
    ec_jwk,
    raw_token,
    token,
)

from callgate.identity.errors import Refusal
from callgate.identity.token import TOKEN_LIMIT


def _pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def hs256(secret: bytes, kid: str) -> str:
    """Key confusion: the public key, which everyone has, as HMAC secret."""
    signed = f"{b64(json.dumps({'alg': 'HS256', 'kid': kid}).encode())}.{b64(json.dumps(claims()).encode())}"
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(signed.encode())
    return f"{signed}.{b64(mac.finalize())}"


def signed_bytes(header: bytes, payload: bytes) -> str:
    return es256_signed(f"{b64(header)}.{b64(payload)}")


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
    "key confusion HS256": (lambda: hs256(_pem(EC_KEY), "k1"), Refusal.ALGORITHM_NOT_ALLOWED),
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
    "alg none spelt NONE": (lambda: unsigned("NONE"), Refusal.ALGORITHM_NOT_ALLOWED),
    "alg none with a space": (lambda: unsigned("none "), Refusal.ALGORITHM_NOT_ALLOWED),
    "alg none after a NUL": (lambda: unsigned("ES256\x00none"), Refusal.ALGORITHM_NOT_ALLOWED),
    "alg empty": (lambda: unsigned(""), Refusal.ALGORITHM_NOT_ALLOWED),
    "alg in lower case": (lambda: token(alg="es256"), Refusal.ALGORITHM_NOT_ALLOWED),
    "alg ES256K": (lambda: token(alg="ES256K"), Refusal.ALGORITHM_NOT_ALLOWED),
    "alg null": (
        lambda: raw_token('{"alg":null,"kid":"k1"}', json.dumps(claims())),
        Refusal.ALGORITHM_NOT_ALLOWED,
    ),
    "key confusion with the RSA key": (lambda: hs256(_pem(RSA_KEY), "r1"), Refusal.ALGORITHM_NOT_ALLOWED),
    "key confusion with the JWK": (
        lambda: hs256(json.dumps(ec_jwk(EC_KEY, "k1")).encode(), "k1"),
        Refusal.ALGORITHM_NOT_ALLOWED,
    ),
    "kid a URL": (lambda: token(key=OTHER_EC_KEY, kid="https://evil.example/keys"), Refusal.UNKNOWN_KEY),
    "kid a command": (lambda: token(key=OTHER_EC_KEY, kid="k1|id"), Refusal.UNKNOWN_KEY),
    "kid with a NUL": (lambda: token(key=OTHER_EC_KEY, kid="k1\x00"), Refusal.UNKNOWN_KEY),
    "kid in other case": (lambda: token(kid="K1"), Refusal.UNKNOWN_KEY),
    "kid very long": (lambda: token(kid="k" * 300), Refusal.MALFORMED_TOKEN),
    "kid a list": (lambda: token(kid=["k1"]), Refusal.MALFORMED_TOKEN),
    "kid of another type of key": (lambda: token(kid="r1"), Refusal.ALGORITHM_NOT_ALLOWED),
    "certificate embedded": (
        lambda: token(key=OTHER_EC_KEY, x5c=["MIIB"], x5t="AAAA"),
        Refusal.BAD_SIGNATURE,
    ),
    "key URL in a known kid": (
        lambda: token(key=OTHER_EC_KEY, jku="https://id.example@evil.example/keys"),
        Refusal.BAD_SIGNATURE,
    ),
    "crit of something unheard of": (
        lambda: raw_token('{"alg":"ES256","kid":"k1","crit":["urn:x"],"urn:x":1}', json.dumps(claims())),
        Refusal.MALFORMED_TOKEN,
    ),
    "encrypted (five segments)": (lambda: "e30.QUJD.QUJD.QUJD.QUJD", Refusal.MALFORMED_TOKEN),
    "encrypted, by its header": (
        lambda: unsigned("RSA-OAEP", "QUJD"),
        Refusal.ALGORITHM_NOT_ALLOWED,
    ),
    "a token within a token": (
        lambda: raw_token('{"alg":"ES256","kid":"k1","cty":"JWT"}', token()),
        Refusal.MALFORMED_TOKEN,
    ),
    "JSON serialisation": (
        lambda: json.dumps({"payload": b64(b"{}"), "signatures": []}).replace(" ", ""),
        Refusal.MALFORMED_TOKEN,
    ),
    "typ a number": (lambda: token(typ=1), Refusal.MALFORMED_TOKEN),
    "a DPoP proof for a token": (lambda: token(typ="dpop+jwt"), Refusal.MALFORMED_TOKEN),
    "an ID token of a logout": (lambda: token(typ="logout+jwt"), Refusal.MALFORMED_TOKEN),
    "claims a number": (lambda: raw_token('{"alg":"ES256","kid":"k1"}', "1"), Refusal.MALFORMED_TOKEN),
    "claims no UTF-8": (lambda: signed_bytes(b'{"alg":"ES256","kid":"k1"}', b"\xff\xfe{}"), Refusal.MALFORMED_TOKEN),
    "claims after a BOM": (
        lambda: signed_bytes(b'{"alg":"ES256","kid":"k1"}', b"\xef\xbb\xbf" + json.dumps(claims()).encode()),
        Refusal.MALFORMED_TOKEN,
    ),
    "claims with rubbish behind": (
        lambda: raw_token('{"alg":"ES256","kid":"k1"}', json.dumps(claims()) + "{}"),
        Refusal.MALFORMED_TOKEN,
    ),
    "duplicate by an escape": (
        lambda: raw_token('{"alg":"ES256","kid":"k1"}', json.dumps(claims())[:-1] + ', "\\u0073ub": "root"}'),
        Refusal.MALFORMED_TOKEN,
    ),
    "iss by a homoglyph": (lambda: token(claims(iss="https://\u0456d.example")), Refusal.UNKNOWN_ISSUER),
    "iss in full width": (lambda: token(claims(iss="https://id\uff0eexample")), Refusal.UNKNOWN_ISSUER),
    "iss in upper case": (lambda: token(claims(iss="https://ID.example")), Refusal.UNKNOWN_ISSUER),
    "iss with its port": (lambda: token(claims(iss="https://id.example:443")), Refusal.UNKNOWN_ISSUER),
    "iss of a longer name": (lambda: token(claims(iss="https://id.example.evil.example")), Refusal.UNKNOWN_ISSUER),
    "iss with a zero width space": (lambda: token(claims(iss=ISSUER + "\u200b")), Refusal.UNKNOWN_ISSUER),
    "aud a list of lists": (lambda: token(claims(aud=[["callgate"]])), Refusal.INVALID_CLAIM),
    "aud by a homoglyph": (lambda: token(claims(aud="c\u0430llgate")), Refusal.WRONG_AUDIENCE),
    "exp 1e999": (lambda: raw_token('{"alg":"ES256","kid":"k1"}', _with("exp", "1e999")), Refusal.MALFORMED_TOKEN),
    "exp negative": (lambda: token(claims(exp=-1)), Refusal.INVALID_CLAIM),
    "exp a list": (lambda: token(claims(exp=[int(NOW) + 600])), Refusal.INVALID_CLAIM),
    "exp zero": (lambda: token(claims(exp=0)), Refusal.EXPIRED),
    "exp a thousand digits": (
        lambda: raw_token('{"alg":"ES256","kid":"k1"}', _with("exp", "9" * 1000)),
        Refusal.MALFORMED_TOKEN,
    ),
    "iat a text": (lambda: token(claims(iat=str(int(NOW)))), Refusal.INVALID_CLAIM),
    "nbf negative": (lambda: token(claims(nbf=-5)), Refusal.INVALID_CLAIM),
    "sub a list": (lambda: token(claims(sub=["alice"])), Refusal.INVALID_CLAIM),
    "sub an object": (lambda: token(claims(sub={"id": "alice"})), Refusal.INVALID_CLAIM),
    "sub true": (lambda: token(claims(sub=True)), Refusal.INVALID_CLAIM),
    "sub a soft hyphen": (lambda: token(claims(sub="al\u00adice")), Refusal.INVALID_CLAIM),
    "sub a language tag": (lambda: token(claims(sub="alice\U000e0041")), Refusal.INVALID_CLAIM),
    "jti a number": (lambda: token(claims(jti=5)), Refusal.INVALID_CLAIM),
    "bound to a key, sent as bearer": (lambda: token(claims(cnf={"jkt": "A" * 43})), Refusal.PROOF_REQUIRED),
    "bound in a way nobody checks": (lambda: token(claims(cnf={"kid": "x"})), Refusal.INVALID_CLAIM),
    "bound to two keys": (lambda: token(claims(cnf={"jkt": "A" * 43, "kid": "x"})), Refusal.INVALID_CLAIM),
    "bound to no thumbprint": (lambda: token(claims(cnf={"jkt": "short"})), Refusal.INVALID_CLAIM),
    "bound to null": (
        lambda: raw_token('{"alg":"ES256","kid":"k1"}', json.dumps({**claims(), "cnf": None})),
        Refusal.INVALID_CLAIM,
    ),
}


def es256_signed(text: str) -> str:
    return f"{text}.{b64(jwt.get_algorithm_by_name('ES256').sign(text.encode(), EC_KEY))}"


def _with(claim: str, literal: str) -> str:
    """Good claims, one of them with this text of JSON for its value."""
    return json.dumps({**claims(), claim: "*"}).replace('"*"', literal)
