"""`mask`: a JSON document in, its masked view and the findings out. Pure: no I/O, no clock, no randomness.

It fails closed: what cannot be inspected (too deep, too large, a detector that raises, no steps left) is replaced
whole by `[UNINSPECTABLE]` and named by a code. The time that a document may take is counted in steps, roughly
characters read, so that the answer does not depend on the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from callgate.jsontext import RawNumber
from contracts.events import Finding
from contracts.model import JsonValue
from services.masking.detectors import DETECTORS, Detectors
from services.masking.hints import NEVER, NO_HINTS, Hints
from services.masking.leaf import Leaf
from services.masking.places import Path, Places
from services.masking.recogniser import Hit

UNINSPECTABLE: Final = "[UNINSPECTABLE]"
_SHORTEST_HIT = 6  # a@b.co
_WIDEST_NUMBER = 40  # digits that a number with an exponent may be written out to; no entity is that long
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may cost. Codes: `too_deep`, `too_large`, `out_of_steps`, `too_many_findings`."""

    depth: int = 64
    """Nested arrays and objects."""
    leaf: int = 1024 * 1024
    """Code points of one string or key."""
    steps: int = 64 * 1024 * 1024
    """About 10 to 50 ns each."""
    findings: int = 10_000


LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Masked:
    """`view` has the document's shape; a leaf in which nothing was found is the same, byte for byte.

    A found span is replaced by its entity, e.g. `[EMAIL]`, also in keys; a number or boolean that is masked becomes a
    string. `findings` are in the document's order; their paths quote no key of a sender's (`places`), and their spans
    refer to the original leaf (a number's decimal text without exponent), or to the original key where the key itself
    held it. `uninspectable` are distinct codes.
    """

    view: JsonValue = field(repr=False)
    findings: tuple[Finding, ...] = ()
    uninspectable: tuple[str, ...] = ()


