"""Why a decision is not recorded, as problem documents that say what to do next."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventsourcing.application import AggregateNotFoundError

from callgate.cedar.published import NoPolicies
from callgate.errors import TooLarge
from callgate.http import Problem
from services.approval.aggregate import NobodyAsked
from services.approval.amending import BadAmendment
from services.approval.domain import DecisionRefused, Refusal

_REFUSALS: dict[Refusal, tuple[int, str]] = {
    Refusal.DELEGATED: (403, "A decision is a person's own; sign in yourself, not through an agent."),
    Refusal.OWN_CALL: (403, "Nobody decides on their own call, nor on one made on their behalf."),
    Refusal.NOT_PERMITTED: (403, "No policy permits you to decide on this call."),
    Refusal.NOT_AN_APPROVER: (403, "This call asks for a group that you are not in."),
    Refusal.NOT_WAITING: (409, "The call does not wait for a decision any more."),
    Refusal.CALL_CHANGED: (409, "The call has changed since you looked; look at it again."),
    Refusal.EXPIRED: (409, "The time for a decision is over."),
    Refusal.VOTED_ALREADY: (409, "You have voted so on this call already."),
    Refusal.VOTED_MEANWHILE: (409, "You have voted on this call elsewhere at this moment; look at it again."),
    Refusal.REASON_REQUIRED: (422, "This decision needs a reason; say why."),
    Refusal.ONLY_BY_BREAKING_GLASS: (403, "You may approve this call only by breaking the glass, with a reason."),
    Refusal.NO_GLASS_TO_BREAK: (403, "No policy lets you approve this call alone."),
    Refusal.OUTCOME_KNOWN: (409, "What became of the call is known by now; look at it again."),
    Refusal.RESULT_OF_NOTHING: (422, "Give a result only where the call is `done`."),
}


@contextmanager
def as_problems(missing: str) -> Iterator[None]:
    """Turns what deciding, amending and settling raise into problem documents; `missing` is the detail of a 404."""
    problem: Problem
    try:
        yield
        return
    except (AggregateNotFoundError, NobodyAsked):
        problem = Problem(404, "not_found", missing)
    except NoPolicies as none:
        problem = Problem(503, none.code, none.detail, {"Retry-After": "2"})
    except DecisionRefused as error:
        problem = refused(error)
    except BadAmendment as bad:
        broken = [problem.model_dump() for problem in bad.problems]
        problem = Problem(422, bad.code, bad.detail, extra={"problems": broken} if broken else {})
    except TooLarge:
        problem = Problem(413, "too_large", "What you send is larger than an event may be; send less.")
    raise problem  # outside of the handler, so that it drags no other exception along


def refused(error: DecisionRefused) -> Problem:
    status, detail = _REFUSALS[error.code]
    # Who may not decide is not told how it stands.
    extra = {"state": error.state, "call_status": error.status} if status == 409 else {}
    return Problem(status, error.code.value, detail, extra=extra)
