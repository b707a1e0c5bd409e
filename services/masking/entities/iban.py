"""International bank account numbers: ISO 13616, with the structures of SWIFT's IBAN registry."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from services.masking.leaf import Leaf
from services.masking.recogniser import Finder, Hit

IBAN_CODE: Final = "IBAN_CODE"

_REGISTRY: Final = (
    "AD8n12c AE19n AL8n16c AT16n AZ4a20c BA16n BE12n BG4a6n8c BH4a14c BI23n BR23n1a1c BY4c4n16c CH5n12c CR18n CY8n16c "
    "CZ20n DE18n DJ23n DK14n DO4c20n EE16n EG25n ES20n FI14n FK2a12n FO14n FR10n11c2n GB4a14n GE2a16n GI4a15c GL14n "
    "GR7n16c GT24c HN4a20n HR17n HU24n IE4a14n IL19n IQ4a15n IS22n IT1a10n12c JO4a4n18c KW4a22c KZ3n13c LB4n20c "
    "LC4a24c LI5n12c LT16n LU3n13c LV4a13c LY21n MC10n11c2n MD20c ME18n MK3n10c2n MN16n MR23n MT4a5n18c MU4a19n3a "
    "NI4a20n NL4a10n NO11n OM3n16c PK4a16c PL24n PS4a21c PT21n QA4a21c RO4a16c RS18n RU14n15c SA2n18c SC4a20n3a SD14n "
    "SE20n SI15n SK20n SM1a10n12c SO19n ST21n SV4a20n TL19n TN20n TR6n16c UA6n19c VA18n VG4a16n XK16n YE4a4n18c"
)
"""What follows country and check digits, by country: digits (n), letters (a), either (c)."""


class _Structure(NamedTuple):
    length: int
    """Characters of the whole number."""
    digits: tuple[slice, ...]
    letters: tuple[slice, ...]


def _structure(parts: str) -> _Structure:
    position, slices = 4, {"n": [slice(2, 4)], "a": [], "c": []}
    for count, kind in re.findall(r"([0-9]+)([nac])", parts):
        slices[kind].append(slice(position, position + int(count)))
        position += int(count)
    return _Structure(position, tuple(slices["n"]), tuple(slices["a"]))


_STRUCTURES: Final = {entry[:2]: _structure(entry[2:]) for entry in _REGISTRY.split()}
_GAP: Final = r"(?:\r\n|[ \t\n-])?"
"""One blank or dash, or the end of a line at which the number was wrapped."""
_NO_GAPS: Final = str.maketrans("", "", " \t\r\n-")
_WRITTEN: Final = {
    length: re.compile(rf"(?:[0-9A-Za-z]{_GAP}){{{length - 1}}}[0-9A-Za-z](?![0-9A-Za-z])")
    for length in {structure.length for structure in _STRUCTURES.values()}
}
_LETTER_VALUES: Final = {ord("A") + offset: str(10 + offset) for offset in range(26)}
_COUNTRIES: Final = "|".join(
    f"{first}[{''.join(code[1] for code in _STRUCTURES if code[0] == first)}]"
    for first in sorted({code[0] for code in _STRUCTURES})
)
_START: Final = re.compile(rf"(?<![0-9A-Za-z])(?:{_COUNTRIES}){_GAP}[0-9]{{2}}(?={_GAP}[0-9A-Za-z])", re.IGNORECASE)


def find_ibans(leaf: Leaf) -> Iterator[Hit]:
    """Numbers whose length, digits and letters are right for their country, and whose check digits are."""
    for match in _START.finditer(leaf.text):
        country = match[0][:2].upper()
        structure = _STRUCTURES[country]
        leaf.spend(200)
        end = _after_characters(leaf.text, match.start(), structure.length)
        if end is not None and _is_iban(leaf.text[match.start() : end], structure):
            yield Hit(match.start(), end, IBAN_CODE, 0.99, "country's structure, check digits (mod 97)")


def _after_characters(text: str, start: int, count: int) -> int | None:
    """Where `count` letters and digits from `start` end, single blanks or dashes between them aside; None where there
    are fewer, or more without anything between."""
    match = _WRITTEN[count].match(text, start)
    return match.end() if match else None


def _is_iban(written: str, structure: _Structure) -> bool:
    if not (written.isupper() or written.islower()) or not written.isascii():
        return False
    number = written.translate(_NO_GAPS).upper()
    return (
        all(number[part].isdecimal() for part in structure.digits)
        and all(number[part].isalpha() for part in structure.letters)
        and int((number[4:] + number[:4]).translate(_LETTER_VALUES)) % 97 == 1
    )


IBAN: Final = (
    Finder(
        (IBAN_CODE,),
        rf"(?i)(?:\b|_)(?:{_COUNTRIES}){_GAP}[0-9]{{2}}{_GAP}[0-9A-Z]{{2,4}}{_GAP}[0-9A-Z]{{2}}",
        find_ibans,
        "country's structure, check digits (mod 97)",
        "ISO 13616-1; SWIFT IBAN registry",
    ),
)
