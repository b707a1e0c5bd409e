"""What a verified token says: whether it counts here and now, and for whom (RFC 7519, RFC 8693, RFC 7800)."""

import re
import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from callgate.identity.errors import Refusal
from callgate.identity.settings import GroupMapping, IssuerSettings
from callgate.identity.token import NAME_LIMIT, parse_object, refuse
from contracts.identity import Principal

GROUPS_LIMIT = 512
ACTORS_LIMIT = 8
"""How deep `act` may nest."""

_LAST_TIME = 253_402_300_799
"""9999-12-31T23:59:59Z, the last that a datetime holds."""
_THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")
_CONFIRMATIONS: dict[str, Literal["dpop", "mtls"]] = {"jkt": "dpop", "x5t#S256": "mtls"}


class Confirmation(NamedTuple):
    """The key that a token's holder must prove: a public key's thumbprint (RFC 9449) or a certificate's (RFC 8705)."""

    kind: Literal["dpop", "mtls"]
    thumbprint: str


class Verified(NamedTuple):
    """A principal, and when its token counts: `valid_from <= now < valid_until`, Unix seconds with leeway added."""

    principal: Principal
    valid_from: float
    valid_until: float
    issued_at: float
    confirmation: Confirmation | None


def principal_of(payload: bytes, settings: IssuerSettings, now: float) -> Verified:
    """Judge the claims of a payload whose signature was verified. `now` in Unix seconds. Raises Unauthenticated."""
    claims = parse_object(payload, "token's claims")
    for required in ("iss", "sub", "aud", "exp", "iat"):
        if claims.get(required) is None:
            refuse(Refusal.MISSING_CLAIM, f"the token lacks {required}")
    if claims["iss"] != settings.issuer:
        refuse(Refusal.UNKNOWN_ISSUER, "the token's issuer is not configured here")
    _check_audience(claims["aud"], settings.audience)
    _check_party(claims, settings.authorized_parties)
    valid_from, valid_until = _validity(claims, settings)
    if now >= valid_until:
        refuse(Refusal.EXPIRED, "the token has expired")
    if now < valid_from:
        refuse(Refusal.NOT_YET_VALID, "the token is not valid yet")
    _check_required(claims, settings.required_claims)
    confirmation = _confirmation(claims)
    if settings.sender_constrained and confirmation is None:
        refuse(Refusal.NOT_BOUND, "tokens of this issuer must be bound to a key of their holder (DPoP or mutual TLS)")

    subject = settings.subject_prefix + _name(claims["sub"], "sub")
    actors = tuple(settings.subject_prefix + actor for actor in _actors(claims, settings.issuer))
    token_id = claims.get("jti")
    since = _time(claims["auth_time"], "auth_time") if "auth_time" in claims else _time(claims["iat"], "iat")
    principal = Principal(
        id=actors[0] if actors else subject,
        issuer=settings.issuer,
        groups=_groups(claims["act"] if actors else claims, settings),
        on_behalf_of=subject if actors else None,
        actors=actors,
        token_id=None if token_id is None else _name(token_id, "jti"),
        authenticated_at=datetime.fromtimestamp(since, UTC),
        bound_by=confirmation.kind if confirmation is not None else None,
    )
    return Verified(principal, valid_from, valid_until, _time(claims["iat"], "iat"), confirmation)


def _check_audience(audience: object, expected: str) -> None:
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(one, str) for one in audiences):
        refuse(Refusal.INVALID_CLAIM, "the token's aud is no string or list of strings")
    if expected not in audiences:
        refuse(Refusal.WRONG_AUDIENCE, "the token is meant for another audience")


def _check_party(claims: dict[str, Any], allowed: tuple[str, ...]) -> None:
    """The client that asked for the token: OpenID Connect calls it `azp`, RFC 9068 `client_id`."""
    if not allowed:
        return
    party = claims.get("azp", claims.get("client_id"))
    if party is None:
        refuse(Refusal.MISSING_CLAIM, "the token lacks azp and client_id")
    if party not in allowed:
        refuse(Refusal.WRONG_PARTY, "the token was issued to a client that is not accepted here")


def _check_required(claims: dict[str, Any], required: dict[str, tuple[str | bool, ...]]) -> None:
    for path, accepted in required.items():
        found = claim_at(claims, path)
        if found is None:
            refuse(Refusal.MISSING_CLAIM, "the token lacks a claim that is required of its issuer's tokens")
        values = found if isinstance(found, list) else [found]
        # The type counts: to Python true is 1, and a claim is not to be met by what merely compares equal.
        if not any(type(value) is type(one) and value == one for value in values for one in accepted):
            refuse(Refusal.CLAIM_REFUSED, "a claim of the token has a value that is not accepted here")


def _confirmation(claims: dict[str, Any]) -> Confirmation | None:
    """The key in `cnf` (RFC 7800). One that we could not check would be no protection, so it is refused."""
    if "cnf" not in claims:
        return None
    members = claims["cnf"]
    if not isinstance(members, dict) or len(members) != 1:
        refuse(Refusal.INVALID_CLAIM, "the token's cnf must name one key")
    ((name, thumbprint),) = members.items()
    kind = _CONFIRMATIONS.get(name)
    if kind is None:
        refuse(Refusal.INVALID_CLAIM, "the token is bound in a way that is not supported; use DPoP or mutual TLS")
    if not isinstance(thumbprint, str) or not _THUMBPRINT.fullmatch(thumbprint):
        refuse(Refusal.INVALID_CLAIM, "the token's cnf is no SHA-256 thumbprint")
    return Confirmation(kind, thumbprint)


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


def _groups(claims: dict[str, Any], settings: IssuerSettings) -> tuple[str, ...]:
    """All groups, each once, with the issuer's prefix; none where the claims are absent."""
    listed = claim_at(claims, settings.groups_claim)
    if listed is not None and not isinstance(listed, list):
        refuse(Refusal.INVALID_CLAIM, f"the token's groups are no list of at most {GROUPS_LIMIT} names")
    found = [*(listed or ()), *(group for mapping in settings.groups_from for group in _mapped(claims, mapping))]
    if len(found) > GROUPS_LIMIT:
        refuse(Refusal.INVALID_CLAIM, f"the token's groups are no list of at most {GROUPS_LIMIT} names")
    return tuple(dict.fromkeys(settings.groups_prefix + _name(group, "groups") for group in found))


def _mapped(claims: dict[str, Any], mapping: GroupMapping) -> Iterable[str]:
    value = claim_at(claims, mapping.claim)
    if value is None:
        return
    values = value if isinstance(value, list) else [value]
    for one in values:
        if not isinstance(one, str):
            refuse(Refusal.INVALID_CLAIM, "a claim of the token that becomes a group is no text, nor a list of texts")
        for word in one.split(" ") if mapping.split else [one]:
            if word or not mapping.split:
                yield mapping.prefix + _name(word, "groups")


def claim_at(claims: dict[str, Any], path: str) -> object:
    """The claim at a dotted path, None where it is absent. Of names that hold dots themselves the longest wins."""
    if path in claims:
        return claims[path]
    steps = path.split(".")
    for length in range(len(steps) - 1, 0, -1):
        inner = claims.get(".".join(steps[:length]))
        if isinstance(inner, dict):
            return claim_at(inner, ".".join(steps[length:]))
    return None
