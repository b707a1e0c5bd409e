"""How the view shows what was found, entity by entity, as the operator chose under `masking.strategies`. Pure.

| strategy  | the view shows                                                                                       |
|-----------|------------------------------------------------------------------------------------------------------|
| `redact`  | `[CREDIT_CARD]`                                                                                      |
| `partial` | the last four (`**** **** **** 1111`), of phones and IBANs the country too, of e-mail the domain;    |
|           | at most two fifths of what is not country, and nothing of passwords and keys                         |
| `hash`    | `[CREDIT_CARD#bdfghjkmnpqr]`, keyed: the same value is the same text within a session, and not beyond |
| `token`   | `tok_card_…`, which the agent may give back in a later call of the session (`tokens`)                |
| `drop`    | nothing: the member or item is left out                                                              |
| `keep`    | the value; it is reported only                                                                       |

What cannot be written as it should (too short for `partial`, too long for `token`, no secrets of the session) is
redacted. What is written already is written the same again, so that masking a view once more changes nothing.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from callgate.masking_settings import Strategy, StrategySettings
from contracts.model import JsonValue
from services.masking.document import DROPPED, Dropped
from services.masking.tokens import LETTERS, SessionSecrets, letters

KEPT: Final = frozenset({"DATE_TIME", "URL", "AGE"})
"""Reported and shown unless the operator says otherwise: by themselves they are nobody's. What makes them somebody's
(a date of birth, credentials in a URL) is found under its own name."""

Written = str | Dropped | None
"""A text in place of the value, DROPPED, or None for the value itself."""

_LAST: Final = 4
_SHARE: Final = 2, 5
_LEAST: Final = 3
_HASH_BYTES: Final = 6
PLACEHOLDER: Final = re.compile(rf"\[[A-Z][A-Z0-9_]{{0,63}}(?:#[{LETTERS}]{{{2 * _HASH_BYTES}}})?\]")
"""What `redact` and `hash` write."""
_NEVER_PARTIAL: Final = frozenset({"PASSWORD", "PIN", "CVV", "SECRET", "PRIVATE_KEY", "URL_CREDENTIALS"})
_NUMBERS = re.compile(r"(?:\+|[A-Z]{2})?[0-9][0-9A-Za-z \-./()]*")
_SEPARATORS = re.compile(r"[\s-]+")
_COUNTRY_CODE = re.compile(r"\+(?:[17]|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[0-9]{3})")  # E.164
_HEAD = re.compile(r"\+[0-9]{1,3}|[A-Z]{2}")


class Disguise(Protocol):
    """What writes a found value. `scalar` is the leaf where it is a number or a boolean, and all of it was found."""

    def __call__(self, entity: str, text: str, scalar: JsonValue = None) -> Written: ...


@dataclass(frozen=True, slots=True)
class Strategies:
    default: Strategy = "redact"
    entities: Mapping[str, Strategy] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, settings: StrategySettings) -> "Strategies":
        return cls(settings.default, MappingProxyType(dict(settings.entities)))

    def strategy(self, entity: str) -> Strategy:
        return self.entities.get(entity, "keep" if entity in KEPT else self.default)

    @property
    def need_secrets(self) -> bool:
        """Whether any of them wants a session's secrets."""
        return not {"hash", "token"}.isdisjoint({self.default, *self.entities.values()})

    @property
    def tokenised(self) -> frozenset[str]:
        """The entities that are named as becoming tokens."""
        return frozenset(entity for entity, strategy in self.entities.items() if strategy == "token")

    def written(self, entity: str, text: str, session: SessionSecrets | None, scalar: JsonValue = None) -> Written:
        """What the view shows of a value that was found."""
        strategy = self.strategy(entity)
        if strategy == "keep":
            return None
        if strategy == "drop":
            return DROPPED
        shown: str | None = None
        if strategy == "partial":
            shown = partial(entity, text)
        elif strategy == "hash" and session is not None:
            shown = hashed(entity, text, session)
        elif strategy == "token" and session is not None:
            shown = _token(entity, text, session, scalar)
        return shown or redacted(entity)

    def disguise(self, session: SessionSecrets | None) -> Disguise:
        """For one session, or for none: what needs its secrets is redacted then."""

        def written(entity: str, text: str, scalar: JsonValue = None) -> Written:
            return self.written(entity, text, session, scalar)

        return written


def redacted(entity: str) -> str:
    return f"[{entity}]"


REDACTED: Final = Strategies().disguise(None)
"""Without a configuration."""


def hashed(entity: str, text: str, session: SessionSecrets) -> str:
    """However it was spaced: `4111-1111 …` is `41111111…`."""
    if PLACEHOLDER.fullmatch(text) and text.startswith((f"[{entity}#", f"[{entity}]")):
        return text
    spelled = text.casefold() if "@" in text else _SEPARATORS.sub("", text)
    digest = hmac.digest(session.hashing, f"{entity}\0{spelled}".encode(errors="surrogatepass"), "sha256")
    return f"[{entity}#{letters(digest[:_HASH_BYTES])}]"


def _token(entity: str, text: str, session: SessionSecrets, scalar: JsonValue) -> str | None:
    if text == redacted(entity) or ((opened := session.open(text)) is not None and opened.entity == entity):
        return text
    return session.seal(entity, text if scalar is None else scalar)


def partial(entity: str, text: str) -> str | None:
    """The value with stars in it; None where it is too short for any of it to be shown."""
    if entity in _NEVER_PARTIAL or text == redacted(entity):
        return None
    if entity.startswith("EMAIL"):
        _, at, domain = text.rpartition("@")
        return f"***@{domain}" if at else None
    if _is_partial(text):
        return text
    if not _NUMBERS.fullmatch(text):
        count = _shown_of(sum(map(str.isalnum, text)))
        last = text[len(text) - count :]
        return f"****{last}" if last.isascii() and last.isalnum() else None
    head = _country(entity, text)
    tail = text[len(head) :]
    count = sum(map(str.isalnum, tail))
    shown = _shown_of(count)
    return head + _starred(tail, count - shown) if shown else None


def _is_partial(text: str) -> bool:
    """Whether no more stands there than we would have left: four stars or more, and at most four behind the last."""
    before, star, after = text.rpartition("*")
    head = _HEAD.match(before)
    hidden = before[head.end() :] if head else before
    return (
        bool(star)
        and before.count("*") >= _LAST - 1
        and not any(map(str.isalnum, hidden))
        and sum(map(str.isalnum, after)) <= _LAST
    )


def _shown_of(count: int) -> int:
    shown = min(_LAST, count * _SHARE[0] // _SHARE[1])
    return shown if shown >= _LEAST else 0


def _country(entity: str, text: str) -> str:
    """The start of a number that tells a country, and no more."""
    if entity.startswith("IBAN"):
        return text[:2]
    code = _COUNTRY_CODE.match(text)
    return code[0] if code else ""


def _starred(text: str, hidden: int) -> str:
    """Stars for the first so many letters and digits, what stands between them as it is."""
    written: list[str] = []
    for character in text:
        written.append("*" if character.isalnum() and hidden > 0 else character)
        hidden -= character.isalnum()
    return "".join(written)
