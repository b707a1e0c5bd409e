"""The order of effects: what is on disk before a request leaves, and what every failed write leads to."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from executor_scene import CATALOG, GRANTED, OK, SKEW, TIMEOUT, TOKEN, Scene
from memory_freezes import EVERYTHING
from memory_log import AGENT, NOW, RITA, Calls

from callgate.cedar.grants import grant_text
from callgate.errors import BrokerAway, Rejected, Retryable
from callgate.ids import uuid7
from callgate.sealing import Place
from contracts.events import (
    Allowed,
    Cancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    GrantUse,
    OutcomeUnknown,
    Recorded,
    Sealed,
    make_event,
)
from contracts.records import Granted, GrantRevoked, GrantUsed
from contracts.subjects import grant_revoked_subject, grant_subject, grant_use_subject
from services.executor import handlers
from services.executor.outcomes import Completed, NotSent, Outcome, Unknown

# The order of effects


async def test_the_start_is_on_disk_before_anything_is_sent(scene: Scene) -> None:
    allowed = scene.allowed()
    assert await scene.deliver(allowed) is None
    assert scene.log.journal == ["execution_started", "send", "execution_completed"]
    start = scene.log.call(allowed.ref).last(ExecutionStarted)
    assert start == ExecutionStarted(instance="e1", attempt=1, deadline=scene.clock.now + timedelta(seconds=TIMEOUT))
    (sent,) = scene.runner.sent
    assert (sent.key, sent.deadline) == (allowed.ref.call_id, TIMEOUT)
    assert json.loads(sent.request.body or b"") == {"amount": 40}
    assert sent.credential is not None
    assert sent.credential.value.reveal() == f"Bearer {TOKEN}"


async def test_the_result_is_sealed_for_its_own_event(scene: Scene) -> None:
    allowed = scene.allowed()
    await scene.deliver(allowed)
    recorded = scene.log.call(allowed.ref).head
    assert recorded is not None
    assert isinstance(recorded.data, ExecutionCompleted)
    place = Place(allowed.ref, recorded.event.event_id, "result")
    assert await scene.sealer.open(recorded.data.result, place, "raw") == OK.body
    assert (recorded.data.status, recorded.data.size, recorded.data.truncated) == (200, len(OK.body), False)


async def test_a_functions_own_timeout_is_its_deadline(scene: Scene) -> None:
    await scene.deliver(scene.allowed("shop.quick"))
    assert scene.runner.sent[0].deadline == 1.5


async def test_the_whole_chain_is_asked_of_the_leader_from_the_second_delivery_on(scene: Scene) -> None:
    allowed = scene.allowed()
    await scene.deliver(allowed, number=2)
    assert scene.log.journal[0] == "read"


async def test_what_is_recorded_shows_no_value(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    scene.runner.outcomes = [Unknown("timeout")]
    allowed = scene.allowed(arguments=b'{"amount":4111111111111111}')
    await scene.deliver(allowed)
    assert "4111" not in caplog.text + repr(scene.log.call(allowed.ref).chain) + repr(scene.runner.sent[0].request)


# What certainly has no effect


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda s: s.environ.clear(), "credential_missing"),
        (lambda s: s.sealer.errors.append(Rejected("key_missing")), "key_missing"),
        (lambda s: setattr(s.runner, "outcomes", [NotSent("connection_refused")]), "connection_refused"),
    ],
)
async def test_certainly_no_effect(scene: Scene, spoil: Callable[[Scene], Any], code: str) -> None:
    allowed = scene.allowed()
    spoil(scene)
    assert await scene.deliver(allowed) is None
    assert scene.last(allowed) == ExecutionFailed(code=code)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(b"[1]", "arguments_not_an_object"), (b"{", "syntax"), (b'{"amount":1e999}', "number_precision")],
)
async def test_arguments_that_make_no_request(scene: Scene, arguments: bytes, code: str) -> None:
    allowed = scene.allowed(arguments=arguments)
    assert await scene.deliver(allowed) is None
    assert scene.last(allowed) == ExecutionFailed(code=code)
    assert scene.after_allowed(allowed) == ["execution_failed"]
    assert scene.runner.sent == []


async def test_a_function_that_changed_is_not_run(scene: Scene) -> None:
    allowed = Calls(scene.log, scene.sealer).allowed("d" * 64)
    await scene.deliver(allowed)
    assert scene.last(allowed) == ExecutionFailed(code="function_changed")
    assert scene.runner.sent == []


async def test_an_allowed_outside_of_any_chain_is_left_alone(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    allowed, other = scene.allowed(), scene.allowed()
    copy = Recorded(allowed.ref, allowed.sequence, allowed.recorded_at, other.digest, "key", other.event)
    for number in (1, 2):
        assert await scene.deliver(copy, number) is None
    assert scene.after_allowed(allowed) == []
    assert scene.runner.sent == []
    assert "no authorised chain" in caplog.text


async def test_a_withdrawn_call_is_not_run(scene: Scene) -> None:
    allowed = scene.allowed()
    scene.log.rivals["execution_started"] = lambda: scene.log.put(allowed.ref, Cancelled(by="bot", code="withdrawn"))
    assert await scene.deliver(allowed) is None
    assert scene.after_allowed(allowed) == ["cancelled"]
    assert scene.runner.sent == []


# An outcome that nobody knows


async def test_a_function_that_is_not_idempotent_is_sent_once(scene: Scene) -> None:
    scene.runner.outcomes = [Unknown("disconnected")]
    allowed = scene.allowed()
    for number in (1, 2, 3):
        assert await scene.deliver(allowed, number) is None
    assert scene.after_allowed(allowed) == ["execution_started", "outcome_unknown"]
    assert scene.last(allowed) == OutcomeUnknown(code="disconnected")
    assert len(scene.runner.sent) == 1


async def test_an_idempotent_one_is_sent_again_each_time_with_a_start_of_its_own(scene: Scene) -> None:
    scene.runner.outcomes = [Unknown("timeout"), Unknown("timeout"), OK]
    allowed = scene.allowed("shop.look")
    await scene.deliver(allowed)
    assert scene.log.journal == [*["execution_started", "send"] * 3, "execution_completed"]
    starts = [r.data for r in scene.log.call(allowed.ref).chain if isinstance(r.data, ExecutionStarted)]
    assert [start.attempt for start in starts] == [1, 2, 3]


async def test_an_idempotent_one_is_given_up_in_the_end(scene: Scene) -> None:
    scene.runner.outcomes = [Unknown("timeout")]
    allowed = scene.allowed("shop.look")
    await scene.deliver(allowed)
    assert scene.after_allowed(allowed) == [*["execution_started"] * 3, "outcome_unknown"]


async def test_not_sent_after_an_unknown_attempt_says_nothing_of_that_one(scene: Scene) -> None:
    scene.runner.outcomes = [Unknown("timeout"), NotSent("connection_refused")]
    allowed = scene.allowed("shop.look")
    await scene.deliver(allowed)
    assert scene.after_allowed(allowed) == ["execution_started", "execution_started", "outcome_unknown"]
    assert scene.last(allowed) == OutcomeUnknown(code="connection_refused")


# Replicas and redeliveries


async def test_while_another_replica_is_at_work_a_redelivery_waits(scene: Scene) -> None:
    allowed, other = scene.allowed(), scene.replica("e2")
    waits: list[float | None] = []

    async def meanwhile() -> None:
        for _ in range(2):
            waits.append(await scene.deliver(allowed, 2, other))
            scene.clock.advance(TIMEOUT / 2)
        waits.append(await scene.deliver(allowed, 3, other))  # the deadline itself, but not the skew

    scene.runner.meanwhile = meanwhile
    assert await scene.deliver(allowed) is None
    assert waits == [TIMEOUT + SKEW, TIMEOUT / 2 + SKEW, SKEW]
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]
    assert len(scene.runner.sent) == 1


async def test_the_loser_of_the_start_waits_for_the_winner(scene: Scene) -> None:
    """A start that won is no outcome: acknowledged, the call would be lost with its winner."""
    allowed = scene.allowed("shop.look")
    deadline = scene.clock.now + timedelta(seconds=TIMEOUT)
    winner = ExecutionStarted(instance="e2", attempt=1, deadline=deadline)
    scene.log.rivals["execution_started"] = lambda: scene.log.put(allowed.ref, winner)
    assert await scene.deliver(allowed) == TIMEOUT + SKEW
    assert scene.runner.sent == []

    # The winner died; of the two that try again, one loses once more, and must not let go of the call either.
    scene.clock.advance(TIMEOUT + SKEW)
    second = ExecutionStarted(instance="e3", attempt=2, deadline=scene.clock.now + timedelta(seconds=TIMEOUT))
    scene.log.rivals["execution_started"] = lambda: scene.log.put(allowed.ref, second)
    assert await scene.deliver(allowed, 2) == TIMEOUT + SKEW
    scene.clock.advance(TIMEOUT + SKEW)
    assert await scene.deliver(allowed, 3) is None
    assert scene.after_allowed(allowed) == [*["execution_started"] * 3, "execution_completed"]
    assert len(scene.runner.sent) == 1


async def test_losing_one_race_after_another_lets_go_of_nothing(scene: Scene) -> None:
    """Both starts are lost within one delivery: to a dead replica's late start, then to a live one's."""
    allowed = scene.allowed("shop.look")
    past = ExecutionStarted(instance="e2", attempt=1, deadline=scene.clock.now - timedelta(seconds=SKEW))
    alive = ExecutionStarted(instance="e3", attempt=2, deadline=scene.clock.now + timedelta(seconds=TIMEOUT))

    def first() -> None:
        scene.log.put(allowed.ref, past)
        scene.log.rivals["execution_started"] = lambda: scene.log.put(allowed.ref, alive)

    scene.log.rivals["execution_started"] = first
    assert await scene.deliver(allowed) == TIMEOUT + SKEW
    assert scene.runner.sent == []


async def test_a_dead_executor_of_a_function_that_is_not_idempotent(scene: Scene) -> None:
    allowed = scene.allowed()
    deadline = scene.clock.now + timedelta(seconds=TIMEOUT)
    scene.log.put(allowed.ref, ExecutionStarted(instance="e2", attempt=1, deadline=deadline))
    assert await scene.deliver(allowed, 2) == TIMEOUT + SKEW
    assert scene.after_allowed(allowed) == ["execution_started"], "never before the deadline"
    scene.clock.advance(TIMEOUT + SKEW)
    assert await scene.deliver(allowed, 3) is None
    assert scene.last(allowed) == OutcomeUnknown(code="executor_lost")
    assert scene.runner.sent == []


async def test_what_cannot_be_prepared_any_more_after_a_dead_attempt_is_unknown(scene: Scene) -> None:
    allowed = scene.allowed("shop.look")
    scene.log.put(allowed.ref, ExecutionStarted(instance="e2", attempt=1, deadline=scene.clock.now))
    scene.clock.advance(SKEW)
    scene.environ.clear()
    await scene.deliver(allowed, 2)
    assert scene.last(allowed) == OutcomeUnknown(code="credential_missing")


async def test_late_evidence_follows_an_unknown_outcome(scene: Scene) -> None:
    allowed, other = scene.allowed(), scene.replica("e2")

    async def taken_for_dead() -> None:
        scene.clock.advance(TIMEOUT + SKEW)
        await scene.deliver(allowed, 2, other)

    scene.runner.meanwhile = taken_for_dead
    assert await scene.deliver(allowed) is None
    assert scene.after_allowed(allowed) == ["execution_started", "outcome_unknown", "execution_completed"]


async def test_an_own_doubt_is_no_evidence(scene: Scene) -> None:
    allowed, other = scene.allowed(), scene.replica("e2")
    scene.runner.outcomes = [Unknown("timeout")]

    async def taken_for_dead() -> None:
        scene.clock.advance(TIMEOUT + SKEW)
        await scene.deliver(allowed, 2, other)

    scene.runner.meanwhile = taken_for_dead
    assert await scene.deliver(allowed) is None
    assert scene.after_allowed(allowed) == ["execution_started", "outcome_unknown"]


# Writes that fail


@pytest.mark.parametrize("function", ["shop.pay", "shop.look"])
async def test_a_start_that_was_not_written_sends_nothing(scene: Scene, function: str) -> None:
    allowed = scene.allowed(function)
    scene.log.faults["execution_started"] = ["away"]
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    assert scene.runner.sent == []
    assert await scene.deliver(allowed, 2) is None
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]
    assert len(scene.runner.sent) == 1


async def test_a_start_whose_acknowledgement_was_lost_is_resumed(scene: Scene) -> None:
    """It stands, and this replica alone knows that nothing was sent."""
    allowed = scene.allowed()
    scene.log.faults["execution_started"] = ["stored"]
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    assert scene.runner.sent == []
    scene.clock.advance(10)
    assert await scene.deliver(allowed, 2) is None
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]
    assert [sent.deadline for sent in scene.runner.sent] == [TIMEOUT - 10]


async def test_of_two_deliveries_one_resumes(scene: Scene) -> None:
    allowed = scene.allowed()
    scene.log.faults["execution_started"] = ["stored"]
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    waits: list[float | None] = []

    async def meanwhile() -> None:
        waits.append(await scene.deliver(allowed, 3))

    scene.runner.meanwhile = meanwhile
    assert await scene.deliver(allowed, 2) is None
    assert waits == [TIMEOUT + SKEW]
    assert len(scene.runner.sent) == 1


async def test_the_broker_going_away_again_does_not_forget_that_nothing_was_sent(scene: Scene) -> None:
    allowed = scene.allowed()
    scene.log.faults["execution_started"] = ["stored"]
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    scene.sealer.errors.append(BrokerAway())
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed, 2)
    assert await scene.deliver(allowed, 3) is None
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]


async def test_a_start_that_stands_too_late_has_certainly_no_effect(scene: Scene) -> None:
    allowed = scene.allowed()
    scene.log.faults["execution_started"] = ["stored"]
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    scene.clock.advance(TIMEOUT + SKEW + 1)
    await scene.deliver(allowed, 2)
    assert scene.last(allowed) == ExecutionFailed(code="deadline_passed")
    assert scene.runner.sent == []


async def test_another_replica_cannot_know_that_and_waits(scene: Scene) -> None:
    allowed, other = scene.allowed(), scene.replica("e2")
    scene.log.faults["execution_started"] = ["stored"]
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    assert await scene.deliver(allowed, 2, other) == TIMEOUT + SKEW


async def test_a_start_that_lands_after_it_was_looked_for(scene: Scene) -> None:
    """The lost publication arrives between the next delivery's reading and its writing."""
    allowed = scene.allowed()
    scene.log.faults["execution_started"] = ["stored"]
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    (late,) = [r for r in scene.log.events[allowed.ref] if isinstance(r.data, ExecutionStarted)]
    scene.log.events[allowed.ref].remove(late)
    scene.log.rivals["execution_started"] = lambda: scene.log.events[allowed.ref].append(late)
    assert await scene.deliver(allowed, 2) is None
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]
    assert len(scene.runner.sent) == 1


