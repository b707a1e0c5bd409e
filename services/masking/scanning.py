"""One machine of all detectors: a single RE2 set tells which of them could match at all, and only these look closely."""

import re
from collections.abc import Iterator
from typing import Any, Final

import re2

from services.masking.leaf import Leaf
from services.masking.recogniser import Detectors, Finder, Hit, Recogniser, judged

_DIGITS: Final = re.compile(r"[0-9](?<![0-9A-Za-z_].)(?<![0-9][.,].)[0-9]{3,}(?![0-9A-Za-z_])(?![.,][0-9])")


class Scanner:
    """Thread-safe; built once for a set of detectors. Raises ValueError, which names the entity, for a pattern that RE2
    does not take, that matches nothing at all or NUL, or that has more than one group."""

    def __init__(self, detectors: Detectors) -> None:
        self._by_length: dict[int, list[Recogniser]] = {}
        self._patterns: list[tuple[Any, Recogniser | Finder]] = []
        options = re2.Options()
        options.log_errors = False
        options.max_mem = 64 << 20
        self._set = re2.Set.SearchSet(options)
        for recogniser in detectors.recognisers:
            for length in recogniser.digits:
                self._by_length.setdefault(length, []).append(recogniser)
            if recogniser.pattern:
                self._add(recogniser.entity, recogniser.pattern, recogniser, options)
        for finder in detectors.finders:
            self._add("/".join(finder.entities), finder.trigger, finder, options)
        self._set.Compile()

    def _add(self, entity: str, pattern: str, detector: Recogniser | Finder, options: Any) -> None:
        try:
            compiled = re2.compile(pattern, options)
        except re2.error:
            raise ValueError(f"{entity}: not a pattern in RE2 syntax") from None
        if compiled.groups > 1:
            raise ValueError(f"{entity}: more than one group; use (?:…)")
        if compiled.search("") or compiled.search("\0\0"):
            raise ValueError(f"{entity}: the pattern matches nothing at all, or NUL")
        self._set.Add(pattern)
        self._patterns.append((compiled, detector))

    def hits(self, leaf: Leaf) -> list[Hit]:
        """Every hit of every detector, in no order; they may overlap."""
        found = list(self._numbers(leaf))
        for index in self._set.Match(leaf.text) or ():
            pattern, detector = self._patterns[index]
            if isinstance(detector, Finder):
                found += detector.find(leaf)
            else:
                found += self._matches(leaf, pattern, detector)
        return found

    def _numbers(self, leaf: Leaf) -> Iterator[Hit]:
        for match in _DIGITS.finditer(leaf.text):
            for recogniser in self._by_length.get(match.end() - match.start(), ()):
                yield from _candidate(leaf, recogniser, match.start(), match.end())

    def _matches(self, leaf: Leaf, pattern: Any, recogniser: Recogniser) -> Iterator[Hit]:
        for match in pattern.finditer(leaf.text):
            leaf.spend(20)
            start, end = match.span(1 if pattern.groups else 0)
            if start < end:
                yield from _candidate(leaf, recogniser, start, end)


def _candidate(leaf: Leaf, recogniser: Recogniser, start: int, end: int) -> Iterator[Hit]:
    if not recogniser.check(leaf.text[start:end]):
        return
    score = judged(recogniser.score, leaf, start, end, recogniser.spoken_for, whole=recogniser.whole)
    if score:
        yield Hit(start, end, recogniser.entity, score, recogniser.evidence)
