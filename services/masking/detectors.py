"""What counts as sensitive: small pure functions from a leaf's text to hits.

A detector first asks something cheap that most leaves fail (an `@`, seven digits, a vendor's prefix), then looks
closely at the candidates only, and lets a checksum or the key decide. Only ASCII digits count.

Every pattern is linear: no nested unbounded quantifiers, and each unbounded run begins at a boundary of its own
character class. Each begins with a character class, and asks what stands before it only then (`[0-9](?<![a-z].)`):
Python's `re` skips to members of a leading class in a tight loop, but not past a leading lookbehind.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from services.masking import vendor_keys
from services.masking.digits import SEVEN_DIGITS, find_numbers
from services.masking.leaf import Leaf
from services.masking.recogniser import Hit

EMAIL: Final = "EMAIL"
IBAN: Final = "IBAN"
API_KEY: Final = "API_KEY"

_LOCAL_REVERSED = re.compile(r"[\w.%+'~^$-]+")
_DOMAIN = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})(?![\w])", re.IGNORECASE
)
_FILE_ENDINGS = ("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ico")
_EMAIL_LOCAL = 128


def find_emails(leaf: Leaf) -> Iterator[Hit]:
    """Addresses as RFC 5321 writes them without quotes, in any script. What parts a URL (`=?&/`) ends a local part."""
    text = leaf.text
    at = text.find("@")
    while at >= 0:
        domain = None
        if text[at + 1 : at + 2].isalnum():
            leaf.spend(_EMAIL_LOCAL)
            domain = _DOMAIN.match(text, at + 1, at + 256)
        if domain and domain[0].rpartition(".")[2].lower() not in _FILE_ENDINGS:
            local = _LOCAL_REVERSED.match(text[max(0, at - _EMAIL_LOCAL) : at][::-1])
            written = local[0][::-1].lstrip(".'%~^$-") if local else ""
            if written and not written.endswith("."):
                yield Hit(at - len(written), domain.end(), EMAIL, 0.99)
        at = text.find("@", at + 1)


# ISO 13616: lengths from SWIFT's IBAN registry.
_IBAN_LENGTHS: Final = {
    country: int(length)
    for country, length in re.findall(
        r"([A-Z]{2})(\d\d)",
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
        "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
        "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
        "YE30",
    )
}
_IBAN_START = re.compile(r"[A-Za-z](?<![0-9A-Za-z].)[A-Za-z][0-9]{2}(?=[ \-]?[0-9A-Za-z]{4})")


def find_ibans(leaf: Leaf) -> Iterator[Hit]:
    """Account numbers of a known country, whose length and check digits (ISO 7064, mod 97-10) are right."""
    if len(leaf.text) < 15:
        return
    leaf.spend(len(leaf.text))
    for match in _IBAN_START.finditer(leaf.text):
        length = _IBAN_LENGTHS.get(match[0][:2].upper())
        if length is None:
            continue
        leaf.spend(length)
        end = _after_characters(leaf.text, match.start(), length)
        if end is None:
            continue
        number = re.sub("[ -]", "", leaf.text[match.start() : end])
        if number not in (number.upper(), number.lower()):
            continue
        if int("".join(str(int(digit, 36)) for digit in number[4:] + number[:4])) % 97 == 1:
            yield Hit(match.start(), end, IBAN, 0.99)


def _after_characters(text: str, start: int, count: int) -> int | None:
    """Where `count` ASCII letters and digits from `start` end, single spaces or dashes between them aside."""
    position = start
    while count:
        character = text[position : position + 1]
        if character.isascii() and character.isalnum():
            count -= 1
        elif not character or character not in " -" or text[position - 1] in " -":
            return None
        position += 1
    following = text[position : position + 1]
    return None if following.isascii() and following.isalnum() else position


def find_api_keys(leaf: Leaf) -> Iterator[Hit]:
    """Credentials that their issuers made recognisable; what is theirs stands in `vendor_keys`."""
    if len(leaf.text) < vendor_keys.SHORTEST:
        return
    leaf.spend(len(leaf.text))
    for start, end in vendor_keys.find(leaf.text):
        leaf.spend(end - start)
        yield Hit(start, end, API_KEY, 0.95)


def plausible(text: str) -> bool:
    """Whether any of our detectors could find something."""
    if "@" in text or SEVEN_DIGITS.search(text):
        return True
    if len(text) < 15:
        return False
    return bool(_IBAN_START.search(text)) or vendor_keys.plausible(text)



class Detectors(NamedTuple):
    """What looks at a leaf: `plausible` is the cheap question whose False spares the rest."""

    plausible: Callable[[str], bool]
    find: tuple[Callable[[Leaf], Iterable[Hit]], ...]


DETECTORS: Final = Detectors(plausible, (find_numbers, find_emails, find_ibans, find_api_keys))
