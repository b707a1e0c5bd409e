"""Grants as CONTROL tells them: one pure fold, their scope, and what an executor checks before it trusts one.

All about a grant stands below one subject, and a use is appended only where its writer has seen everything there. So
uses and revocation have one order, and no more calls are counted than were granted, whatever races and redeliveries do.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from contracts.events import GrantUse, Requirement
from contracts.identity import Principal
from contracts.records import Granted, GrantRevoked, GrantUsed, Record
from contracts.subjects import CallRef, grant_revoked_subject, grant_subject, grant_use_subject
from contracts.tally import may_vote

GrantState = Literal["in_force", "used_up", "expired", "revoked"]
"""What becomes of a further call in its scope: only one in force lets it through."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One grant. `uses` maps the public id of each call counted on it to its number."""

    data: Granted
    digest: str
    """Of its record."""
    since: datetime
    uses: dict[str, int] = field(default_factory=dict)
    revoked: bool = False

    def stands(self, now: datetime) -> bool:
        """Neither over nor revoked; the calls that are counted on it go, even where no use is left."""
        return not self.revoked and now < self.data.expires_at

    def state(self, now: datetime) -> GrantState:
        if self.revoked:
            return "revoked"
        if now >= self.data.expires_at:
            return "expired"
        return "in_force" if self.left else "used_up"

    @property
    def left(self) -> int:
        return max(0, self.data.uses - len(self.uses))

    def usable_for(self, ref: CallRef, principal: Principal, function: str, now: datetime) -> bool:
        """Whether such a call is in its scope and may be, or is, counted on it. Its conditions are Cedar's to judge."""
        counted = str(ref) in self.uses or self.left > 0
        return counted and self.stands(now) and in_scope(self.data, ref, principal, function)

    def use_of(self, ref: CallRef) -> GrantUse | None:
        """What `allowed` says of the call's use, where it is counted."""
        number = self.uses.get(str(ref))
        return GrantUse(grant_id=self.data.grant_id, granted=self.digest, number=number) if number else None


def in_scope(data: Granted, ref: CallRef, principal: Principal, function: str) -> bool:
    """Whether the grant speaks of such calls at all: agent, user, session and function, and never its granter's own."""
    agent = (data.issuer, data.agent, data.on_behalf_of)
    return (
        data.function == function
        and (data.session_id is None or data.session_id == ref.session_id)
        and (data.agent is None or agent == (principal.issuer, principal.id, principal.on_behalf_of))
        and (data.session_id is not None or data.agent is not None)
        and may_vote(principal, data.by)
    )


@dataclass(frozen=True, slots=True)
class Grants:
    """Every grant so far, with what was counted on it. Start with `Grants()` and fold with `apply`."""

    all: dict[str, Grant] = field(default_factory=dict)

    def apply(self, record: Record[Granted | GrantUsed | GrantRevoked], digest: str) -> "Grants":
        """The grants after a verified record; what stands elsewhere, comes twice or exceeds its grant is ignored."""
        data = record.data
        known = self.all.get(data.grant_id)
        if isinstance(data, Granted):
            placed = record.subject == grant_subject(data.grant_id)
            return self._with(Grant(data, digest, record.at)) if placed and known is None else self
        if known is None:
            return self
        if isinstance(data, GrantRevoked):
            placed = record.subject == grant_revoked_subject(data.grant_id)
            return self._with(replace(known, revoked=True)) if placed else self
        if not _counts(known, data, record.subject, record.at):
            return self
        return self._with(replace(known, uses={**known.uses, data.call: data.number}))

    def _with(self, grant: Grant) -> "Grants":
        return Grants({**self.all, grant.data.grant_id: grant})


def meets_alone(requirements: Iterable[Requirement], granter: Principal) -> bool:
    """Whether the approval of this one person would do for all of them; a grant lifts nothing else."""
    asked = list(requirements)
    return bool(asked) and all(
        one.quorum == 1 and (not one.each or len(one.approvers) == 1) and bool(set(one.approvers) & set(granter.groups))
        for one in asked
    )


def is_other(allowed: GrantUse, grant: Granted, digest: str, use: GrantUsed, ref: CallRef) -> bool:
    """Whether `allowed` names another grant or use than these, or one beyond what was granted."""
    return (
        (allowed.grant_id, allowed.granted) != (grant.grant_id, digest)
        or (use.grant_id, use.call, use.number) != (grant.grant_id, str(ref), allowed.number)
        or use.number > grant.uses
    )


def _counts(grant: Grant, data: GrantUsed, subject: str, at: datetime) -> bool:
    call_id = data.call.rpartition(".")[2]
    return (
        subject == grant_use_subject(data.grant_id, call_id)
        and not grant.revoked
        and at < grant.data.expires_at
        and data.call not in grant.uses
        and data.number == len(grant.uses) + 1 <= grant.data.uses
    )
