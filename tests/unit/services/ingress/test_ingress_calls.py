"""The use cases against a log that loses races, and a broker that goes away at the worst moment."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from ingress_calls import AGENT, GENESIS, NOW, REVIEWER, SECRET, begun, masked, recorded, started, then
from memory_freezes import EVERYTHING, SINCE, MemoryFreezes

from callgate.errors import BrokerAway, CallgateError, LostRace, Rejected, TooLarge
from callgate.log import Chain, Draft, Origin
from callgate.telemetry import PassingTracer
from contracts.events import Allowed, Cancelled, Denied, ExecutionStarted, Recorded, Requested
from contracts.functions import UNKNOWN_FUNCTION, Catalog, FunctionSpec, HttpConnection
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition
from services.ingress.calls import Calls, Frozen, Partitions, PerhapsRecorded, TooLate, UnknownCall
from services.ingress.domain import BadRequest, CallRequest
from services.ingress.doors import problem_of
from services.ingress.limiting import OverLimit
from services.ingress.room import TooManyHeld

JUDGED = {"policy_set": "a" * 64, "function_digest": "b" * 64}
CATALOG = Catalog(
    {"crm": HttpConnection(base_url="http://crm.test", functions={"get": FunctionSpec(path="/customers")})}
)
REQUEST = CallRequest("crm.get", b'{"card":"4111111111111111"}')


class World:
    """Log and sealer in memory. `overtaken_by` are the events that others append right before ours."""

    def __init__(self, call: Call | None = None) -> None:
        self.call = call
        self.catalog = CATALOG
        self.heard_of: Callable[[str], None] = lambda _: None
        self.overtaken_by: list[Any] = []
        self.freezes = MemoryFreezes()
        self.fails: CallgateError | None = None
        self.seals = True
        self.appended: list[Recorded] = []
        self.given_back: list[CallRef] = []
        """What is in progress no more."""
        self.taken_for: CallRef | None = None
        """The call for which the key was used before."""

    def calls(self) -> Calls:
        world: Any = self
        here = Partition(1, 0)
        return Calls(
            world,
            world,
            world,
            Partitions(lambda _: here, frozenset({here})),
            self.catalog,
            self.hear_of,
            PassingTracer(),
            self.freezes.as_book,
            world,
            lambda: NOW,
            world,
        )

    async def hear_of(self, function: str) -> None:
        self.heard_of(function)

    async def admit(self, *_: Any) -> None:
        """Every limit has room."""

    def answered(self, ref: CallRef) -> None:
        self.given_back.append(ref)

    async def take(self, owner: str, key: str, request: bytes, unnamed: bytes, ref: CallRef) -> CallRef:
        assert (owner, key, request, unnamed) == (AGENT.session_owner, "k", REQUEST.digest, REQUEST.digest)
        return self.taken_for or ref

    async def seal(self, plaintext: bytes, place: Any, data_class: str, now: Any) -> Any:
        if not self.seals:
            raise BrokerAway
        assert (plaintext, place.field, data_class) == (REQUEST.arguments, "arguments", "raw")
        return SECRET

    async def open(self, sealed: Any, place: Any, data_class: str) -> bytes:
        raise Rejected("key_missing")

    def origin(self, ref: CallRef) -> Origin:
        return Origin(ref, GENESIS)

    async def read(self, ref: CallRef) -> Chain:
        return Chain(self.call or Call(ref, GENESIS), (), 0)

    async def append(self, draft: Draft, answers: Any, *, traceparent: str | None = None) -> Recorded:
        if self.fails is not None:
            raise self.fails
        if self.overtaken_by:
            assert self.call is not None
            self.call = then(self.call, self.overtaken_by.pop(0))
            raise LostRace
        stands = recorded(answers.ref, answers.digest, answers.sequence + 1, draft.data)
        self.appended.append(stands)
        return stands


async def here() -> bool:
    return False


async def test_a_call_is_recorded_sealed_in_a_new_session_of_its_own() -> None:
    world = World()
    call = await world.calls().submit(AGENT, REQUEST, 0, here)
    assert (call.state, call.requested.principal, call.requested.arguments) == ("requested", AGENT, SECRET)
    again = await world.calls().submit(AGENT, REQUEST, 0, here)
    assert call.ref.session_id != again.ref.session_id
    assert isinstance(world.appended[0].data, Requested)


@pytest.mark.parametrize(
    ("fails", "seals", "counts"), [(TooLarge(), True, False), (None, False, False), (BrokerAway(), True, True)]
)
async def test_a_call_that_was_not_recorded_is_not_in_progress(
    fails: CallgateError | None, seals: bool, counts: bool
) -> None:
    """One that may stand is."""
    world = World()
    world.fails, world.seals = fails, seals
    with pytest.raises((TooLarge, BrokerAway, PerhapsRecorded)):
        await world.calls().submit(AGENT, REQUEST, 0, here)
    assert len(world.given_back) == (0 if counts else 1)


async def test_what_came_through_the_proxy_is_sealed_beside_its_arguments() -> None:
    world = World()
    sealed: list[tuple[bytes, str, str]] = []

    async def seal(plaintext: bytes, place: Any, data_class: str, now: Any) -> Any:
        sealed.append((plaintext, place.field, data_class))
        return SECRET

    world.seal = seal  # type: ignore[method-assign]
    call = await world.calls().submit(AGENT, replace(REQUEST, received=b"as it came"), 0, here)
    assert call.requested.request == SECRET
    assert sealed == [(REQUEST.arguments, "arguments", "raw"), (b"as it came", "request", "raw")]


async def test_a_door_may_say_which_session_unnamed_calls_are_in() -> None:
    world = World()
    first, second = [
        await world.calls().submit(AGENT, replace(REQUEST, session=named, default_session=default), 0, here)
        for named, default in ((None, "run"), ("run", "another"))
    ]
    assert first.ref.session_id == second.ref.session_id
    assert replace(REQUEST, default_session="run").digest == REQUEST.digest
    assert replace(REQUEST, session="run").digest != REQUEST.digest
    assert replace(REQUEST, received=b"x").digest not in (REQUEST.digest, replace(REQUEST, received=b"").digest)


class Growing(Catalog):
    """Knows of a function only once it heard of it."""

    heard_of = ""

    def knows(self, name: str) -> bool:
        return name == self.heard_of


async def test_a_function_that_others_met_is_heard_of_before_its_name_counts_as_free_text() -> None:
    world, growing = World(), Growing({})
    world.catalog = growing
    world.heard_of = lambda name: setattr(growing, "heard_of", name)
    call = await world.calls().submit(AGENT, REQUEST, 0, here)
    assert call.requested.function == REQUEST.function


async def test_a_function_is_named_on_the_log_only_if_it_is_declared() -> None:
    """Else its name is the agent's free text, which would stand on the log for ever."""
    world = World()
    call = await world.calls().submit(AGENT, REQUEST, 0, here)
    assert call.requested.function == "crm.get"
    for name in ("x4111111111111111.jane_doe", "crm.get_", "get", UNKNOWN_FUNCTION):
        call = await world.calls().submit(AGENT, CallRequest(name, REQUEST.arguments), 0, here)
        assert call.requested.function == UNKNOWN_FUNCTION
    assert "4111111111111111" not in "".join(stands.event.model_dump_json() for stands in world.appended)


