"""Reversible tokens: an agent passes a masked value on to a later call without ever seeing it. Pure.

A token is `tok_<entity>_<letters>`, e.g. `tok_card_` and 66 letters for a card number. The letters are AES-SIV
(RFC 5297) under a key of the session's own, with the session and the entity as associated data: the same value gives
the same token, and a token that was cut off, altered, renamed or brought from another session opens nothing. With the
session's keys erased, none opens any more. It tells the length of its value, and nothing else.

Its letters are consonants alone, in which no detector can see a number, a word or somebody's credential.
"""

import hmac
import re
from collections.abc import Set
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from callgate.jsontext import JsonTextError, RawNumber, dump, parse, pointer_token
from contracts.events import Finding, InputProblem
from contracts.model import JsonValue
from services.masking.hints import Hints
from services.masking.places import HIDDEN

LONGEST: Final = 512
"""Bytes of a value; what is longer has no token."""

LETTERS: Final = "bcdfghjkmnpqrstv"
_BEGIN: Final = "tok_"
_PROBLEMS_NAMED: Final = 8
_TO_LETTERS = str.maketrans("0123456789abcdef", LETTERS)
_FROM_LETTERS = str.maketrans(LETTERS, "0123456789abcdef")
TOKEN = re.compile(rf"tok_([a-z][a-z0-9_]{{0,63}})_([{LETTERS}]{{34,{2 * (LONGEST + 17)}}})")
_DAMAGED = re.compile(rf"tok_[a-z][a-z0-9_]{{0,63}}_[{LETTERS}]{{8,}}")
_SHORT: Final = {"CREDIT_CARD": "card"}
_LONG: Final = {short: entity for entity, short in _SHORT.items()}
_TEXT, _SCALAR = b"s", b"j"


def letters(data: bytes) -> str:
    """Two letters a byte."""
    return data.hex().translate(_TO_LETTERS)


@dataclass(frozen=True, slots=True)
class SessionSecrets:
    """What hashes and tokens of one session are made with, from 64 secret bytes that belong to it."""

    session_id: str
    hashing: bytes = field(repr=False)
    _cipher: AESSIV = field(repr=False)

    @classmethod
    def of(cls, session_id: str, secret: bytes) -> "SessionSecrets":
        hashing = hmac.digest(secret, b"callgate hash", "sha256")
        return cls(session_id, hashing, AESSIV(hmac.digest(secret, b"callgate token", "sha512")))

    def seal(self, entity: str, value: JsonValue) -> str | None:
        """The token of a text, a number or a boolean; None for what is too long, or no such value, or has no name of
        its own as a token (CARD)."""
        name = _name_of(entity)
        if _entity_of(name) != entity:
            return None
        try:
            plain = _TEXT + value.encode() if isinstance(value, str) else _SCALAR + _scalar_text(value)
        except (UnicodeEncodeError, JsonTextError):
            return None
        if len(plain) > LONGEST + 1:
            return None
        return f"tok_{name}_{letters(self._cipher.encrypt(plain, self._associated(entity)))}"

    def open(self, token: str) -> "Opened | None":
        """What a token stands for; None where it is none of this session's, or not as it was given out."""
        match = TOKEN.fullmatch(token)
        if match is None or len(match[2]) % 2:
            return None
        entity = _entity_of(match[1])
        try:
            plain = self._cipher.decrypt(bytes.fromhex(match[2].translate(_FROM_LETTERS)), self._associated(entity))
            if plain[:1] == _TEXT:
                return Opened(entity, plain[1:].decode())
            return Opened(entity, parse(plain[1:], numbers="exact", max_depth=0))
        except (InvalidTag, UnicodeDecodeError, JsonTextError):
            return None

    def _associated(self, entity: str) -> list[bytes]:
        return [b"callgate token", self.session_id.encode(), entity.encode()]


@dataclass(frozen=True, slots=True)
class Opened:
    """A token's value, of the type that it had: a number stays one."""

    entity: str
    value: JsonValue = field(repr=False)


