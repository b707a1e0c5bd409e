"""A token's form, without keys, clock or I/O (RFC 6750, RFC 7515, RFC 9449). `claims.py` judges what it says."""

import base64
import re
from typing import Any, Literal, NamedTuple, NoReturn

from callgate import jsontext
from callgate.identity.errors import Refusal, Unauthenticated

TOKEN_LIMIT = 16 * 1024
"""Characters of a token. Beyond, it is refused before anything is decoded."""
NAME_LIMIT = 256
"""Characters of a key id, a subject, a group or a token id."""

_DEPTH = 32
"""Nesting of the claims."""

_ONE = r"[A-Za-z0-9_-]"
_SEGMENT = rf"(?:{_ONE}{{4}})*(?:{_ONE}{{4}}|{_ONE}{{2}}[AEIMQUYcgkosw048]|{_ONE}[AQgw])"
"""Base64url in the one way to write some bytes: the bits that stand for nothing are zero (RFC 4648, section 3.5)."""
_COMPACT = re.compile(rf"{_SEGMENT}\.{_SEGMENT}\.{_SEGMENT}")
_SCHEMES: dict[str, Literal["Bearer", "DPoP"]] = {"bearer": "Bearer", "dpop": "DPoP"}


class Header(NamedTuple):
    """What is believed of a JOSE header before the signature: which key and algorithm to try, nothing else.

    `jku`, `x5u`, `x5c` and `jwk` are not even read: a token does not say where its own key comes from.
    """

    algorithm: str
    key_id: str | None
    kind: str
    """The media type in lower case without `application/`; `jwt` where the token names none."""


class Credentials(NamedTuple):
    """What an `Authorization` header carries: a token, and whether its holder claims to prove a key (RFC 9449)."""

    scheme: Literal["Bearer", "DPoP"]
    token: str


def refuse(code: Refusal, detail: str) -> NoReturn:
    # `from None`: the causes are library errors, whose texts quote the token.
    raise Unauthenticated(code, detail) from None


def credentials(authorization: str | None) -> Credentials:
    """The token out of an `Authorization` header: scheme, one space, a compact JWS; nothing around it."""
    if not authorization:
        refuse(Refusal.MISSING_TOKEN, "send the header `Authorization: Bearer <token>`, with a token of your issuer")
    named, _, token = authorization.partition(" ")
    scheme = _SCHEMES.get(named.lower())  # RFC 9110, section 11.1: the scheme's case does not matter
    if scheme is None:
        refuse(Refusal.MALFORMED_TOKEN, "the Authorization header must be `Bearer <token>`, or `DPoP <token>`")
    if len(token) > TOKEN_LIMIT:
        refuse(Refusal.TOO_LARGE, f"the token is longer than {TOKEN_LIMIT} characters")
    if not is_compact(token):
        refuse(Refusal.MALFORMED_TOKEN, "the token is no JWT in compact form")
    return Credentials(scheme, token)


def is_compact(token: str) -> bool:
    """Three segments of base64url. An encrypted token has five, an unsigned one lacks the last: neither is read."""
    return _COMPACT.fullmatch(token) is not None


def parse_object(raw: bytes | str, what: str, code: Refusal = Refusal.MALFORMED_TOKEN) -> dict[str, Any]:
    """The JSON object in a segment (base64url text) or payload (bytes); else Unauthenticated, with `code`.

    Strict: of two equal members, two parsers may each believe another.
    """
    try:
        if isinstance(raw, str):
            raw = base64.b64decode(raw + "=" * (-len(raw) % 4), altchars=b"-_", validate=True)
        parsed = jsontext.parse(raw, max_depth=_DEPTH)
    except ValueError:
        refuse(code, f"the {what} are no JSON object with distinct members")
    if not isinstance(parsed, dict):
        refuse(code, f"the {what} are no JSON object")
    return parsed


def read_header(token: str) -> Header:
    """The header's claim about key, algorithm and kind. Refuses extensions: none is understood."""
    header = parse_object(token.split(".", 1)[0], "token's headers")
    if "crit" in header or "b64" in header:  # RFC 7515, section 4.1.11: none is understood here
        refuse(Refusal.MALFORMED_TOKEN, "the token demands an extension that is not supported (crit)")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str):
        refuse(Refusal.MALFORMED_TOKEN, "the token's typ is no string")
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str):
        refuse(Refusal.ALGORITHM_NOT_ALLOWED, "the token names no algorithm")
    if key_id is not None and (not isinstance(key_id, str) or len(key_id) > NAME_LIMIT):
        refuse(Refusal.MALFORMED_TOKEN, "the token's kid is no short string")
    return Header(algorithm, key_id, kind.lower().removeprefix("application/"))


def claimed_issuer(token: str) -> str:
    """The `iss` of a token not verified yet: it only selects whose keys must verify it."""
    issuer = parse_object(token.split(".", 2)[1], "token's claims").get("iss")
    if issuer is None:
        refuse(Refusal.MISSING_CLAIM, "the token lacks iss")
    if not isinstance(issuer, str):
        refuse(Refusal.INVALID_CLAIM, "the token's iss is no string")
    return issuer
