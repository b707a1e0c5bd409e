"""What is said of a question wherever people are told, whichever way. Pure.

Whatever an agent or a person wrote comes out of here visible: hidden characters and line ends named, and cut.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from callgate.cedar.published import PublishedPolicies
from contracts.events import (
    ApprovalExpired,
    Approved,
    ArgumentsAmended,
    Cancelled,
    Denied,
    ExecutionFailed,
    OutcomeSettled,
    OutcomeUnknown,
    Rejected,
    ResultMasked,
)
from contracts.lifecycle import Call
from services.approval.channels import Unneeded, as_of, asked_in, lost_in
from services.approval.domain import CallFacts, Progress, Question, question_of
from services.approval.outcomes import Unsettled, unsettled_of
from services.approval.rendering import plain

NAME, VALUE, POLICY = 80, 300, 600
"""Characters of a name, of a value, and of a policy with its reason that are shown."""
_LISTED = 10
_FOR_APPROVERS = frozenset({"approval_required", "reminder", "escalated"})
"""Kinds of notices that nobody needs once it is decided."""
ASKING = _FOR_APPROVERS | {OutcomeUnknown.NAME}
"""Kinds of notices that ask somebody to do something."""

Reasons = Mapping[str, str | None]
"""Policy → its `@reason`."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One notice in plain words, for channels that show no arguments."""

    title: str
    standing: str
    facts: tuple[tuple[str, str], ...]
    policies: tuple[str, ...]
    action: str
    """What the link is for."""
    url: str


def summary(kind: str, call: Call, event_id: str, reasons: Reasons, public_url: str) -> Summary:
    """What a notice says: as things were at its event, or as they are now where somebody is asked to do something.

    Unneeded where that is over.
    """
    then = as_of(call, event_id)
    if then is None:
        raise Unneeded("no_such_question")
    question_id, question = asked_in(then), question_of(call if kind in _FOR_APPROVERS else then)
    if question is None:
        return _unasked(kind, call, then, public_url)
    if kind in _FOR_APPROVERS and (asked_in(call) != question_id or not question.waiting):
        raise Unneeded("decided_already")
    if kind == OutcomeUnknown.NAME:
        require_unsettled(call, then)
    title, line = standing(call if kind in _FOR_APPROVERS else then, question)
    if kind == "reminder":
        title = "Still waiting for a decision"
    elif kind == "glass_broken" and question.broken_glass is not None:
        title = f"Glass broken: approved by {shown(question.broken_glass.reviewer)} alone"
    return Summary(
        title=f"{title}: {shown(question.function)}",
        standing=line,
        facts=(*((name, shown(value, VALUE)) for name, value in facts(question)), *_times(question)),
        policies=tuple(policy(name, reasons.get(name)) for name in question.policies[:_LISTED]),
        action="Settle it" if kind == OutcomeUnknown.NAME else "Open the call",
        url=settle_url(public_url, question) if kind == OutcomeUnknown.NAME else call_url(public_url, question),
    )


def _unasked(kind: str, call: Call, then: Call, public_url: str) -> Summary:
    """The same of a call about which nobody was asked: people are told of its outcome only."""
    outcome = unsettled_of(then)
    if outcome is None:
        raise Unneeded("no_such_question")
    if kind == OutcomeUnknown.NAME:
        require_unsettled(call, then)
    title, line = standing(then)
    return Summary(
        title=f"{title}: {shown(outcome.function)}",
        standing=line,
        facts=tuple((name, shown(value, VALUE)) for name, value in outcome_facts(outcome)),
        policies=(),
        action="Settle it" if kind == OutcomeUnknown.NAME else "Open the call",
        url=settle_url(public_url, outcome),
    )


def require_unsettled(call: Call, then: Call) -> None:
    """Unneeded unless the outcome that nobody knew then is the one that nobody knows now."""
    if call.state != OutcomeUnknown.NAME or lost_in(call) != lost_in(then):
        raise Unneeded("settled_already")


