"""What the executor may do with a call, as its chain tells it. Pure."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.events import Allowed, ArgumentsMasked, ExecutionStarted, OutcomeSettled, Recorded, Sealed
from contracts.functions import Catalog, Function
from contracts.lifecycle import Call

MAX_ATTEMPTS = 3
"""How often an idempotent function is run before a person must look."""

LOOK_AGAIN = timedelta(seconds=1)
"""When a delivery comes again whose execution is known to be alive beyond its deadline."""


@dataclass(frozen=True, slots=True)
class Authorised:
    """A verified chain holds `allowed`: this function with these arguments may run."""

    function: Function
    allowed: Recorded
    arguments: Sealed
    request: Sealed | None
    """As it came through the proxy."""
    sealed_in: str
    """The id of the event in which both are sealed."""


@dataclass(frozen=True, slots=True)
class Run:
    """Record the start as this attempt, answering `after`; then call."""

    after: Recorded
    attempt: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Call under the start `after`: it stands although its acknowledgement never came, so nothing was sent on it."""

    after: Recorded
    attempt: int


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Another executor may still be at work until then."""

    at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It may have happened and must not be run again: record `outcome_unknown`, answering `after`."""

    after: Recorded
    code: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """The call is past this step, or was never authorised."""

    code: str


Step = Run | Resume | WaitUntil | GiveUp | Nothing


def authorise(call: Call, order: Recorded, catalog: Catalog) -> Authorised | str:
    """What the chain authorises, or the code of why the execution must fail. `order` is `allowed`, or a settlement by
    which it is to run again: under the same `allowed`, of the same arguments.

    The fold has verified the chain up to there: who asked, what was masked, and, where people had to decide, that
    their votes meet the requirements. LookupError where the chain has no such order at all.
    """
    recorded, allowed = call.last_recorded(ArgumentsMasked), call.last_recorded(Allowed)
    masked = call.last(ArgumentsMasked)
    if not _is_order(call, order) or recorded is None or masked is None or masked.arguments is None or allowed is None:
        raise LookupError("not authorised")
    catalog = catalog.snapshot
    function, bar = catalog.get(masked.function), catalog.bar(masked.function)
    if bar is not None:
        return bar
    if function is None:
        return "function_unknown"
    data = allowed.data
    if not isinstance(data, Allowed) or catalog.digest_of(function.name) != data.function_digest:
        return "function_changed"
    return Authorised(function, allowed, masked.arguments, masked.request, recorded.event.event_id)


def _is_order(call: Call, order: Recorded) -> bool:
    """Whether the event is in the chain and says that the call is to be run."""
    data = order.data
    if not isinstance(data, Allowed) and not (isinstance(data, OutcomeSettled) and data.outcome == "run_again"):
        return False
    return any(recorded.digest == order.digest and recorded.sequence == order.sequence for recorded in call.chain)


def next_step(
    call: Call,
    order: Recorded,
    idempotent: bool,
    now: datetime,
    skew: timedelta,
    unsent: str | None = None,
    at_work: Container[str] = (),
) -> Step:
    """5. What to do on a delivery of `allowed`, or of a settlement to run again, given the whole chain.

    A start that stands is somebody's execution: until its deadline plus skew it may be alive. Of its own starts this
    executor knows more, by their event ids: on `unsent` it never sent anything; what is `at_work` is alive, however
    long after its deadline (its outcome waits for a broker that is away).
    """
    head = call.head
    if head is None or not _is_order(call, order):
        return Nothing("not_authorised")
    if head.digest == order.digest:
        return Run(order, call.attempts + 1)
    started = head.data
    if not isinstance(started, ExecutionStarted):
        return Nothing("answered_already")
    if head.event.event_id == unsent:
        return Resume(head, started.attempt)
    dead_at = started.deadline + skew
    if head.event.event_id in at_work:
        return WaitUntil(max(dead_at, now + LOOK_AGAIN))
    if now < dead_at:
        return WaitUntil(dead_at)
    return after_unknown(call, head, idempotent, "executor_lost")


def after_unknown(call: Call, started: Recorded, idempotent: bool, code: str) -> Run | GiveUp:
    """6. What follows an attempt whose outcome nobody knows: an idempotent function runs again, a few times in all.

    Those that people asked for count: who has one run again after as many gets one attempt more."""
    if idempotent and call.attempts < MAX_ATTEMPTS:
        return Run(started, call.attempts + 1)
    return GiveUp(started, code)
