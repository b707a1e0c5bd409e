"""What masking knows, put together once: the scanner of all detectors, what keys tell, and what the operator allows."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import Any, Final

import re2

from services.masking.catalogue import BUILT_IN
from services.masking.entities.keyed import KeyRule, rule_of_key
from services.masking.layers import TRIGGER
from services.masking.leaf import words_of
from services.masking.recogniser import Detectors
from services.masking.scanning import Scanner

_WRAPPED: Final = re2.compile(TRIGGER.replace(r"\A", r"(?:\A|\x00)"))


def _nothing(_entity: str, _text: str) -> bool:
    return False


def key_rule(key: str, parent: str) -> KeyRule | None:
    """What a member's key says, and that of the object around."""
    return rule_of_key(words_of((key,)), words_of((parent,)))


@dataclass(frozen=True, slots=True)
class Machine:
    """`allows(entity, text)` is the operator's word that this is nothing to mask."""

    scanner: Scanner
    shortest: int
    allows: Callable[[str, str], bool] = _nothing

    def wrapped(self, texts: Sequence[str]) -> set[int]:
        """The indexes of the texts in which something may be wrapped (`layers`)."""
        joined = "\0".join(texts)
        if len(joined) < 6:
            return set()
        subject: Any = joined.encode() if joined.isascii() else joined
        found: set[int] = set()
        match = _WRAPPED.search(subject)
        if match:
            starts = list(accumulate((len(text) + 1 for text in texts), initial=0))
            while match:
                index = bisect_right(starts, match.end() - 1) - 1
                found.add(index)
                match = _WRAPPED.search(subject, starts[index + 1] - 1) if starts[index + 1] < len(joined) else None
        return found

    @classmethod
    def of(cls, detectors: Detectors, allows: Callable[[str, str], bool] = _nothing) -> "Machine":
        return cls(Scanner(detectors), detectors.shortest, allows=allows)


@cache
def default_machine() -> Machine:
    """All built-in detectors. Takes some 100 ms the first time."""
    return Machine.of(BUILT_IN)
