"""Revocations as CONTROL tells them: one fold, and the question whether a token still identifies anybody.

A revocation counts from its record on, until it is lifted or its time is over. The first record of an id counts; what
stands on its subject later can lift it and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from contracts.events import Sealed
from contracts.identity import Principal
from contracts.records import Record, Revoked, Unrevoked
from contracts.subjects import revocation_subject


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revocation. `issuer` None means a subject of that name by whatever issuer."""

    revocation_id: str
    scope: Literal["subject", "token"]
    target: str
    issuer: str | None
    issued_before: datetime | None
    by: Principal
    since: datetime
    expires_at: datetime | None
    reason: Sealed
    lifted: bool = False

    def in_force(self, now: datetime) -> bool:
        return not self.lifted and (self.expires_at is None or now < self.expires_at)

    def ends(self, principal: Principal, issued_at: datetime) -> bool:
        """Whether a token of this principal, issued then, is in its scope.

        A subject's revocation ends every token that it stands behind: its own, and those in which it acts for another
        or another for it.
        """
        if self.issuer not in (None, principal.issuer):
            return False
        if self.scope == "token":
            return self.target == principal.token_id
        before = self.issued_before is None or issued_at < self.issued_before
        return before and self.target in principal.people


@dataclass(slots=True)
class Revocations:
    """Every revocation so far, by id and by target: each request asks, however many there are. Changed by `apply`."""

    all: dict[str, Revocation] = field(default_factory=dict)
    _by_target: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def apply(self, record: Record[Revoked | Unrevoked]) -> None:
        """Takes in a verified record; what says nothing new, or stands elsewhere, is ignored."""
        data = record.data
        known = self.all.get(data.revocation_id)
        if record.subject != revocation_subject(data.revocation_id):
            return
        if isinstance(data, Unrevoked):
            if known is not None:
                self.all[data.revocation_id] = replace(known, lifted=True)
        elif known is None:
            self.all[data.revocation_id] = _revocation(data, record.at)
            self._by_target[data.target] = (*self._by_target.get(data.target, ()), data.revocation_id)

    def in_force(self, now: datetime) -> tuple[Revocation, ...]:
        """Those that count at this moment, the oldest first."""
        found = (one for one in self.all.values() if one.in_force(now))
        return tuple(sorted(found, key=lambda one: (one.since, one.revocation_id)))

    def ending(self, principal: Principal, issued_at: datetime, now: datetime) -> Revocation | None:
        """A revocation that ends such a token at this moment, or None."""
        if not self.all:
            return None
        aimed = (one for one in self._aimed_at(principal) if one.ends(principal, issued_at) and one.in_force(now))
        return next(aimed, None)

    def _aimed_at(self, principal: Principal) -> Iterable[Revocation]:
        names = principal.people if principal.token_id is None else principal.people | {principal.token_id}
        return (self.all[found] for name in names for found in self._by_target.get(name, ()))


def _revocation(data: Revoked, since: datetime) -> Revocation:
    return Revocation(
        data.revocation_id,
        data.scope,
        data.target,
        data.issuer,
        data.issued_before,
        data.by,
        since,
        data.expires_at,
        data.reason,
    )
