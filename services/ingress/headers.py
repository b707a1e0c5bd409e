"""Request headers, parsed strictly and without I/O: what is malformed counts as absent, or is refused by a code."""

import re
from collections.abc import Iterable
from typing import NamedTuple

SESSION_HEADER = "Callgate-Session"
"""Names the session of calls whose request has no place for it."""
KEY_HEADER = "Idempotency-Key"
"""Makes the same request, sent again, the same call."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105  # RFC 9110's token
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_ELEMENT = re.compile(rf'(?:[^,"]|{_QUOTED}|")+')
_PREFERENCE = re.compile(rf"[ \t]*({_TOKEN})[ \t]*(?:=[ \t]*({_TOKEN}|{_QUOTED})?)?[ \t]*(?:;.*)?", re.DOTALL)
_SECONDS = re.compile(r"[0-9]{1,9}")
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_HEADER_LIMIT = 1024
_IDEMPOTENCY_KEY = re.compile(r'"([ !#-\[\]-~]{1,255})"|([!#-~]{1,255})')


class Wait(NamedTuple):
    """How long to hold the request open, and what to say of it in `Preference-Applied` (None: nothing was asked)."""

    seconds: float
    applied: str | None


def preferences(prefer: Iterable[str]) -> dict[str, str]:
    """The preferences of all `Prefer` headers (RFC 7240) by lower-case name, "" for those without a value.

    The first of a name counts, parameters are dropped, and so is what does not parse.
    """
    found: dict[str, str] = {}
    for element in _ELEMENT.findall(",".join(prefer)[:_HEADER_LIMIT]):
        match = _PREFERENCE.fullmatch(element)
        if match is not None:
            value = match[2] or ""
            if value.startswith('"'):
                value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
            found.setdefault(match[1].lower(), value)
    return found


def wait_of(prefer: Iterable[str], default: float, maximum: float) -> Wait:
    """`wait=N`, at most `maximum`; `respond-async` alone means not at all; neither of them, `default` seconds."""
    asked = preferences(prefer)
    seconds = asked.get("wait", "")
    if _SECONDS.fullmatch(seconds):
        wait = min(float(seconds), maximum)
        return Wait(wait, f"wait={wait:g}")
    if "respond-async" in asked:
        return Wait(0.0, "respond-async")
    return Wait(min(default, maximum), None)


def traceparent_of(headers: Iterable[str]) -> str | None:
    """The caller's W3C trace context in the form of version 00; None where it is absent, repeated or malformed."""
    found = tuple(headers)
    match = _TRACEPARENT.fullmatch(found[0]) if len(found) == 1 and len(found[0]) <= _HEADER_LIMIT else None
    if match is None:
        return None
    version, trace, parent, flags, more = match.groups()
    if version == "ff" or (version == "00" and more) or not trace.strip("0") or not parent.strip("0"):
        return None
    return f"00-{trace}-{parent}-{flags}"


def is_json(content_types: Iterable[str]) -> bool:
    """Whether the one `Content-Type` is application/json in UTF-8."""
    found = tuple(content_types)
    if len(found) != 1 or len(found[0]) > _HEADER_LIMIT:
        return False
    media_type, *parameters = (part.strip().lower() for part in found[0].split(";"))
    if media_type != "application/json":
        return False
    return all(
        value.strip().strip('"') == "utf-8"
        for name, _, value in (parameter.partition("=") for parameter in parameters)
        if name.strip() == "charset"
    )


def idempotency_key(values: Iterable[str]) -> str | None:
    """The one `Idempotency-Key`, quoted (as the IETF's draft has it) or bare; None where there is none.

    ValueError where it is repeated, or not 1 to 255 visible ASCII characters: it must not be taken for absent.
    """
    found = tuple(values)
    if not found:
        return None
    match = _IDEMPOTENCY_KEY.fullmatch(found[0].strip()) if len(found) == 1 else None
    if match is None:
        raise ValueError("malformed")
    return match[1] or match[2]


def last_event_id(text: str | None) -> int:
    """The sequence that an `EventSource` saw last; 0 for none, or one that we never gave."""
    return int(text) if text is not None and re.fullmatch(r"[0-9]{1,18}", text) else 0
