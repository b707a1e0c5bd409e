"""What an entity looks like, as data: a pattern or a number of digits, a check, and the words that speak for it.

A recogniser's `score` says how much its pattern and check are worth by themselves; what is known about the place of a
candidate moves it (`judged`), and only what reaches the bar of its place is a hit:

| score      | is found                                                                                         |
|------------|--------------------------------------------------------------------------------------------------|
| >= CERTAIN | everywhere: hardly anything else passes                                                          |
| >= BAR     | everywhere but under a key that names an identifier of machines (`order_id`, `sku`, `sha256`)     |
| >= LONE    | where nothing tells what the value is (a document that is one text), or where a word speaks for it |
| below      | only where a word speaks for it: a key on the path, or the text within CONTEXT characters          |
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from services.masking.leaf import Leaf

CERTAIN: Final = 0.9
BAR: Final = 0.5
LONE: Final = 0.3


class Hit(NamedTuple):
    """A half-open span of code points of the leaf's text, and how sure we are (0 to 1)."""

    start: int
    end: int
    entity: str
    score: float
    evidence: str = ""
    """Why, in words of our own, e.g. `luhn, issuer`: never text of the document."""


def anything(_: str) -> bool:
    """The check of what its pattern says completely."""
    return True


def any_word(words: Iterable[str]) -> re.Pattern[str] | None:
    """Finds one of the words, whole; a blank in one may be `_`, `-` or missing. None where there are none."""
    alternatives = "|".join(re.escape(word).replace(r"\ ", "[ _-]?") for word in words if word)
    return re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)") if alternatives else None


@dataclass(frozen=True)
class Recogniser:
    """One way in which an entity is written.

    Either `pattern` (RE2 syntax, ASCII, linear by construction; group 1 is the entity where there is a group, the
    whole match otherwise) or `digits`: how many digits a run of nothing but digits has, between two characters that are
    neither letters, digits nor underscores, and is no part of a decimal fraction. Texts are scanned joined, NUL
    between them: a pattern must not match NUL in what it finds, and `^` and `$` mean nothing; use `\\b`.
    """

    entity: str
    pattern: str = ""
    digits: tuple[int, ...] = ()
    check: Callable[[str], bool] = anything
    """Pure, total and linear; gets the text as written, separators and all."""
    score: float = 0.0
    words: tuple[str, ...] = ()
    """Lower case: `ssn`, `social security`; a blank may be missing in keys (`socialsecurity`). Only whole words count.
    In other languages as they are written there, folded as leaves are."""
    whole: bool = False
    """Whether, without a word that speaks for it, it must be the whole text (blanks aside)."""
    evidence: str = ""
    """What pattern and check prove, for explanations and documentation: `check digit (mod 11)`, `shape`."""
    source: str = ""
    """Where the rule is published."""

    @cached_property
    def spoken_for(self) -> re.Pattern[str] | None:
        """Finds one of `words`."""
        return any_word(self.words)


def judged(
    score: float, leaf: Leaf, start: int, end: int, words: re.Pattern[str] | None, *, whole: bool = False
) -> float:
    """What a candidate is worth in its place: 0 where that is below the place's bar.

    `leaf` tells the key, the words near and whether anything tells at all; see the module's table.
    """
    if words is not None and (words.search(leaf.key_words) or words.search(leaf.near(start, end))):
        return max(score, round(0.85 + score / 10, 3))
    if whole and leaf.text[:start].strip() + leaf.text[end:].strip():
        return 0.0
    if score >= CERTAIN or (score >= BAR and not leaf.identifier):
        return score
    return round(0.4 + (score - LONE) / 3, 3) if score >= LONE and leaf.lone else 0.0


@dataclass(frozen=True, slots=True)
class Finder:
    """A detector that no single pattern and check can tell: `find` is asked where `trigger` (RE2) matches the leaf."""

    entities: tuple[str, ...]
    trigger: str
    find: Callable[[Leaf], Iterable[Hit]]
    evidence: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Detectors:
    """What looks at a document; `services.masking.scanning` makes one machine of it."""

    recognisers: tuple[Recogniser, ...] = ()
    finders: tuple[Finder, ...] = ()
    shortest: int = 3
    """Code points below which no text needs to be looked at."""
