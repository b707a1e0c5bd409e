"""Digits split over sibling fields or the items of an array: cards, social security numbers and IBANs of which no
single leaf holds enough to be found."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from services.masking.entities.iban import IBAN_CODE, find_ibans
from services.masking.entities.payment import CREDIT_CARD, is_issued
from services.masking.entities.united_states import US_SSN, is_ssn
from services.masking.leaf import Leaf, words_of

LONGEST: Final = 8
"""Characters of a part. What is longer is looked at by itself."""
_SHORTEST_VALUE: Final = 7  # a social security number as numbers, without their zeros


class Part(NamedTuple):
    """A scalar of one object or array: its key or index, its text (folded), and whether it is a JSON string."""

    key: str | int
    text: str
    string: bool


class Split(NamedTuple):
    """`parts` are positions in what was given; each of them is a hit from end to end."""

    entity: str
    parts: tuple[int, ...]
    score: float
    evidence: str


class _Group(NamedTuple):
    """Parts that may belong together, each with its position in what was given."""

    parts: Sequence[tuple[int, Part]]
    said: str
    """The words of the keys that lead to them, and of those that they share."""
    akin: bool
    """Whether their keys say that they belong together; else they just follow each other."""
    alone: bool
    """Whether they are all that their container has."""

    @property
    def texts(self) -> list[str]:
        return [part.text for _, part in self.parts]

    @property
    def strings(self) -> bool:
        return all(part.string for _, part in self.parts)

    def split(self, entity: str, score: float, evidence: str) -> Split:
        return Split(entity, tuple(place for place, _ in self.parts), score, evidence)


def split_over(parts: Sequence[Part], path: Sequence[str | int], members: int) -> list[Split]:
    """What the scalars of one container, in its order, are together; `path` leads to the container, which has
    `members` members in all. Parts of an object belong together whose keys differ in a number or an ordinal only
    (`card_1`, `card_2`; `first`, `second`); those of an array that follow each other.

    By chance one array in some forty passes of exactly four strings of four digits each, and next to none of other
    things: numbers need a key that says `card` or `ssn`, and all values their issuer, country and check digits.
    """
    usable = [(place, part) for place, part in enumerate(parts) if 0 < len(part.text) <= LONGEST and _usable(part.text)]
    if len(usable) < 2 or sum(len(part.text) for _, part in usable) < _SHORTEST_VALUE:
        return []
    said = words_of(tuple(step for step in path if isinstance(step, str))[-3:])
    found: list[Split] = []
    taken: set[int] = set()
    for group in _groups(usable, said, members):
        for look in (_iban, _card, _ssn):
            for split in look(group):
                if taken.isdisjoint(split.parts):
                    taken.update(split.parts)
                    found.append(split)
    return found


def _usable(text: str) -> bool:
    return text.isascii() and text.isalnum()


def _groups(usable: list[tuple[int, Part]], said: str, members: int) -> Iterator[_Group]:
    named = isinstance(usable[0][1].key, str)
    if named:
        by_stem: dict[str, list[tuple[int, Part]]] = {}
        for place, part in usable:
            by_stem.setdefault(_stem(str(part.key)), []).append((place, part))
        for stem, group in by_stem.items():
            if len(group) > 1:
                yield _Group(_by_number(group), f"{said} {stem}", True, len(group) == members)
    run: list[tuple[int, Part]] = []
    for place, part in usable:
        if run and place != run[-1][0] + 1:
            if len(run) > 1:
                yield _Group(run, said, not named, len(run) == members)
            run = []
        run.append((place, part))
    if len(run) > 1:
        yield _Group(run, said, not named, len(run) == members)


_ORDINAL: Final = re.compile(
    r"[a-inpqsv]|i{1,3}|iv|first|second|third|fourth|fifth|one|two|three|four|five|last|middle|mid|start|end|prefix|suffix"
    r"|head|tail|left|right|parts?|group|block|segment|seg|chunk|piece|digits?|num|no|number|area|serial"
)
_NUMBER: Final = re.compile(r"([0-9]{1,3})[^0-9]*\Z")


@lru_cache(maxsize=4096)
def _stem(key: str) -> str:
    return " ".join(word for word in words_of((key,)).split() if not _ORDINAL.fullmatch(word))


def _by_number(group: list[tuple[int, Part]]) -> list[tuple[int, Part]]:
    numbers = [_NUMBER.search(str(part.key)[-32:]) for _, part in group]
    if not all(numbers):
        return group
    order = sorted(range(len(group)), key=lambda index: int(number[1]) if (number := numbers[index]) else 0)
    return [group[index] for index in order]


_SAID_CARD: Final = re.compile(r"(?<!\w)(?:cards?|cc|pan|credit ?card|debit ?card|card ?(?:no|num|number))(?!\w)")
_SAID_SSN: Final = re.compile(r"(?<!\w)(?:ssns?|social ?sec(?:urity)?)(?!\w)")
_SAID_QUANTITY: Final = re.compile(
    r"(?<!\w)(?:years?|counts?|totals?|amounts?|prices?|sizes?|lat|lon|lng|coordinates?|buckets?|ports?|versions?|scores?"
    r"|sales|revenue|values?|points?|bins|ids|range|histogram)(?!\w)"
)
_CARD_SHAPES: Final = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (8, 8)})


def _card(group: _Group) -> Iterator[Split]:
    texts = group.texts
    joined = "".join(texts)
    if (
        not group.akin
        or len(texts) > 19
        or len(joined) > 19
        or not joined.isdecimal()
        or _SAID_QUANTITY.search(group.said)
    ):
        return  # what only follows each other: the first digits, an expiry date, the last digits …
    shape = tuple(map(len, texts))
    usual = shape in _CARD_SHAPES
    if _SAID_CARD.search(group.said):
        if is_issued(joined) and (usual or group.strings):
            yield group.split(CREDIT_CARD, 0.99, "issuer, check digit (Luhn), key")
        elif not group.strings and shape == (4, *shape[1:4]) and max(shape) == 4 and _is_padded_card(texts):
            yield group.split(CREDIT_CARD, 0.9, "issuer, check digit (Luhn), key")
    elif (
        group.strings
        and (usual or max(shape) == 1)
        and (group.alone or isinstance(group.parts[0][1].key, str))
        and is_issued(joined)
    ):
        yield group.split(CREDIT_CARD, 0.75, "issuer, check digit (Luhn), split as cards are")


def _is_padded_card(texts: list[str]) -> bool:
    return len(texts) == 4 and is_issued("".join(text.zfill(4) for text in texts))  # 0042 is 42 as a number


def _ssn(group: _Group) -> Iterator[Split]:
    said = bool(_SAID_SSN.search(group.said))
    whole = len(group.parts) == 3 and group.strings and group.akin
    if not said and not (whole and (group.alone or isinstance(group.parts[0][1].key, str))):
        return
    for first in range(len(group.parts) - 2):
        window = group._replace(parts=group.parts[first : first + 3])
        texts = [
            part.text if part.string else part.text.zfill(width)
            for (_, part), width in zip(window.parts, (3, 2, 4), strict=True)
        ]
        if tuple(map(len, texts)) == (3, 2, 4) and _is_ssn("".join(texts)):
            yield window.split(US_SSN, 0.95 if said else 0.6, "area, group and serial, split as issued")
    if said and _is_ssn("".join(group.texts[:9])) and len(group.parts) <= 9:
        yield group.split(US_SSN, 0.9, "area, group and serial, key")


def _is_ssn(digits: str) -> bool:
    return len(digits) == 9 and digits.isdecimal() and is_ssn(f"{digits[:3]}-{digits[3:5]}-{digits[5:]}")


def _iban(group: _Group) -> Iterator[Split]:
    for first, (_, part) in enumerate(group.parts):
        if not part.string or not part.text[:2].isalpha():
            continue
        joined = ""
        for last in range(first, len(group.parts)):
            joined += group.parts[last][1].text
            if not group.parts[last][1].string or len(joined) > 34 or not (joined[2:4] or "0").isdecimal():
                break
            if last > first and len(joined) >= 15 and _is_all_iban(joined):
                window = group._replace(parts=group.parts[first : last + 1])
                yield window.split(IBAN_CODE, 0.99, "country's structure, check digits (mod 97)")
                break


def _is_all_iban(joined: str) -> bool:
    return any((hit.start, hit.end) == (0, len(joined)) for hit in find_ibans(Leaf(joined, (), lambda _: None)))
