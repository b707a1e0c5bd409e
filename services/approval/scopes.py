"""What a freeze or a grant asks for, as people write it. Pure.

Whatever is not understood is refused: a freeze that aims beside its target would leave people in the belief that
something is stopped.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from contracts.functions import Catalog
from contracts.identity import Principal
from contracts.model import JsonValue
from contracts.records import FreezeScope
from contracts.subjects import SESSION_ID, CallRef

REASON_LIMIT = 2000
"""Characters of a reason."""
_NAME_LIMIT = 512
"""Characters of an identity or an issuer."""
_LONGEST = timedelta(days=365)
_DURATION = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_KINDS = ("agent", "session", "function", "connection", "everything")


class BadScope(Exception):
    """What is asked for makes no sense; `code` and `detail` are for its sender, and quote nothing of it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class FreezeWanted:
    """A well-formed wish to freeze. `lasts` None: until it is lifted."""

    scope: FreezeScope
    target: str | None
    issuer: str | None
    reason: str
    lasts: timedelta | None


def freeze_wanted(document: JsonValue, catalog: Catalog) -> FreezeWanted:
    """The wish of a JSON body. BadScope."""
    fields = {"scope", "target", "issuer", "reason", "for"}
    if not isinstance(document, dict) or not document.keys() <= fields:
        raise BadScope(
            "invalid_request", 'Send {"scope": …, "target": …, "reason": …}, and perhaps "issuer" and "for".'
        )
    scope, target, issuer = (document.get(name) for name in ("scope", "target", "issuer"))
    if scope not in _KINDS:
        raise BadScope("bad_scope", f"`scope` is one of {', '.join(_KINDS)}.")
    if issuer is not None and (scope != "agent" or not is_name(issuer)):
        raise BadScope("bad_issuer", "`issuer` is the issuer's URL, for an agent alone.")
    lasts = duration(document["for"]) if document.get("for") is not None else None
    found = cast("FreezeScope", scope)
    return FreezeWanted(found, _target(found, target, catalog), issuer, reason_of(document.get("reason")), lasts)


def duration(text: JsonValue, longest: timedelta = _LONGEST) -> timedelta:
    """`2h` → two hours. BadScope."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    found = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    if found is None or found > longest:
        limit = f"{int(longest.total_seconds() // 3600)}h"
        raise BadScope("bad_duration", f"`for` is a duration in s, m, h or d, e.g. 30m; {limit} at most.")
    return found


def reason_of(text: JsonValue) -> str:
    """The reason without space around it, which must say something. BadScope."""
    reason = text.strip() if isinstance(text, str) else ""
    if not reason:
        raise BadScope("reason_required", "Say why: `reason` is what others will find.")
    if len(reason) > REASON_LIMIT or not is_text(reason):
        raise BadScope("bad_reason", f"A reason is text of at most {REASON_LIMIT} characters.")
    return reason


def is_name(value: JsonValue) -> bool:
    """Whether it could be an identity, an issuer or a session as a token tells it."""
    return isinstance(value, str) and 0 < len(value) <= _NAME_LIMIT and value == value.strip() and is_text(value)


def is_text(value: str) -> bool:
    """No lone surrogate, which no signature could cover."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def session_of(value: JsonValue) -> str:
    """A session's id, of itself or of one of its calls. BadScope."""
    if isinstance(value, str):
        if SESSION_ID.fullmatch(value):
            return value
        try:
            return CallRef.parse(value).session_id
        except ValueError:
            pass
    raise BadScope("bad_session", "A session is named by its id, `s_…`, or by the id of one of its calls.")


def is_delegated(person: Principal) -> bool:
    """Whether somebody acts for this person: what people decide is their own."""
    return bool(person.actors) or person.on_behalf_of is not None


def _target(scope: FreezeScope, target: JsonValue, catalog: Catalog) -> str | None:
    if scope == "everything":
        if target is not None:
            raise BadScope("bad_target", "Everything has no target.")
        return None
    if scope == "session":
        return session_of(target)
    if not is_name(target):
        raise BadScope("bad_target", f"`target` names the {scope}.")
    if scope == "function" and catalog.get(target) is None:
        raise BadScope("unknown_function", "There is no such function; GET /v1/functions lists them.")
    if scope == "connection" and target not in catalog.connections:
        raise BadScope("unknown_connection", "No connection has that name.")
    return cast("str", target)