async def test_when_the_acknowledgement_is_lost_the_caller_is_told_where_to_ask() -> None:
    world = World()
    world.fails = BrokerAway()
    with pytest.raises(PerhapsRecorded) as caught:
        await world.calls().submit(AGENT, REQUEST, 0, here)
    problem = problem_of(caught.value)
    assert problem is not None
    assert (problem.status, problem.code) == (503, "broker_away")
    assert problem.headers["Location"] == f"/v1/calls/{caught.value.ref}"


async def test_what_was_never_sent_to_the_log_names_no_call() -> None:
    world = World()
    world.seals = False
    with pytest.raises(BrokerAway):
        await world.calls().submit(AGENT, REQUEST, 0, here)
    assert not world.appended


async def test_a_withdrawal_that_loses_the_race_looks_again() -> None:
    world = World(begun())
    world.overtaken_by = [masked(), Allowed(**JUDGED)]
    assert world.call is not None
    call = await world.calls().cancel(AGENT, str(world.call.ref))
    assert [event.name for event in call.chain] == ["requested", "arguments_masked", "allowed", "cancelled"]
    assert call.last(Cancelled) == Cancelled(by=AGENT.id, code="withdrawn")


async def test_a_withdrawal_overtaken_by_the_start_or_the_end_is_too_late() -> None:
    start = ExecutionStarted(instance="e", attempt=1, deadline=NOW + timedelta(minutes=1))
    for before, overtaking in (
        (then(begun(), masked(), Allowed(**JUDGED)), start),
        (then(begun(), masked()), Denied(code="no", **JUDGED)),
    ):
        world = World(before)
        world.overtaken_by = [overtaking]
        with pytest.raises(TooLate) as caught:
            await world.calls().cancel(AGENT, str(before.ref))
        problem = problem_of(caught.value)
        assert problem is not None
        assert (problem.status, problem.extra) == (409, {"state": overtaking.NAME})
        assert not world.appended


