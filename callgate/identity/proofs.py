"""DPoP proofs (RFC 9449): that who sends a token holds the key that it was issued to.

Pure; whether a proof was seen before is the caller's to ask, by the key that `check_proof` returns.
"""

import base64
import hashlib
import hmac
import json
import re
import string
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import jwt

from callgate.identity.errors import PROOF_ALGORITHMS, Refusal
from callgate.identity.keys import fitting_algorithms, public_key
from callgate.identity.token import NAME_LIMIT, is_compact, parse_object, refuse

PROOF_LIMIT = 4 * 1024
"""Characters of a proof, its public key included."""
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")
_PORTS = {"http": 80, "https": 443}
_THUMBPRINTED = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
_SECRET = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_JWS = jwt.PyJWS(options={"enforce_minimum_key_length": True})


class Request(NamedTuple):
    """What a proof must be for: the method, and the URL as its sender knows it."""

    method: str
    url: str


def check_proof(proof: str, token: str, thumbprint: str, request: Request, now: float, window: float) -> str:
    """The proof's own key, under which it counts once. Raises Unauthenticated (invalid_proof).

    `thumbprint` is the token's `cnf.jkt`; `window`: seconds by which the proof's `iat` may differ from `now`.
    """
    if len(proof) > PROOF_LIMIT or not is_compact(proof):
        _invalid("is no JWT in compact form, or too long")
    algorithm, member = _header(proof)
    if not hmac.compare_digest(thumbprint_of(member), thumbprint):
        _invalid("was made with another key than the token was issued to")
    key = public_key(member, algorithm)
    if key is None:
        _invalid("names no public key that can be used")
    try:
        payload: bytes = _JWS.decode(proof, key, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError):
        _invalid("has a signature that does not verify")
    claims = parse_object(payload, "proof's claims", Refusal.INVALID_PROOF)
    _check_claims(claims, token, request, now, window)
    return hashlib.sha256(json.dumps([thumbprint, claims["jti"]]).encode()).hexdigest()


def thumbprint_of(member: dict[str, Any]) -> str:
    """RFC 7638, of a JWK whose type is known; "" for another, or one whose members are no texts."""
    names = _THUMBPRINTED.get(str(member.get("kty")), ())
    required = {name: member.get(name) for name in names}
    if not required or not all(isinstance(value, str) for value in required.values()):
        return ""
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
    return b64url(hashlib.sha256(canonical.encode()).digest())


def token_hash(token: str) -> str:
    """The `ath` claim."""
    return b64url(hashlib.sha256(token.encode()).digest())


def b64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _header(proof: str) -> tuple[str, dict[str, Any]]:
    """The algorithm and the JWK. The key is the sender's own word: the thumbprint in the token says if it counts."""
    header = parse_object(proof.split(".", 1)[0], "proof's headers", Refusal.INVALID_PROOF)
    if header.get("typ") != "dpop+jwt" or "crit" in header or "b64" in header:
        _invalid("is not of type dpop+jwt, or demands an extension")
    algorithm, member = header.get("alg"), header.get("jwk")
    if not isinstance(member, dict) or any(name in member for name in _SECRET):
        _invalid("carries no public key, or a private one")
    if algorithm not in PROOF_ALGORITHMS or algorithm not in fitting_algorithms(member):
        _invalid("is signed in a way that is not accepted or does not fit its key")
    return algorithm, member


def _check_claims(claims: dict[str, Any], token: str, request: Request, now: float, window: float) -> None:
    proof_id, issued, bound_to = (claims.get(name) for name in ("jti", "iat", "ath"))
    if not isinstance(proof_id, str) or not 0 < len(proof_id) <= NAME_LIMIT:
        _invalid("lacks a short jti")
    if claims.get("htm") != request.method:
        _invalid("is for another method (htm)")
    if _place(claims.get("htu")) != _place(request.url):
        _invalid("is for another URL (htu)")
    if not isinstance(bound_to, str) or not hmac.compare_digest(bound_to.encode(), token_hash(token).encode()):
        _invalid("is for another token (ath)")
    if isinstance(issued, bool) or not isinstance(issued, int | float) or not now - window <= issued <= now + window:
        _invalid("is too old, or from the future (iat)")


def _place(url: object) -> tuple[str, str, int | None, str] | None:
    """Scheme, host, port and path, as RFC 9449, section 4.3 has them compared; query and fragment do not count.

    Escapes are written in one way (RFC 3986, section 6.2.2) and never resolved: `%2F` is no slash.
    """
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    return parts.scheme, parts.hostname or "", port, _ESCAPE.sub(_normal, parts.path) or "/"


def _normal(escape: re.Match[str]) -> str:
    character = chr(int(escape[1], 16))
    return character if character in _UNRESERVED else escape[0].upper()


def _invalid(why: str) -> NoReturn:
    refuse(Refusal.INVALID_PROOF, f"the DPoP proof {why}")
