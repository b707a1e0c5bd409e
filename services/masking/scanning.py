"""One machine of all detectors, which reads a whole document in a few passes.

The texts of a document are joined, NUL between them. A single RE2 set tells which patterns occur anywhere; another, of
words, which weak recognisers are spoken for anywhere. Only what occurs and could count is then looked for, candidate by
candidate, and judged in its place. What one leaf costs so hardly depends on how many recognisers there are.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, Final

import re2

from services.masking.leaf import Leaf, OutOfStepsError
from services.masking.recogniser import BAR, Detectors, Finder, Hit, Recogniser, judged

_DIGITS: Final = re.compile(
    r"[0-9](?<![0-9A-Za-z_].)(?<![0-9]\..)(?<!\b0,.)"
    r"(?:[0-9]{3,10}(?![0-9A-Za-z_])(?!,[0-9]{1,2}(?![0-9A-Za-z,]))|[0-9]{11,39}(?![0-9A-Za-z_]))(?!\.[0-9])"
)
"""A comma before or behind parts fields (`1,4111…,123`), unless what is around it is a decimal fraction."""
_SENTINEL: Final = "\0\x01\x02\x01\0"
"""Ends every text that the set reads and matches a pattern of its own: a set that ran out of memory finds nothing,
and must not pass for one that found nothing."""


class ScanFailedError(Exception):
    """The set of patterns gave no answer; nothing can be said about the document."""


class Joined:
    """Texts as one, NUL between them, so that a pass over them is one call."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.text = "\0".join(texts)
        self._texts = texts

    @cached_property
    def starts(self) -> list[int]:
        """Where each text begins, and where one behind the last would."""
        return list(accumulate((len(text) + 1 for text in self._texts), initial=0))

    def index_at(self, offset: int) -> int:
        """Which text an offset lies in."""
        return bisect_right(self.starts, offset) - 1

    def subject(self, ending: str = "") -> Any:
        """What RE2 reads: bytes where each stands for a character, whose offsets it need not count."""
        text = self.text + ending
        return text.encode() if text.isascii() else text


@dataclass(slots=True)
class Scan:
    """What was found, by the index of the text; `failed` says which texts could not be looked at to the end, and why:
    `out_of_steps` or `detector_failed`."""

    hits: dict[int, list[Hit]] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Pattern:
    compiled: Any
    group: int
    recognisers: tuple[Recogniser, ...]
    finder: Finder | None = None