@pytest.mark.parametrize("outcome", [OK, Unknown("timeout"), NotSent("dns_failure")])
async def test_an_outcome_is_recorded_however_long_the_broker_is_away(scene: Scene, outcome: Outcome) -> None:
    scene.runner.outcomes = [outcome]
    allowed = scene.allowed()
    name = {Completed: "execution_completed", Unknown: "outcome_unknown", NotSent: "execution_failed"}[type(outcome)]
    scene.log.faults[name] = ["away"] * 50
    assert await scene.deliver(allowed) is None
    assert scene.after_allowed(allowed) == ["execution_started", name]


async def test_an_outcome_whose_acknowledgement_was_lost_is_recorded_once(scene: Scene) -> None:
    allowed = scene.allowed()
    scene.log.faults["execution_completed"] = ["stored", "stored", "away"]
    assert await scene.deliver(allowed) is None
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]
    assert len(scene.runner.sent) == 1


async def test_a_result_is_sealed_however_long_the_broker_is_away(scene: Scene) -> None:
    allowed = scene.allowed()

    async def goes_away() -> None:
        scene.sealer.errors += [BrokerAway() for _ in range(20)]

    scene.runner.meanwhile = goes_away
    assert await scene.deliver(allowed) is None
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]


@pytest.mark.parametrize("function", ["shop.pay", "shop.look"])
async def test_an_outcome_that_waits_for_the_broker_is_no_dead_execution(scene: Scene, function: str) -> None:
    """The broker comes back after the deadline, and delivers again before the outcome is written."""
    allowed = scene.allowed(function)
    waits: list[float | None] = []

    async def away_beyond_the_deadline(*_: Any) -> None:
        scene.clock.advance(TIMEOUT + SKEW + 60)
        waits.append(await scene.deliver(allowed, 2))

    seal = scene.sealer.seal

    async def slow_seal(*arguments: Any) -> Any:
        await away_beyond_the_deadline()
        return await seal(*arguments)

    scene.sealer.seal = slow_seal  # type: ignore[assignment, method-assign]
    assert await scene.deliver(allowed) is None
    assert waits == [1.0]
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]
    assert len(scene.runner.sent) == 1


