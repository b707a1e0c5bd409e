"""What the API tells of calls on which people decide."""

from typing import Any

from callgate.openapi import Answer
from contracts.events import Finding, Requirement
from contracts.model import JsonValue, Timestamp
from services.approval.domain import CallFacts, Decision, Progress, Question
from services.approval.outcomes import Unsettled
from services.approval.views import View


class LaterApprovers(Answer):
    """Groups that are asked too from that time on."""

    approvers: tuple[str, ...]
    at: Timestamp


class RequirementDocument(Answer):
    """What must be met before the call may run, and how far it is."""

    policies: tuple[str, ...]
    approvers: tuple[str, ...]
    """Groups."""
    quorum: int
    each: bool
    """Whether each group must reach the quorum."""
    missing: int
    """Approvals."""
    rejections: int
    """How many end it."""
    reason_required: bool
    escalation: LaterApprovers | None
    break_glass: tuple[str, ...]
    """Groups of which one person may approve alone."""
    expires_at: Timestamp


class VoteDocument(Answer):
    """A vote that stands."""

    reviewer: str
    decision: Decision
    at: Timestamp
    reason: str | None
    """None where there is none, or none that opens."""
    break_glass: bool


class DecidedDocument(Answer):
    """A call after what a person decided on it."""

    id: str
    state: str
    """The name of its last event."""
    status: str
    """What its agent is told."""


class CallDocument(DecidedDocument):
    """A call and what people may see of it. Without `arguments` and `findings` in a brief list."""

    function: str
    requester: str
    on_behalf_of: str | None
    digest: str
    """Of what is shown; a decision names it."""
    arguments: JsonValue = None
    """Masked."""
    findings: tuple[Finding, ...] = ()
    withheld: str | None = None
    """Why the arguments are not shown, where they are not."""


class ApprovalDocument(CallDocument):
    """A call that waits for approval, or did."""

    actors: tuple[str, ...]
    bound_by: str | None
    policies: tuple[str, ...]
    requirements: tuple[RequirementDocument, ...]
    asked_at: Timestamp
    expires_at: Timestamp
    amended_by: tuple[str, ...]
    reason_required: bool
    """Whether your approval needs a reason."""
    may_break_glass: bool
    """Whether you may approve alone."""
    your_vote: Decision | None


class ApprovalWithVotes(ApprovalDocument):
    """The same with the votes so far."""

    votes: tuple[VoteDocument, ...]


class ApprovalList(Answer):
    approvals: tuple[ApprovalDocument, ...]
    next: str | None
    """`after` of the next page; None: there is none."""


class CountedVote(Answer):
    reviewer: str
    decision: Decision


class VotedDocument(DecidedDocument):
    """A call after a vote."""

    votes: tuple[CountedVote, ...]
    requirements: tuple[RequirementDocument, ...]


class OutcomeDocument(CallDocument):
    """A call of which nobody knows whether it happened, or knew."""

    code: str
    """Why: a code of docs/codes.md."""
    since: Timestamp
    attempts: int


class OutcomeWithVotes(OutcomeDocument):
    """The same with the votes of those who approved it, where people were asked."""

    votes: tuple[VoteDocument, ...]


class OutcomeList(Answer):
    outcomes: tuple[OutcomeDocument, ...]
    next: str | None
    """`after` of the next page; None: there is none."""


def decided(call: CallFacts) -> DecidedDocument:
    return DecidedDocument(id=str(call.ref), state=call.state, status=call.status)


def voted(question: Question) -> VotedDocument:
    return VotedDocument(
        **decided(question).model_dump(),
        votes=tuple(CountedVote(reviewer=one.reviewer, decision=one.decision) for one in question.ballots),
        requirements=requirements_of(question),
    )


def outcome_members(unsettled: Unsettled, view: View | None) -> dict[str, Any]:
    """The members of an OutcomeDocument."""
    own = {"code": unsettled.code, "since": unsettled.since, "attempts": unsettled.attempts}
    return call_members(unsettled, view) | own


def call_members(call: CallFacts, view: View | None) -> dict[str, Any]:
    """The members of a CallDocument; those that show the arguments where they are to be shown."""
    members = {
        "id": str(call.ref),
        "state": call.state,
        "status": call.status,
        "function": call.function,
        "requester": call.requester.id,
        "on_behalf_of": call.requester.on_behalf_of,
        "digest": call.digest,
    }
    if view is None:
        return members
    shown = {"arguments": view.arguments, "findings": view.findings}
    return members | shown | ({"withheld": view.withheld} if view.withheld else {})


def requirements_of(question: Question) -> tuple[RequirementDocument, ...]:
    return tuple(map(_requirement, question.progress))


def _requirement(progress: Progress) -> RequirementDocument:
    asked: Requirement = progress.requirement
    later = asked.escalation
    return RequirementDocument(
        policies=asked.policies,
        approvers=asked.approvers,
        quorum=asked.quorum,
        each=asked.each,
        missing=progress.missing,
        rejections=asked.rejections,
        reason_required=asked.reason_required,
        escalation=LaterApprovers(approvers=later.approvers, at=later.at) if later is not None else None,
        break_glass=asked.break_glass,
        expires_at=asked.expires_at,
    )
