"""4. Who may vote, what the votes come to, and when the time is up. Pure: ids and time are passed in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from contracts.events import (
    ApprovalExpired,
    ApprovalRequired,
    Approved,
    ArgumentsMasked,
    Escalation,
    Proof,
    Rejected,
    Requirement,
    Sealed,
    VoteCast,
)
from contracts.identity import Principal
from contracts.lifecycle import WAITING_FOR_PEOPLE, Call
from contracts.model import JsonValue
from contracts.subjects import CallRef
from contracts.tally import asked_groups, breaks_glass, may_vote, standing_votes

Decision = Literal["approve", "reject"]
DECISIONS: Mapping[JsonValue, Decision] = MappingProxyType({"approve": "approve", "reject": "reject"})
"""As they are written."""


class Refusal(StrEnum):
    """Why a vote is not cast. The values are wire names: the codes of problem documents."""

    DELEGATED = "delegated"
    OWN_CALL = "own_call"
    NOT_PERMITTED = "not_permitted"
    NOT_AN_APPROVER = "not_an_approver"
    NOT_WAITING = "not_waiting"
    CALL_CHANGED = "call_changed"
    EXPIRED = "expired"
    VOTED_ALREADY = "voted_already"
    VOTED_MEANWHILE = "voted_meanwhile"
    REASON_REQUIRED = "reason_required"
    ONLY_BY_BREAKING_GLASS = "only_by_breaking_glass"
    NO_GLASS_TO_BREAK = "no_glass_to_break"


class VoteRefused(Exception):
    """The vote is not cast. `state` is the call's."""

    def __init__(self, code: Refusal, state: str) -> None:
        super().__init__(code.value)
        self.code = code
        self.state = state


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one requirement is met: `missing` approvals of its quorum."""

    requirement: Requirement
    missing: int


@dataclass(frozen=True, slots=True)
class Intent:
    """What a person is about to say of the question that has this digest."""

    decision: Decision
    digest: str
    reason: str | None = field(default=None, repr=False)
    break_glass: bool = False


@dataclass(frozen=True, slots=True)
class Ballot:
    """One person's vote on the open question, their last. Its reason is sealed in the event of that id."""

    event_id: str
    reviewer: str
    people: frozenset[str]
    """Everyone who stands behind it."""
    decision: Decision
    reason: Sealed | None
    at: datetime
    break_glass: bool
    """They approved alone, as some requirement lets their group."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an event stands, and the digest that tells it from another there."""

    sequence: int
    digest: str


@dataclass(frozen=True, slots=True)
class Question:
    """What people are asked, or were asked last, about one call: facts and references, no arguments."""

    ref: CallRef
    state: str
    digest: str
    """Of the `approval_required` that a vote speaks of."""
    function: str
    requester: Principal
    entities: frozenset[str]
    """What masking found, e.g. `CREDIT_CARD`."""
    masked: Reference
    """The `arguments_masked` that policy judged, where the masked view is."""
    policies: tuple[str, ...]
    progress: tuple[Progress, ...]
    ballots: tuple[Ballot, ...]
    amenders: tuple[str, ...]
    """Who changed the arguments; none of them is enough alone."""
    asked_at: datetime
    expires_at: datetime

    @property
    def waiting(self) -> bool:
        return self.state in WAITING_FOR_PEOPLE

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        return tuple(progress.requirement for progress in self.progress)

    @property
    def broken_glass(self) -> Ballot | None:
        """The approval of somebody who approved alone, if anybody did."""
        return next((ballot for ballot in self.ballots if ballot.break_glass), None)

    @property
    def concerned(self) -> frozenset[str]:
        """Every group that is asked, may be asked later, or may break the glass."""
        late = (group for one in self.escalations for group in one.approvers)
        return frozenset((*late, *(group for one in self.requirements for group in (*one.approvers, *one.break_glass))))

    @property
    def escalations(self) -> tuple[Escalation, ...]:
        """When further groups are asked, in that order, as far as it comes to that in time."""
        found = {one.escalation for one in self.requirements if one.escalation is not None}
        return tuple(
            sorted((one for one in found if one.at < self.expires_at), key=lambda one: (one.at, one.approvers))
        )

    @property
    def remind_at(self) -> datetime | None:
        """When whoever has not voted is reminded: the earliest counts."""
        moments = [one.remind_at for one in self.requirements if one.remind_at is not None]
        return min((at for at in moments if at < self.expires_at), default=None)

    def asked_groups(self, at: datetime) -> frozenset[str]:
        """The groups whose members' approval counts at that time."""
        return frozenset(group for one in self.requirements for group in asked_groups(one, at))

    def ballot_of(self, person: str) -> Ballot | None:
        return next((ballot for ballot in self.ballots if person in ballot.people), None)


def question_of(call: Call) -> Question | None:
    """The last question about a call; None where nobody was ever asked."""
    asked, masked = call.last_recorded(ApprovalRequired), call.last_recorded(ArgumentsMasked)
    if asked is None or masked is None:
        return None
    required, view = asked.data, masked.data
    assert isinstance(required, ApprovalRequired) and isinstance(view, ArgumentsMasked)  # noqa: S101, PT018
    missing = call.tally().missing
    return Question(
        ref=call.ref,
        state=call.state,
        digest=asked.digest,
        function=call.requested.function,
        requester=call.requested.principal,
        entities=frozenset(finding.entity for finding in view.findings),
        masked=Reference(masked.sequence, masked.digest),
        policies=required.policies,
        progress=tuple(Progress(*pair) for pair in zip(required.requirements, missing, strict=True)),
        ballots=tuple(_ballots(call, required.requirements)),
        amenders=tuple(dict.fromkeys(author.id for author in call.amenders)),
        asked_at=asked.event.at,
        expires_at=required.expires_at,
    )