async def test_late_evidence_survives_a_broker_that_is_away(scene: Scene) -> None:
    allowed, other = scene.allowed(), scene.replica("e2")

    async def taken_for_dead() -> None:
        scene.clock.advance(TIMEOUT + SKEW)
        await scene.deliver(allowed, 2, other)
        scene.log.unreadable = 3
        scene.log.faults["execution_completed"] = ["away"]

    scene.runner.meanwhile = taken_for_dead
    assert await scene.deliver(allowed) is None
    assert scene.after_allowed(allowed) == ["execution_started", "outcome_unknown", "execution_completed"]


@pytest.mark.parametrize("fault", ["away", "stored"])
async def test_giving_up_is_written_at_the_next_delivery(scene: Scene, fault: Any) -> None:
    allowed = scene.allowed()
    scene.log.put(allowed.ref, ExecutionStarted(instance="e2", attempt=1, deadline=scene.clock.now))
    scene.clock.advance(SKEW)
    scene.log.faults["outcome_unknown"] = [fault]
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed, 2)
    assert await scene.deliver(allowed, 3) is None
    assert scene.after_allowed(allowed) == ["execution_started", "outcome_unknown"]


@pytest.mark.parametrize("fault", ["away", "stored"])
async def test_a_refusal_is_written_at_the_next_delivery(scene: Scene, fault: Any) -> None:
    scene.environ.clear()
    allowed = scene.allowed()
    scene.log.faults["execution_failed"] = [fault]
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    assert await scene.deliver(allowed, 2) is None
    assert scene.after_allowed(allowed) == ["execution_failed"]


