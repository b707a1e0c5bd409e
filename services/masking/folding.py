"""Hostile spellings: a leaf as detectors read it, and the way back to what was written.

`fold` turns what only looks like ASCII into ASCII (digits of every script, full-width and mathematical letters, dashes,
blanks, lookalikes of Latin letters inside Latin words) and drops what nobody sees (zero-width and control characters,
soft hyphens, marks that strike digits through). Prose in any script stays as it is. Linear, pure, idempotent.
"""

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from callgate.lookalikes import LATIN


@dataclass(slots=True)
class OffsetMap:
    """From offsets of a text made from another back to those of the other: one to one but for the edits, of which each
    says which span of the made text stands for which of the original. In order, disjoint; either may be empty."""

    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    original_starts: list[int] = field(default_factory=list)
    original_ends: list[int] = field(default_factory=list)

    def add(self, start: int, end: int, original_start: int, original_end: int) -> None:
        """Appends an edit; one that drops text right after another that does becomes part of it."""
        if start == end and self.ends and self.original_ends[-1] == original_start and self.starts[-1] == start:
            self.original_ends[-1] = original_end
            return
        self.starts.append(start)
        self.ends.append(end)
        self.original_starts.append(original_start)
        self.original_ends.append(original_end)

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span that a half-open span stands for: all of each edit that it touches, and of what was dropped only
        what lies inside."""
        index = bisect_right(self.starts, start) - 1
        if index < 0:
            low = start
        elif start < self.ends[index]:
            low = self.original_starts[index]
        else:
            low = self.original_ends[index] + start - self.ends[index]
        if end <= start:
            return low, low
        index = bisect_left(self.starts, end) - 1
        if index < 0:
            return low, end
        return low, self.original_ends[index] + max(0, end - self.ends[index])


@dataclass(frozen=True, slots=True)
class Folded:
    """`text` is what detectors read; `offsets` is None where every character stands for the one in its place."""

    text: str
    offsets: OffsetMap | None = None

    def original(self, start: int, end: int) -> tuple[int, int]:
        """The span of the original's code points that a half-open span of `text` stands for: with the invisible
        characters inside it, without those around it."""
        return (start, end) if self.offsets is None else self.offsets.original(start, end)


def fold(text: str) -> Folded:
    """The text as detectors read it. Total: any str, lone surrogates included (they become U+FFFD)."""
    if text.isascii():
        if text.isprintable() or not _CHANGED_ASCII.search(text):
            return Folded(text)
    elif not _NOTABLE.search(text):
        return Folded(text)
    characters = set(text)
    folded, offsets = text, None
    special = characters & _SPECIALS
    if not special.isdisjoint(_UNEVEN):
        folded, offsets = _closely(text)
    elif len(special) <= _FEW:
        for character in special:
            folded = folded.replace(character, _TABLE[character])
    else:
        folded = folded.translate(_EVEN)
    if not characters.isdisjoint(_IDEOGRAPHS):
        folded = _IDEOGRAPHIC.sub(lambda match: match[0].translate(_IDEOGRAPHIC_DIGITS), folded)
    if not characters.isdisjoint(_LOOKALIKES) and _MIXED.search(folded):
        folded = _TOKEN.sub(_latin, folded)
    return Folded(folded, offsets)


_CONTROLS: Final = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
_CONTROL: Final = re.compile(f"[{_CONTROLS}]")
_CHANGED_ASCII: Final = re.compile(f"[{_CONTROLS}\x0b\x0c]")
_FIELD: Final = 8
"""Control characters separate fields (FIX, NUL-terminated strings) where one of the fields beside has more characters
than this, and are dropped where both are shorter: then they split a value."""

_VISIBLE_FORMATS: Final = frozenset((*range(0x0600, 0x0606), 0x06DD, 0x070F, 0x0890, 0x0891, 0x08E2, 0x110BD, 0x110CD))
_INVISIBLE: Final = (
    0x034F,  # combining grapheme joiner
    *(0x115F, 0x1160, 0x17B4, 0x17B5, 0xFFA0),  # fillers
    *range(0x180B, 0x1810),  # Mongolian variation selectors
    *range(0xFE00, 0xFE10),  # variation selectors
    *range(0xFFF0, 0xFFF9),
    *range(0xE0000, 0xE1000),  # tags, and more variation selectors
)
_MARKS: Final = frozenset(
    chr(code)
    for block in (
        range(0x0300, 0x034F),  # marks for letters of any script: accents, and what strikes a character through
        range(0x0350, 0x0370),
        range(0x1AB0, 0x1B00),
        range(0x1DC0, 0x1E00),
        range(0x20D0, 0x2100),
        range(0xFE20, 0xFE30),
    )
    for code in block
)
_SINGLE: Final = {
    "-": "\u02d7\u2043\u2212\u207b\u208b\u2500\u2501\u2796\ufe63\uff0d",
    " ": "\u00b7\u2022\u2027\u2219\u22c5\u2800\u3164\u30fb\uff65",
    "\n": "\x0b\x0c\x85\u2028\u2029",
    ".": "\u3002\uff61\u06d4",
    "/": "\u2044\u2215\u29f8",
    "'": "\u2018\u2019\u201b\u02bc\u2032",
    '"': "\u201c\u201d\u201f\u2033",
    "@": "\ufe6b",
    ":": "\u2236\u02d0\ua789",
    "+": "\u2795",
    "_": "\ufe4d\ufe4e\ufe4f",
}


def _table() -> dict[str, str]:
    """What each character becomes, wherever it stands; only those that become something else."""
    table: dict[str, str] = {}
    for code in range(0x80, 0x20000):  # above there are ideographs, and tags
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Cs":
            table[character] = "\ufffd"
        elif category == "Cf" and code not in _VISIBLE_FORMATS:
            table[character] = ""
        elif category == "Zs":
            table[character] = " "
        elif category == "Pd":
            table[character] = "-"
        elif (digit := unicodedata.digit(character, None)) is not None:
            table[character] = str(digit)
        elif unicodedata.decomposition(character) and code not in (0xAA, 0xBA):  # ª and º are letters of prose
            compatible = unicodedata.normalize("NFKC", character)
            # Not `℡` or `™`: what stands next to them would become part of the word.
            if compatible != character and compatible.isascii() and (len(compatible) == 1 or category != "So"):
                table[character] = compatible
    for first in (0x1F150, 0x1F170):  # white letters on black
        table.update({chr(first + index): chr(ord("A") + index) for index in range(26)})
    table.update({other: plain for plain, others in _SINGLE.items() for other in others})
    table.update(dict.fromkeys(map(chr, _INVISIBLE), ""))
    return table


_TABLE: Final = _table()
_NUMBERS: Final = frozenset(
    character for character, read in _TABLE.items() if read.isdigit() and unicodedata.category(character) == "No"
)
"""Superscripts, circled digits …: a digit of a number, or a footnote behind it."""


_DEPENDING: Final = _MARKS | _NUMBERS | {chr(code) for code in range(0xA0) if _CONTROL.match(chr(code))}


def _class(characters: Iterable[str]) -> str:
    """A character class. All beyond the basic plane are in it, so that what remains is one bitmap."""
    plain = "".join(re.escape(character) for character in sorted(characters) if character < "\U00010000")
    return f"[{plain}\U00010000-\U0010ffff]"


_UNEVEN: Final = _DEPENDING | {character for character, read in _TABLE.items() if len(read) != 1}
"""Whatever is not always, or not by exactly one character, replaced."""
_EVEN: Final = {ord(character): read for character, read in _TABLE.items() if character not in _UNEVEN}
_SPECIALS: Final = _DEPENDING | _TABLE.keys()
_SPECIAL: Final = re.compile(_class(_SPECIALS))
_RUN: Final = re.compile(f"{_SPECIAL.pattern}+")  # not what is searched for: a repetition is found ten times slower
_FEW: Final = 16


def _closely(text: str) -> tuple[str, OffsetMap | None]:
    """Each character by itself or with its neighbours; nothing that this could change again is left."""
    parts: list[str] = []
    offsets = OffsetMap()
    position = length = 0
    while (first := _SPECIAL.search(text, position)) and (special := _RUN.match(text, first.start())):
        start, end = special.span()
        if start > position:
            parts.append(text[position:start])
            length += start - position
        position = end
        for index, character in enumerate(special[0], start):
            read = _in_its_place(text, index, parts) if character in _DEPENDING else _TABLE.get(character, character)
            if len(read) != 1:
                offsets.add(length, length + len(read), index, index + 1)
            if read:
                parts.append(read)
                length += len(read)
    parts.append(text[position:])
    return "".join(parts), offsets if offsets.starts else None


def _in_its_place(text: str, index: int, parts: list[str]) -> str:
    """What a character becomes after `parts`; an accent changes the last of these instead."""
    character = text[index]
    if character in _MARKS:
        if parts and parts[-1][-1].isalpha():
            composed = unicodedata.normalize("NFC", parts[-1][-1] + character)
            if len(composed) == 1:
                parts[-1] = parts[-1][:-1] + composed
        return ""
    if character in _NUMBERS:
        first, last = index, index + 1
        while first > 0 and index - first < 3 and text[first - 1] in _NUMBERS:
            first -= 1
        while last < len(text) and last - first < 4 and text[last] in _NUMBERS:
            last += 1
        footnote = last - first <= 2 and text[first - 1 : first].isdecimal() and not text[last : last + 1].isdecimal()
        return " " if footnote else _TABLE[character]
    return "" if _splits_a_value(text, index) else " "


def _splits_a_value(text: str, index: int) -> bool:
    """Whether the control character stands between two fields so short that no value is whole in them."""
    left = text[max(0, index - _FIELD - 1) : index]
    right = text[index + 1 : index + _FIELD + 2]
    return (len(left) <= _FIELD or bool(_CONTROL.search(left))) and (
        len(right) <= _FIELD or bool(_CONTROL.search(right))
    )


_LOOKALIKES: Final = frozenset(map(chr, LATIN))
_TOKEN: Final = re.compile(r"[\w-]+")
_MIXED: Final = re.compile(r"[0-9A-Za-z_-][^\x00-\x7f]|[^\x00-\x7f][0-9A-Za-z_-]")
_ASCII_LETTER: Final = re.compile("[A-Za-z]")
_ASCII_DIGIT: Final = re.compile("[0-9]")
_IDEOGRAPHIC_DIGITS: Final = str.maketrans("〇一二三四五六七八九零", "01234567890")
_IDEOGRAPHS: Final = frozenset(map(chr, _IDEOGRAPHIC_DIGITS))
_IDEOGRAPHIC: Final = re.compile(f"[{''.join(_IDEOGRAPHS)}]{{6,}}")
_NOTABLE: Final = re.compile(_class(_SPECIALS | _LOOKALIKES | _IDEOGRAPHS))
"""Nothing is done to a text without any of these."""


def _latin(match: re.Match[str]) -> str:
    """Lookalikes of Latin letters in a token with ASCII letters, or with digits and nothing but lookalikes (as in a
    number plate); character for character."""
    token = match[0]
    if token.isascii():
        return token
    latin = token.translate(LATIN)
    if latin != token and (_ASCII_LETTER.search(token) or (latin.isascii() and _ASCII_DIGIT.search(token))):
        return latin
    return token
