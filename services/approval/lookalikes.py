"""Characters that pass for others, as a Cyrillic letter in `paypal` does. Pure.

Text in any one script is what it is, and is left alone. Found are letters of other scripts that look like Latin ones,
in a word with Latin letters or where the text holds no other letters of their script; what compatibility makes an ASCII
letter or digit of (full-width, mathematical); and digits of another script beside ASCII.
"""

import re
import unicodedata
from collections.abc import Mapping

from callgate.lookalikes import LATIN

_WORD = re.compile(r"\w+")
_ASCII_LETTER = re.compile(r"[A-Za-z]")
_SHORTEST = 3
"""Letters of a word that could be read as a Latin one though nothing in it is."""


def lookalikes(text: str) -> Mapping[int, str]:
    """What each deceptive character looks like, by its position."""
    if text.isascii():
        return {}
    found: dict[int, str] = {}
    foreign = any(map(_is_of_its_own_script, text))
    for word in _WORD.finditer(text):
        if not word[0].isascii():
            found |= {word.start() + position: seen for position, seen in _in_word(word[0], foreign).items()}
    return found


def _in_word(word: str, foreign: bool) -> dict[int, str]:
    mixed = bool(_ASCII_LETTER.search(word))
    whole = not foreign and len(word) >= _SHORTEST
    has_ascii = any(map(str.isascii, word))
    found: dict[int, str] = {}
    for position, character in enumerate(word):
        if character.isascii():
            continue
        plain = unicodedata.normalize("NFKC", character)
        if plain.isascii() and plain.isalnum() and unicodedata.category(character) != "No":
            found[position] = plain
        elif ord(character) in LATIN and (mixed or whole):
            found[position] = chr(LATIN[ord(character)])
        elif character.isdecimal() and has_ascii:
            found[position] = str(unicodedata.decimal(character))
    return found


def _is_of_its_own_script(character: str) -> bool:
    """Whether it is a letter that nobody takes for a Latin one."""
    if character.isascii() or not character.isalpha() or ord(character) in LATIN:
        return False
    return not unicodedata.name(character, "").startswith(("LATIN", "FULLWIDTH LATIN", "MATHEMATICAL"))