async def test_a_chain_that_cannot_be_read_runs_nothing(scene: Scene) -> None:
    allowed = scene.allowed()
    scene.log.unreadable = 1
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed, 2)
    assert scene.runner.sent == []
    assert scene.after_allowed(allowed) == []


# What this replica cannot see yet


@pytest.mark.parametrize("number", [1, 2])
async def test_a_chain_with_a_key_that_our_ring_does_not_know_yet_is_read_again(scene: Scene, number: int) -> None:
    allowed = scene.allowed()
    (masked,) = [one for one in scene.log.events[allowed.ref] if one.name == "arguments_masked"]
    scene.log.strangers.add(masked.digest)
    with pytest.raises(Retryable, match="chain_incomplete"):
        await scene.deliver(allowed, number)
    assert not scene.runner.sent
    scene.log.strangers.clear()  # the ring arrived
    assert await scene.deliver(allowed, number + 1) is None
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]


async def test_a_start_under_a_key_that_our_ring_does_not_know_yet_is_not_run_over(scene: Scene) -> None:
    allowed = scene.allowed()
    started = scene.log.put(
        allowed.ref, ExecutionStarted(instance="e2", attempt=1, deadline=scene.clock() + timedelta(seconds=TIMEOUT))
    )
    scene.log.strangers.add(started.digest)
    with pytest.raises(Retryable, match="chain_incomplete"):
        await scene.deliver(allowed, 2)
    assert scene.after_allowed(allowed) == ["execution_started"]
    assert not scene.runner.sent


