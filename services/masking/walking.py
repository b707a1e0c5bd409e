"""The walk over a document: which of its leaves and keys are to be scanned, and what keys and annotations say at once.

Everything passes through here, so what most leaves are (short numbers, plain words under keys that tell nothing) is
seen to in one loop, without a call.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from callgate.schema_annotations import NEVER
from contracts.model import JsonValue
from services.masking.document import Document, NotInspectableError, decimal_text
from services.masking.entities.keyed import KeyRule, describes_person, key_of_pair
from services.masking.hints import NO_HINTS, Hints
from services.masking.leaf import words_of
from services.masking.machine import Machine, key_rule
from services.masking.recogniser import Hit
from services.masking.splits import LONGEST
from services.masking.strategies import PLACEHOLDER
from services.masking.tokens import TOKEN

_SMALL: Final = 1000
"""Numbers below are nothing that a detector finds."""
_TEXT_ONLY: Final = frozenset({str})
_PLAIN_KEY = re.compile(r"[A-Za-z_$][A-Za-z_-]{0,39}[0-9]{0,2}")


class _Layout(NamedTuple):
    """What the keys of an object say, one by one: the same for every object that has these keys in this order."""

    rules: tuple[KeyRule | None, ...]
    all_plain: bool
    """Whether every key is an identifier in which nothing can hide."""
    words: str


def _layout(keys: tuple[str, ...], parent: str) -> _Layout:
    if not {"name", "age"}.isdisjoint(keys) and describes_person(keys):
        parent = "person"
    return _Layout(tuple(key_rule(key, parent) for key in keys), all(map(_PLAIN_KEY.fullmatch, keys)), words_of(keys))


_known_layout = lru_cache(maxsize=1024)(_layout)
_KNOWN: Final = 1024
"""Characters of all keys of an object whose layout is kept."""


def already_masked(text: str) -> bool:
    """Whether the text is what masking itself writes for a whole value."""
    return text.startswith(("[", "tok_")) and bool(PLACEHOLDER.fullmatch(text) or TOKEN.fullmatch(text))


def is_told(machine: Machine, rule: KeyRule, text: str) -> bool:
    """Whether the value under a key is what the key says."""
    return not already_masked(text) and rule.plausible(text) and not machine.allows(rule.entity, text)


class Walk:
    """`texts` are in the document's order, `places` where they stand: the number of the container, and the key in it.

    By the index of the text: `scalars` are the leaves that are no strings, `told` what an annotation or a key says of
    one, `failed` why one is not to be looked at. `names` are the indexes of texts that are keys themselves. `withheld`
    are places of values that were withheld at once, with the codes; `split` the containers in which a value may be
    split over members; `words`, by container, those of its keys.
    """

    def __init__(self, machine: Machine, document: Document, deepest: int, longest: int, steps: int) -> None:
        self.texts: list[str] = []
        self.places: list[tuple[int, Any]] = []
        self.scalars: dict[int, JsonValue] = {}
        self.names: dict[int, None] = {}
        self.told: dict[int, Hit] = {}
        self.failed: dict[int, str] = {}
        self.withheld: list[tuple[int, Any, str]] = []
        self.split: list[int] = []
        self.words: list[str] = []
        self.steps = steps
        self._machine = machine
        self._document = document
        self._deepest = deepest
        self._longest = longest
        self._shortest = machine.shortest

    def value(
        self,
        value: Any,
        container: int = -1,
        key: Any = None,
        name: str = "",
        hints: Hints = NO_HINTS,
        depth: int = 0,
        rule: KeyRule | None = None,
    ) -> None:
        """A value of any kind, where it stands, and what its place says. `name` is the nearest key of an object."""
        if isinstance(value, (dict, list)):
            if depth >= self._deepest:
                self.withheld.append((container, key, "too_deep"))
            elif isinstance(value, list):
                self._array(value, self._document.enter(value, container, key), name, hints, depth + 1, rule)
            elif _TEXT_ONLY.issuperset(map(type, value)):
                self._object(value, self._document.enter(value, container, key), name, hints, depth + 1, rule)
            else:
                self.withheld.append((container, key, "not_json"))
        elif isinstance(value, str):
            self._leaf(value, value, container, key, hints, rule)
        elif isinstance(value, bool):
            if hints.mask:
                self._leaf(value, "true" if value else "false", container, key, hints, None)
        elif value is not None and (rule or hints.mask or not _tells_nothing(value)):
            try:
                self._leaf(value, decimal_text(value), container, key, hints, rule)
            except NotInspectableError as error:
                self.withheld.append((container, key, error.code))

    def _object(
        self, members: dict[str, Any], here: int, name: str, hints: Hints, depth: int, told: KeyRule | None
    ) -> None:
        keys = tuple(members)
        layout = (_known_layout if sum(map(len, keys)) <= _KNOWN else _layout)(keys, name)
        self.words.append(layout.words)
        rules: Sequence[KeyRule | None] = layout.rules
        if "value" in members and (named := key_of_pair(members)) is not None:
            rules = [key_rule(named, name) if key == "value" else rule for key, rule in zip(keys, rules, strict=True)]
        elif told is not None and "value" in members:  # `{"db_password": {"sensitive": true, "value": "…"}}`
            rules = [told if key == "value" else rule for key, rule in zip(keys, rules, strict=True)]
        quick, parts = hints is NO_HINTS and layout.all_plain, 0
        for (key, item), rule in zip(members.items(), rules):  # noqa: B905  # as long, by construction
            kind = type(item)
            if kind is str:
                parts += len(item) <= LONGEST and item.isdigit()
            elif kind is int:
                parts += told is not None
            if quick:
                if rule is None and (kind is str or kind is int):
                    self._quick(item, kind, here, key)
                elif item is not None:
                    self.value(item, here, key, key, hints, depth, rule)
                continue
            if hints.mask != NEVER and not _PLAIN_KEY.fullmatch(key):
                self._name(key, here)
            self.value(item, here, key, key, hints.property(key), depth, rule)
        if parts > 1:
            self.split.append(here)

    def _array(self, items: list[Any], here: int, name: str, hints: Hints, depth: int, rule: KeyRule | None) -> None:
        self.words.append("")
        quick, parts = hints is NO_HINTS, 0
        for index, item in enumerate(items):
            kind = type(item)
            if kind is str:
                parts += len(item) <= LONGEST and item.isdigit()
            elif kind is int:
                parts += rule is not None
            if quick and rule is None and (kind is str or kind is int):
                self._quick(item, kind, here, index)
            else:
                self.value(item, here, index, name, hints if quick else hints.item(index), depth, rule)
        if parts > 1:
            self.split.append(here)

    def _quick(self, item: Any, kind: type, here: int, key: Any) -> None:
        """A text or an integer of which nothing is said: what nearly every leaf is."""
        if kind is int:
            if not -_SMALL < item < _SMALL:
                self.value(item, here, key)
            return
        length = len(item)
        if length < self._shortest:
            return
        if length <= self._longest and length + 16 <= self.steps:
            self.steps -= length + 16
            self.texts.append(item)
            self.places.append((here, key))
        else:
            self._leaf(item, item, here, key, NO_HINTS, None)

    def _name(self, name: str, container: int) -> None:
        index = len(self.texts)
        self.names[index] = None
        self.texts.append(name)
        self.places.append((container, name))
        if code := self._refused(name):
            self.failed[index] = code

    def _leaf(self, value: JsonValue, text: str, container: int, key: Any, hints: Hints, rule: KeyRule | None) -> None:
        if hints.mask == NEVER or not text:
            return
        if not (hints.mask or rule) and len(text) < self._shortest:
            return
        index = len(self.texts)
        self.texts.append(text)
        self.places.append((container, key))
        if not isinstance(value, str):
            self.scalars[index] = value
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
