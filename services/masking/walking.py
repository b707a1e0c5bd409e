"""The walk over a document: which of its leaves and keys are to be scanned, and what keys and annotations say at once.

Everything passes through here, so what most leaves are (short numbers, plain words under keys that tell nothing) is
seen to in one loop, without a call.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from contracts.model import JsonValue
from services.masking.document import Document, NotInspectableError, Text, decimal_text
from services.masking.entities.keyed import KeyRule, describes_person, key_of_pair
from services.masking.hints import NEVER, NO_HINTS, Hints
from services.masking.machine import Machine
from services.masking.recogniser import Hit
from services.masking.splits import LONGEST
from services.masking.strategies import PLACEHOLDER
from services.masking.tokens import TOKEN

_SMALL: Final = 1000
"""Numbers below are nothing that a detector finds."""
_TEXT_ONLY: Final = frozenset({str})
_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z_-]{0,39}[0-9]{0,2}")


class Place(NamedTuple):
    """Where a value stands: the container's number and the key in it, and the nearest key of an object."""

    container: int
    key: Any
    name: str


@lru_cache(maxsize=4096)
def _plain(key: str) -> bool:
    """Whether the key is an identifier in which nothing can hide."""
    return bool(_PLAIN_KEY.fullmatch(key))


@lru_cache(maxsize=4096)
def _of_person(keys: tuple[str, ...]) -> bool:
    return describes_person(keys)


def already_masked(text: str) -> bool:
    """Whether the text is what masking itself writes for a whole value."""
    return text.startswith(("[", "tok_")) and bool(PLACEHOLDER.fullmatch(text) or TOKEN.fullmatch(text))


def is_told(machine: Machine, rule: KeyRule, text: str) -> bool:
    """Whether the value under a key is what the key says."""
    return not already_masked(text) and rule.plausible(text) and not machine.allows(rule.entity, text)


class Walk:
    """`texts` are in the document's order. By their index: `told` is what an annotation or a key says of one, `failed`
    why one is not to be looked at. `withheld` are the codes of values that were withheld at once, `split` the
    containers in which a value may be split over members."""

    def __init__(self, machine: Machine, document: Document, deepest: int, longest: int, steps: int) -> None:
        self.texts: list[Text] = []
        self.told: dict[int, Hit] = {}
        self.failed: dict[int, str] = {}
        self.withheld: list[tuple[Place, str]] = []
        self.split: list[int] = []
        self.steps = steps
        self._machine = machine
        self._document = document
        self._deepest = deepest
        self._longest = longest

    def value(self, value: Any, place: Place, hints: Hints, depth: int = 0, rule: KeyRule | None = None) -> None:
        """A value of any kind, with what its place says about it."""
        if isinstance(value, (dict, list)):
            if depth >= self._deepest:
                self.withheld.append((place, "too_deep"))
            elif isinstance(value, list):
                here = self._document.enter(value, place.container, place.key)
                self._members(enumerate(value), here, place.name, hints, depth + 1, lambda _: rule, rule is not None)
            elif _TEXT_ONLY.issuperset(map(type, value)):
                self._object(value, place, hints, depth + 1, rule)
            else:
                self.withheld.append((place, "not_json"))
        elif isinstance(value, str):
            self._leaf(value, value, place, hints, rule)
        elif isinstance(value, bool):
            if hints.mask:
                self._leaf(value, "true" if value else "false", place, hints, None)
        elif value is not None and (rule or hints.mask or not _tells_nothing(value)):
            try:
                self._leaf(value, decimal_text(value), place, hints, rule)
            except NotInspectableError as error:
                self.withheld.append((place, error.code))

    def _object(self, members: dict[str, Any], place: Place, hints: Hints, depth: int, rule: KeyRule | None) -> None:
        parent = place.name
        if ("name" in members or "age" in members) and _of_person(tuple(members)):
            parent = "person"
        machine = self._machine
        pair = key_of_pair(members) if "value" in members else None

        def rule_of(key: str) -> KeyRule | None:
            return machine.rule(pair if pair is not None and key == "value" else key, parent)

        here = self._document.enter(members, place.container, place.key)
        self._members(members.items(), here, None, hints, depth, rule_of, rule is not None)

    def _members(
        self,
        members: Iterable[tuple[Any, Any]],
        here: int,
        name: str | None,
        hints: Hints,
        depth: int,
        rule_of: Callable[[Any], KeyRule | None],
        told: bool,
    ) -> None:
        """The members of an object (`name` is None: each has its own), or the items of an array."""
        texts, shortest, longest = self.texts, self._machine.shortest, self._longest
        hinted, below, parts = hints is not NO_HINTS, hints, 0
        for key, item in members:
            rule = rule_of(key)
            if name is None and not _plain(key) and hints.mask != NEVER:
                self._key(key, here)
            kind = type(item)
            if kind is str:
                length = len(item)
                parts += length <= LONGEST and item.isdigit()
                if rule is None and not hinted and length <= longest and length < self.steps:
                    if length >= shortest:
                        self.steps -= length + 16
                        texts.append(Text(here, key, item, item))
                    continue
            elif kind is int:
                parts += told
                if rule is None and not hinted and -_SMALL < item < _SMALL:
                    continue
            if hinted:
                below = hints.property(key) if name is None else hints.item(key)
            self.value(item, Place(here, key, key if name is None else name), below, depth, rule)
        if parts > 1:
            self.split.append(here)

    def _key(self, name: str, container: int) -> None:
        if code := self._refused(name):
            self.failed[len(self.texts)] = code
        self.texts.append(Text(container, name, name, name, named=True))

    def _leaf(self, value: JsonValue, text: str, place: Place, hints: Hints, rule: KeyRule | None) -> None:
        if hints.mask == NEVER or not text:
            return
        if not (hints.mask or rule) and len(text) < self._machine.shortest:
            return
        index = len(self.texts)
        self.texts.append(Text(place.container, place.key, value, text))
        if code := self._refused(text):
            self.failed[index] = code
        elif hints.mask:
            self.told[index] = Hit(0, len(text), hints.mask, 1.0, "annotation")
        elif rule and is_told(self._machine, rule, text):
            self.told[index] = Hit(0, len(text), rule.entity, rule.score, "key")

    def _refused(self, text: str) -> str | None:
        """Why the text is not to be looked at; takes its steps."""
        if len(text) > self._longest:
            return "too_large"
        self.steps -= len(text) + 16
        return "out_of_steps" if self.steps < 0 else None


def _tells_nothing(number: Any) -> bool:
    """Whether a number cannot be anything by itself: a small one, or a fraction."""
    if type(number) is int:
        return -_SMALL < number < _SMALL
    return type(number) is float and not number.is_integer()
