"""Cards, social security numbers and phones: what is made of digits, and told apart by checksums, shape and context."""

import re
from bisect import bisect_left
from collections.abc import Iterator
from operator import itemgetter
from typing import Final

from services.masking.leaf import CONTEXT, Leaf
from services.masking.recogniser import Hit

CREDIT_CARD: Final = "CREDIT_CARD"
US_SSN: Final = "US_SSN"
PHONE: Final = "PHONE"

_SEP = r" .\-/\u00a0\u2009\u202f\u2010-\u2015"
SEVEN_DIGITS = re.compile(rf"[0-9](?:[{_SEP}()]{{0,3}}[0-9]){{6}}")
_UUID = re.compile(r"[0-9a-fA-F](?<![0-9A-Za-z].)[0-9a-fA-F]{7}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![0-9A-Za-z])")
_NO_NUMBER = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
    r"|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|-?[0-9]{1,9}\.[0-9]{1,18}"
)
"""Leaves that are ISO 8601 times, UUIDs or plain decimal fractions from end to end."""
_IDENTIFIER_KEY = re.compile(
    r"\b(?:id|ids|uuid|guid|sku|hash|digest|sha|etag|timestamp|time|date|at|epoch|nonce|seq|sequence|count|total|amount|price)$"
)


def find_numbers(leaf: Leaf) -> Iterator[Hit]:
    """Cards, social security numbers and phones: whatever needs seven digits with hardly anything between them."""
    if not SEVEN_DIGITS.search(leaf.text) or _NO_NUMBER.fullmatch(leaf.text):
        return
    leaf.spend(4 * len(leaf.text))
    hits = [hit for find in (_cards, _ssns, _phones) for hit in find(leaf)]
    if hits and leaf.text.count("-") >= 4 and (match := _UUID.search(leaf.text)):
        uuids = [match.span(), *(later.span() for later in _UUID.finditer(leaf.text, match.end()))]
        hits = [hit for hit in hits if not _touches(hit, uuids)]
    yield from hits


def _touches(hit: Hit, spans: list[tuple[int, int]]) -> bool:
    """Whether it overlaps one of the spans, which are disjoint and in order."""
    index = bisect_left(spans, hit.end, key=itemgetter(0))
    return index > 0 and spans[index - 1][1] > hit.start


