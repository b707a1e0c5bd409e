"""What a detector gets, and what it gives: a leaf's text with where it stands, and hits in it."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

CONTEXT = 30
"""Code points before a candidate in which a word may tell what it is."""


_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*\]")


class Hit(NamedTuple):
    """A half-open span of code points, and how sure we are (0 to 1): only what reaches a detector's bar is a hit."""

    start: int
    end: int
    entity: str
    score: float


class Leaf:
    """A text to inspect, and the keys and indexes that lead to it; `spend` takes steps from the document's budget."""

    __slots__ = ("_key_words", "path", "spend", "text")

    def __init__(self, text: str, path: tuple[str | int, ...], spend: Callable[[int], None]) -> None:
        self.text = text
        self.path = path
        self.spend = spend
        self._key_words: str | None = None

    @property
    def key_words(self) -> str:
        """The words of the last three keys, lower case, split on camelCase and snake_case: `customer ssn`. What is
        masked in them says nothing: `[PHONE]` does not make the value below it a phone."""
        if self._key_words is None:
            keys = [step for step in self.path if isinstance(step, str)][-3:]
            self._key_words = " ".join(
                word for key in keys for word in _WORD.findall(_PLACEHOLDER.sub(" ", key[:128]))
            ).lower()
        return self._key_words

    def words_before(self, start: int) -> str:
        """The text up to CONTEXT code points before `start`, but not across something that is masked already:
        so what the context says is the same before and after its neighbours were replaced."""
        floor = max(0, start - CONTEXT)
        close = self.text.rfind("]", floor, start)
        while close >= floor:
            opening = self.text.rfind("[", max(0, close - 70), close)
            if self.text[close - 1 : close] == "\0" or (
                opening >= 0 and _PLACEHOLDER.fullmatch(self.text, opening, close + 1)
            ):
                floor = close + 1
                break
            close = self.text.rfind("]", floor, close)
        return self.text[floor:start].lower()


Detector = Callable[[Leaf], Iterable[Hit]]


@dataclass(frozen=True, slots=True)
class Detectors:
    """What looks at a leaf: `plausible` is the cheap question whose False spares the rest."""

    plausible: Callable[[str], bool]
    find: tuple[Detector, ...]
