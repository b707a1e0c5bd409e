"""Approval's start on a log with a past: it reads what may still wait, and not the rest message by message."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from approval_scene import Scene, scene
from deployment import append

from callgate.delivery import now
from callgate.ids import uuid7
from callgate.log import Draft, JetStreamLog, Origin
from callgate.platform import Platform
from contracts.events import Approved, Cancelled, Proof, Recorded, Rejected, VoteCast
from contracts.identity import Principal, Role
from contracts.subjects import CallRef
from services.approval.waiting import QUESTIONS, Waiting

FINA = Principal(id="fina", issuer="https://issuer.example", groups=("finance",))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as stage:
        yield stage


class Counted:
    """A client that counts what it asks of the leader, message by message."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def request(self, subject: str, *args: Any, **more: Any) -> Any:
        self.asked += subject.startswith("$JS.API.STREAM.MSG.GET.")
        return await self._client.request(subject, *args, **more)


async def voted(approval: Platform, asked: Recorded) -> Recorded:
    proof = Proof(issuer=FINA.issuer, subject=FINA.id, digest=asked.digest)
    return await approval.log.append(
        Draft(uuid7(), now(), VoteCast(reviewer=FINA, decision="approve", proof=proof)), asked
    )


async def approved(stage: Scene, approval: Platform) -> Recorded:
    vote = await voted(approval, await stage.ask())
    return await approval.log.append(Draft(uuid7(), now(), Approved(votes=(vote.event.event_id,))), vote)


async def started(platform: Platform, client: Any) -> set[CallRef]:
    """What waits, as a starting service finds it."""
    log = JetStreamLog(client, platform.signer, platform.verifier, platform.genesis)
    waiting = Waiting(QUESTIONS, client, log, platform.verifier, platform.partitions)
    following = asyncio.create_task(waiting.follow())
    try:
        async with asyncio.timeout(20):
            await waiting.until_ready()
        return {question.ref for question in waiting}
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def test_what_is_over_costs_the_leader_nothing_and_what_waits_is_found(stage: Scene) -> None:
    async with stage.here.platform(Role.APPROVAL) as approval:
        for _ in range(30):
            await approved(stage, approval)
        for _ in range(10):
            cancelled = Cancelled(by="bot", code="withdrawn")
            await stage.ingress.log.append(Draft(uuid7(), now(), cancelled), await stage.ask())
        waits = {(await stage.ask()).ref, (await voted(approval, await stage.ask())).ref}
        client: Any = Counted(approval.client)
        assert await started(approval, client) == waits
        # Of the two that wait each message and the end; of forty that do not, nothing.
        assert client.asked <= 12


async def test_no_ending_but_the_chains_own_hides_a_call(stage: Scene) -> None:
    async with stage.here.platform(Role.APPROVAL) as approval:
        asked = await stage.ask()
        # Junk under the names of endings, and one that is signed but is no part of the chain.
        for name in ("approved", "rejected", "approval_expired"):
            await approval.client.jetstream().publish(asked.ref.subject(name), b"junk")
        chain = await approval.log.read(asked.ref)
        out_of_place = Origin(asked.ref, chain.call.chain[0].digest, chain.last_sequence)
        await append(approval, out_of_place, Rejected(by="fina", vote=uuid7()))
        assert asked.ref in await started(approval, approval.client)