@pytest.mark.parametrize("number", [1, 2])
async def test_a_reading_that_ends_before_what_was_delivered_is_repeated(scene: Scene, number: int) -> None:
    allowed = scene.allowed()
    scene.log.behind = 1
    with pytest.raises(Retryable, match="chain_incomplete"):
        await scene.deliver(allowed, number)
    assert await scene.deliver(allowed, 3) is None
    assert len(scene.runner.sent) == 1


async def test_a_strangers_message_before_the_authorisation_is_no_obstacle(scene: Scene) -> None:
    calls = Calls(scene.log, scene.sealer, "shop.pay")
    masked = calls.masked()
    forged = make_event(uuid7(), masked.ref, scene.clock(), "0" * 64, Cancelled(by="nobody", code="withdrawn"))
    scene.log.strangers.add(scene.log.write(forged, masked.ref).digest)
    judged = Allowed(policy_set="a" * 64, function_digest=CATALOG.digest_of("shop.pay"))
    event = make_event(uuid7(), masked.ref, scene.clock(), masked.digest, judged)
    assert await scene.deliver(scene.log.write(event, masked.ref), 2) is None
    assert len(scene.runner.sent) == 1


async def test_arguments_under_a_sealing_key_that_is_not_here_yet_are_waited_for(scene: Scene) -> None:
    allowed = scene.allowed()
    scene.log.faults["execution_started"] = ["stored"]
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    scene.sealer.errors.append(Retryable("sealing_key_away"))
    with pytest.raises(Retryable, match="sealing_key_away"):
        await scene.deliver(allowed, 2)
    assert await scene.deliver(allowed, 3) is None  # and goes on under its own start, on which nothing was sent
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]


