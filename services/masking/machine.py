"""What masking knows, put together once: the scanner of all detectors, what keys tell, and what the operator allows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import re2

from services.masking.catalogue import BUILT_IN
from services.masking.entities.keyed import KeyRule, rule_of_key
from services.masking.layers import TRIGGER
from services.masking.leaf import words_of
from services.masking.recogniser import Detectors
from services.masking.scanning import Joined, Scanner

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
        joined = Joined(texts)
        subject = joined.subject()
        found: set[int] = set()
        match = _WRAPPED.search(subject)
        while match:
            index = joined.index_at(match.end() - 1)
            found.add(index)
            following = joined.starts[index + 1]
            match = _WRAPPED.search(subject, following - 1) if following < len(joined.text) else None
        return found

    @classmethod
    def of(cls, detectors: Detectors, allows: Callable[[str, str], bool] = _nothing) -> "Machine":
        return cls(Scanner(detectors), detectors.shortest, allows=allows)


@cache
def default_machine() -> Machine:
    """All built-in detectors. Takes some 100 ms the first time."""
    return Machine.of(BUILT_IN)