# Cards: ISO/IEC 7812. First digits (low, high) → lengths, from the issuers' published ranges.
_ISSUERS: Final = (
    ("4", "4", (13, 16, 19)),  # Visa
    ("51", "55", (16,)),  # Mastercard
    ("2221", "2720", (16,)),  # Mastercard
    ("34", "34", (15,)),  # American Express
    ("37", "37", (15,)),
    ("300", "305", (14, 16, 19)),  # Diners Club
    ("3095", "3095", (14, 16, 19)),
    ("36", "36", (14, 16, 19)),
    ("38", "39", (14, 16, 19)),
    ("6011", "6011", (16, 19)),  # Discover
    ("644", "659", (16, 19)),
    ("3528", "3589", (16, 17, 18, 19)),  # JCB
    ("1800", "1800", (15,)),
    ("2131", "2131", (15,)),
    ("62", "62", (16, 17, 18, 19)),  # UnionPay
    ("81", "81", (16,)),
    ("5018", "5020", (13, 14, 15, 16, 17, 18, 19)),  # Maestro
    ("5038", "5038", (13, 14, 15, 16, 17, 18, 19)),
    ("5612", "5612", (13, 14, 15, 16, 17, 18, 19)),
    ("5893", "5893", (13, 14, 15, 16, 17, 18, 19)),
    ("6304", "6304", (13, 14, 15, 16, 17, 18, 19)),
    ("6759", "6763", (13, 14, 15, 16, 17, 18, 19)),
    ("2200", "2204", (16, 17, 18, 19)),  # Mir
    ("60", "60", (16,)),  # RuPay
    ("508", "508", (16,)),
)
_CARD = re.compile(
    rf"[0-9](?<![0-9A-Za-z].)(?<![0-9][.,].)"
    rf"(?:[0-9]{{11,18}}|[0-9]{{3}}([{_SEP}])[0-9]{{4}}\1[0-9]{{4}}\1[0-9]{{1,4}}(?:\1[0-9]{{3}})?"
    rf"|[0-9]{{3}}([{_SEP}])[0-9]{{6}}\2[0-9]{{4,5}})(?![0-9A-Za-z])"
)
_CARD_WORDS = re.compile(r"\b(?:cards?|credit|debit|cc|pan)\b")
_DIGIT_SUMS = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B."""
    total = sum(map(int, digits[-1::-2])) + sum(_DIGIT_SUMS[int(digit)] for digit in digits[-2::-2])
    return total % 10 == 0


def _issued(digits: str) -> bool:
    return any(low <= digits[: len(low)] <= high and len(digits) in lengths for low, high, lengths in _ISSUERS)


def _cards(leaf: Leaf) -> Iterator[Hit]:
    for match in _CARD.finditer(leaf.text):
        leaf.spend(20)
        # Fewer groups, where the last belongs to something else: `4111 1111 1111 1111 123`.
        for end in (match.end(), match.end() - 4):
            digits = "".join(re.findall("[0-9]", leaf.text[match.start() : end]))
            bare = end - match.start() == len(digits)
            if end != match.end() and (bare or leaf.text[end] != (match[1] or match[2])):
                continue
            if luhn(digits) and len(set(digits)) > 1 and _is_card(leaf, match.start(), digits, bare):
                yield Hit(match.start(), end, CREDIT_CARD, 0.95 if bare else 0.99)
                break


def _is_card(leaf: Leaf, start: int, digits: str, bare: bool) -> bool:
    """One number in ten passes Luhn: without a known issuer somebody must have said `card`, and a bare one of an
    unusual length under a key like `id` is rather a snowflake."""
    if bare and len(digits) not in (15, 16) and _IDENTIFIER_KEY.search(leaf.key_words):
        return False
    if _issued(digits):
        return True
    leaf.spend(CONTEXT)
    return bool(_CARD_WORDS.search(leaf.key_words) or _CARD_WORDS.search(leaf.before(start)))


# Never issued: area 000, 666 or 9xx, group 00, serial 0000 (SSA).
_SSN = re.compile(
    r"[0-8](?<![0-9A-Za-z].)(?<![0-9][.\-/,].)[0-9]{2}(?<!000)(?<!666)([-\u2010-\u2015 \u00a0])"
    r"(?!00)[0-9]{2}\1(?!0000)[0-9]{4}(?![0-9A-Za-z])(?![.\-/,][0-9])"
)
_BARE_SSN = re.compile(
    r"[0-8](?<![0-9A-Za-z.,].)[0-9]{2}(?<!000)(?<!666)(?!00)[0-9]{2}(?!0000)[0-9]{4}(?![0-9A-Za-z])(?!\.[0-9])"
)
_SSN_WORDS = re.compile(r"\bssns?\b|\bsocial (?:security|sec)\b")


def _ssns(leaf: Leaf) -> Iterator[Hit]:
    for match in _SSN.finditer(leaf.text):
        leaf.spend(10)
        if len(set(match[0])) > 2:  # 111-11-1111 is nobody's
            yield Hit(*match.span(), US_SSN, 0.7 if match[1] in " \u00a0" else 0.85)
    for match in _BARE_SSN.finditer(leaf.text):
        leaf.spend(CONTEXT)
        said = _SSN_WORDS.search(leaf.key_words) or _SSN_WORDS.search(leaf.before(match.start()))
        if said and len(set(match[0])) > 1:
            yield Hit(*match.span(), US_SSN, 0.85)


_INTERNATIONAL = re.compile(rf"\+(?<![\w+].) ?[1-9](?:[{_SEP}()]{{0,3}}[0-9]){{6,14}}(?![0-9])")
_NANP = re.compile(
    rf"[(1-9](?<!\w.)(?<![0-9][.\-/,].)(?:(?<=1)[{_SEP}]\(?[2-9]|(?<=\()[2-9]|(?<=[2-9]))(?!11)[0-9]{{2}}"
    rf"(?:\)[{_SEP}]?|[{_SEP}])[2-9](?!11)[0-9]{{2}}[{_SEP}][0-9]{{4}}"
    rf"(?: ?(?:x|ext\.?) ?[0-9]{{1,6}})?(?!\w)(?![.\-/,][0-9])"
)
_NATIONAL = re.compile(
    rf"[(0-9](?<![\w.+\-/].)(?:(?<=\()[0-9]|(?<=[0-9]))(?:[{_SEP}()]{{0,2}}[0-9]){{6,14}}(?!\w)(?![.\-/,:][0-9])"
)
_PHONE_WORDS = re.compile(
    r"\b(?:phones?|telephones?|tel|mobiles?|cells?|cellphones?|cellular|landline|fax|msisdn|whatsapp|sms|dial"
    r"|phonenumber|mobilenumber|(?:call|reach|text) (?:me|us|him|her|them)|call)\b"
)
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}([\-/.])[01]?[0-9]\1[0-3]?[0-9]|[0-3]?[0-9]([\-/.])[0-3]?[0-9]\2(?:19|20)[0-9]{2}"
)


def _phones(leaf: Leaf) -> Iterator[Hit]:
    for match in _INTERNATIONAL.finditer(leaf.text):
        leaf.spend(20)
        yield Hit(match.start(), _end_of_number(match[0], match.start()), PHONE, 0.9)
    for match in _NANP.finditer(leaf.text):
        leaf.spend(20)
        yield Hit(*match.span(), PHONE, 0.8)
    by_key: bool | None = None
    for match in _NATIONAL.finditer(leaf.text):
        leaf.spend(20 + CONTEXT)
        if by_key is None:
            by_key = bool(_PHONE_WORDS.search(leaf.key_words)) and not _IDENTIFIER_KEY.search(leaf.key_words)
        if not _DATE.match(match[0]) and (by_key or _PHONE_WORDS.search(leaf.before(match.start()))):
            yield Hit(*match.span(), PHONE, 0.75)


def _end_of_number(written: str, start: int) -> int:
    """Where it ends: in country code 1 after eleven digits, whatever digits follow."""
    if written.lstrip("+ ").startswith("1"):
        digits = [index for index, character in enumerate(written) if character.isdecimal()]
        if len(digits) > 11:
            return start + digits[10] + 1
    return start + len(written)