class Scanner:
    """Thread-safe; built once for a set of detectors. Raises ValueError, which names the entity, for a pattern that RE2
    does not take, that matches nothing at all or NUL, or that has more than one group."""

    def __init__(self, detectors: Detectors) -> None:
        self.shortest = detectors.shortest
        self._options = _options()
        self._set = re2.Set.SearchSet(self._options)
        self._words = re2.Set.SearchSet(self._options)
        self._spoken: list[Recogniser] = []
        self._patterns: list[_Pattern] = []
        self._by_length: dict[int, tuple[Recogniser, ...]] = {}
        self._strong_by_length: dict[int, tuple[Recogniser, ...]] = {}
        self._build(detectors)

    def _build(self, detectors: Detectors) -> None:
        by_pattern: dict[str, list[Recogniser]] = {}
        for recogniser in detectors.recognisers:
            if recogniser.pattern:
                by_pattern.setdefault(recogniser.pattern, []).append(recogniser)
            for length in recogniser.digits:
                self._by_length[length] = (*self._by_length.get(length, ()), recogniser)
            if recogniser.words:
                words = "|".join(re2.escape(word).replace(r"\ ", "[ _-]?") for word in recogniser.words)
                self._words.Add(rf"(?:^|[^0-9A-Za-z_])(?:{words})(?:[^0-9A-Za-z_]|$)")
                self._spoken.append(recogniser)
        self._strong_by_length = {
            length: strong
            for length, all_ in self._by_length.items()
            if (strong := tuple(one for one in all_ if one.score >= BAR))
        }
        for pattern, recognisers in by_pattern.items():
            self._add(recognisers[0].entity, pattern, tuple(recognisers), None)
        for finder in detectors.finders:
            self._add("/".join(finder.entities), finder.trigger, (), finder)
        self._set.Add(_SENTINEL)
        self._words.Add(_SENTINEL)
        self._set.Compile()
        self._words.Compile()

    def _add(self, entity: str, pattern: str, recognisers: tuple[Recogniser, ...], finder: Finder | None) -> None:
        try:
            compiled = re2.compile(pattern, self._options)
        except re2.error:
            compiled = None
        if compiled is None:
            raise ValueError(f"{entity}: not a pattern in RE2 syntax")
        if compiled.groups > 1:
            raise ValueError(f"{entity}: more than one group; use (?:…)")
        if compiled.search("") or compiled.search("\0\0"):
            raise ValueError(f"{entity}: the pattern matches nothing at all, or NUL")
        self._set.Add(pattern)
        self._patterns.append(_Pattern(compiled, compiled.groups, recognisers, finder))

    def scan(self, texts: Sequence[str], leaf: Callable[[int], Leaf], words: str, *, lone: bool) -> Scan:
        """Every hit in the texts, in no order, overlapping where detectors disagree.

        `leaf` gives the leaf of the text with that index; `words` are all words of the document's keys; `lone` says
        that the only text is all there is. Raises ScanFailedError.
        """
        joined = Joined(texts)
        run = _Run(joined, leaf)
        end = len(joined.text)
        subject = joined.subject(_SENTINEL)
        matched = self._set.Match(subject)
        if not matched or len(self._patterns) not in matched:
            raise ScanFailedError
        spoken = frozenset() if lone else self._spoken_for(f"{words}\0{joined.text.lower()}")
        self._numbers(run, spoken, lone=lone)
        for index in matched:
            if index < len(self._patterns):
                self._look(self._patterns[index], subject, end, run, spoken, lone=lone)
        return run.scan

    def hits(self, leaf: Leaf) -> list[Hit]:
        """The hits in one leaf. Raises ScanFailedError where it could not be looked at to the end."""
        scan = self.scan((leaf.text,), lambda _: leaf, leaf.key_words, lone=leaf.lone)
        if scan.failed:
            raise ScanFailedError
        return scan.hits.get(0, [])

    def _spoken_for(self, text: str) -> frozenset[int]:
        matched = self._words.Match(text + _SENTINEL)
        if not matched or len(self._spoken) not in matched:
            raise ScanFailedError
        return frozenset(id(self._spoken[index]) for index in matched if index < len(self._spoken))

    def _numbers(self, run: "_Run", spoken: frozenset[int], *, lone: bool) -> None:
        table = self._by_length if spoken or lone else self._strong_by_length
        for match in _DIGITS.finditer(run.joined.text):
            start, end = match.span()
            for recogniser in table.get(end - start, ()):
                if _counts(recogniser, spoken, lone=lone):
                    run.candidate(recogniser, start, end)

    def _look(
        self, pattern: _Pattern, subject: Any, end: int, run: "_Run", spoken: frozenset[int], *, lone: bool
    ) -> None:
        if pattern.finder is not None:
            position = 0
            while match := pattern.compiled.search(subject, position, end):
                position = run.find(pattern.finder, match.start())
            return
        active = [one for one in pattern.recognisers if _counts(one, spoken, lone=lone)]
        if not active:
            return
        for match in pattern.compiled.finditer(subject, 0, end):
            start, stop = match.span(pattern.group)
            if start < stop:
                for recogniser in active:
                    run.candidate(recogniser, start, stop)


class _Run:
    """One document under scan: from offsets in the joined text to leaves."""

    def __init__(self, joined: Joined, leaf: Callable[[int], Leaf]) -> None:
        self.joined = joined
        self.scan = Scan()
        self._leaf = leaf

    def candidate(self, recogniser: Recogniser, start: int, end: int) -> None:
        index = self.joined.index_at(start)
        if index in self.scan.failed:
            return
        try:
            if not recogniser.check(self.joined.text[start:end]):
                return
            leaf = self._leaf(index)
            leaf.spend(20)
            offset = self.joined.starts[index]
            begin, stop = start - offset, end - offset
            score = judged(recogniser.score, leaf, begin, stop, recogniser.spoken_for, whole=recogniser.whole)
            if score:
                self._note(index, (Hit(begin, stop, recogniser.entity, score, recogniser.evidence),))
        except OutOfStepsError:
            self.scan.failed[index] = "out_of_steps"
        except Exception:
            self.scan.failed[index] = "detector_failed"

    def find(self, finder: Finder, position: int) -> int:
        """Asks about the leaf at the position; returns where the next begins."""
        index = self.joined.index_at(position)
        try:
            self._note(index, finder.find(self._leaf(index)))
        except OutOfStepsError:
            self.scan.failed[index] = "out_of_steps"
        except Exception:
            self.scan.failed[index] = "detector_failed"
        return self.joined.starts[index + 1]

    def _note(self, index: int, hits: Iterable[Hit]) -> None:
        for hit in hits:
            self.scan.hits.setdefault(index, []).append(hit)


def _counts(recogniser: Recogniser, spoken: frozenset[int], *, lone: bool) -> bool:
    """Whether anything in the document could lift the recogniser over the bar."""
    return lone or recogniser.score >= BAR or id(recogniser) in spoken


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 256 << 20
    return options