def call_url(public_url: str, call: CallFacts) -> str:
    """The page on which the call is decided."""
    return f"{public_url.rstrip('/')}/approvals/{call.ref}"


def settle_url(public_url: str, call: CallFacts) -> str:
    """The page on which a person says what really happened."""
    return f"{public_url.rstrip('/')}/approvals/outcomes/{call.ref}"


def shown(text: str, limit: int = NAME) -> str:
    """Visible and cut."""
    return plain(text, limit)[0]


def facts(question: Question) -> Iterable[tuple[str, str]]:
    """Name and value of what is known beside the arguments; not cut yet."""
    yield from _call_facts(question)
    if len(question.requester.actors) > 1:
        yield "Through", ", ".join(question.requester.actors[1:])
    yield "Needs", "; ".join(map(_needs, question.progress[:_LISTED]))


def outcome_facts(outcome: Unsettled) -> Iterable[tuple[str, str]]:
    """The same of an outcome that nobody knew."""
    yield from _call_facts(outcome)
    yield "Unknown since", f"{outcome.since:%Y-%m-%d %H:%M} UTC ({outcome.code})"


def _call_facts(call: CallFacts) -> Iterable[tuple[str, str]]:
    yield "Function", call.function
    yield "Asked by", call.requester.id
    if call.requester.on_behalf_of is not None:
        yield "On behalf of", call.requester.on_behalf_of


def policy(name: str, reason: str | None) -> str:
    """One that asks, with its `@reason`."""
    return shown(f"{name}: {reason}" if reason else name, POLICY)


def standing(call: Call, question: Question | None = None) -> tuple[str, str]:
    """The title, and how it stands in one line; `question` is the last one, where people were asked."""
    data = call.head.data if call.head is not None else None
    if question is not None and question.waiting:
        missing = sum(progress.missing for progress in question.progress)
        return "Approval needed", f"Waiting: {missing} approval{'' if missing == 1 else 's'} missing"
    match data:
        case Rejected():
            return "Rejected", f"Rejected by {shown(data.by)}"
        case ApprovalExpired():
            return "Expired", "Nobody decided in time"
        case ArgumentsAmended():
            return "Changed", f"Changed by {shown(data.author.id)}; policy judges it anew"
        case Cancelled():
            return "Cancelled", f"Cancelled by {shown(data.by)} ({data.code})"
        case Denied():
            return "Denied", f"Denied by policy after all ({data.code})"
        case ExecutionFailed():
            return "Failed", f"It had no effect ({data.code})"
        case OutcomeUnknown():
            return "Outcome unknown", f"It may have happened ({data.code}); somebody must find out"
        case OutcomeSettled():
            return "Settled", f"{data.outcome.replace('_', ' ').capitalize()}, says {shown(data.by.id)}"
        case ResultMasked():
            return "Done", f"The function answered {data.status}"
        case Approved():
            return _RUNNING["approved"]
    return _RUNNING.get(call.state, ("Decided", call.state.replace("_", " ").capitalize()))


_RUNNING: Mapping[str, tuple[str, str]] = {
    "approved": ("Approved", "Policy judges once more"),
    "allowed": ("Approved", "About to run"),
    "execution_started": ("Approved", "Running"),
    "execution_completed": ("Approved", "The function answered"),
}


def _needs(progress: Progress) -> str:
    requirement = progress.requirement
    approvers: Sequence[str] = requirement.approvers
    who = f"{requirement.quorum} of {'each of ' if requirement.each else ''}{', '.join(approvers)}"
    return f"{who} ({progress.missing} missing)"


def _times(question: Question) -> Iterable[tuple[str, str]]:
    if question.waiting:
        yield "Expires", f"{question.expires_at:%Y-%m-%d %H:%M} UTC"


def reasons_in(policies: PublishedPolicies) -> Reasons:
    """Of the policies in force; without any, none is known."""
    current = policies.current
    return {name: one.reason for name, one in current.policies.items()} if current is not None else {}
