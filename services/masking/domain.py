"""`mask`: a JSON document in, its masked view and the findings out. Pure: no I/O, no clock, no randomness.

It fails closed: what cannot be inspected (too deep, too large, a detector that raises, no steps left) is replaced
whole by `[UNINSPECTABLE]` and named by a code. The time that a document may take is counted in steps, roughly
characters read, so that the answer does not depend on the machine.

1. The document is walked: its leaves and telling keys become texts, folded; what cannot be read is withheld.
2. All texts are scanned together (`scanning`); keys first, since what is masked in them says nothing about values.
3. What hides deeper is unwrapped and scanned (`layers`), and what is split over siblings is joined (`splits`).
4. Around each hit the text is scanned again until nothing is found: masking a span moves its neighbours' boundaries.
5. Each hit is written as its entity's strategy says, and only containers in which something changed are built anew.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

from contracts.events import Finding
from contracts.model import JsonValue
from services.masking.document import DROPPED, Document, Dropped, NotInspectableError, Text, decimal_text
from services.masking.entities.keyed import KeyRule
from services.masking.folding import Folded, fold
from services.masking.hints import NEVER, NO_HINTS, Hints
from services.masking.layers import Layer, unwrap
from services.masking.leaf import Leaf, OutOfStepsError, lone_text, words_of
from services.masking.machine import Machine, default_machine
from services.masking.places import Path, Places
from services.masking.recogniser import BAR, Hit
from services.masking.scanning import ScanFailedError
from services.masking.strategies import PLACEHOLDER, REDACTED, Disguise, Written, redacted
from services.masking.tokens import TOKEN

UNINSPECTABLE: Final = "[UNINSPECTABLE]"
BLANK: Final = "\0"
_ROUNDS: Final = 8
_LONE: Final = 256
"""Code points of a document that is one text, up to which its weak candidates count: it is a value, not prose."""
_PIECE: Final = 4096
"""Code points that are scanned together."""
_SMALL: Final = 1000
"""Numbers below are nothing that a detector finds."""
_TEXT_ONLY: Final = frozenset({str})
_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z_-]{0,39}[0-9]{0,2}")


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
class Reading:
    """One way in which a found span could be read, and why. `path` is the whole JSON pointer into the view; the rest is
    as in a finding, whose readings come together, the surest first."""

    path: str
    entity: str
    start: int
    end: int
    score: float
    evidence: str


@dataclass(frozen=True, slots=True)
class Masked:
    """`view` has the document's shape; a leaf in which nothing was found is the same, byte for byte.

    A found span is replaced as its entity's strategy says, e.g. by `[EMAIL_ADDRESS]`, also in keys; a number or boolean
    that is masked becomes a string. `findings` are in the document's order; their paths quote no key of a sender's
    (`places`), and their spans refer to the original leaf (a number's decimal text without exponent), or to the
    original key where the key itself held it. `uninspectable` are distinct codes. `readings`, where asked for, are
    the findings with score and evidence, and with each the other entities that the same span could be.
    """

    view: JsonValue = field(repr=False)
    findings: tuple[Finding, ...] = ()
    uninspectable: tuple[str, ...] = ()
    readings: tuple[Reading, ...] = ()


def mask(
    document: JsonValue,
    hints: Hints = NO_HINTS,
    *,
    machine: Machine | None = None,
    disguise: Disguise = REDACTED,
    limits: Limits = LIMITS,
    explain: bool = False,
) -> Masked:
    """Finds and masks what is sensitive in a JSON document; never raises, whatever the document holds.

    Takes what `callgate.jsontext.parse` gives, in either mode of numbers.
    """
    masking = _Masking(document, hints, machine or default_machine(), disguise, limits, explain)
    return masking.run(document, hints.of_values)


@lru_cache(maxsize=4096)
def _plain(key: str) -> bool:
    """Whether the key is an identifier in which nothing can hide."""
    return bool(_PLAIN_KEY.fullmatch(key))


class Place(NamedTuple):
    """Where a value stands: the container's number and the key in it, and the nearest key of an object."""

    container: int
    key: Any
    name: str


class _Unit(NamedTuple):
    """A text to scan: the leaf's of that number, or what a layer of it holds."""

    number: int
    text: str
    layer: Layer | None


class _Masking:
    """One document on its way. A path is that into the view, with masked keys: what a key says about the value below
    it must be the same when the view is masked again."""

    def __init__(
        self, value: JsonValue, hints: Hints, machine: Machine, disguise: Disguise, limits: Limits, explain: bool
    ) -> None:
        self.machine = machine
        self.disguise = disguise
        self.limits = limits
        self.document = Document(value)
        self.places = Places(hints)
        self.steps = limits.steps
        self.texts: list[Text] = []
        self.hits: dict[int, list[Hit]] = {}
        """By the index of the text, spans in its own code points."""
        self.failed: dict[int, str] = {}
        self.uninspectable: dict[str, None] = {}
        self.findings: list[Finding] = []
        self.readings: list[Reading] | None = [] if explain else None
        self.said: dict[int, list[Hit]] = {}
        self.inner: dict[tuple[int, int, int], tuple[Layer, str]] = {}
        """What was found inside of a layer, by the index of the text and the span that is replaced there."""
        self.lone = False

    def run(self, value: JsonValue, hints: Hints) -> Masked:
        try:
            self._value(value, Place(-1, None, ""), hints, 0, None)
            self.lone = len(self.texts) == 1 and self._is_lone(value)
            self._scan([index for index, text in enumerate(self.texts) if text.named])
            self._rename()
            self._scan([i for i, text in enumerate(self.texts) if not text.named and i not in self.hits])
            for index in sorted({*self.hits, *self.failed}):
                self._write(index)
            view = self.document.view()
        except Exception:
            self.uninspectable["detector_failed"] = None
            view, self.findings = UNINSPECTABLE, []
        return Masked(view, tuple(self.findings), tuple(self.uninspectable), tuple(self.readings or ()))

    # 1. Walking

    def _value(self, value: Any, place: Place, hints: Hints, depth: int, rule: KeyRule | None) -> None:
        """Anything but what `_members` sees to by itself."""
        if isinstance(value, (dict, list)):
            if depth >= self.limits.depth:
                self._withhold(place.container, place.key, "too_deep")
            elif isinstance(value, dict) and not _TEXT_ONLY.issuperset(map(type, value)):
                self._withhold(place.container, place.key, "not_json")
            else:
                self._members(value, place, hints, depth + 1, rule)
        elif isinstance(value, str):
            self._leaf(value, value, place, hints, rule)
        elif isinstance(value, bool):
            if hints.mask:
                self._leaf(value, "true" if value else "false", place, hints, None)
        elif value is not None and (rule or hints.mask or not _tells_nothing(value)):
            try:
                self._leaf(value, decimal_text(value), place, hints, rule)
            except NotInspectableError as error:
                self._withhold(place.container, place.key, error.code)

    def _members(
        self, value: dict[Any, Any] | list[Any], place: Place, hints: Hints, depth: int, rule: KeyRule | None
    ) -> None:
        """The members of an object or the items of an array, in order. The loop that everything passes through: what
        most leaves are is seen to here."""
        here = self.document.enter(value, place.container, place.key)
        named = isinstance(value, dict)
        hinted = hints is not NO_HINTS
        texts, rule_of, shortest, longest = self.texts, self.machine.rule, self.machine.shortest, self.limits.leaf
        name, below = place.name, hints
        members: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in members:
            if named:
                name = key
                rule = rule_of(key, place.name)
                if not _plain(key) and hints.mask != NEVER:
                    self._key(key, here)
            if hinted:
                below = hints.property(key) if named else hints.item(key)
            elif rule is None:
                kind = type(item)
                if kind is str:
                    length = len(item)
                    if length <= longest and self.steps > length:
                        if length >= shortest:
                            self.steps -= length + 16
                            texts.append(Text(here, key, item, item))
                        continue
                elif kind is int and -_SMALL < item < _SMALL:
                    continue
            self._value(item, Place(here, key, name), below, depth, rule)

    def _key(self, name: str, container: int) -> None:
        if code := self._refused(name):
            self.failed[len(self.texts)] = code
        self.texts.append(Text(container, name, name, name, named=True))

    def _leaf(self, value: JsonValue, text: str, place: Place, hints: Hints, rule: KeyRule | None) -> None:
        if hints.mask == NEVER or not text:
            return
        if not (hints.mask or rule) and len(text) < self.machine.shortest:
            return
        index = len(self.texts)
        self.texts.append(Text(place.container, place.key, value, text))
        if code := self._refused(text):
            self.failed[index] = code
        elif hints.mask:
            self.hits[index] = [Hit(0, len(text), hints.mask, 1.0, "annotation")]
        elif rule and self._is_told(rule, text):
            self.hits[index] = [Hit(0, len(text), rule.entity, rule.score, "key")]

    def _is_told(self, rule: KeyRule, text: str) -> bool:
        return not already_masked(text) and rule.plausible(text) and not self.machine.allows(rule.entity, text)

    def _refused(self, text: str) -> str | None:
        """Why the text is not to be looked at; takes its steps."""
        if len(text) > self.limits.leaf:
            return "too_large"
        self.steps -= len(text) + 16
        return "out_of_steps" if self.steps < 0 else None

    def _is_lone(self, value: JsonValue) -> bool:
        path = self.document.path(self.texts[0].container, self.texts[0].key)
        members = len(value) if isinstance(value, dict) else 1
        return len(self.texts[0].text) <= _LONE and lone_text(path, members)

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise OutOfStepsError

    # 2. Scanning

    def _scan(self, indexes: list[int]) -> None:
        """In pieces: a word in one of them does not wake weak recognisers for all of a large document."""
        piece: list[int] = []
        size = 0
        for index in indexes:
            if index in self.failed:
                continue
            piece.append(index)
            size += len(self.texts[index].text)
            if size > _PIECE:
                self._scan_piece(piece)
                piece, size = [], 0
        if piece:
            self._scan_piece(piece)

    def _scan_piece(self, indexes: list[int]) -> None:
        units: list[_Unit] = []
        wrapped = self.machine.wrapped([self.texts[index].text for index in indexes])
        inner: list[_Unit] = []
        for position, index in enumerate(indexes):
            text = self.texts[index].text
            if position in wrapped:
                unwrapped = unwrap(text)
                if unwrapped.code:
                    self.failed[index] = unwrapped.code
                    continue
                inner += [_Unit(index, layer.text, layer) for layer in unwrapped.layers]
                if unwrapped.inspected:
                    continue
            units.append(_Unit(index, text, None))
        words = self._words(indexes)
        self._scan_units(units, words)
        if inner:
            keys = {key for unit in inner if unit.layer for key in unit.layer.keys if isinstance(key, str)}
            self._scan_units(self._told_inside(inner), "\n".join((words, *(words_of((key,)) for key in keys))))

    def _told_inside(self, units: list[_Unit]) -> list[_Unit]:
        """The units whose keys say nothing; what the others' say is noted."""
        rest: list[_Unit] = []
        for unit in units:
            layer = unit.layer
            assert layer is not None  # noqa: S101
            names = [key for key in layer.keys if isinstance(key, str)]
            rule = None
            if names and layer.kind in ("string", "number"):
                rule = self.machine.rule(names[-1], names[-2] if len(names) > 1 else "")
            if rule and self._is_told(rule, unit.text):
                self._note(unit, [Hit(0, len(unit.text), rule.entity, rule.score, "key")])
            else:
                rest.append(unit)
        return rest

    def _scan_units(self, units: list[_Unit], words: str) -> None:
        folds: dict[int, Folded] = {}
        texts = [unit.text for unit in units]
        for position, text in enumerate(texts):
            if not (text.isascii() and text.isprintable()):
                folds[position] = folded = fold(text)
                texts[position] = folded.text
        leaves: dict[int, Leaf] = {}

        def leaf(position: int) -> Leaf:
            if position not in leaves:
                leaves[position] = self._as_leaf(units[position], texts[position])
            return leaves[position]

        scan = self.machine.scanner.scan(texts, leaf, words, lone=self.lone)
        for position, code in scan.failed.items():
            self.failed[units[position].number] = code
        for position, hits in scan.hits.items():
            folded = folds.get(position) or Folded(texts[position])
            self._note(units[position], self._around(units[position], folded, hits))

    def _note(self, unit: _Unit, hits: list[Hit]) -> None:
        """Takes hits in the unit's own text as hits in the leaf's."""
        if unit.layer is not None:
            for position, hit in enumerate(hits):
                start, end = unit.layer.original(hit.start, hit.end)
                self.inner[unit.number, start, end] = unit.layer, unit.text[hit.start : hit.end]
                hits[position] = hit._replace(start=start, end=end)
        self.hits[unit.number] = _merged(self.hits.get(unit.number, []) + hits)

    def _words(self, indexes: list[int]) -> str:
        """The words of all keys that lead to the texts."""
        names: set[str] = set()
        seen: set[int] = set()
        for index in indexes:
            container, key = self.texts[index].container, self.texts[index].key
            if isinstance(key, str):
                names.add(key)
            while container >= 0 and container not in seen:
                seen.add(container)
                here = self.document.containers[container]
                if isinstance(here.key, str):
                    names.add(here.key)
                container = here.parent
        return "\n".join(words_of((name,)) for name in names)

    def _as_leaf(self, unit: _Unit, text: str) -> Leaf:
        of = self.texts[unit.number]
        container, key = of.container, of.key
        if of.named:
            here = self.document.containers[container]
            container, key = here.parent, here.key
        path = self.document.path(container, key)
        return Leaf(text, (*path, *unit.layer.keys) if unit.layer else path, self.spend, lone=self.lone)

    # 4. What stands around a hit

    def _around(self, unit: _Unit, folded: Folded, found: list[Hit]) -> list[Hit]:
        """Looks again around what was found, until nothing is: masking a span moves the boundaries of its neighbours,
        and what a second masking would find must not be left by the first."""
        text, hits = folded.text, list[Hit]()
        for _ in range(_ROUNDS):
            found = [hit for hit in found if not self.machine.allows(hit.entity, text[hit.start : hit.end])]
            if not found:
                return [_original(hit, folded) for hit in hits]
            if self.readings is not None:
                self.said.setdefault(unit.number, []).extend(self._in_leaf(unit, folded, found))
            hits = _merged(hits + found)
            remaining = _blanked(text, hits)
            found = []
            if _REMAINS.search(remaining):
                try:
                    found = self.machine.scanner.hits(self._as_leaf(unit, remaining))
                except ScanFailedError:
                    self.failed[unit.number] = "detector_failed" if self.steps >= 0 else "out_of_steps"
                    return []
        self.failed[unit.number] = "too_many_findings"
        return []

    def _in_leaf(self, unit: _Unit, folded: Folded, hits: list[Hit]) -> Iterator[Hit]:
        for hit in hits:
            start, end = folded.original(hit.start, hit.end)
            if unit.layer is not None:
                start, end = unit.layer.original(start, end)
            yield hit._replace(start=start, end=end)

    def _explain(self, index: int, hits: Sequence[Hit]) -> Iterator[Reading]:
        of = self.texts[index]
        path = _json_pointer(self.document.path(of.container, of.key))
        for hit in hits:
            others: dict[str, Hit] = {}
            for said in self.said.get(index, ()):
                known = others.get(said.entity)
                if said[:2] == hit[:2] and said.entity != hit.entity and (known is None or known.score < said.score):
                    others[said.entity] = said
            for one in (hit, *sorted(others.values(), key=lambda other: -other.score)):
                yield Reading(path, one.entity, one.start, one.end, one.score, one.evidence)

    # 5. Writing

    def _rename(self) -> None:
        for index, of in enumerate(self.texts):
            if not of.named:
                continue
            if index in self.failed:
                self.document.rename(of.container, of.key, self._code(self.failed[index]))
            elif hits := self.hits.get(index):
                self.document.rename(of.container, of.key, str(self._written(index, hits)))

    def _write(self, index: int) -> None:
        of = self.texts[index]
        hits = self.hits.get(index, [])
        if index not in self.failed and len(self.findings) + len(hits) > self.limits.findings:
            self.failed[index] = "too_many_findings"
        if index in self.failed:
            if not of.named:
                self._withhold(of.container, of.key, self.failed[index])
            return
        pointer = self.places.pointer(self.document.path(of.container, of.key))
        self.findings += [Finding(path=pointer, entity=hit.entity, start=hit.start, end=hit.end) for hit in hits]
        if self.readings is not None:
            self.readings += self._explain(index, hits)
        if not of.named and (written := self._written(index, hits)) is not None:
            self.document.change(of.container, of.key, written)

    def _written(self, index: int, hits: Sequence[Hit]) -> Written:
        """The text with its hits disguised; None where it shows them all."""
        of = self.texts[index]
        parts: list[str] = []
        position, changed = 0, of.named
        for hit in hits:
            shown = self._shown(index, of, hit)
            if isinstance(shown, Dropped):
                if hit.end - hit.start == len(of.text) and of.container >= 0 and not of.named:
                    return DROPPED
                shown = redacted(hit.entity)
            changed = changed or shown is not None
            parts += (of.text[position : hit.start], of.text[hit.start : hit.end] if shown is None else shown)
            position = hit.end
        return "".join((*parts, of.text[position:])) if changed else None

    def _shown(self, index: int, of: Text, hit: Hit) -> Written:
        if (inside := self.inner.get((index, hit.start, hit.end))) is not None:
            layer, found = inside
            shown = self.disguise(hit.entity, found)
            if shown is None:
                return None
            return layer.written(redacted(hit.entity) if isinstance(shown, Dropped) else shown)
        found = of.text[hit.start : hit.end]
        whole = len(found) == len(of.text) and not isinstance(of.value, str)
        return self.disguise(hit.entity, found, of.value if whole else None)

    def _withhold(self, container: int, key: Any, code: str) -> None:
        self.document.change(container, key, self._code(code))

    def _code(self, code: str) -> str:
        self.uninspectable[code] = None
        return UNINSPECTABLE


_REMAINS: Final = re.compile(r"[^\0\s\[\]][^\0]{2}")


def already_masked(text: str) -> bool:
    """Whether the text is what masking itself writes for a whole value."""
    return text.startswith(("[", "tok_")) and bool(PLACEHOLDER.fullmatch(text) or TOKEN.fullmatch(text))


def _tells_nothing(number: Any) -> bool:
    """Whether a number cannot be anything by itself: a small one, or a fraction."""
    if type(number) is int:
        return -_SMALL < number < _SMALL
    return type(number) is float and not number.is_integer()


def _json_pointer(path: Path) -> str:
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in path)


