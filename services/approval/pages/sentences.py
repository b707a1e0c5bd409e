"""What pages say of a call, its requirements and what may be granted, in sentences. Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.events import Requirement
from contracts.model import JsonValue
from contracts.records import Conditions
from services.approval.domain import Progress, Question

COMPARISONS = {
    "eq": "is exactly",
    "ne": "is not",
    "in": "is one of",
    "lt": "is less than",
    "lte": "is at most",
    "gt": "is more than",
    "gte": "is at least",
}
"""Of conditions on arguments, as Cedar's grants take them."""
_PLAINLY = {
    "arguments_amended": ("changed", "The arguments were changed; policy judges them anew."),
    "arguments_masked": ("changed", "The arguments were changed; policy judges them anew."),
    "approved": ("approved", "Approved; policy judges once more, then it runs."),
    "allowed": ("approved", "Approved; it is about to run."),
    "execution_started": ("approved", "Approved; it runs."),
    "execution_completed": ("approved", "Approved; it has run."),
    "result_masked": ("approved", "Approved; it has run."),
    "execution_failed": ("approved", "Approved; it could not be run, and had no effect."),
    "outcome_unknown": ("approved", "Approved; whether it happened is unknown."),
    "outcome_settled": ("approved", "Approved; a person settled what became of it."),
    "denied": ("denied", "Policy denied it."),
    "approval_expired": ("expired", "Nobody decided in time."),
    "cancelled": ("cancelled", "It was withdrawn, or a freeze stopped it."),
}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a call stands: a word, a sentence, and whether it can be decided now."""

    label: str
    text: str
    open: bool


def standing(question: Question, now: datetime) -> Standing:
    if question.waiting:
        if now >= question.expires_at:
            return Standing("expired", "Nobody decided in time.", False)
        missing = max(progress.missing for progress in question.progress)
        if missing == 0:
            return Standing("waiting", "It has the approvals that it needs.", True)
        return Standing("waiting", f"It waits for {_count(missing, 'more approval')}.", True)
    if question.state == "rejected":
        by = [ballot.reviewer for ballot in question.ballots if ballot.decision == "reject"]
        return Standing("rejected", f"Rejected by {_and(by)}." if by else "Rejected.", False)
    label, text = _PLAINLY.get(question.state, (question.state.replace("_", " "), "No decision is awaited any more."))
    by = [ballot.reviewer for ballot in question.ballots if ballot.decision == "approve"]
    if label == "approved" and by:
        text = text.replace("Approved", f"Approved by {_and(by)}", 1)
    return Standing(label, text, False)


def needs(requirement: Requirement) -> str:
    """Whose approval it takes."""
    people = "One person" if requirement.quorum == 1 else f"{requirement.quorum} people"
    groups = list(requirement.approvers)
    if requirement.each and len(groups) > 1:
        return f"{people} of each of {_and(groups)} must approve."
    return f"{people} of {_or(groups)} must approve."


def given(progress: Progress) -> tuple[int, int]:
    """Approvals so far, and how many it takes."""
    people = progress.requirement.people
    return max(people - progress.missing, 0), people


def dots(progress: Progress) -> str:
    have, people = given(progress)
    return "●" * have + "○" * (people - have) if people <= 12 else f"{have}/{people}"


def covers(function: str, agent: str, user: str | None, to_session: bool, conditions: Conditions) -> str:
    """Which calls a grant lets through."""
    whose = f"{agent} for {user}" if user is not None else agent
    where = ", in this session only" if to_session else ""
    tests = [
        f"{name.lstrip('/').replace('/', '.')} {COMPARISONS[comparison]} {_literal(value)}"
        for name, comparisons in conditions.items()
        for comparison, value in comparisons.items()
    ]
    such = f", where {_and(tests)}" if tests else ", whatever its arguments are"
    return f"Calls of {function} by {whose}{where}{such}."


def _literal(value: JsonValue) -> str:
    if isinstance(value, list):
        return _or([_literal(one) for one in value])
    return value if isinstance(value, str) else json.dumps(value)


def _count(number: int, what: str) -> str:
    return f"one {what}" if number == 1 else f"{number} {what}s"


def _and(parts: Sequence[str]) -> str:
    return _joined(parts, "and")


def _or(parts: Sequence[str]) -> str:
    return _joined(parts, "or")


def _joined(parts: Iterable[str], word: str) -> str:
    *first, last = parts
    return f"{', '.join(first)} {word} {last}" if first else last
