"""A list of words and phrases that is looked for in texts in one pass, whatever its length and the words' case."""

import re
from collections.abc import Iterator
from typing import Final

import re2

_SPELLED_OUT: Final = 200
"""Values that `trigger` lists; of longer lists it knows the first two characters only."""
_RUN = re.compile(r"[0-9A-Za-z_]+")
_BLANKS: Final = r"[ \t\n\v\f\r]+"
_BLANK_RUN = re.compile(_BLANKS)
_ODD_BLANKS = re.compile(r" [ \t\n\v\f\r]|[\t\n\v\f\r]")


class WordList:
    """Values of two or more characters, none folded to nothing.

    Where one begins or ends with an ASCII letter or digit, it is no part of a longer run of them; where it does with
    another character, e.g. in Chinese, it may stand anywhere. A blank in a value is any blanks and line ends in a text.
    `trigger` is a pattern (RE2) that matches every text in
    which one is found, and some others.
    """

    def __init__(self, values: tuple[str, ...]) -> None:
        values = tuple(_BLANK_RUN.sub(" ", value) for value in values)
        self._values = frozenset(map(_lower, values))
        self._lengths: dict[str, list[int]] = {}
        """Of the values that begin with this word, or with these two characters; longest first, each once."""
        for value in self._values:
            self._lengths.setdefault(_beginning(value), []).append(len(value))
        self._lengths = {start: sorted(set(lengths), reverse=True) for start, lengths in self._lengths.items()}
        firsts = "".join(sorted({value[0] for value in self._values if not _RUN.match(value)}))
        self._first = re.compile(f"[{re.escape(firsts)}]") if firsts else None
        self.trigger = _trigger(values)

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Half-open spans, the longest value at each place; they may overlap. Linear in the text."""
        if not _ODD_BLANKS.search(text):
            yield from self._find(text)
            return
        single, places = _single_blanks(text)
        for start, end in self._find(single):
            yield places[start], places[end - 1] + 1

    def _find(self, text: str) -> Iterator[tuple[int, int]]:
        lowered = _lower(text)
        for match in _RUN.finditer(lowered):
            yield from self._at(lowered, match.start(), match[0])
        for match in self._first.finditer(lowered) if self._first else ():
            yield from self._at(lowered, match.start(), lowered[match.start() : match.start() + 2])

    def _at(self, lowered: str, start: int, beginning: str) -> Iterator[tuple[int, int]]:
        for length in self._lengths.get(beginning, ()):
            end = start + length
            if lowered[start:end] in self._values and not _within_word(lowered, end):
                yield start, end
                return


def _beginning(value: str) -> str:
    word = _RUN.match(value)
    return word[0] if word else value[:2]


def _within_word(text: str, position: int) -> bool:
    """Whether a run of ASCII letters and digits goes on here."""
    return position < len(text) and bool(_RUN.fullmatch(text[position - 1 : position + 1]))


def _single_blanks(text: str) -> tuple[str, list[int]]:
    """The text with one space for each run of blanks, and where each of its characters stood."""
    pieces: list[str] = []
    places: list[int] = []
    last = 0
    for run in _BLANK_RUN.finditer(text):
        pieces += (text[last : run.start()], " ")
        places += range(last, run.start() + 1)
        last = run.end()
    pieces.append(text[last:])
    places += range(last, len(text))
    return "".join(pieces), places


def _lower(text: str) -> str:
    """In small letters, of the same length."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(small if len(small := one.lower()) == 1 else one for one in text)


def _trigger(values: tuple[str, ...]) -> str:
    if len(values) <= _SPELLED_OUT:
        return "(?i)" + "|".join(map(_escaped, values))
    seconds: dict[str, set[str]] = {}
    for value in values:
        seconds.setdefault(value[0].lower(), set()).add(value[1].lower())
    return "(?i)" + "|".join(
        f"{re2.escape(first)}(?:{'|'.join(map(_escaped, sorted(after)))})" for first, after in sorted(seconds.items())
    )


def _escaped(value: str) -> str:
    return _BLANKS.join(map(re2.escape, value.split(" ")))