async def test_starts_that_another_replica_took_over_are_not_kept_for_ever(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "_UNSENT_KEPT", 3)
    for _ in range(5):
        scene.log.faults["execution_started"] = ["stored"]
        with pytest.raises(BrokerAway):
            await scene.deliver(scene.allowed())
    assert len(scene.executor._unsent) == 3
    assert not scene.executor._at_work


# Freezes


async def test_a_frozen_call_fails_before_it_starts(scene: Scene) -> None:
    scene.freezes.arriving = [EVERYTHING]
    allowed = scene.allowed()
    assert await scene.deliver(allowed) is None
    assert scene.after_allowed(allowed) == ["execution_failed"]
    assert scene.last(allowed) == ExecutionFailed(code="frozen")
    assert scene.runner.sent == []


async def test_a_freeze_between_the_look_and_the_start_wins_too(scene: Scene) -> None:
    scene.freezes.arriving = [None, EVERYTHING]
    allowed = scene.allowed()
    await scene.deliver(allowed)
    assert scene.after_allowed(allowed) == ["execution_started", "execution_failed"]
    assert scene.last(allowed) == ExecutionFailed(code="frozen")
    assert scene.runner.sent == []


async def test_the_last_look_comes_after_the_start_is_on_disk(scene: Scene) -> None:
    scene.freezes.journal = scene.log.journal
    allowed = scene.allowed()
    scene.log.journal.clear()
    await scene.deliver(allowed)
    assert scene.log.journal == ["freezes", "execution_started", "freezes", "send", "execution_completed"]


@pytest.mark.parametrize("looks", [0, 1])
async def test_nothing_is_sent_while_nobody_knows_whether_it_is_frozen(scene: Scene, looks: int) -> None:
    scene.freezes.arriving = [*[None] * looks, BrokerAway()]
    allowed = scene.allowed()
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    assert scene.runner.sent == []
    assert await scene.deliver(allowed, 2) is None
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]
    assert len(scene.runner.sent) == 1


async def test_a_start_that_is_resumed_is_looked_at_again(scene: Scene) -> None:
    scene.freezes.arriving = [None, BrokerAway(), EVERYTHING]
    allowed = scene.allowed()
    with pytest.raises(BrokerAway):
        await scene.deliver(allowed)
    await scene.deliver(allowed, 2)
    assert scene.after_allowed(allowed) == ["execution_started", "execution_failed"]
    assert scene.runner.sent == []


