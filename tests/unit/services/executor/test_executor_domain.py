"""What the executor may do with a call, for every state in which a delivery of `allowed` can find it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_log import NOW, RITA, Calls, MemoryLog, MemorySealer

from contracts.events import (
    Allowed,
    ArgumentsMasked,
    Cancelled,
    EventData,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    OutcomeSettled,
    OutcomeUnknown,
    Proof,
    Recorded,
    ResultMasked,
    Sealed,
)
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from contracts.lifecycle import TRANSITIONS, Call
from services.executor.domain import (
    LOOK_AGAIN,
    MAX_ATTEMPTS,
    Authorised,
    GiveUp,
    Nothing,
    Resume,
    Run,
    WaitUntil,
    after_unknown,
    authorise,
    next_step,
)

SKEW = timedelta(seconds=2)
DEADLINE = NOW + timedelta(seconds=30)
SEALED = Sealed(key_id="k", nonce="AAAA", ciphertext="AAAA")


def catalog(*names: str, path: str = "/pay") -> Catalog:
    functions = {name: FunctionSpec(path=path) for name in names}
    return Catalog({"shop": HttpConnection(base_url="http://127.0.0.1:1", functions=functions)})


CATALOG = catalog("pay")


def started(attempt: int = 1) -> ExecutionStarted:
    return ExecutionStarted(instance="e1", attempt=attempt, deadline=DEADLINE)


def completed() -> ExecutionCompleted:
    return ExecutionCompleted(function="shop.pay", status=200, result=SEALED, size=1, duration_ms=1)


UNKNOWN = OutcomeUnknown(code="timeout")


def settled(outcome: str, digest: str) -> OutcomeSettled:
    """What a person says of the `outcome_unknown` with that digest."""
    proof = Proof(issuer=RITA.issuer, subject=RITA.id, digest=digest)
    return OutcomeSettled.model_validate({"by": RITA, "outcome": outcome, "reason": SEALED, "proof": proof})


def call(*after: EventData, outcome: str | None = None, then: Sequence[EventData] = ()) -> tuple[Call, Recorded]:
    """An allowed call with what followed, and its `allowed`; with an `outcome`, what it was settled as, and `then`."""
    log = MemoryLog()
    allowed = Calls(log, MemorySealer()).allowed(CATALOG.digest_of("shop.pay"))
    if after:
        log.put(allowed.ref, *after)
    if outcome is not None:
        log.put(allowed.ref, settled(outcome, log.call(allowed.ref).head_digest), *then)
    return log.call(allowed.ref), allowed


def again(*then: EventData) -> tuple[Call, Recorded]:
    """A call of which a person said, after its first attempt, that it is to run again; and what they said."""
    mine, _ = call(started(), UNKNOWN, outcome="run_again", then=then)
    order = mine.last_recorded(OutcomeSettled)
    assert order is not None
    return mine, order


# What the chain authorises


def test_the_arguments_of_the_last_masking_are_authorised() -> None:
    allowed_call, allowed = call()
    masked = allowed_call.last_recorded(ArgumentsMasked)
    assert masked is not None
    assert isinstance(masked.data, ArgumentsMasked)
    assert masked.data.arguments is not None
    found = authorise(allowed_call, allowed, CATALOG)
    function = CATALOG.get("shop.pay")
    assert function is not None
    assert found == Authorised(function, allowed, masked.data.arguments, None, masked.event.event_id)


def test_an_unknown_function_fails() -> None:
    assert authorise(*call(), catalog("other")) == "function_unknown"


def test_a_function_that_was_changed_since_it_was_judged_fails() -> None:
    assert authorise(*call(), catalog("pay", path="/pay/all")) == "function_changed"


def test_an_allowed_that_is_not_in_the_chain_authorises_nothing() -> None:
    mine, _ = call()
    _, of_another = call()
    with pytest.raises(LookupError):
        authorise(mine, of_another, CATALOG)


def test_a_copy_of_the_chains_own_allowed_authorises_nothing() -> None:
    """The same bytes at another place of the log are a replay, not the event of the chain."""
    mine, allowed = call()
    copy = Recorded(allowed.ref, allowed.sequence + 1, NOW, allowed.digest, allowed.key_id, allowed.event)
    with pytest.raises(LookupError):
        authorise(mine.accept(copy), copy, CATALOG)
    assert next_step(mine.accept(copy), copy, False, NOW, SKEW) == Nothing("not_authorised")


def test_a_chain_without_allowed_authorises_nothing() -> None:
    mine, allowed = call()
    before = Call.replay(mine.ref, mine.genesis, mine.chain[:-1])
    with pytest.raises(LookupError):
        authorise(before, allowed, CATALOG)
    assert next_step(before, allowed, True, NOW, SKEW) == Nothing("not_authorised")
    assert next_step(Call(mine.ref, mine.genesis), allowed, True, NOW, SKEW) == Nothing("not_authorised")


# What to do, by the state after `allowed`


BEYOND: dict[str, tuple[EventData, ...]] = {
    "cancelled": (Cancelled(by="bot", code="withdrawn"),),
    "execution_failed": (started(), ExecutionFailed(code="connection_refused")),
    "execution_completed": (started(), completed()),
    "outcome_unknown": (started(), UNKNOWN),
    "outcome_settled": (started(), UNKNOWN),
    "result_masked": (started(), completed(), ResultMasked(status=200, view=SEALED)),
}


def test_every_state_that_may_follow_allowed_is_looked_at() -> None:
    reachable, todo = set[str](), ["allowed"]
    while todo:
        state = todo.pop()
        if state not in reachable:
            reachable.add(state)
            todo += TRANSITIONS[state]
    assert reachable == {"allowed", "execution_started", *BEYOND}


@pytest.mark.parametrize("state", BEYOND)
@pytest.mark.parametrize("idempotent", [True, False])
def test_a_call_beyond_its_execution_is_left_alone(state: str, idempotent: bool) -> None:
    mine, allowed = call(*BEYOND[state], outcome="run_again" if state == "outcome_settled" else None)
    assert mine.state == state
    assert next_step(mine, allowed, idempotent, DEADLINE + timedelta(days=1), SKEW) == Nothing("answered_already")
    assert isinstance(authorise(mine, allowed, CATALOG), Authorised), "it was authorised; it is only over"


@pytest.mark.parametrize("idempotent", [True, False])
def test_an_allowed_call_runs(idempotent: bool) -> None:
    mine, allowed = call()
    assert next_step(mine, allowed, idempotent, NOW, SKEW) == Run(allowed, 1)


@given(seconds=st.floats(-100, 100, allow_nan=False), idempotent=st.booleans(), skew=st.floats(0, 10))
def test_a_start_is_alive_until_its_deadline_and_the_skew(seconds: float, idempotent: bool, skew: float) -> None:
    mine, allowed = call(started())
    head = mine.head
    assert head is not None
    now, dead_at = DEADLINE + timedelta(seconds=seconds), DEADLINE + timedelta(seconds=skew)
    step = next_step(mine, allowed, idempotent, now, timedelta(seconds=skew))
    if now < dead_at:
        assert step == WaitUntil(dead_at)
    else:
        assert step == (Run(head, 2) if idempotent else GiveUp(head, "executor_lost"))


def test_exactly_then_it_is_dead() -> None:
    mine, allowed = call(started())
    assert isinstance(next_step(mine, allowed, False, DEADLINE + SKEW, SKEW), GiveUp)
    assert isinstance(next_step(mine, allowed, False, DEADLINE + SKEW - timedelta(microseconds=1), SKEW), WaitUntil)


@pytest.mark.parametrize("attempts", range(1, MAX_ATTEMPTS + 1))
def test_an_idempotent_function_runs_a_few_times_and_no_more(attempts: int) -> None:
    mine, allowed = call(*(started(number) for number in range(1, attempts + 1)))
    head = mine.head
    assert head is not None
    step = next_step(mine, allowed, True, DEADLINE + SKEW, SKEW)
    assert step == (GiveUp(head, "executor_lost") if attempts == MAX_ATTEMPTS else Run(head, attempts + 1))
    assert after_unknown(mine, head, False, "timeout") == GiveUp(head, "timeout")


@pytest.mark.parametrize("late", [False, True])
def test_a_start_of_ones_own_on_which_nothing_was_sent_is_resumed(late: bool) -> None:
    """Alive or not: nobody else can know that nothing was sent, and the deadline still bounds the request."""
    mine, allowed = call(started())
    head = mine.head
    assert head is not None
    now = DEADLINE + timedelta(hours=1) if late else NOW
    assert next_step(mine, allowed, False, now, SKEW, head.event.event_id) == Resume(head, 1)
    assert next_step(mine, allowed, False, NOW, SKEW, allowed.event.event_id) == WaitUntil(DEADLINE + SKEW)


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_start_that_one_is_at_work_on_is_alive_beyond_its_deadline(idempotent: bool) -> None:
    mine, allowed = call(started())
    head = mine.head
    assert head is not None
    at_work = {head.event.event_id}
    assert next_step(mine, allowed, idempotent, NOW, SKEW, at_work=at_work) == WaitUntil(DEADLINE + SKEW)
    late = DEADLINE + timedelta(hours=1)
    assert next_step(mine, allowed, idempotent, late, SKEW, at_work=at_work) == WaitUntil(late + LOOK_AGAIN)
    assert not isinstance(next_step(mine, allowed, idempotent, late, SKEW, at_work={"another"}), WaitUntil)


# Once a person said that it is to run again


@pytest.mark.parametrize("idempotent", [True, False])
def test_it_runs_again_under_its_own_authorisation(idempotent: bool) -> None:
    mine, order = again()
    allowed = mine.last_recorded(Allowed)
    found = authorise(mine, order, CATALOG)
    assert isinstance(found, Authorised)
    assert found.allowed == allowed
    assert next_step(mine, order, idempotent, NOW, SKEW) == Run(order, 2)


@pytest.mark.parametrize("outcome", ["done", "not_done"])
def test_it_runs_again_only_where_a_person_said_so(outcome: str) -> None:
    mine, _ = call(started(), UNKNOWN, outcome=outcome)
    head = mine.head
    assert head is not None
    with pytest.raises(LookupError):
        authorise(mine, head, CATALOG)
    assert next_step(mine, head, True, NOW, SKEW) == Nothing("not_authorised")


def test_a_settlement_that_is_not_in_the_chain_authorises_nothing() -> None:
    mine, _ = call(started(), UNKNOWN)
    _, of_another = again()
    with pytest.raises(LookupError):
        authorise(mine, of_another, CATALOG)
    assert next_step(mine, of_another, True, NOW, SKEW) == Nothing("not_authorised")


def test_a_function_that_changed_meanwhile_does_not_run_again() -> None:
    assert authorise(*again(), catalog("pay", path="/pay/all")) == "function_changed"


@pytest.mark.parametrize("idempotent", [True, False])
def test_the_attempt_of_another_replica_is_waited_for(idempotent: bool) -> None:
    """Whichever delivery meets it: that of the settlement, or one of `allowed` that comes once more."""
    mine, order = again(started(2))
    allowed, head = mine.last_recorded(Allowed), mine.head
    assert allowed is not None
    assert head is not None
    for one in (order, allowed):
        assert next_step(mine, one, idempotent, NOW, SKEW) == WaitUntil(DEADLINE + SKEW)
        late = next_step(mine, one, idempotent, DEADLINE + SKEW, SKEW)
        assert late == (Run(head, 3) if idempotent else GiveUp(head, "executor_lost"))


@pytest.mark.parametrize("then", [(UNKNOWN,), (started(2), UNKNOWN), (started(2), completed())])
def test_what_was_run_again_or_refused_is_left_alone(then: tuple[EventData, ...]) -> None:
    mine, order = again(*then)
    assert next_step(mine, order, True, DEADLINE + timedelta(days=1), SKEW) == Nothing("answered_already")


def test_another_function_digest_is_no_matter_of_the_state() -> None:
    log = MemoryLog()
    allowed = Calls(log, MemorySealer()).allowed("d" * 64)
    assert isinstance(allowed.data, Allowed)
    assert authorise(log.call(allowed.ref), allowed, CATALOG) == "function_changed"
