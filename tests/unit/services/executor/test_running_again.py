"""5, again: a person said that a call whose outcome nobody knows is to run again.

Nothing else makes it run, every check is made anew, and whatever is in its way leaves it to a person.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from executor_scene import OK, SKEW, TIMEOUT, TOKEN, Scene
from memory_freezes import EVERYTHING
from memory_log import NOW

from callgate.errors import BrokerAway, Rejected, Retryable
from contracts.events import ExecutionStarted, OutcomeUnknown, Recorded
from services.executor.outcomes import NotSent, Outcome, Unknown

UNKNOWN = ["execution_started", "outcome_unknown"]
AGAIN = [*UNKNOWN, "outcome_settled"]


def unknown(scene: Scene, function: str = "shop.pay") -> Recorded:
    """The `allowed` of a call whose one attempt timed out."""
    allowed = scene.allowed(function)
    scene.log.put(allowed.ref, ExecutionStarted(instance="e0", attempt=1, deadline=NOW), OutcomeUnknown(code="timeout"))
    return allowed


async def test_the_second_start_is_on_disk_before_anything_is_sent(scene: Scene) -> None:
    allowed = unknown(scene)
    assert await scene.deliver_settled(scene.settled(allowed)) is None
    assert scene.log.journal == ["execution_started", "send", "execution_completed"]
    assert scene.after_allowed(allowed) == [*AGAIN, "execution_started", "execution_completed"]
    start = scene.log.call(allowed.ref).last(ExecutionStarted)
    assert start == ExecutionStarted(instance="e1", attempt=2, deadline=scene.clock.now + timedelta(seconds=TIMEOUT))
    (sent,) = scene.runner.sent
    assert sent.key == allowed.ref.call_id, "the same key, so that an upstream that has done it can tell"
    assert sent.credential is not None
    assert sent.credential.value.reveal() == f"Bearer {TOKEN}"


@pytest.mark.parametrize("outcome", ["done", "not_done"])
async def test_what_was_settled_otherwise_does_not_run(scene: Scene, outcome: str) -> None:
    allowed = unknown(scene)
    assert await scene.deliver_settled(scene.settled(allowed, outcome)) is None
    assert scene.after_allowed(allowed) == AGAIN
    assert not scene.runner.sent


async def test_a_settlement_outside_of_any_chain_runs_nothing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    elsewhere, here = unknown(scene), unknown(scene)
    settled = scene.settled(elsewhere)
    sequence = len(scene.log.events[here.ref]) + 1
    copy = Recorded(here.ref, sequence, NOW, settled.digest, settled.key_id, settled.event)
    scene.log.events[here.ref].append(copy)
    assert await scene.deliver_settled(copy, 2) is None
    assert scene.after_allowed(here) == UNKNOWN
    assert "no authorised chain" in caplog.text
    assert not scene.runner.sent


async def test_an_idempotent_function_that_used_its_attempts_gets_one_more(scene: Scene) -> None:
    allowed = scene.allowed("shop.look")
    scene.runner.outcomes = [Unknown("timeout")]
    await scene.deliver(allowed)
    assert len(scene.runner.sent) == 3
    await scene.deliver_settled(scene.settled(allowed))
    assert len(scene.runner.sent) == 4
    assert scene.last(allowed) == OutcomeUnknown(code="timeout")


@pytest.mark.parametrize(
    ("spoil", "code", "freeze"),
    [
        (lambda scene: scene.environ.clear(), "credential_missing", None),
        (lambda scene: scene.sealer.errors.append(Rejected("key_missing")), "key_missing", None),
        (lambda scene: setattr(scene.freezes, "arriving", [EVERYTHING]), "frozen", "f1"),
    ],
)
async def test_what_cannot_be_run_again_waits_for_a_person_again(
    scene: Scene, spoil: Callable[[Scene], Any], code: str, freeze: str | None
) -> None:
    """Never `execution_failed`: what cannot be sent now says nothing of the attempt before."""
    allowed = unknown(scene)
    settled = scene.settled(allowed)
    spoil(scene)
    assert await scene.deliver_settled(settled) is None
    assert scene.last(allowed) == OutcomeUnknown(code=code, freeze=freeze)
    assert scene.after_allowed(allowed) == [*AGAIN, "outcome_unknown"]
    assert not scene.runner.sent
    # And is not tried by itself once that is mended.
    scene.environ["SHOP"], scene.freezes.arriving = TOKEN, []
    assert await scene.deliver_settled(settled, 2) is None
    assert scene.after_allowed(allowed) == [*AGAIN, "outcome_unknown"]


async def test_a_freeze_between_the_look_and_the_start_wins_too(scene: Scene) -> None:
    allowed = unknown(scene)
    scene.freezes.arriving = [None, EVERYTHING]
    await scene.deliver_settled(scene.settled(allowed))
    assert scene.after_allowed(allowed) == [*AGAIN, *UNKNOWN]
    assert scene.last(allowed) == OutcomeUnknown(code="frozen", freeze="f1")
    assert not scene.runner.sent


async def test_what_was_not_sent_the_second_time_says_nothing_of_the_first(scene: Scene) -> None:
    allowed = unknown(scene)
    scene.runner.outcomes = [NotSent("connection_refused")]
    await scene.deliver_settled(scene.settled(allowed))
    assert scene.last(allowed) == OutcomeUnknown(code="connection_refused")


# Crashes, redeliveries and replicas


async def test_a_crash_before_the_start_runs_it_at_the_next_delivery(scene: Scene) -> None:
    allowed = unknown(scene)
    settled = scene.settled(allowed)
    scene.log.faults["execution_started"] = ["away"]
    with pytest.raises(BrokerAway):
        await scene.deliver_settled(settled)
    assert await scene.deliver_settled(settled, 2, scene.replica("e2")) is None
    assert scene.after_allowed(allowed) == [*AGAIN, "execution_started", "execution_completed"]
    assert len(scene.runner.sent) == 1


async def test_a_start_whose_acknowledgement_was_lost_is_resumed(scene: Scene) -> None:
    allowed = unknown(scene)
    settled = scene.settled(allowed)
    scene.log.faults["execution_started"] = ["stored"]
    with pytest.raises(BrokerAway):
        await scene.deliver_settled(settled)
    assert not scene.runner.sent
    assert await scene.deliver_settled(settled, 2, scene.replica("e2")) == TIMEOUT + SKEW, "only its own maker knows"
    assert await scene.deliver_settled(settled, 2) is None
    assert scene.after_allowed(allowed) == [*AGAIN, "execution_started", "execution_completed"]
    assert len(scene.runner.sent) == 1


@pytest.mark.parametrize("cue", ["settled", "allowed"])
async def test_a_redelivery_waits_for_the_replica_that_is_at_work(scene: Scene, cue: str) -> None:
    """Even one of `allowed`, whose acknowledgement was lost long ago."""
    allowed, other = unknown(scene), scene.replica("e2")
    settled = scene.settled(allowed)
    waits: list[float | None] = []

    async def meanwhile() -> None:
        deliver = scene.deliver_settled(settled, 2, other) if cue == "settled" else scene.deliver(allowed, 2, other)
        waits.append(await deliver)

    scene.runner.meanwhile = meanwhile
    assert await scene.deliver_settled(settled) is None
    assert waits == [TIMEOUT + SKEW]
    assert len(scene.runner.sent) == 1
    assert scene.after_allowed(allowed) == [*AGAIN, "execution_started", "execution_completed"]


async def test_of_two_replicas_one_starts(scene: Scene) -> None:
    allowed = unknown(scene)
    settled = scene.settled(allowed)
    winner = ExecutionStarted(instance="e2", attempt=2, deadline=scene.clock.now + timedelta(seconds=TIMEOUT))
    scene.log.rivals["execution_started"] = lambda: scene.log.put(allowed.ref, winner)
    assert await scene.deliver_settled(settled) == TIMEOUT + SKEW
    assert not scene.runner.sent
    scene.clock.advance(TIMEOUT + SKEW)
    assert await scene.deliver_settled(settled, 2) is None
    assert scene.last(allowed) == OutcomeUnknown(code="executor_lost"), "it is not idempotent: a person looks again"
    assert not scene.runner.sent


async def test_a_redelivered_allowed_never_runs_what_was_settled(scene: Scene) -> None:
    allowed = unknown(scene)
    scene.settled(allowed)
    assert await scene.deliver(allowed, 2) is None
    assert scene.after_allowed(allowed) == AGAIN
    assert not scene.runner.sent


async def test_a_settlement_whose_chain_cannot_be_read_yet_comes_again(scene: Scene) -> None:
    allowed = unknown(scene)
    settled = scene.settled(allowed)
    scene.log.behind = 1
    with pytest.raises(Retryable, match="chain_incomplete"):
        await scene.deliver_settled(settled)
    assert await scene.deliver_settled(settled, 2) is None
    assert len(scene.runner.sent) == 1


@pytest.mark.parametrize(
    ("outcome", "last"), [(OK, "execution_completed"), (NotSent("connection_refused"), "outcome_unknown")]
)
async def test_evidence_of_the_first_attempt_that_comes_after_the_second(
    scene: Scene, outcome: Outcome, last: str
) -> None:
    """What the function answered is evidence. That the first was never sent is none: the second may have been."""
    allowed, other = scene.allowed(), scene.replica("e2")
    scene.runner.outcomes = [outcome]

    async def settled_meanwhile() -> None:
        scene.clock.advance(TIMEOUT + SKEW)
        await scene.deliver(allowed, 2, other)
        scene.settled(allowed)
        second = ExecutionStarted(instance="e3", attempt=2, deadline=scene.clock.now)
        scene.log.put(allowed.ref, second, OutcomeUnknown(code="timeout"))

    scene.runner.meanwhile = settled_meanwhile
    await scene.deliver(allowed)
    assert scene.log.names(allowed.ref)[-1] == last
