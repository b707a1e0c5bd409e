"""The order of effects: what is on disk before a request leaves, and what becomes of it with several replicas."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from executor_scene import OK, SKEW, TIMEOUT, TOKEN, Scene
from memory_log import Calls

from callgate.errors import Rejected
from callgate.sealing import Place
from contracts.events import (
    Cancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    OutcomeUnknown,
    Recorded,
)
from services.executor.outcomes import NotSent, Unknown

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
    recorded, sent = repr(scene.log.call(allowed.ref).chain), repr(scene.runner.sent[0].request)
    assert "4111111111111111" not in caplog.text + recorded + sent


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
