"""Deliveries on a real broker: what is acknowledged, what comes again and when, and what stops the service."""

import asyncio
import contextlib
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from calls import AGENT, Calls
from deployment import Deployment, append, running_deployment

from callgate.delivery import Delivery
from callgate.errors import Fatal, LostRace, Rejected, Retryable
from callgate.host import Running
from callgate.platform import Platform
from callgate.service import Service
from callgate.telemetry import ALIENS, DELIVERIES
from contracts.events import Cancelled, Recorded
from contracts.identity import Role

ACK_WAIT = 0.5
PATIENCE = 20.0
SECRET = "4111111111111111"


class Handler:
    """Does as told, one step a delivery; the last step goes on for ever."""

    def __init__(self, *steps: Callable[[Delivery], Awaitable[None]]) -> None:
        self._steps = list(steps)
        self.seen: list[tuple[int, float, Recorded]] = []
        self.arrived: asyncio.Queue[int] = asyncio.Queue()

    async def __call__(self, recorded: Recorded, delivery: Delivery) -> None:
        self.seen.append((delivery.number, time.monotonic(), recorded))
        self.arrived.put_nowait(delivery.number)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        await step(delivery)

    async def deliveries(self, number: int) -> None:
        async with asyncio.timeout(PATIENCE):
            for _ in range(number):
                await self.arrived.get()

    async def none_within(self, seconds: float) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(self.arrived.get(), seconds)


async def done(_: Delivery) -> None:
    """Acknowledged."""


def raising(error: Exception) -> Callable[[Delivery], Awaitable[None]]:
    async def step(_: Delivery) -> None:
        raise error

    return step


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with running_deployment(tmp_path, overrides={"broker": {"ack_wait": ACK_WAIT}}) as deployment:
        yield deployment


@contextlib.asynccontextmanager
async def masking(here: Deployment, handler: Handler) -> AsyncIterator[tuple[Calls, Platform, list[BaseException]]]:
    """Masking at work with that handler, who can write calls, and what stopped the service."""
    stopped: list[BaseException] = []
    async with here.platforms(Role.INGRESS, Role.MASKING, Role.POLICY) as platforms:
        service = Service(Role.MASKING, events={"requested": handler})
        running = Running(platforms[Role.MASKING], service, stopped.append)
        await running.start()
        try:
            yield Calls(platforms), platforms[Role.MASKING], stopped
        finally:
            await running.stop()


async def unacknowledged(platform: Platform) -> tuple[int, int]:
    """(delivered and not acknowledged, not yet delivered) of masking's durable."""
    reply = await platform.client.request("$JS.API.CONSUMER.INFO.CALLS_1_0.masking", b"", timeout=5)
    info = json.loads(reply.data)
    return info["num_ack_pending"], info["num_pending"]


async def all_acknowledged(platform: Platform) -> None:
    async with asyncio.timeout(PATIENCE):
        while await unacknowledged(platform) != (0, 0):
            pass


async def test_a_handled_delivery_is_acknowledged_and_comes_once(here: Deployment) -> None:
    handler = Handler(done)
    async with masking(here, handler) as (calls, platform, _):
        requested = await calls.requested()
        await handler.deliveries(1)
        await all_acknowledged(platform)
        await handler.none_within(3 * ACK_WAIT)
    ((number, _, recorded),) = handler.seen
    assert (number, recorded.digest) == (1, requested.digest)


@pytest.mark.parametrize(
    "error", [Retryable("later"), Rejected("never"), ValueError(SECRET)], ids=["retryable", "rejected", "crash"]
)
async def test_what_fails_comes_again_with_growing_pauses(
    here: Deployment, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler(raising(error), raising(error), raising(error), done)
    async with masking(here, handler) as (calls, platform, stopped):
        await calls.requested()
        await handler.deliveries(4)
        await all_acknowledged(platform)
        assert stopped == []
    assert [number for number, _, _ in handler.seen] == [1, 2, 3, 4]
    times = [at for _, at, _ in handler.seen]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=True))
    assert SECRET not in caplog.text
    if isinstance(error, ValueError):
        crashes = [r for r in caplog.records if r.levelno == logging.ERROR and r.name == "callgate.delivery"]
        assert len(crashes) == 3
        assert all("ValueError at " in r.__dict__["error"] and r.exc_info is None for r in crashes)


async def test_what_the_handler_asks_again_comes_again_then(here: Deployment) -> None:
    async def later(delivery: Delivery) -> None:
        delivery.again_in(0.7)

    handler = Handler(later, done)
    async with masking(here, handler) as (calls, platform, _):
        await calls.requested()
        await handler.deliveries(2)
        await all_acknowledged(platform)
    (_, first, _), (_, second, _) = handler.seen
    assert second - first >= 0.69


