"""Freezes as CONTROL tells them: one pure fold, and the question whether a call is stopped.

A freeze counts from its record on, until it is lifted or its time is over. The first record of an id counts; what
stands on its subject later can lift it and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from contracts.events import Sealed
from contracts.identity import Principal
from contracts.records import FreezeScope, Frozen, FrozenV1, Record, Unfrozen
from contracts.subjects import freeze_subject

FROZEN: Final = "frozen"
"""The code of what a freeze stopped, at every step."""


@dataclass(frozen=True, slots=True)
class Freeze:
    """One freeze. `issuer` None stops an agent of that id by whatever issuer."""

    freeze_id: str
    scope: FreezeScope
    target: str | None
    issuer: str | None
    by: Principal
    since: datetime
    expires_at: datetime | None
    reason: Sealed | None
    lifted: bool = False

    def in_force(self, now: datetime) -> bool:
        return not self.lifted and (self.expires_at is None or now < self.expires_at)

    def stops(self, principal: Principal, session_id: str | None, function: str) -> bool:
        """Whether a call of this principal, session and function is in its scope.

        An agent's freeze stops all that it stands behind: what it asks for itself, through other agents, and what
        agents ask for on its behalf.
        """
        match self.scope:
            case "everything":
                return True
            case "agent":
                return self.target in principal.people and self.issuer in (None, principal.issuer)
            case "session":
                return session_id is not None and self.target == session_id
            case "function":
                return self.target == function
            case "connection":
                return self.target == function.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Freezes:
    """Every freeze so far. Start with `Freezes()` and fold with `apply`."""

    all: dict[str, Freeze] = field(default_factory=dict)

    def apply(self, record: Record[Frozen | FrozenV1 | Unfrozen]) -> "Freezes":
        """The freezes after a verified record; what says nothing new, or stands elsewhere, is ignored."""
        data = record.data
        known = self.all.get(data.freeze_id)
        if record.subject != freeze_subject(data.freeze_id):
            return self
        if isinstance(data, Unfrozen):
            return self if known is None else self._with(replace(known, lifted=True))
        return self if known is not None else self._with(_freeze(data, record.at))

    def in_force(self, now: datetime) -> tuple[Freeze, ...]:
        """Those that count at this moment, the oldest first."""
        return tuple(sorted((f for f in self.all.values() if f.in_force(now)), key=lambda f: (f.since, f.freeze_id)))

    def stopping(self, principal: Principal, session_id: str | None, function: str, now: datetime) -> Freeze | None:
        """The oldest freeze that stops such a call at this moment, or None."""
        return first_stopping(self.in_force(now), principal, session_id, function)

    def _with(self, freeze: Freeze) -> "Freezes":
        return Freezes({**self.all, freeze.freeze_id: freeze})


def first_stopping(
    freezes: Iterable[Freeze], principal: Principal, session_id: str | None, function: str
) -> Freeze | None:
    return next((freeze for freeze in freezes if freeze.stops(principal, session_id, function)), None)


def _freeze(data: Frozen | FrozenV1, since: datetime) -> Freeze:
    if isinstance(data, FrozenV1):
        return Freeze(data.freeze_id, data.scope, data.target, None, data.by, since, None, None)
    return Freeze(data.freeze_id, data.scope, data.target, data.issuer, data.by, since, data.expires_at, data.reason)
