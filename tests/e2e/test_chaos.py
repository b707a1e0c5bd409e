"""kill -9 of each service and of the broker in the middle of a stream of calls: nothing lost, nothing done twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from fleet import Fleet, fleet

from callgate.log import reading
from callgate.platform import Platform, open_platform
from cli.composition import SERVICES
from contracts.events import Allowed, Approved, Requested
from contracts.identity import Role
from contracts.lifecycle import ANSWERING, Call
from contracts.subjects import CallRef, parse_call_subject
from examples.upstream_ledger import journalled_executions
from services.audit.verifying import verify_log

CARD = "4111111111111111"
CALLERS = 6
AHEAD = 60
SETTLE_SECONDS = 60


class Stream:
    """Callers that go on posting calls until told to stop, whatever happens to the services.

    They stay within so many answers of what was last waited for: a restart that takes long on a slow machine is to
    meet calls, not thousands of them, each of which is read again at the end.
    """

    def __init__(self, running: Fleet, replicas: int) -> None:
        self._fleet = running
        self._replicas = replicas
        self._stop = asyncio.Event()
        self._allowed = 0
        self.answered = 0
        self.refused = 0
        self.unexpected: list[str] = []
        self._progress = asyncio.Condition()

    async def more(self, answers: int) -> None:
        """Waits until so many further calls were answered."""
        async with self._progress, asyncio.timeout(SETTLE_SECONDS):
            wanted = self.answered + answers
            self._allowed = wanted + AHEAD
            self._progress.notify_all()
            await self._progress.wait_for(lambda: self.answered >= wanted)

    async def _caller(self, which: int, http: aiohttp.ClientSession) -> None:
        number = 0
        url = self._fleet.urls[(Role.INGRESS, which % self._replicas)]
        headers = {"Authorization": f"Bearer {self._fleet.issuer.mint('support-bot')}", "Prefer": "wait=20"}
        while not self._stop.is_set():
            async with self._progress:
                await self._progress.wait_for(lambda: self.answered < self._allowed or self._stop.is_set())
            number += 1
            body = _CALLS[number % len(_CALLS)](number)
            try:
                async with http.post(
                    f"{url}/v1/calls", json={**body, "session": f"w{which}"}, headers=headers
                ) as answer:
                    await self._note(answer.status, await answer.json(content_type=None))
            except (aiohttp.ClientError, TimeoutError):
                self.refused += 1
                await asyncio.sleep(0.05)  # ingress is being restarted: do not spin

    async def _note(self, status: int, answer: dict[str, object]) -> None:
        if status in (200, 202):
            async with self._progress:
                self.answered += 1
                self._progress.notify_all()
        elif status == 503:
            self.refused += 1
        else:
            self.unexpected.append(f"{status} {answer}")

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator["Stream"]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=40)) as http:
            callers = [asyncio.create_task(self._caller(which, http)) for which in range(CALLERS)]
            try:
                yield self
            finally:
                self._stop.set()
                async with self._progress:
                    self._progress.notify_all()
                await asyncio.gather(*callers)


def _look(_: int) -> dict[str, object]:
    return {"function": "shop.look", "arguments": {"id": "c42"}}


def _ship(number: int) -> dict[str, object]:
    arguments = {"service": "web", "environment": "production", "version": f"1.{number}"}
    return {"function": "shop.ship", "arguments": arguments}


def _pay(number: int) -> dict[str, object]:
    arguments = {"amount": 1 + number / 4, "currency": "USD", "card_number": CARD}
    return {"function": "shop.pay", "arguments": arguments}


_CALLS = (_look, _pay, _ship, _pay)


async def _reviewing(running: Fleet, replicas: int, http: aiohttp.ClientSession) -> None:
    """A reviewer who approves whatever waits, at whichever replica answers, until cancelled."""
    headers = {"Authorization": f"Bearer {running.issuer.mint('rosa')}"}
    turn = 0
    while True:
        turn += 1
        url = f"{running.urls[(Role.APPROVAL, turn % replicas)]}/v1/approvals"
        try:
            async with http.get(url, headers=headers) as answer:
                waiting = (await answer.json())["approvals"] if answer.status == 200 else []
            for one in waiting:
                vote = {"decision": "approve", "digest": one["digest"]}
                async with http.post(f"{url}/{one['id']}/votes", json=vote, headers=headers) as answer:
                    await answer.read()  # 409 and 503 are answers too: the next turn looks again
        except (aiohttp.ClientError, TimeoutError):
            pass  # this replica is being restarted
        await asyncio.sleep(0.1)  # polls politely, as a person's page does


async def _slow_payments(running: Fleet, http: aiohttp.ClientSession) -> None:
    """Payments take a while, so that a kill meets executions under way."""
    behave = {"route": "POST /refunds", "mode": "slow", "times": 100_000, "seconds": 0.2}
    async with http.post(f"{running.upstream_url}/_test/behave", json=behave) as answer:
        assert answer.status < 300


async def _all_calls(platform: Platform) -> dict[CallRef, Call]:
    """Every call on the log, from its chain."""
    refs: set[CallRef] = set()
    partition = platform.partitions[0]
    async for message in reading.direct_all(platform.client, partition.stream, partition.all_calls):
        refs.add(parse_call_subject(message.subject)[0])
    return {ref: (await platform.log.read(ref)).call for ref in refs}


async def _settled(platform: Platform) -> dict[CallRef, Call]:
    """Every call, once each has its answer."""
    partition = platform.partitions[0]
    calls = await _all_calls(platform)
    pending = {ref for ref, call in calls.items() if call.state not in ANSWERING}
    async with asyncio.timeout(SETTLE_SECONDS):
        async for recorded in platform.log.follow(partition):
            if not pending:
                break
            ref = getattr(recorded, "ref", None)
            if ref in pending and (await platform.log.read(ref)).call.state in ANSWERING:
                pending.discard(ref)
    return await _all_calls(platform)


def _check(calls: dict[CallRef, Call], executions: dict[str, int]) -> None:
    by_id = {ref.call_id: call for ref, call in calls.items()}
    assert all(call.state in ANSWERING for call in calls.values())
    for key, times in executions.items():
        call = by_id[key]
        assert call.last(Allowed) is not None, "executed without an authorised chain"
        assert call.attempts >= 1, "executed without a recorded start"
        assert call.state in {"result_masked", "outcome_unknown"}, "executed, and the log does not say so"
        requested = call.last(Requested)
        assert requested is not None
        if requested.function != "shop.look":
            assert times == 1, "a function that is not idempotent was executed twice"
    for call in calls.values():
        if call.state == "result_masked":
            assert executions[call.ref.call_id] >= 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("replicas", [1, 2])
async def test_kill_9_of_each_service_and_of_the_broker(tmp_path: Path, replicas: int) -> None:
    async with (
        fleet(tmp_path, replicas=replicas) as running,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http,
    ):
        await _slow_payments(running, http)
        reviewer = asyncio.create_task(_reviewing(running, replicas, http))
        stream = Stream(running, replicas)
        try:
            async with stream.flowing():
                await stream.more(12)
                for turn, role in enumerate(SERVICES):
                    replica = turn % replicas
                    await running.kill(role, replica)
                    if replicas == 2:
                        await stream.more(4)  # the other replica goes on alone
                    await running.start(role, replica)
                    await stream.more(8)
                await running.kill_broker()
                await running.broker.restart()
                await stream.more(12)
            assert not stream.unexpected
            async with open_platform(running.settings, Role.AUDIT) as platform:
                calls = await _settled(platform)
                report = await verify_log(platform)
        finally:
            reviewer.cancel()
            await asyncio.gather(reviewer, return_exceptions=True)
        assert len(calls) >= stream.answered
        assert any(call.last(Approved) for call in calls.values()), "nothing was approved: approval was not tested"
        _check(calls, journalled_executions(running.journal))
        assert report.intact
        assert CARD not in running.logs()