def authority(question: Question, reviewer: Principal, permitted: bool, now: datetime) -> Refusal | None:
    """Why this person may not decide on the call now, whatever they say, or None. `permitted` is Cedar's word.

    Four eyes come first, whatever a policy says; then the right; then a requirement must ask for one of their groups.
    """
    if reviewer.actors or reviewer.on_behalf_of is not None:
        return Refusal.DELEGATED
    if not may_vote(question.requester, reviewer):
        return Refusal.OWN_CALL
    if not permitted:
        return Refusal.NOT_PERMITTED
    if not is_asked(question, reviewer, now):
        return Refusal.NOT_AN_APPROVER
    return None


def is_asked(question: Question, reviewer: Principal, now: datetime) -> bool:
    """Whether some requirement asks for a group of theirs by now, or lets one break the glass."""
    return not question.asked_groups(now).isdisjoint(reviewer.groups) or may_break_glass(question, reviewer)


def may_break_glass(question: Question, reviewer: Principal) -> bool:
    """Whether some requirement lets this person approve alone."""
    return any(not set(one.break_glass).isdisjoint(reviewer.groups) for one in question.requirements)


def must_say_why(question: Question, reviewer: Principal, now: datetime) -> bool:
    """Whether this person's approval needs a reason to count."""
    asking = (one for one in question.requirements if not asked_groups(one, now).isdisjoint(reviewer.groups))
    return any(one.reason_required for one in asking)


def check_vote(question: Question, reviewer: Principal, permitted: bool, intent: Intent, now: datetime) -> None:
    """VoteRefused unless this vote of this person counts now."""
    refusal = (
        authority(question, reviewer, permitted, now)
        or _untimely(question, intent, now)
        or _idle(question, reviewer, intent, now)
    )
    if refusal is not None:
        raise VoteRefused(refusal, question.state)


def _untimely(question: Question, intent: Intent, now: datetime) -> Refusal | None:
    if not question.waiting:
        return Refusal.NOT_WAITING
    if intent.digest != question.digest:
        return Refusal.CALL_CHANGED
    if now >= question.expires_at:
        return Refusal.EXPIRED
    return None


def _idle(question: Question, reviewer: Principal, intent: Intent, now: datetime) -> Refusal | None:
    """Why the vote would say nothing: it stands already, or it would not be counted."""
    own = question.ballot_of(reviewer.id)
    if own is not None and (own.decision, own.break_glass) == (intent.decision, intent.break_glass):
        return Refusal.VOTED_ALREADY
    if intent.break_glass and (intent.decision != "approve" or not may_break_glass(question, reviewer)):
        return Refusal.NO_GLASS_TO_BREAK
    if intent.decision != "approve":
        return None
    if not intent.break_glass and question.asked_groups(now).isdisjoint(reviewer.groups):
        return Refusal.ONLY_BY_BREAKING_GLASS
    if not intent.reason and (intent.break_glass or must_say_why(question, reviewer, now)):
        return Refusal.REASON_REQUIRED
    return None


def vote_of(
    question: Question, reviewer: Principal, intent: Intent, reason: Sealed | None, policies: tuple[str, ...]
) -> VoteCast:
    """The vote of a person whom `check_vote` let pass; `policies` gave them the right.

    It names the vote of theirs that it changes, so the fold takes it only where that is the one that stands.
    """
    own = question.ballot_of(reviewer.id)
    return VoteCast(
        reviewer=reviewer,
        decision=intent.decision,
        reason=reason,
        policies=policies,
        proof=Proof(
            issuer=reviewer.issuer,
            subject=reviewer.id,
            authenticated_at=reviewer.authenticated_at,
            digest=question.digest,
        ),
        replaces=own.event_id if own else None,
        break_glass=intent.break_glass,
    )


def conclusion(call: Call, now: datetime) -> Approved | Rejected | ApprovalExpired | None:
    """What ends the waiting at this moment; None where it goes on, or has ended.

    A rejection that was cast in time counts after it too; approvals do not, since the fold refuses them then.
    """
    question = question_of(call)
    if question is None or not question.waiting:
        return None
    tally = call.tally()
    if tally.rejection is not None and tally.rejected_by is not None:
        return Rejected(by=tally.rejected_by, vote=tally.rejection)
    if now >= question.expires_at:
        return ApprovalExpired(expired_at=question.expires_at)
    return Approved(votes=tally.votes) if tally.met else None


def _ballots(call: Call, requirements: Iterable[Requirement]) -> Iterable[Ballot]:
    needed = tuple(requirements)
    for one in standing_votes(call.votes, call.requested.principal):
        vote = one.vote
        alone = any(breaks_glass(requirement, vote) for requirement in needed)
        yield Ballot(one.event_id, vote.reviewer.id, one.people, vote.decision, vote.reason, one.at, alone)