async def test_nobody_else_withdraws_or_follows_a_call() -> None:
    world = World(started())
    assert world.call is not None
    for principal, call_id in ((REVIEWER, str(world.call.ref)), (AGENT, "nonsense")):
        with pytest.raises(UnknownCall):
            await world.calls().cancel(principal, call_id)
        with pytest.raises(UnknownCall):
            await world.calls().look(principal, call_id, 0, here)
        with pytest.raises(UnknownCall):
            await world.calls().events(principal, call_id, 0)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadRequest(422, "bad_function", "…"), 422),
        (UnknownCall(), 404),
        (TooManyHeld(), 503),
        (TooLarge(), 413),
        (BrokerAway(), None),
        (ValueError("…"), None),
    ],
)
def test_refusals_are_problem_documents(error: Exception, status: int | None) -> None:
    problem = problem_of(error)
    assert (problem.status if problem else None) == status


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({}, "Frozen: everything, since 2026-01-31T11:00:00.000000Z, by rosa; nothing was recorded, nothing was run."),
        ({"scope": "agent", "target": AGENT.id}, "Frozen: this agent, since"),
        ({"scope": "function", "target": "crm.get"}, "Frozen: function crm.get, since"),
        ({"scope": "connection", "target": "crm"}, "Frozen: connection crm, since"),
        ({"expires_at": SINCE + timedelta(hours=2)}, "until 2026-01-31T13:00:00.000000Z, by rosa"),
    ],
)
async def test_a_frozen_call_is_refused_and_nothing_recorded(changed: dict[str, Any], says: str) -> None:
    world = World()
    world.freezes.known = [replace(EVERYTHING, **changed)]
    with pytest.raises(Frozen) as refused:
        await world.calls().submit(AGENT, REQUEST, 0, here)
    assert world.appended == []
    problem = problem_of(refused.value)
    assert problem is not None
    assert (problem.status, problem.code, problem.extra["freeze"]) == (423, "frozen", "f1")
    assert says in problem.detail


async def test_a_key_that_is_new_changes_nothing() -> None:
    world = World()
    call = await world.calls().submit(AGENT, replace(REQUEST, key="k"), 0, here)
    assert [one.ref for one in world.appended] == [call.ref]


async def test_a_key_that_was_used_leads_to_its_call_whatever_is_frozen_since() -> None:
    world = World(then(begun(), masked()))
    assert world.call is not None
    world.taken_for = world.call.ref
    world.freezes.known.append(EVERYTHING)
    call = await world.calls().submit(AGENT, replace(REQUEST, key="k"), 0, here)
    assert call is world.call
    assert world.appended == []


async def test_a_reserved_call_that_never_came_to_stand_is_recorded_under_its_id() -> None:
    world = World()
    world.taken_for = begun().ref
    call = await world.calls().submit(AGENT, replace(REQUEST, key="k"), 0, here)
    assert call.ref == world.taken_for
    assert [one.ref for one in world.appended] == [world.taken_for]


async def test_of_two_replicas_with_the_same_key_the_later_finds_the_call_of_the_other() -> None:
    world = World()
    world.taken_for = begun().ref

    async def lost(*_: Any, **__: Any) -> Recorded:
        world.call = begun()
        raise LostRace

    world.append = lost  # type: ignore[method-assign]
    call = await world.calls().submit(AGENT, replace(REQUEST, key="k"), 0, here)
    assert call is world.call


def test_who_is_over_a_limit_is_told_for_how_long_in_words_too() -> None:
    """A model is shown no headers."""
    problem = problem_of(OverLimit("agents", "rate_limited", 41.2))
    assert problem is not None
    assert (problem.status, problem.headers["Retry-After"]) == (429, "42")
    assert "Ask again in 42 s." in problem.detail