def _original(hit: Hit, folded: Folded) -> Hit:
    start, end = folded.original(hit.start, hit.end)
    return hit._replace(start=start, end=end)


def _merged(hits: list[Hit]) -> list[Hit]:
    """Disjoint hits in order. Overlapping ones become one that covers them all, under the name of the surest (then the
    longest), but what is weak by itself adds nothing to what is not: an address in a URL is no whole URL."""
    if len(hits) < 2:
        return hits
    strong = _united([hit for hit in hits if hit.score >= BAR])
    weak = [hit for hit in hits if hit.score < BAR]
    if not weak:
        return strong
    return sorted(
        (*strong, *(hit for hit in _united(weak) if not any(hit.start < s.end and s.start < hit.end for s in strong)))
    )


def _united(hits: list[Hit]) -> list[Hit]:
    united: list[Hit] = []
    for hit in sorted(hits):
        if united and hit.start < united[-1].end:
            last = united[-1]
            best = max(last, hit, key=lambda one: (one.score, one.end - one.start))
            united[-1] = best._replace(start=last.start, end=max(last.end, hit.end))
        else:
            united.append(hit)
    return united


def _blanked(text: str, hits: Sequence[Hit]) -> str:
    """The text with the hits as brackets around nothing, of the same length: so offsets stay, and what stands next
    to a hit has the same neighbour as it will have in the view."""
    parts: list[str] = []
    position = 0
    for hit in hits:
        length = hit.end - hit.start
        parts += (text[position : hit.start], f"[{BLANK * (length - 2)}]"[:length])
        position = hit.end
    return "".join((*parts, text[position:]))
