"""What a revocation asks for, as people write it. Pure. What is not understood is refused, as with freezes."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, cast

from contracts.model import JsonValue
from services.approval.scopes import BadScope, duration, is_name, reason_of

_FIELDS = {"scope", "target", "issuer", "issued_so_far", "reason", "for"}


@dataclass(frozen=True, slots=True)
class RevocationWanted:
    """A well-formed wish to revoke. `issued_so_far`: only tokens issued until now. `lasts` None: until lifted."""

    scope: Literal["subject", "token"]
    target: str
    issuer: str | None
    issued_so_far: bool
    reason: str
    lasts: timedelta | None


def revocation_wanted(document: JsonValue) -> RevocationWanted:
    """The wish of a JSON body. BadScope."""
    if not isinstance(document, dict) or not document.keys() <= _FIELDS:
        raise BadScope(
            "invalid_request",
            'Send {"scope": …, "target": …, "reason": …}, and perhaps "issuer", "issued_so_far" and "for".',
        )
    scope, target, issuer = (document.get(name) for name in ("scope", "target", "issuer"))
    if scope not in ("subject", "token"):
        raise BadScope("bad_scope", "`scope` is subject or token.")
    if not is_name(target):
        raise BadScope("bad_target", "`target` is the subject as policies name it, or the token's jti.")
    if (issuer is not None and not is_name(issuer)) or (scope == "token" and issuer is None):
        raise BadScope("bad_issuer", "`issuer` is the issuer's URL; a token's jti says nothing without it.")
    so_far = document.get("issued_so_far", False)
    if not isinstance(so_far, bool) or (so_far and scope == "token"):
        raise BadScope("bad_target", "`issued_so_far` is true or false, for a subject alone.")
    lasts = duration(document["for"]) if document.get("for") is not None else None
    return RevocationWanted(scope, cast("str", target), issuer, so_far, reason_of(document.get("reason")), lasts)
