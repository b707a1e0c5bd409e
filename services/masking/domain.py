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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from callgate.jsontext import pointer_token
from contracts.events import Finding
from contracts.model import JsonValue
from services.masking.document import DROPPED, Document, Dropped
from services.masking.folding import Folded, fold
from services.masking.hints import NO_HINTS, Hints
from services.masking.layers import Layer, unwrap
from services.masking.leaf import Leaf, OutOfStepsError, lone_text, words_of
from services.masking.machine import Machine, default_machine, key_rule
from services.masking.places import Path, Places
from services.masking.recogniser import Hit
from services.masking.scanning import ScanFailedError
from services.masking.spans import blanked, merged, original
from services.masking.splits import LONGEST, Part, split_over
from services.masking.strategies import REDACTED, Disguise, Written, redacted
from services.masking.walking import Walk, is_told

UNINSPECTABLE: Final = "[UNINSPECTABLE]"
_ROUNDS: Final = 8
_LONE: Final = 256
"""Code points of a document that is one text, up to which its weak candidates count: it is a value, not prose."""
_PIECE: Final = 4096
"""Code points that are scanned together."""


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
    that is masked becomes a string. `findings` are in the document's order, but for parts of split values that are too
    short to be looked at alone, which come last; their paths quote no key of a sender's (`places`), and their spans
    refer to the original leaf (a number's decimal text without exponent), or to the original key where the key itself
    held it. `uninspectable` are distinct codes. `readings`, where asked for, are the findings with score and evidence,
    and with each the other entities that the same span could be.
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
        self.walk = Walk(machine, self.document, limits.depth, limits.leaf, limits.steps)
        self.texts = self.walk.texts
        self.failed = self.walk.failed
        self.hits: dict[int, list[Hit]] = {}
        """By the index of the text, spans in its own code points."""
        self.uninspectable: dict[str, None] = {}
        self.findings: list[Finding] = []
        self.readings: list[Reading] | None = [] if explain else None
        self.said: dict[int, list[Hit]] = {}
        self.inner: dict[tuple[int, int, int], tuple[Layer, str]] = {}
        """What was found inside of a layer, by the index of the text and the span that is replaced there."""
        self.lone = False

    def run(self, value: JsonValue, hints: Hints) -> Masked:
        walk = self.walk
        try:
            walk.value(value, hints=hints)
            for container, key, code in walk.withheld:
                self._withhold(container, key, code)
            kept = {index: [hit] for index, hit in walk.told.items() if self._keeps(index, hit)}
            self.hits = {index: [hit] for index, hit in walk.told.items() if index not in kept}
            self.lone = len(self.texts) == 1 and self._is_lone(value)
            self._scan([*walk.names])
            self._rename()
            done = {*walk.names, *self.hits}
            self._scan([i for i in range(len(self.texts)) if i not in done] if done else range(len(self.texts)))
            self._join_splits()
            self.hits = {**kept, **self.hits}
            for index in sorted({*self.hits, *self.failed}):
                self._write(index)
            view = self.document.view()
        except Exception:
            self.uninspectable["detector_failed"] = None
            view, self.findings, self.readings = UNINSPECTABLE, [], None
        return Masked(view, tuple(self.findings), tuple(self.uninspectable), tuple(self.readings or ()))

    def _keeps(self, index: int, hit: Hit) -> bool:
        """Whether the view shows what was told: then something else may still hide in it."""
        return self.disguise(hit.entity, self.texts[index], self.walk.scalars.get(index)) is None

    def _is_lone(self, value: JsonValue) -> bool:
        members = len(value) if isinstance(value, dict) else 1
        return len(self.texts[0]) <= _LONE and lone_text(self._path(0), members)

    def _path(self, index: int) -> Path:
        return self.document.path(*self.walk.places[index])

    def spend(self, steps: int) -> None:
        self.walk.steps -= steps
        if self.walk.steps < 0:
            raise OutOfStepsError

    # 2. Scanning

    def _scan(self, indexes: Sequence[int]) -> None:
        """In pieces: a word in one of them does not wake weak recognisers for all of a large document."""
        if self.failed:
            indexes = [index for index in indexes if index not in self.failed]
        texts = self.texts
        start = size = 0
        for position, index in enumerate(indexes):
            size += len(texts[index])
            if size > _PIECE:
                self._scan_piece(indexes[start : position + 1])
                start, size = position + 1, 0
        if start < len(indexes):
            self._scan_piece(indexes[start:])

    def _scan_piece(self, indexes: Sequence[int]) -> None:
        texts = [self.texts[index] for index in indexes]
        words = self._words(indexes)
        inner: list[_Unit] = []
        if wrapped := self.machine.wrapped(texts):
            seen: set[int] = set()
            for position in wrapped:
                unwrapped = unwrap(texts[position])
                if unwrapped.code:
                    self.failed[indexes[position]] = unwrapped.code
                inner += [_Unit(indexes[position], layer.text, layer) for layer in unwrapped.layers]
                if unwrapped.code or unwrapped.inspected:
                    seen.add(position)
            if seen:
                indexes = [index for position, index in enumerate(indexes) if position not in seen]
                texts = [text for position, text in enumerate(texts) if position not in seen]
        self._scan_texts(texts, lambda position: _Unit(indexes[position], self.texts[indexes[position]], None), words)
        if inner:
            keys = tuple(key for unit in inner if unit.layer for key in unit.layer.keys if isinstance(key, str))
            units = self._told_inside(inner)
            self._scan_texts([unit.text for unit in units], units.__getitem__, f"{words}\n{words_of(keys)}")

    def _told_inside(self, units: list[_Unit]) -> list[_Unit]:
        """The units whose keys say nothing; what the others' say is noted."""
        rest: list[_Unit] = []
        for unit in units:
            layer = unit.layer
            assert layer is not None  # noqa: S101
            names = [key for key in layer.keys if isinstance(key, str)]
            rule = None
            if names and layer.kind in ("string", "number"):
                rule = key_rule(names[-1], names[-2] if len(names) > 1 else "")
            if rule and is_told(self.machine, rule, unit.text):
                self._note(unit, [Hit(0, len(unit.text), rule.entity, rule.score, "key")])
            else:
                rest.append(unit)
        return rest

    def _scan_texts(self, texts: list[str], unit: Callable[[int], _Unit], words: str) -> None:
        """Scans the texts together; `unit` says what each of them is."""
        folds: dict[int, Folded] = {}
        for position, text in enumerate(texts):
            if not (text.isascii() and text.isprintable()):
                folds[position] = folded = fold(text)
                texts[position] = folded.text
        leaves: dict[int, Leaf] = {}

        def leaf(position: int) -> Leaf:
            if position not in leaves:
                leaves[position] = self._as_leaf(unit(position), texts[position])
            return leaves[position]

        scan = self.machine.scanner.scan(texts, leaf, words, lone=self.lone)
        for position, code in scan.failed.items():
            self.failed[unit(position).number] = code
        for position, hits in scan.hits.items():
            folded = folds.get(position) or Folded(texts[position])
            self._note(unit(position), self._around(unit(position), folded, hits))

    def _note(self, unit: _Unit, hits: list[Hit]) -> None:
        """Takes hits in the unit's own text as hits in the leaf's."""
        if unit.layer is not None:
            for position, hit in enumerate(hits):
                start, end = unit.layer.original(hit.start, hit.end)
                self.inner[unit.number, start, end] = unit.layer, unit.text[hit.start : hit.end]
                hits[position] = hit._replace(start=start, end=end)
        self.hits[unit.number] = merged(self.hits.get(unit.number, []) + hits)

    def _words(self, indexes: Sequence[int]) -> str:
        """The words of all keys that lead to the texts, and of some beside."""
        seen: set[int] = set()
        words: list[str] = []
        for index in indexes:
            container = self.walk.places[index][0]
            while container >= 0 and container not in seen:
                seen.add(container)
                words.append(self.walk.words[container])
                container = self.document.parents[container]
        return "\n".join(words)

    def _as_leaf(self, unit: _Unit, text: str) -> Leaf:
        container, key = self.walk.places[unit.number]
        if unit.number in self.walk.names:
            path = self.document.path_of(container)
        else:
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
                return [original(hit, folded) for hit in hits]
            if self.readings is not None:
                self.said.setdefault(unit.number, []).extend(self._in_leaf(unit, folded, found))
            hits = merged(hits + found)
            if len(hits) > self.limits.findings:
                break
            remaining = blanked(text, hits)
            found = []
            if _REMAINS.search(remaining):
                try:
                    found = self.machine.scanner.hits(self._as_leaf(unit, remaining))
                except ScanFailedError:
                    self.failed[unit.number] = "detector_failed" if self.walk.steps >= 0 else "out_of_steps"
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
        path = _json_pointer(self._path(index))
        for hit in hits:
            others: dict[str, Hit] = {}
            for said in self.said.get(index, ()):
                known = others.get(said.entity)
                if said[:2] == hit[:2] and said.entity != hit.entity and (known is None or known.score < said.score):
                    others[said.entity] = said
            for one in (hit, *sorted(others.values(), key=lambda other: -other.score)):
                yield Reading(path, one.entity, one.start, one.end, one.score, one.evidence)

    # 3. What is split over siblings

    def _join_splits(self) -> None:
        """Each part of a value that is split over the members of a container is a hit from end to end."""
        places, texts = self.walk.places, self.texts
        known: dict[tuple[int, Any], int] = {}
        for container in self.walk.split:
            value = self.document.values[container]
            members = value.items() if isinstance(value, dict) else enumerate(value)
            scalars = [(key, item) for key, item in members if isinstance(item, (str, int, float))]
            parts = [Part(key, fold(_short(item)).text, isinstance(item, str)) for key, item in scalars]
            for split in split_over(parts, self.document.path_of(container), len(value)):
                known = known or {place: index for index, place in enumerate(places) if index not in self.walk.names}
                for position in split.parts:
                    key, item = scalars[position]
                    index = known.setdefault((container, key), len(texts))
                    if index == len(texts):
                        texts.append(_short(item))
                        places.append((container, key))
                    hit = Hit(0, len(texts[index]), split.entity, split.score, split.evidence)
                    self.hits[index] = merged([*self.hits.get(index, ()), hit])

    # 5. Writing

    def _rename(self) -> None:
        for index in self.walk.names:
            container, key = self.walk.places[index]
            if index in self.failed:
                self.document.rename(container, key, self._code(self.failed[index]))
            elif hits := self.hits.get(index):
                self.document.rename(container, key, str(self._written(index, hits, named=True)))

    def _write(self, index: int) -> None:
        named = index in self.walk.names
        hits = self.hits.get(index, [])
        if index not in self.failed and len(self.findings) + len(hits) > self.limits.findings:
            self.failed[index] = "too_many_findings"
        container, key = self.walk.places[index]
        if index in self.failed:
            if not named:
                self._withhold(container, key, self.failed[index])
            return
        pointer = self.places.pointer(self.document.path(container, key))
        self.findings += [Finding(path=pointer, entity=hit.entity, start=hit.start, end=hit.end) for hit in hits]
        if self.readings is not None:
            self.readings += self._explain(index, hits)
        if not named and (written := self._written(index, hits, named=False)) is not None:
            self.document.change(container, key, written)

    def _written(self, index: int, hits: Sequence[Hit], *, named: bool) -> Written:
        """The text with its hits disguised; None where it shows them all. A key (`named`) is always there."""
        text = self.texts[index]
        parts: list[str] = []
        position, changed = 0, named
        for hit in hits:
            shown = self._shown(index, hit)
            if isinstance(shown, Dropped):
                if hit.end - hit.start == len(text) and self.walk.places[index][0] >= 0 and not named:
                    return DROPPED
                shown = redacted(hit.entity)
            changed = changed or shown is not None
            parts += (text[position : hit.start], text[hit.start : hit.end] if shown is None else shown)
            position = hit.end
        return "".join((*parts, text[position:])) if changed else None

    def _shown(self, index: int, hit: Hit) -> Written:
        if (inside := self.inner.get((index, hit.start, hit.end))) is not None:
            layer, found = inside
            shown = self.disguise(hit.entity, found)
            if shown is None:
                return None
            return layer.written(redacted(hit.entity) if isinstance(shown, Dropped) else shown)
        text = self.texts[index]
        whole = hit.end - hit.start == len(text)
        return self.disguise(hit.entity, text[hit.start : hit.end], self.walk.scalars.get(index) if whole else None)

    def _withhold(self, container: int, key: Any, code: str) -> None:
        self.document.change(container, key, self._code(code))

    def _code(self, code: str) -> str:
        self.uninspectable[code] = None
        return UNINSPECTABLE


_REMAINS: Final = re.compile(r"[^\0\s\[\]][^\0]{2}")


def _short(item: str | float) -> str:
    """The text of a scalar that could be a part of a value, empty for any other."""
    if isinstance(item, str):
        return item if len(item) <= 2 * LONGEST else ""
    return str(item) if type(item) is int and 0 <= item < 10**LONGEST else ""


def _json_pointer(path: Path) -> str:
    return "".join(pointer_token(str(step)) for step in path)
