"""kill -9 of each service and of the broker in the middle of a stream of calls: nothing lost, nothing done twice."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from fleet import Fleet, fleet

from callgate.platform import Platform, open_platform
from cli.composition import SERVICES
from contracts.events import Allowed, Requested
from contracts.identity import Role
from contracts.lifecycle import ANSWERING, Call
from contracts.subjects import CallRef, parse_call_subject
from examples.upstream_ledger import journalled_executions

CARD = "4111111111111111"
CALLERS = 6
SETTLE_SECONDS = 60


class Stream:
    """Callers that go on posting calls until told to stop, whatever happens to the services."""

    def __init__(self, running: Fleet, replicas: int) -> None:
        self._fleet = running
        self._replicas = replicas
        self._stop = asyncio.Event()
        self.answered = 0
        self.refused = 0
        self.unexpected: list[str] = []
        self._progress = asyncio.Condition()

    async def more(self, answers: int) -> None:
        """Waits until so many further calls were answered."""
        async with self._progress, asyncio.timeout(SETTLE_SECONDS):
            wanted = self.answered + answers
            await self._progress.wait_for(lambda: self.answered >= wanted)

    async def _caller(self, which: int, http: aiohttp.ClientSession) -> None:
        number = 0
        url = self._fleet.urls[(Role.INGRESS, which % self._replicas)]
        headers = {"Authorization": f"Bearer {self._fleet.issuer.mint('support-bot')}", "Prefer": "wait=20"}
        while not self._stop.is_set():
            number += 1
            body = _pay(number) if number % 2 else {"function": "shop.look", "arguments": {"id": "c42"}}
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
                await asyncio.gather(*callers)


def _pay(number: int) -> dict[str, object]:
    arguments = {"amount": 1 + number / 4, "currency": "USD", "card_number": CARD}
    return {"function": "shop.pay", "arguments": arguments}


async def _all_calls(platform: Platform) -> dict[CallRef, Call]:
    """Every call on the log, from its chain."""
    refs: set[CallRef] = set()
    partition = platform.partitions[0]
    from callgate.log import reading

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
        requested = call.last(Requested)
        assert requested is not None
        if requested.function == "shop.pay":
            assert times == 1, "a function that is not idempotent was executed twice"
    for call in calls.values():
        if call.state == "result_masked":
            assert executions[call.ref.call_id] >= 1


@pytest.mark.parametrize("replicas", [1, 2])
async def test_kill_9_of_each_service_and_of_the_broker(tmp_path: Path, replicas: int) -> None:
    async with fleet(tmp_path, replicas=replicas) as running:
        stream = Stream(running, replicas)
        async with stream.flowing():
            await stream.more(20)
            for role in SERVICES:
                await running.kill(role)
                if replicas == 2:
                    await stream.more(4)  # the other replica goes on alone
                await running.start(role)
                await stream.more(10)
            await running.kill_broker()
            await running.broker.restart()
            await stream.more(20)
        assert not stream.unexpected
        async with open_platform(running.settings, Role.AUDIT) as platform:
            calls = await _settled(platform)
        executions = journalled_executions(running.journal)
        assert len(calls) >= stream.answered
        _check(calls, executions)
        assert CARD not in running.logs()
