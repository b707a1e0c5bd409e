"""`mask_bytes`, `mask_headers`: an upstream's response in, what may be shown of it out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from callgate.jsontext import JsonTextError, dump, parse
from contracts.events import Finding
from contracts.model import JsonValue
from services.masking.domain import LIMITS, UNINSPECTABLE, Limits, Masked, mask
from services.masking.hints import NO_HINTS, Hints
from services.masking.machine import Machine
from services.masking.strategies import REDACTED, Disguise

_CHARSETS: Final = {"utf-8": "utf-8", "utf8": "utf-8", "us-ascii": "ascii", "ascii": "ascii", "iso-8859-1": "latin-1"}
"""The charsets of text that is inspected, and what Python calls them."""

_Masking = Callable[[JsonValue], Masked]


@dataclass(frozen=True, slots=True)
class MaskedBytes:
    """`data` is the masked body under the same media type, in UTF-8 whatever it came in, since the event names no
    charset. Where `withheld`, it is empty, and `uninspectable` holds one code: `content_type_missing`,
    `content_type_unknown`, `charset_unknown`, `undecodable`, `malformed_json`, or one of `mask`. JSON is written anew,
    compact, each number as it came; other text changes in the found spans only.
    """

    data: bytes = field(repr=False)
    findings: tuple[Finding, ...] = ()
    uninspectable: tuple[str, ...] = ()
    withheld: bool = False


def mask_bytes(
    data: bytes,
    content_type: str | None,
    hints: Hints = NO_HINTS,
    *,
    machine: Machine | None = None,
    disguise: Disguise = REDACTED,
    limits: Limits = LIMITS,
) -> MaskedBytes:
    """Masks a body by its content type (the header's value): JSON leaf by leaf, text/* as one text. Never raises."""

    def masking(document: JsonValue) -> Masked:
        return mask(document, hints, machine=machine, disguise=disguise, limits=limits)

    if not data:
        return MaskedBytes(b"")
    if not content_type:
        return _withheld("content_type_missing")
    media_type, charset = _content_type(content_type)
    if media_type in ("application/json", "text/json") or media_type.endswith("+json"):
        return _json(data, limits.depth, masking)
    if not media_type.startswith("text/"):
        return _withheld("content_type_unknown")
    encoding = _CHARSETS.get(charset or "utf-8")
    if encoding is None:
        return _withheld("charset_unknown")
    return _text(data, encoding, masking)


def mask_headers(data: bytes, *, machine: Machine | None = None, disguise: Disguise = REDACTED) -> MaskedBytes:
    """Masks each value of a JSON array of headers, [name, value], as a text under its name, which is the path of what
    is found there. Never raises: what is none, or cannot be inspected, is an empty array; a value that is to be left
    out is left out with its name."""
    try:
        headers = [(str(name), str(value)) for name, value in parse(data)]
    except (JsonTextError, TypeError, ValueError):
        return MaskedBytes(dump([]))
    masked = mask([{name: value} for name, value in headers], machine=machine, disguise=disguise)
    if masked.uninspectable or not isinstance(masked.view, list):
        return MaskedBytes(dump([]))
    shown = ((name, member.get(name)) for (name, _), member in zip(headers, masked.view, strict=True))
    kept = [[name, value] for name, value in shown if isinstance(value, str)]
    return MaskedBytes(dump(kept), tuple(_by_name(finding) for finding in masked.findings))


def _json(data: bytes, depth: int, masking: _Masking) -> MaskedBytes:
    try:
        document = parse(data, max_depth=depth, numbers="lossless")
        masked = masking(document)
        return MaskedBytes(dump(masked.view), masked.findings, masked.uninspectable)
    except JsonTextError as error:
        code = error.code
    return _withheld({"too_deep": "too_deep", "not_utf8": "undecodable"}.get(code, "malformed_json"))


def _text(data: bytes, encoding: str, masking: _Masking) -> MaskedBytes:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return _withheld("undecodable")
    if "\0" in text:  # declared as text, but none
        return _withheld("undecodable")
    masked = masking(text)
    if masked.uninspectable or not isinstance(masked.view, str) or masked.view == UNINSPECTABLE:
        return _withheld((*masked.uninspectable, "undecodable")[0])
    return MaskedBytes(masked.view.encode(), masked.findings)


def _content_type(header: str) -> tuple[str, str | None]:
    """`text/plain; charset="UTF-8"` → (`text/plain`, `utf-8`)."""
    media_type, *parameters = header.lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            return media_type.strip(), value.strip().strip('"')
    return media_type.strip(), None


def _by_name(finding: Finding) -> Finding:
    """`/0/location` → `/location`: which line it was says nothing, since some are left out."""
    return finding.model_copy(update={"path": "/" + finding.path[1:].partition("/")[2]})


def _withheld(code: str) -> MaskedBytes:
    return MaskedBytes(b"", uninspectable=(code,), withheld=True)
