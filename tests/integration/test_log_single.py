"""The log on one node, and what only one node can show: a broker that dies and comes back."""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from calls import AGENT, Calls
from deployment import Deployment, append, running_deployment
from log_paging import LogPaging
from log_suite import SIGNING, LogSuite, Scene, draft, masked_of, owner_of, publish, scene_of, take, without_conditions

from callgate import keys
from callgate.errors import BrokerAway, LostRace
from callgate.platform import Platform, open_platform
from callgate.settings import Settings
from cli.embedded import EmbeddedBroker
from cli.provisioning import provision_deployment
from contracts.events import Cancelled, Recorded
from contracts.identity import Role
from contracts.subjects import CallRef

TWO_SHARDS = {"broker": {"shards": 2}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("single")
    async with running_deployment(folder, overrides=TWO_SHARDS) as deployment, scene_of(deployment.settings) as scene:
        yield scene


@pytest.mark.asyncio(loop_scope="module")
class TestOneNode(LogPaging, LogSuite):
    pass


def kill(broker: EmbeddedBroker) -> None:
    assert broker.pid is not None
    os.kill(broker.pid, signal.SIGKILL)


async def head_of(platform: Platform, ref: CallRef) -> Recorded:
    head = (await platform.log.read(ref)).call.head
    assert head is not None
    return head


async def test_a_broker_that_is_away_is_told_in_time_and_taken_up_when_it_is_back(deployment: Deployment) -> None:
    async with deployment.platforms(Role.INGRESS, Role.MASKING, Role.EXECUTOR) as platforms:
        calls = Calls(platforms)
        requested = await calls.requested()
        kill(deployment.broker)
        await deployment.broker.watch()
        began = time.monotonic()
        masking, ingress = platforms[Role.MASKING], platforms[Role.INGRESS]
        outcomes = await asyncio.gather(
            masking.log.append(draft(masking, masked_of(requested)), requested),
            ingress.log.read(requested.ref),
            platforms[Role.EXECUTOR].log.read_upto(requested),
            ingress.log.read_session(requested.ref.partition, requested.ref.session_id),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in outcomes] == [BrokerAway] * 4
        assert time.monotonic() - began < 12
        await deployment.broker.restart()
        # The same client, no code of ours. What it had tried meanwhile may still arrive, before or after this reading.
        withdrawn = Cancelled(by=AGENT.id, code="withdrawn")
        try:
            await append(ingress, await head_of(ingress, requested.ref), withdrawn)
        except LostRace:
            await append(ingress, await head_of(ingress, requested.ref), withdrawn)
        call = (await platforms[Role.EXECUTOR].log.read(requested.ref)).call
        assert call.state == "cancelled"
        # It stands once or not at all.
        assert [r.name for r in call.chain][1:-1] in ([], ["arguments_masked"])


async def test_following_goes_on_over_a_broker_that_was_killed(deployment: Deployment) -> None:
    async with deployment.platforms(Role.INGRESS, Role.AUDIT) as platforms:
        calls, audit = Calls(platforms), platforms[Role.AUDIT]
        first = await calls.requested()
        acknowledged = [first.sequence]
        stream = audit.log.follow(first.ref.partition)
        wanted = asyncio.Event()

        async def write(number: int) -> None:
            while len(acknowledged) < 60:
                with contextlib.suppress(BrokerAway):
                    acknowledged.append((await calls.requested()).sequence)
                if len(acknowledged) == 20:
                    wanted.set()

        writing = asyncio.gather(*(write(number) for number in range(3)))
        following = asyncio.create_task(
            take(stream, lambda found: isinstance(found[-1], Recorded) and found[-1].name == "cancelled")
        )
        await wanted.wait()
        kill(deployment.broker)
        await deployment.broker.watch()
        await deployment.broker.restart()
        await writing
        await append(platforms[Role.INGRESS], first, Cancelled(by=AGENT.id, code="withdrawn"))
        sequences = [message.sequence for message in await following]
        assert sequences == list(range(1, sequences[-1] + 1))
        assert set(acknowledged) <= set(sequences)


async def test_a_call_copied_to_another_deployment_of_the_same_keys_never_verifies(
    deployment: Deployment, tmp_path: Path
) -> None:
    """The genesis record of each is another, even where keys, name and layout are the same."""
    folder = tmp_path / "copy"
    shutil.copytree(deployment.settings.keys_folder, folder / "keys")
    passwords = {role: keys.read_password(folder / "keys", role) for role in Role}
    async with deployment.platforms() as here, EmbeddedBroker(folder / "broker", passwords=passwords) as broker:
        calls = Calls(here)
        ref = await calls.executed()
        other = Settings(deployment="test", state=folder, broker={"url": broker.url})
        await provision_deployment(other)
        async with contextlib.AsyncExitStack() as stack:
            opened = {role: await stack.enter_async_context(open_platform(other, role)) for role in SIGNING}
            stored = await Scene(here, None).on_subjects(ref)
            for message in stored:
                name = message.subject.rpartition(".")[2]
                await publish(opened[owner_of(name)], message.subject, message.body, without_conditions(message))
            chain = await opened[Role.EXECUTOR].log.read(ref)
            assert chain.call.chain == ()
            assert {alien.code for alien in chain.aliens} == {"does_not_follow"}
            assert len(chain.aliens) == len(stored) == 6


async def test_everything_acknowledged_survives_the_brokers_death(deployment: Deployment) -> None:
    async with deployment.platforms(Role.INGRESS) as platforms:
        calls = Calls(platforms)
        recorded = await asyncio.gather(*(calls.requested() for _ in range(20)))
        kill(deployment.broker)
        await deployment.broker.watch()
        await deployment.broker.restart()
        for one in recorded:
            head = (await platforms[Role.INGRESS].log.read(one.ref)).call.head
            assert isinstance(head, Recorded)
            assert head.digest == one.digest
