"""What there is to freeze, as far as approval sees calls: those that wait for people, and those decided on lately."""

from collections.abc import Iterator

from services.approval.freezing import Freezing
from services.approval.history import History


def has_been_seen(history: History, freezing: Freezing, scope: str, target: str | None) -> bool:
    """Whether a call of that agent or session waits, or was decided on lately. Other targets are checked elsewhere."""
    return scope not in ("agent", "session") or (scope, target) in set(seen_targets(history, freezing))


def seen_targets(history: History, freezing: Freezing) -> Iterator[tuple[str, str]]:
    """Scope and target of everything that could be frozen of the calls that wait, or were decided on lately."""
    calls = [(one.requester, one.ref.session_id, one.function) for one in freezing.waiting()]
    calls += [(one.requester, one.ref.session_id, one.function) for one in reversed(history.decided())]
    for stopped in reversed(history.stopped()):
        question = stopped.question
        calls.append((question.requester, question.ref.session_id, question.function))
    for requester, session_id, function in calls:
        yield from (("agent", one) for one in sorted(requester.people))
        yield "session", session_id
        yield "function", function
        yield "connection", function.partition(".")[0]