async def test_what_was_answered_already_is_acknowledged(here: Deployment) -> None:
    before = DELIVERIES.labels("masking", "answered_already")._value.get()
    handler = Handler(raising(LostRace()))
    async with masking(here, handler) as (calls, platform, _):
        await calls.requested()
        await handler.deliveries(1)
        await all_acknowledged(platform)
        await handler.none_within(2 * ACK_WAIT)
    assert DELIVERIES.labels("masking", "answered_already")._value.get() == before + 1


async def test_a_slow_handler_keeps_its_delivery(here: Deployment) -> None:
    ready = asyncio.Event()

    async def slow(_: Delivery) -> None:
        await ready.wait()

    handler = Handler(slow)
    async with masking(here, handler) as (calls, platform, _):
        for _ in range(5):
            await calls.requested()
        await handler.deliveries(5)
        await handler.none_within(4 * ACK_WAIT)  # nobody took it for dead
        assert await unacknowledged(platform) == (5, 0)
        ready.set()
        await all_acknowledged(platform)
    assert [number for number, _, _ in handler.seen] == [1] * 5


async def test_fatal_stops_the_service_and_keeps_the_delivery(here: Deployment) -> None:
    handler = Handler(raising(Fatal("wrong_ring")))
    async with masking(here, handler) as (calls, platform, stopped):
        await calls.requested()
        await handler.deliveries(1)
        assert (await unacknowledged(platform))[0] == 1
    assert isinstance(stopped[0], Fatal)
    again = Handler(done)
    async with masking(here, again) as (_, platform, _):
        await again.deliveries(1)
        await all_acknowledged(platform)


async def test_an_alien_is_alarmed_and_acknowledged_and_no_handler_sees_it(
    here: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler(done)
    alarms = ALIENS.labels("masking", "unknown_event")
    before = alarms._value.get()
    async with masking(here, handler) as (calls, platform, _):
        ingress = calls.platforms[Role.INGRESS]
        genuine = await calls.requested()
        await handler.deliveries(1)
        await ingress.client.request(genuine.ref.subject("requested"), SECRET.encode(), timeout=5)
        await ingress.client.request(genuine.ref.subject("requested"), b"", timeout=5, headers={"Status": "503"})
        after = await calls.requested()
        await handler.deliveries(1)
        await all_acknowledged(platform)
    assert [recorded.digest for _, _, recorded in handler.seen] == [genuine.digest, after.digest]
    assert alarms._value.get() == before + 2
    assert "alien" in caplog.text
    assert SECRET not in caplog.text


async def test_two_replicas_share_and_neither_repeats(here: Deployment) -> None:
    one, other = Handler(done), Handler(done)
    async with masking(here, one) as (calls, platform, _), masking(here, other):
        digests = {(await calls.requested()).digest for _ in range(30)}
        await all_acknowledged(platform)
    seen = [recorded.digest for _, _, recorded in (*one.seen, *other.seen)]
    assert sorted(seen) == sorted(digests)
    assert one.seen
    assert other.seen


async def test_deliveries_in_flight_at_a_stop_are_finished(here: Deployment) -> None:
    entered, release, finished = asyncio.Event(), asyncio.Event(), []

    async def answering(_: Delivery) -> None:
        entered.set()
        await release.wait()
        finished.append(True)

    handler = Handler(answering)
    async with masking(here, handler) as (calls, _, _):
        await calls.requested()
        await asyncio.wait_for(entered.wait(), PATIENCE)
        asyncio.get_running_loop().call_later(0.3, release.set)  # while the service stops
    assert finished == [True]


async def test_a_background_task_that_ends_or_fails_stops_the_service(here: Deployment) -> None:
    async def ends() -> None:
        return

    async def fails() -> None:
        raise ValueError(SECRET)

    async with here.platforms(Role.POLICY) as platforms:
        for task, code in ((ends, "background_ended"), (fails, "background_failed")):
            failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
            running = Running(platforms[Role.POLICY], Service(Role.POLICY, background=(task,)), failed.set_result)
            await running.start()
            error = await asyncio.wait_for(failed, PATIENCE)
            assert isinstance(error, Fatal)
            assert error.code == code
            assert SECRET not in str(error)
            await running.stop()


async def test_an_event_answered_by_others_meanwhile_reaches_no_second_answer(here: Deployment) -> None:
    """The whole loop: the handler's append loses its race, and the delivery is settled by that."""
    outcomes: list[str] = []
    calls_of: list[Calls] = []

    class Answering(Handler):
        async def __call__(self, recorded: Recorded, delivery: Delivery) -> None:
            calls = calls_of[0]
            await append(calls.platforms[Role.INGRESS], recorded, Cancelled(by=AGENT.id, code="withdrawn"))
            self.arrived.put_nowait(delivery.number)
            try:
                await calls.masked(recorded)
            except LostRace:
                outcomes.append("lost")
                raise

    handler = Answering(done)
    async with masking(here, handler) as (calls, platform, _):
        calls_of.append(calls)
        requested = await calls.requested()
        await handler.deliveries(1)
        await all_acknowledged(platform)
        assert (await platform.log.read(requested.ref)).call.state == "cancelled"
    assert outcomes == ["lost"]
