"""What the key tells: `customer.firstName`, `card_number`, `date_of_birth`.

A key is its words joined: `first_name`, `firstName` and `firstname` are one. The longest end of a key that stands in
the table decides (`shipping_street_address`), so what a key is about comes last, and `password_hash`, `phone_type`,
`email_verified` say nothing. A key that is half a word takes the other half from its object: `card.number`,
`name.first`. The value must be plausible (`key_values`), no more: no checksum is asked for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.masking.entities import key_values as values
from services.masking.entities.key_tables import (
    ADDRESS_PARENTS,
    ENDINGS,
    FILLERS,
    HALVES,
    NO_STREETS,
    PEOPLE,
    SAID_OF_PEOPLE,
    SPEAKS_OF_PEOPLE,
    TABLE,
    THINGS,
)
from services.masking.folding import fold
from services.masking.leaf import words_of

_LONGEST: Final = 8
"""Words of a key that are looked at."""


@dataclass(frozen=True, slots=True)
class KeyRule:
    """What a key says about the whole value below it, sure to `score`."""

    entity: str
    check: values.Plausible
    score: float = 0.95

    def plausible(self, text: str) -> bool:
        """Whether the value, as written, could be that. Total; linear, and looks at short texts only."""
        if len(text) > 8192:
            return self.entity in _LONG
        if not text.isascii():
            text = fold(text).text
        return self.check(text.strip())


_LONG: Final = frozenset({"PASSWORD", "SECRET", "API_KEY", "PRIVATE_KEY"})
_PERSON: Final = KeyRule("PERSON", values.name)
_CUSTOMER: Final = KeyRule("PERSON", values.person_or_company, 0.9)
_FULL_NAME: Final = KeyRule("PERSON", values.full_name, 0.8)
_KNOWN_NAME: Final = KeyRule("PERSON", values.known_name, 0.75)
_CITY: Final = KeyRule("LOCATION", values.place, 0.85)
_RULES: Final = {key: KeyRule(entity, check) for key, (entity, check) in TABLE.items()}


def rule_of_key(words: str, parent: str = "") -> KeyRule | None:
    """What the key of these words (`words_of`) says; `parent` are those of the object's own key, where it has one.

    Cheap enough to be asked for every member: cached by its words.
    """
    return _rule(words, parent) if words else None


@lru_cache(maxsize=8192)
def _rule(words: str, parent: str) -> KeyRule | None:
    own = words.split()[-_LONGEST:]
    above = [_singular(word) for word in parent.split()[-3:]]
    while len(own) > 1 and own[-1] in FILLERS and _in_table(own, above) is None:
        own = own[:-1]
    return _in_table(own, above) or _name_of(own, above)


def _in_table(own: list[str], above: list[str]) -> KeyRule | None:
    for key, before in _ends(own):
        rule = _RULES.get(key)
        if rule is not None:
            return _fits(rule, key, before, above)
    if len(own) == 1 and (own[0] in HALVES or _singular(own[0]) in HALVES):
        for key, before in _ends([*above, *own]):
            rule = _RULES.get(key)
            if rule is not None and len(before) < len(above):
                return _fits(rule, key, before, above)
    if len(own) == 1:
        ending = next((end for end in ENDINGS if own[0].endswith(end)), None)
        if ending is not None:
            return _fits(_RULES[ending], ending, [own[0].removesuffix(ending)], above)
    return None


def _ends(words: list[str]) -> Iterator[tuple[str, list[str]]]:
    """The key's ends, longest first, also in the singular, with the words before them."""
    for start in range(len(words)):
        joined = "".join(words[start:])
        yield joined, words[:start]
        yield "".join((*words[start:-1], _singular(words[-1]))), words[:start]


def _fits(rule: KeyRule, key: str, before: list[str], above: list[str]) -> KeyRule | None:
    """Not where the words before make it something else: `ip_address`, `password_policy.password`."""
    if rule.entity == "STREET_ADDRESS" and not NO_STREETS.isdisjoint(before or above):
        return None
    if rule.entity == "LOCATION":
        of_someone = "birth" in key or not ADDRESS_PARENTS.isdisjoint((*before, *above))
        return _CITY if of_someone else None
    if key in SAID_OF_PEOPLE and PEOPLE.isdisjoint(map(_singular, before or above)):
        return None
    if (
        rule.entity == "SECRET"
        and before
        and before[-1] in {"page", "next", "sync", "continuation", "cursor", "public"}
    ):
        return None
    return rule


def _name_of(own: list[str], above: list[str]) -> KeyRule | None:
    """`customer_name`, `customer.name`, `customer`; and a bare `name`, whose value must say that it is a person's."""
    people = not PEOPLE.isdisjoint(map(_singular, own))
    if own[-1] in {"name", "names", "nombre", "nom", "nome", "naam"}:
        before = own[:-1]
        if not THINGS.isdisjoint(before) or (not before and not THINGS.isdisjoint(above)):
            return None
        if before:
            login = before[-1] in {"user", "account", "member", "owner", "display", "agent", "host", "bot"}
            return (_FULL_NAME if login else _CUSTOMER) if people or before[-1] == "display" else None
        return _CUSTOMER if not PEOPLE.isdisjoint(above) else _KNOWN_NAME
    return _FULL_NAME if len(own) <= 2 and people and _singular(own[-1]) in PEOPLE else None


def _singular(word: str) -> str:
    if word.endswith(("sses", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and len(word) > 3 else word


def describes_person(keys: Iterable[str]) -> bool:
    """Whether an object with these keys is about a person (`email`, `dob`, `first_name`): its `name` and `age` are then
    a person's. For a caller that sees the siblings; pass `person` as the parent's words where it holds."""
    return any("".join(words_of((key,)).split()) in SPEAKS_OF_PEOPLE for key in keys)


def key_of_pair(members: dict[str, object]) -> str | None:
    """The key that another member writes down, and of which: `{"name": "DB_PASSWORD", "value": "…"}` as in
    environments, headers and forms. None where the object is no such pair."""
    if "value" not in members or len(members) > 4:
        return None
    named = next((members[key] for key in ("name", "key", "field", "header") if key in members), None)
    return named if isinstance(named, str) and len(named) <= 128 else None
