"""4. Who may vote, what the votes come to, and when the time is up. Pure: ids and time are passed in."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

from contracts.events import (
    ApprovalExpired,
    ApprovalRequired,
    Approved,
    ArgumentsMasked,
    Escalation,
    Proof,
    Recorded,
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
    """Why a decision is not recorded. The values are wire names: the codes of problem documents."""

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
    OUTCOME_KNOWN = "outcome_known"
    RESULT_OF_NOTHING = "result_of_nothing"


class DecisionRefused(Exception):
    """A vote, an amendment or a settlement is not recorded. `state` and `status` are the call's."""

    def __init__(self, code: Refusal, facts: "CallFacts") -> None:
        super().__init__(code.value)
        self.code = code
        self.state = facts.state
        self.status = facts.status


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
class CallFacts:
    """A call on which people decide: facts and references, no arguments."""

    ref: CallRef
    state: str
    status: str
    """What its agent is told: a word of docs/codes.md."""
    digest: str
    """Of the event on which people decide, which a decision names."""
    function: str
    requester: Principal
    entities: frozenset[str]
    """What masking found, e.g. `CREDIT_CARD`."""
    masked: Reference
    """The `arguments_masked` that policy judged last, where the masked view is."""


@dataclass(frozen=True, slots=True)
class Question(CallFacts):
    """What people are asked, or were asked last, about one call; its digest is that of the `approval_required`."""

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
    asked, required = call.last_recorded(ApprovalRequired), call.last(ApprovalRequired)
    if asked is None or required is None:
        return None
    missing = call.tally().missing
    return Question(
        **facts_of(call, asked),
        policies=required.policies,
        progress=tuple(Progress(*pair) for pair in zip(required.requirements, missing, strict=True)),
        ballots=ballots_of(call),
        amenders=tuple(dict.fromkeys(author.id for author in call.amenders)),
        asked_at=asked.event.at,
        expires_at=required.expires_at,
    )


def facts_of(call: Call, asked: Recorded) -> dict[str, Any]:
    """The fields of CallFacts; `asked` is the event on which people decide, which follows `arguments_masked`."""
    masked, data = call.last_recorded(ArgumentsMasked), call.last(ArgumentsMasked)
    assert masked is not None and data is not None  # noqa: S101, PT018  # by the table of transitions
    return {
        "ref": call.ref,
        "state": call.state,
        "status": call.status,
        "digest": asked.digest,
        "function": call.requested.function,
        "requester": call.requested.principal,
        "entities": frozenset(finding.entity for finding in data.findings),
        "masked": Reference(masked.sequence, masked.digest),
    }


def authority(question: Question, reviewer: Principal, permitted: bool, now: datetime) -> Refusal | None:
    """Why this person may not decide on the call now, whatever they say, or None. `permitted` is Cedar's word.

    Four eyes come first, whatever a policy says; then the right; then a requirement must ask for one of their groups.
    """
    refusal = right_of(question, reviewer, permitted)
    if refusal is None and not is_asked(question, reviewer, now):
        return Refusal.NOT_AN_APPROVER
    return refusal


def right_of(facts: CallFacts, person: Principal, permitted: bool) -> Refusal | None:
    """Why this person may decide nothing about the call, or None."""
    if person.actors or person.on_behalf_of is not None:
        return Refusal.DELEGATED
    if not may_vote(facts.requester, person):
        return Refusal.OWN_CALL
    return None if permitted else Refusal.NOT_PERMITTED


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
    """DecisionRefused unless this vote of this person counts now."""
    refusal = (
        authority(question, reviewer, permitted, now)
        or _untimely(question, intent.digest, now)
        or _idle(question, reviewer, intent, now)
    )
    if refusal is not None:
        raise DecisionRefused(refusal, question)


def check_amendment(question: Question, author: Principal, permitted: bool, digest: str, now: datetime) -> None:
    """DecisionRefused unless this person may change the arguments of the call that they saw. Whoever may vote may."""
    refusal = authority(question, author, permitted, now) or _untimely(question, digest, now)
    if refusal is not None:
        raise DecisionRefused(refusal, question)


def _untimely(question: Question, digest: str, now: datetime) -> Refusal | None:
    if not question.waiting:
        return Refusal.NOT_WAITING
    if digest != question.digest:
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
        proof=proof_of(reviewer, question),
        replaces=own.event_id if own else None,
        break_glass=intent.break_glass,
    )


def proof_of(person: Principal, facts: CallFacts) -> Proof:
    """Who decided, and on what."""
    return Proof(issuer=person.issuer, subject=person.id, authenticated_at=person.authenticated_at, digest=facts.digest)


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


def ballots_of(call: Call) -> tuple[Ballot, ...]:
    """The votes that stand on the last question."""
    required = call.last(ApprovalRequired)
    return tuple(_ballots(call, required.requirements)) if required is not None else ()


def _ballots(call: Call, requirements: Sequence[Requirement]) -> Iterator[Ballot]:
    for one in standing_votes(call.votes, call.requested.principal):
        vote = one.vote
        alone = any(breaks_glass(requirement, vote) for requirement in requirements)
        yield Ballot(one.event_id, vote.reviewer.id, one.people, vote.decision, vote.reason, one.at, alone)
