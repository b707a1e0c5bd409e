"""Deliveries that expire while they are worked on, replicas at the same call, and a broker that goes away."""

import asyncio
import os
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deployment import append
from governed_scene import LOOK_ROUTE, PAY, PAY_ROUTE, Governed, eventually, governed

from callgate.delivery import Delivery
from callgate.log import reading
from callgate.platform import Platform
from contracts.events import ExecutionStarted, Recorded
from contracts.identity import Role
from contracts.lifecycle import ANSWERING
from contracts.subjects import CallRef, parse_call_subject
from services.executor.handlers import Executor

EXECUTED = ["requested", "arguments_masked", "allowed", "execution_started", "execution_completed", "result_masked"]
CALLS = 12
SLOW = 1.2
AWAY = 10.0


@pytest.fixture
def deliveries(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of each delivery of `allowed`, as the executors of this process get them."""
    numbers: list[int] = []
    on_allowed = Executor.on_allowed

    async def noted(self: Executor, recorded: Recorded, delivery: Delivery) -> None:
        numbers.append(delivery.number)
        await on_allowed(self, recorded, delivery)

    monkeypatch.setattr(Executor, "on_allowed", noted)
    return numbers


async def run_slowly(scene: Governed) -> list[Any]:
    """Calls that each take four times the ack wait upstream."""
    scene.misbehave(PAY_ROUTE, "slow", times=CALLS, seconds=SLOW)
    return await asyncio.gather(*(scene.call("shop.pay", wait=60, amount=1, **PAY) for _ in range(CALLS)))


async def check(scene: Governed, answers: list[Any]) -> None:
    assert [answer["status"] for answer in answers] == ["completed"] * CALLS
    for answer in answers:
        assert await scene.names(answer["id"]) == EXECUTED
    assert scene.ledger.keys_arrived == {CallRef.parse(answer["id"]).call_id: 1 for answer in answers}
    (partition,) = scene.partitions

    async def nothing_pending() -> bool | None:
        executor = await platform.client.jetstream().consumer_info(partition.stream, Role.EXECUTOR)
        return (executor.num_ack_pending, executor.num_pending) == (0, 0) or None

    async with scene.here.platform(Role.EXECUTOR) as platform:
        await eventually(nothing_pending)


@pytest.mark.parametrize("pending", [3, 256])
async def test_a_short_ack_wait_and_two_replicas(tmp_path: Path, deliveries: list[int], pending: int) -> None:
    """Fewer deliveries at once than calls, and as many as there are: what waits is kept alive from its receipt on."""
    broker = {"ack_wait": 0.3, "max_ack_pending": pending}
    async with governed(tmp_path, replicas={Role.EXECUTOR: 2, Role.POLICY: 2, Role.MASKING: 2}, broker=broker) as scene:
        await check(scene, await run_slowly(scene))
    assert len(deliveries) >= CALLS


async def test_deliveries_that_expire_while_the_call_runs(
    tmp_path: Path, deliveries: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the heartbeats every delivery expires under its executor, and the other one is given the call too."""

    async def lost(self: Delivery) -> None:
        return None

    monkeypatch.setattr(Delivery, "in_progress", lost)
    broker = {"ack_wait": 0.3, "max_ack_pending": 256}
    async with governed(tmp_path, replicas={Role.EXECUTOR: 2, Role.POLICY: 2, Role.MASKING: 2}, broker=broker) as scene:
        await check(scene, await run_slowly(scene))
    assert sum(number > 1 for number in deliveries) >= CALLS, "each came again while it ran"


async def test_a_dead_executors_call_is_taken_up_after_its_deadline(tmp_path: Path) -> None:
    """Starts that nobody lives to finish: one function may run again, of the other a person must know."""
    async with governed(tmp_path, roles=(Role.POLICY, Role.MASKING, Role.INGRESS), broker={"ack_wait": 0.3}) as scene:
        asked = [
            await scene.call("shop.look", wait=0, id="c1"),
            await scene.call("shop.quick_pay", wait=0, amount=1, **PAY),
        ]
        refs = [CallRef.parse(answer["id"]) for answer in asked]
        deadlines = []
        async with scene.here.platform(Role.EXECUTOR) as dead:
            for ref in refs:
                allowed = await scene.until(ref, "allowed")
                deadlines.append(await _start(dead, allowed))
        from doors import serving

        from cli.composition import builder

        async with serving(scene.here, (Role.EXECUTOR, builder(Role.EXECUTOR))):
            look, pay = [await scene.outcome(ref) for ref in refs]
        assert (look["status"], pay["status"], pay["code"]) == ("completed", "unknown", "executor_lost")
        assert scene.ledger.arrived == {LOOK_ROUTE: 1}
        for ref, deadline in zip(refs, deadlines, strict=True):
            chain = (await scene.chain(ref)).chain
            following = chain[chain.index(next(r for r in chain if r.name == "execution_started")) + 1]
            assert following.recorded_at >= deadline, "never before the deadline"


async def _start(platform: Platform, allowed: Recorded) -> datetime:
    deadline = platform.clock() + timedelta(seconds=1)
    await append(platform, allowed, ExecutionStarted(instance="dead", attempt=1, deadline=deadline))
    return deadline


async def test_the_broker_is_away_for_ten_seconds(tmp_path: Path) -> None:
    async with governed(tmp_path, broker={"ack_wait": 2.0}) as scene:
        # A session whose data key stands: what fails below is then the append itself.
        assert (await _post(scene, "known"))[0] == 200
        # Calls under way: their upstream answers while the broker is away.
        scene.misbehave(PAY_ROUTE, "slow", times=3, seconds=2.0)
        asked = [await scene.call("shop.pay", wait=0, amount=1, **PAY) for _ in range(3)]
        running = [CallRef.parse(answer["id"]) for answer in asked]
        await scene.ledger.until_arrived(ref.call_id for ref in running)
        waiting = [asyncio.create_task(_look(scene, ref)) for ref in running]

        broker = scene.here.broker
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        await broker.watch()
        gone = time.monotonic()
        refused = []
        while time.monotonic() - gone < AWAY:
            refused += await asyncio.gather(*(_post(scene, session) for session in ("known", "new", "newer")))
        await broker.restart()

        assert all(status == 503 for status, _ in refused)
        assert {answer["code"] for _, answer in refused} == {"broker_away"}
        for status, answer in await asyncio.gather(*waiting):
            assert status in (200, 503), answer
        # What was asked for has its answer, and happened once, whoever was told what meanwhile.
        for ref in running:
            assert (await scene.outcome(ref))["status"] == "completed"
            assert await scene.names(ref) == EXECUTED
        perhaps = [CallRef.parse(answer["id"]) for _, answer in refused if "id" in answer]
        assert perhaps, "a call of which ingress cannot tell whether it stands is named"
        for ref in perhaps:
            if (await scene.chain(ref)).chain:
                assert (await scene.outcome(ref))["status"] == "completed"
        assert (await scene.call("shop.pay", amount=1, **PAY))["status"] == "completed"
        assert set(scene.ledger.keys_arrived.values()) == {1}
        states = {(await scene.chain(ref)).state for ref in await _all_calls(scene)}
        assert states <= ANSWERING


async def _look(scene: Governed, ref: CallRef) -> tuple[int, Any]:
    return await scene.request("GET", f"/v1/calls/{ref}", headers={"Prefer": "wait=30"})


async def _post(scene: Governed, session: str) -> tuple[int, Any]:
    body = {"function": "shop.pay", "arguments": {"amount": 1, **PAY}, "session": session}
    return await scene.request("POST", "/v1/calls", json=body, headers={"Prefer": "wait=5"})


async def _all_calls(scene: Governed) -> set[CallRef]:
    (partition,) = scene.partitions
    found = reading.direct_all(scene.audit.client, partition.stream, partition.all_calls)
    return {parse_call_subject(message.subject)[0] async for message in found}