class _UninspectableError(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def mask(
    document: JsonValue,
    hints: Hints = NO_HINTS,
    *,
    detectors: Detectors = DETECTORS,
    limits: Limits = LIMITS,
) -> Masked:
    """Finds and masks what is sensitive in a JSON document; never raises, whatever the document holds.

    Takes what `callgate.jsontext.parse` gives, in either mode of numbers.
    """
    masking = _Masking(detectors, limits, Places(hints))
    view = masking.value(document, (), hints.of_values, 0)
    return Masked(view, tuple(masking.findings), tuple(masking.uninspectable))


class _Masking:
    """One document on its way. A path is that into the view, with masked keys: what a key says about the value below
    it must be the same when the view is masked again."""

    def __init__(self, detectors: Detectors, limits: Limits, places: Places) -> None:
        self.detectors = detectors
        self.limits = limits
        self.places = places
        self.steps = limits.steps
        self.findings: list[Finding] = []
        self.uninspectable: dict[str, None] = {}

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise _UninspectableError("out_of_steps")

    def value(self, value: JsonValue, path: Path, hints: Hints, depth: int) -> JsonValue:
        if isinstance(value, str):
            if len(value) < _SHORTEST_HIT and hints.mask is None:
                return value
            return self._leaf(value, value, path, hints)
        if value is None:
            return None
        if isinstance(value, (dict, list)):
            if depth >= self.limits.depth:
                return self._withhold("too_deep")
            if isinstance(value, dict):
                return self._object(value, path, hints, depth + 1)
            return [self.value(item, (*path, index), hints.item(index), depth + 1) for index, item in enumerate(value)]
        if isinstance(value, bool):
            return self._leaf(value, "true" if value else "false", path, hints)
        try:
            text = decimal_text(value)
        except _UninspectableError as error:
            return self._withhold(error.code)
        return self._leaf(value, text, path, hints)

    def _object(self, members: dict[Any, JsonValue], path: Path, hints: Hints, depth: int) -> JsonValue:
        view: dict[Any, JsonValue] = {}
        for key, value in members.items():
            if not isinstance(key, str):
                return self._withhold("not_json")
            if len(key) < _SHORTEST_HIT or hints.mask == NEVER:
                below = (*path, key)
            else:
                below = (*path, self._key(key, path, view, members))
            view[below[-1]] = self.value(value, below, hints.property(key), depth)
        return view

    def _key(self, key: str, path: Path, view: dict[Any, JsonValue], members: dict[Any, JsonValue]) -> str:
        try:
            hits = self._hits(key, path)
        except _UninspectableError as error:
            return _free(self._withhold(error.code), view, members)
        if not hits:
            return key
        named = _free(_replaced(key, hits), view, members)
        self._record((*path, named), hits)
        return named

    def _leaf(self, value: JsonValue, text: str, path: Path, hints: Hints) -> JsonValue:
        if hints.mask == NEVER:
            return value
        try:
            if hints.mask is not None:
                hits = self._within_limit([Hit(0, len(text), hints.mask, 1.0)] if text else ())
            elif len(text) < _SHORTEST_HIT:
                return value
            else:
                hits = self._hits(text, path)
        except _UninspectableError as error:
            return self._withhold(error.code)
        if not hits:
            return value
        self._record(path, hits)
        return _replaced(text, hits)

    def _hits(self, text: str, path: Path) -> Sequence[Hit]:
        """Disjoint hits in order. Looks again around what was found, until nothing is: masking a span moves the
        boundaries of its neighbours, and what a second masking would find must not be left by the first."""
        if len(text) > self.limits.leaf:
            raise _UninspectableError("too_large")
        self.spend(len(text) + 16)
        failed = False
        try:
            hits: list[Hit] = []
            remaining = text
            for _ in range(_ROUNDS):
                if not self.detectors.plausible(remaining):
                    return self._within_limit(hits)
                leaf = Leaf(remaining, path, self.spend)
                found = [hit for find in self.detectors.find for hit in find(leaf)]
                if not found:
                    return self._within_limit(hits)
                hits = _merged(hits + found)
                if hits[0].end - hits[0].start == len(text):
                    return self._within_limit(hits)
                remaining = _blanked(text, hits)
        except _UninspectableError:
            raise
        except Exception:
            failed = True
        # Raised outside of `except`: a detector's error may quote the text.
        raise _UninspectableError("detector_failed" if failed else "too_many_findings")

    def _within_limit(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        if len(self.findings) + len(hits) > self.limits.findings:
            raise _UninspectableError("too_many_findings")
        return hits

    def _record(self, path: Path, hits: Sequence[Hit]) -> None:
        pointer = self.places.pointer(path)
        self.findings += [Finding(path=pointer, entity=hit.entity, start=hit.start, end=hit.end) for hit in hits]

    def _withhold(self, code: str) -> str:
        self.uninspectable[code] = None
        return UNINSPECTABLE


def decimal_text(number: JsonValue) -> str:
    """A number in decimal digits, without exponent as long as that is short; integral ones without a fraction.

    The text that detectors read, and that a finding's span counts in: `4.111111111111111e15` hides no card.
    """
    if isinstance(number, int):
        if number.bit_length() > 2048:
            raise _UninspectableError("too_large")
        return str(number)
    if isinstance(number, float):
        text = repr(number)
        if "e" not in text and not text.endswith(".0"):
            return text
    elif isinstance(number, RawNumber):
        text = number.text
    else:
        raise _UninspectableError("not_json")
    if len(text) > 400:
        raise _UninspectableError("too_large")
    try:
        exact = Decimal(text)
    except ArithmeticError:
        return text
    if exact.is_finite() and abs(exact.adjusted()) <= _WIDEST_NUMBER:
        text = format(exact, "f")
        if "." in text:
            whole, _, fraction = text.partition(".")
            return text if fraction.strip("0") else whole
    return text


def _merged(hits: list[Hit]) -> list[Hit]:
    """Overlapping hits become one that covers them all, under the name of the surest (then the longest)."""
    if len(hits) == 1:
        return hits
    merged: list[Hit] = []
    for hit in sorted(hits):
        if merged and hit.start < merged[-1].end:
            last = merged[-1]
            best = max(last, hit, key=lambda one: (one.score, one.end - one.start))
            merged[-1] = Hit(last.start, max(last.end, hit.end), best.entity, best.score)
        else:
            merged.append(hit)
    return merged


def _replaced(text: str, hits: Sequence[Hit]) -> str:
    parts: list[str] = []
    position = 0
    for hit in hits:
        parts += (text[position : hit.start], "[", hit.entity, "]")
        position = hit.end
    return "".join((*parts, text[position:]))


def _blanked(text: str, hits: Sequence[Hit]) -> str:
    """The text with the hits as brackets around nothing, of the same length: so offsets stay, and what stands next
    to a hit has the same neighbour as it will have in the view."""
    blank = "\0"
    parts: list[str] = []
    position = 0
    for hit in hits:
        length = hit.end - hit.start
        parts += (text[position : hit.start], f"[{blank * (length - 2)}]"[:length])
        position = hit.end
    return "".join((*parts, text[position:]))


def _free(named: str, view: dict[Any, JsonValue], members: dict[Any, JsonValue]) -> str:
    candidate, number = named, 2
    while candidate in view or candidate in members:
        candidate, number = f"{named}#{number}", number + 1
    return candidate
