"""What counts as found, and what as a false alarm. Pure; the same for everybody who is measured."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

CORE: Final = frozenset(
    {"CREDIT_CARD", "US_SSN", "IBAN_CODE", "EMAIL_ADDRESS", "IP_ADDRESS", "PHONE_NUMBER", "CRYPTO"}
    | {"US_BANK_NUMBER", "US_DRIVER_LICENSE", "US_ITIN", "US_PASSPORT", "US_MBI", "US_NPI", "ABA_ROUTING_NUMBER"}
)
STRUCTURED: Final = ("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "PHONE_NUMBER", "US_SSN")
"""Entities in sentences that have a form of their own; US driver's licences, dates and domains are told beside them."""
OPEN: Final = frozenset({"DATE_TIME", "URL", "AGE"})
"""What is nobody's by itself, and is shown unless the operator says otherwise: no false alarm."""


class Span(NamedTuple):
    entity: str
    start: int
    end: int


class Case(NamedTuple):
    """A labelled text. `entity` is what a case is about: where `spans` is empty, nothing of it may be found."""

    text: str
    spans: tuple[Span, ...]
    entity: str = ""


Finder = Callable[[str], Sequence[Span]]
"""What is found in a text by itself; a span may be there under several entities."""


def read_cases(path: Path) -> list[Case]:
    """`{"entity": …, "text": …, "spans": [[start, end], …]}` a line."""
    return [
        Case(line["text"], tuple(Span(line["entity"], start, end) for start, end in line["spans"]), line["entity"])
        for line in _lines(path)
    ]


def read_sentences(path: Path) -> list[Case]:
    """`{"text": …, "spans": [{"entity": …, "start": …, "end": …}, …]}` a line."""
    return [
        Case(line["text"], tuple(Span(one["entity"], one["start"], one["end"]) for one in line["spans"]))
        for line in _lines(path)
    ]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


@dataclass(slots=True)
class Share:
    """So many of so many."""

    hits: int = 0
    all: int = 0

    def count(self, hit: bool) -> None:
        self.hits += hit
        self.all += 1

    def __str__(self) -> str:
        return f"{self.hits / self.all:.3f} ({self.hits}/{self.all})" if self.all else "-"


@dataclass(slots=True)
class CaseScore:
    """`recall` of labelled spans and `flagged` negatives, by whatever entity, and by the case's own."""

    recall: Share = field(default_factory=Share)
    own_recall: Share = field(default_factory=Share)
    flagged: Share = field(default_factory=Share)
    own_flagged: Share = field(default_factory=Share)


def covered(text: str, span: Span, found: Iterable[Span]) -> bool:
    """Whether every letter and digit of the span is in something found: what is left of a value may tell it."""
    left = {at for at in range(span.start, span.end) if text[at].isalnum()}
    for one in found:
        left.difference_update(range(one.start, one.end))
    return not left


def score_cases(cases: Iterable[tuple[Case, Sequence[Span]]]) -> CaseScore:
    score = CaseScore()
    for case, found in cases:
        own = [one for one in found if one.entity == case.entity]
        for span in case.spans:
            score.recall.count(covered(case.text, span, found))
            score.own_recall.count(covered(case.text, span, own))
        if not case.spans:
            score.flagged.count(bool(found))
            score.own_flagged.count(bool(own))
    return score


def score_sentences(cases: Iterable[tuple[Case, Sequence[Span]]]) -> dict[str, Share]:
    """Recall by entity, by whatever entity it was found."""
    shares: dict[str, Share] = {}
    for case, found in cases:
        for span in case.spans:
            shares.setdefault(span.entity, Share()).count(covered(case.text, span, found))
    return shares


def together(shares: dict[str, Share], entities: Iterable[str]) -> Share:
    some = [shares[entity] for entity in entities if entity in shares]
    return Share(sum(one.hits for one in some), sum(one.all for one in some))


def alarms(cases: Iterable[tuple[Case, Sequence[Span]]]) -> Counter[str]:
    """What was found that touches nothing labelled, by its surest entity; a span counts once."""
    counted: Counter[str] = Counter()
    for case, found in cases:
        seen: set[tuple[int, int]] = set()
        for one in found:
            if one.entity not in OPEN and (one.start, one.end) not in seen:
                if not any(one.start < span.end and span.start < one.end for span in case.spans):
                    counted[one.entity] += 1
                seen.add((one.start, one.end))
    return counted
