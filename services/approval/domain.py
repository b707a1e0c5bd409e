"""4. Who may vote, what the votes come to, and when the time is up. Pure: ids and time are passed in."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from contracts.events import (
    ApprovalExpired,
    ApprovalRequired,
    Approved,
    ArgumentsMasked,
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
from contracts.tally import may_vote

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
class Ballot:
    """One vote on the open question. Its reason is sealed in the event of that id."""

    event_id: str
    reviewer: str
    decision: Decision
    reason: Sealed | None
    at: datetime


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
    asked_at: datetime
    expires_at: datetime

    @property
    def waiting(self) -> bool:
        return self.state in WAITING_FOR_PEOPLE

    def ballot_of(self, person: str) -> Ballot | None:
        return next((ballot for ballot in self.ballots if ballot.reviewer == person), None)


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
        ballots=tuple(_ballots(call)),
        asked_at=asked.event.at,
        expires_at=required.expires_at,
    )


def authority(question: Question, reviewer: Principal, permitted: bool) -> Refusal | None:
    """Why this person may never decide on the call, or None. `permitted` is Cedar's word.

    Four eyes come first, whatever a policy says; then the right; then a requirement must ask for one of their groups.
    """
    if reviewer.actors or reviewer.on_behalf_of is not None:
        return Refusal.DELEGATED
    if not may_vote(question.requester, reviewer):
        return Refusal.OWN_CALL
    if not permitted:
        return Refusal.NOT_PERMITTED
    if not is_asked(question, reviewer):
        return Refusal.NOT_AN_APPROVER
    return None


def is_asked(question: Question, reviewer: Principal) -> bool:
    """Whether some requirement asks for a group of theirs."""
    groups = set(reviewer.groups)
    return any(groups & set(progress.requirement.approvers) for progress in question.progress)


def check_vote(question: Question, reviewer: Principal, permitted: bool, digest: str, now: datetime) -> None:
    """VoteRefused unless a vote of this person counts now. `digest` is of the question that they saw."""
    refusal = authority(question, reviewer, permitted) or _untimely(question, reviewer, digest, now)
    if refusal is not None:
        raise VoteRefused(refusal, question.state)


def _untimely(question: Question, reviewer: Principal, digest: str, now: datetime) -> Refusal | None:
    if not question.waiting:
        return Refusal.NOT_WAITING
    if digest != question.digest:
        return Refusal.CALL_CHANGED
    if now >= question.expires_at:
        return Refusal.EXPIRED
    if question.ballot_of(reviewer.id) is not None:
        return Refusal.VOTED_ALREADY
    return None


def vote_of(
    question: Question, reviewer: Principal, decision: Decision, reason: Sealed | None, policies: tuple[str, ...]
) -> VoteCast:
    """The vote of a person whom `check_vote` let pass; `policies` gave them the right."""
    return VoteCast(
        reviewer=reviewer,
        decision=decision,
        reason=reason,
        policies=policies,
        proof=Proof(
            issuer=reviewer.issuer,
            subject=reviewer.id,
            authenticated_at=reviewer.authenticated_at,
            digest=question.digest,
        ),
    )


def conclusion(call: Call, now: datetime) -> Approved | Rejected | ApprovalExpired | None:
    """What ends the waiting at this moment; None where it goes on, or has ended.

    A rejection that was cast in time counts after it too; approvals do not, since the fold refuses them then.
    """
    question = question_of(call)
    if question is None or not question.waiting:
        return None
    tally = call.tally()
    if tally.rejected_by is not None:
        rejecting = question.ballot_of(tally.rejected_by)
        assert rejecting is not None  # noqa: S101  # the tally counts these ballots
        return Rejected(by=rejecting.reviewer, vote=rejecting.event_id)
    if now >= question.expires_at:
        return ApprovalExpired(expired_at=question.expires_at)
    return Approved(votes=tally.votes) if tally.met else None


def _ballots(call: Call) -> Iterable[Ballot]:
    for recorded in call.votes:
        if isinstance(recorded.data, VoteCast):
            vote = recorded.data
            yield Ballot(recorded.event.event_id, vote.reviewer.id, vote.decision, vote.reason, recorded.event.at)
