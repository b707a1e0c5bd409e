"""What every failed write leads to, and what a replica does that cannot see everything yet."""

from datetime import timedelta
from typing import Any

import pytest
from executor_scene import CATALOG, OK, SKEW, TIMEOUT, Scene
from memory_log import Calls

from callgate.errors import BrokerAway, Retryable
from callgate.ids import uuid7
from contracts.events import (
    Allowed,
    Cancelled,
    ExecutionFailed,
    ExecutionStarted,
    make_event,
)
from services.executor import handlers
from services.executor.outcomes import Completed, NotSent, Outcome, Unknown

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
