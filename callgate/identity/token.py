"""A token's form and claims, without keys, clock or I/O (RFC 7515, RFC 7519, RFC 8693, RFC 9068)."""

import base64
import re
import unicodedata
from datetime import UTC, datetime
from typing import Any, NamedTuple, NoReturn

from callgate import jsontext
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.identity.settings import IssuerSettings
from contracts.identity import Principal

TOKEN_LIMIT = 16 * 1024
"""Characters of a token. Beyond, it is refused before anything is decoded."""
NAME_LIMIT = 256
"""Characters of a subject, a group or a token id."""
GROUPS_LIMIT = 512
ACTORS_LIMIT = 8
"""How deep `act` may nest."""

_DEPTH = 32
"""Nesting of the claims."""

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_TYPES = frozenset({"jwt", "at+jwt", "application/jwt", "application/at+jwt"})
_LAST_TIME = 253_402_300_799
"""9999-12-31T23:59:59Z, the last that a datetime holds."""


class Header(NamedTuple):
    """What is believed of a JOSE header before the signature: which key and algorithm to try, nothing else.

    `jku`, `x5u`, `x5c` and `jwk` are not even read: a token does not say where its own key comes from.
    """

    algorithm: str
    key_id: str | None


class Verified(NamedTuple):
    """A principal, and when its token counts: `valid_from <= now < valid_until`, Unix seconds with leeway added."""

    principal: Principal
    valid_from: float
    valid_until: float


def refuse(code: Refusal, detail: str) -> NoReturn:
    # `from None`: the causes are library errors, whose texts quote the token.
    raise Unauthenticated(code, detail) from None


def bearer_token(authorization: str | None) -> str:
    """The token out of an `Authorization` header: scheme, one space, a compact JWS; nothing around it."""
    if not authorization:
        refuse(Refusal.MISSING_TOKEN, "send the header `Authorization: Bearer <token>`, with a token of your issuer")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":  # RFC 9110, section 11.1: the scheme's case does not matter
        refuse(Refusal.MALFORMED_TOKEN, "the Authorization header must be `Bearer <token>`")
    if len(token) > TOKEN_LIMIT:
        refuse(Refusal.TOO_LARGE, f"the token is longer than {TOKEN_LIMIT} characters")
    if not _COMPACT.fullmatch(token):
        refuse(Refusal.MALFORMED_TOKEN, "the token is no JWT in compact form")
    return token


def parse_object(raw: bytes | str, what: str) -> dict[str, Any]:
    """The JSON object in a segment (base64url text) or payload (bytes); else Unauthenticated (malformed_token).

    Strict: of two equal members, two parsers may each believe another.
    """
    try:
        if isinstance(raw, str):
            raw = base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True)
        parsed = jsontext.parse(raw, max_depth=_DEPTH)
    except ValueError:
        refuse(Refusal.MALFORMED_TOKEN, f"the token's {what} are no JSON object with distinct members")
    if not isinstance(parsed, dict):
        refuse(Refusal.MALFORMED_TOKEN, f"the token's {what} are no JSON object")
    return parsed


def read_header(token: str) -> Header:
    """The header's claim about key and algorithm. Refuses extensions and kinds of JWT made for something else."""
    header = parse_object(token.split(".", 1)[0], "headers")
    if "crit" in header or "b64" in header:  # RFC 7515, section 4.1.11: none is understood here
        refuse(Refusal.MALFORMED_TOKEN, "the token demands an extension that is not supported (crit)")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        refuse(Refusal.MALFORMED_TOKEN, "the token's typ is neither JWT nor at+jwt")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        refuse(Refusal.ALGORITHM_NOT_ALLOWED, "the token names no algorithm")
    if key_id is not None and (not isinstance(key_id, str) or len(key_id) > NAME_LIMIT):
        refuse(Refusal.MALFORMED_TOKEN, "the token's kid is no short string")
    return Header(algorithm, key_id)


def claimed_issuer(token: str) -> str:
    """The `iss` of a token not verified yet: it only selects whose keys must verify it."""
    issuer = parse_object(token.split(".", 2)[1], "claims").get("iss")
    if issuer is None:
        refuse(Refusal.MISSING_CLAIM, "the token lacks iss")
    if not isinstance(issuer, str):
        refuse(Refusal.INVALID_CLAIM, "the token's iss is no string")
    return issuer


