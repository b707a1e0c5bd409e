"""What waits for people, as those know it who continue a call themselves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from approval_scene import Scene, eventually, requirement, scene

from callgate.delivery import now
from callgate.ids import uuid7
from callgate.log import Draft
from callgate.platform import Platform
from contracts.events import Proof, Recorded, VoteCast
from contracts.identity import Principal, Role
from contracts.lifecycle import Call
from services.approval.domain import Question
from services.approval.waiting import QUESTIONS, Waiting


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as stage:
        yield stage


async def voted(approval: Platform, who: str, asked: Recorded, before: Recorded) -> Recorded:
    reviewer = Principal(id=who, issuer="https://issuer.example", groups=("finance",))
    proof = Proof(issuer=reviewer.issuer, subject=who, digest=asked.digest)
    vote = VoteCast(reviewer=reviewer, decision="approve", proof=proof)
    return await approval.log.append(Draft(uuid7(), now(), vote), before)


async def test_a_decision_of_ours_hides_none_that_came_after_it(stage: Scene) -> None:
    """Its acknowledgement may come late, when somebody else's has been read already."""
    async with stage.here.platform(Role.APPROVAL) as approval:
        waiting: Waiting[Question] = Waiting(
            QUESTIONS, approval.client, approval.log, approval.verifier, approval.partitions
        )
        following = asyncio.create_task(waiting.follow())
        try:
            await waiting.until_ready()
            asked = await stage.ask(requirement("finance", quorum=3))
            first = await voted(approval, "fina", asked, asked)
            ours: Call = (await approval.log.read(asked.ref)).call
            await voted(approval, "otto", asked, first)

            async def both() -> bool | None:
                return [len(question.ballots) for question in waiting] == [2] or None

            await eventually(both)
            waiting.know(ours)
            await eventually(both)
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