@dataclass(frozen=True, slots=True)
class Resolved:
    """`document` holds the real values; `replaced` says whether it has any. `findings` name the places of tokens (of
    entity TOKEN where it is not known), `refused` are the distinct codes of those that were not resolved:
    `token_invalid` (damaged, another session's, or its keys were erased) and `token_not_allowed` in this parameter;
    `problems` say where, as far as they are few.
    """

    document: JsonValue = field(repr=False)
    replaced: bool = False
    findings: tuple[Finding, ...] = ()
    refused: tuple[str, ...] = ()
    problems: tuple[InputProblem, ...] = ()


def may_hold_tokens(document: JsonValue) -> bool:
    """Whether a leaf begins as a token does."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if value.startswith(_BEGIN):
                return True
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return False


def resolve(
    document: JsonValue, hints: Hints, session: SessionSecrets | None, entities: Set[str] = frozenset()
) -> Resolved:
    """Puts real values in the place of tokens: of whole leaves only, and only where the parameter accepts the entity
    (`Hints.accepts`). Without a session's secrets every token is invalid.

    `tok_` begins other people's identifiers too. So what is no token as we write it counts as a damaged one only where
    its name is that of one of `entities` (those that become tokens now), or of one that the parameter accepts, or where
    what follows are our letters alone. Never raises; at most as deep as `callgate.jsontext.parse` lets documents be.
    """
    resolving = _Resolving(session, entities)
    resolved = resolving.value(document, "", hints)
    refused, problems = tuple(resolving.refused), tuple(resolving.problems)
    return Resolved(resolved, resolving.replaced, tuple(resolving.findings), refused, problems)


class _Resolving:
    def __init__(self, session: SessionSecrets | None, entities: Set[str]) -> None:
        self.session = session
        self.entities = entities
        self.replaced = False
        self.findings: list[Finding] = []
        self.refused: dict[str, None] = {}
        self.problems: list[InputProblem] = []

    def value(self, value: JsonValue, pointer: str, hints: Hints) -> JsonValue:
        """`pointer` quotes keys that the schema declares, and no other."""
        if isinstance(value, str):
            return self.leaf(value, pointer, hints) if _meant(value, self.entities | hints.accepts) else value
        if isinstance(value, dict):
            return {
                key: self.value(below, pointer + _shown(key, hints), hints.property(key))
                for key, below in value.items()
            }
        if isinstance(value, list):
            return [self.value(below, f"{pointer}/{index}", hints.item(index)) for index, below in enumerate(value)]
        return value

    def leaf(self, token: str, pointer: str, hints: Hints) -> JsonValue:
        opened = self.session.open(token) if self.session is not None else None
        entity = opened.entity if opened else "TOKEN"
        self.findings.append(Finding(path=pointer, entity=entity, start=0, end=len(token)))
        if opened is None or opened.entity not in hints.accepts:
            code = "token_invalid" if opened is None else "token_not_allowed"
            self.refused[code] = None
            if len(self.problems) < _PROBLEMS_NAMED:
                self.problems.append(InputProblem(pointer=pointer, keyword=code))
            return token
        self.replaced = True
        return opened.value


def _shown(key: str, hints: Hints) -> str:
    return pointer_token(key) if hints.declares(key) else f"/{HIDDEN}"


def _meant(text: str, entities: Set[str]) -> bool:
    if not text.startswith(_BEGIN) or any(map(str.isspace, text)):
        return False
    return bool(_DAMAGED.fullmatch(text)) or any(text.startswith(f"tok_{_name_of(entity)}_") for entity in entities)


def _name_of(entity: str) -> str:
    return _SHORT.get(entity, entity.lower())


def _entity_of(name: str) -> str:
    return _LONG.get(name, name.upper())


def _scalar_text(value: JsonValue) -> bytes:
    if isinstance(value, (bool, int, float, RawNumber)):
        return dump(value)
    raise JsonTextError("not_json")