def principal_of(payload: bytes, settings: IssuerSettings, now: float) -> Verified:
    """Judge the claims of a payload whose signature was verified. `now` in Unix seconds. Raises Unauthenticated."""
    claims = parse_object(payload, "claims")
    for required in ("iss", "sub", "aud", "exp", "iat"):
        if claims.get(required) is None:
            refuse(Refusal.MISSING_CLAIM, f"the token lacks {required}")
    if claims["iss"] != settings.issuer:
        refuse(Refusal.UNKNOWN_ISSUER, "the token's issuer is not configured here")
    _check_audience(claims["aud"], settings.audience)
    valid_from, valid_until = _validity(claims, settings)
    if now >= valid_until:
        refuse(Refusal.EXPIRED, "the token has expired")
    if now < valid_from:
        refuse(Refusal.NOT_YET_VALID, "the token is not valid yet")

    subject = settings.subject_prefix + _name(claims["sub"], "sub")
    actors = tuple(settings.subject_prefix + actor for actor in _actors(claims, settings.issuer))
    token_id = claims.get("jti")
    since = _time(claims["auth_time"], "auth_time") if "auth_time" in claims else _time(claims["iat"], "iat")
    principal = Principal(
        id=actors[0] if actors else subject,
        issuer=settings.issuer,
        groups=_groups(claims["act"] if actors else claims, settings.groups_claim),
        on_behalf_of=subject if actors else None,
        actors=actors,
        token_id=None if token_id is None else _name(token_id, "jti"),
        authenticated_at=datetime.fromtimestamp(since, UTC),
    )
    return Verified(principal, valid_from, valid_until)


def _check_audience(audience: object, expected: str) -> None:
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(one, str) for one in audiences):
        refuse(Refusal.INVALID_CLAIM, "the token's aud is no string or list of strings")
    if expected not in audiences:
        refuse(Refusal.WRONG_AUDIENCE, "the token is meant for another audience")


def _time(value: object, claim: str) -> float:
    """A NumericDate. Booleans are numbers to Python, not to JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        refuse(Refusal.INVALID_CLAIM, f"the token's {claim} is no number")
    if not 0 <= value <= _LAST_TIME:  # false for infinity (1e999) as well
        refuse(Refusal.INVALID_CLAIM, f"the token's {claim} is out of range")
    return float(value)


def _validity(claims: dict[str, Any], settings: IssuerSettings) -> tuple[float, float]:
    issued, expires = _time(claims["iat"], "iat"), _time(claims["exp"], "exp")
    begins = max(issued, _time(claims["nbf"], "nbf")) if "nbf" in claims else issued
    if settings.max_age is not None:
        expires = min(expires, issued + settings.max_age)
    return begins - settings.leeway, expires + settings.leeway


def _name(value: object, claim: str) -> str:
    """A subject, group or id that reads the same to a person and to a comparison.

    `isprintable` is false for controls, bidirectional and zero-width marks, lone surrogates, and for every space
    but U+0020.
    """
    if not isinstance(value, str):
        refuse(Refusal.INVALID_CLAIM, f"the token's {claim} is no string")
    if not value or value != value.strip() or not value.isprintable() or not unicodedata.is_normalized("NFC", value):
        refuse(Refusal.INVALID_CLAIM, f"the token's {claim} is empty or holds characters that cannot be seen")
    if len(value) > NAME_LIMIT:
        refuse(Refusal.INVALID_CLAIM, f"the token's {claim} is longer than {NAME_LIMIT} characters")
    return value


def _actors(claims: dict[str, Any], issuer: str) -> tuple[str, ...]:
    """The subjects of nested `act` claims, outermost (the present actor) first. RFC 8693, section 4.1."""
    actors: list[str] = []
    holder = claims
    while "act" in holder:
        act = holder["act"]
        if not isinstance(act, dict) or len(actors) == ACTORS_LIMIT:
            refuse(Refusal.INVALID_CLAIM, f"the token's act is no object, or nests deeper than {ACTORS_LIMIT}")
        if act.get("iss", issuer) != issuer:  # its `sub` would be taken for a subject of this issuer
            refuse(Refusal.INVALID_CLAIM, "the token's act names an actor of another issuer")
        actors.append(_name(act.get("sub"), "act.sub"))
        holder = act
    return tuple(actors)


def _groups(claims: dict[str, Any], path: str) -> tuple[str, ...]:
    """The groups at the path; none where it is absent. A claim of the whole name (`https://x.example/groups`) wins."""
    value: object = claims
    for step in (path,) if path in claims else path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > GROUPS_LIMIT:
        refuse(Refusal.INVALID_CLAIM, f"the token's groups are no list of at most {GROUPS_LIMIT} names")
    return tuple(dict.fromkeys(_name(group, "groups") for group in value))