async def test_a_freeze_before_a_repetition_leaves_the_outcome_unknown(scene: Scene) -> None:
    scene.runner.outcomes = [Unknown("timeout"), OK]
    scene.freezes.arriving = [None, None, EVERYTHING]
    allowed = scene.allowed("shop.look")
    await scene.deliver(allowed)
    assert scene.last(allowed) == OutcomeUnknown(code="frozen")
    assert len(scene.runner.sent) == 1


# Grants


def by_grant(scene: Scene, **changed: Any) -> Recorded:
    """A call that a grant allowed, its records on CONTROL as policy and approval left them, but for what `changed`."""
    masked = Calls(scene.log, scene.sealer).masked()
    ref, digest = masked.ref, CATALOG.digest_of("shop.pay")
    function = CATALOG.get("shop.pay")
    assert function is not None
    given: dict[str, Any] = {
        "grant_id": "g1",
        "by": RITA,
        "agent": AGENT.id,
        "issuer": AGENT.issuer,
        "on_behalf_of": None,
        "session_id": None,
        "function": "shop.pay",
        "conditions": {"amount": {"lte": 100}},
        "policy": "",
        "uses": 3,
        "expires_at": NOW + timedelta(minutes=30),
        "reason": Sealed(key_id="k", nonce="n", ciphertext="c"),
    }
    grant = Granted.model_validate(given | {k: v for k, v in changed.items() if k in given})
    text = changed.get("text") or grant_text(grant, function)
    scene.control.put(grant_subject("g1"), grant.model_copy(update={"policy": text}), 10)
    use = {"grant_id": "g1", "call": str(ref), "number": 3} | changed.get("use", {})
    scene.control.put(grant_use_subject("g1", ref.call_id), GrantUsed.model_validate(use), 20, changed.get("at", NOW))
    if "revoked" in changed:
        revoked = GrantRevoked(grant_id="g1", by=RITA)
        scene.control.put(grant_revoked_subject("g1"), revoked, changed["revoked"])
    names = {"grant_id": "g1", "granted": GRANTED, "number": 3} | changed.get("names", {})
    grant_use = GrantUse.model_validate(names)
    return scene.log.put(ref, Allowed(policy_set="a" * 64, function_digest=digest, grant=grant_use))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"revoked": 30},
        {"conditions": {}},
        {"agent": "bot", "on_behalf_of": None},
    ],
)
async def test_a_call_on_a_good_grant_runs(scene: Scene, changed: dict[str, Any]) -> None:
    allowed = by_grant(scene, **changed)
    await scene.deliver(allowed)
    assert scene.after_allowed(allowed) == ["execution_started", "execution_completed"]


@pytest.mark.parametrize(
    "changed",
    [
        {"revoked": 15},
        {"by": AGENT},
        {"agent": "another"},
        {"issuer": "https://elsewhere.test"},
        {"on_behalf_of": "rosa"},
        {"session_id": "s_" + "a" * 32},
        {"function": "shop.look"},
        {"uses": 2},
        {"expires_at": NOW},
        {"at": NOW + timedelta(minutes=30)},
        {"use": {"number": 2}},
        {"use": {"call": "1-0.s_x.y"}},
        {"use": {"grant_id": "g2"}},
        {"names": {"granted": "d" * 64}},
        {"names": {"grant_id": "g2"}},
        {"text": "permit (principal, action, resource);"},
    ],
)
async def test_a_call_on_any_other_grant_fails_before_it_starts(scene: Scene, changed: dict[str, Any]) -> None:
    allowed = by_grant(scene, **changed)
    await scene.deliver(allowed)
    assert scene.last(allowed) == ExecutionFailed(code="grant_invalid")
    assert scene.runner.sent == []


@pytest.mark.parametrize("missing", ["made", "used"])
async def test_a_grant_that_nobody_recorded_allows_nothing(scene: Scene, missing: str) -> None:
    allowed = by_grant(scene)
    scene.control.stands = {place: one for place, one in scene.control.stands.items() if missing not in place}
    await scene.deliver(allowed)
    assert scene.last(allowed) == ExecutionFailed(code="grant_invalid")
