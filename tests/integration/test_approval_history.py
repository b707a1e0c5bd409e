"""What helps people decide, read from a real log: the session so far, and earlier decisions on the same function."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from approval_scene import AGENT, Scene, eventually, scene
from deployment import append

from callgate.delivery import now
from callgate.ids import mint_session, uuid7
from callgate.platform import Platform
from contracts.events import ApprovalExpired, Approved, Cancelled, Proof, Recorded, Rejected, VoteCast
from contracts.identity import Principal, Role
from services.approval import history as history_module
from services.approval.history import History

FINA = Principal(id="fina", issuer="https://issuer.example", groups=("finance",))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as stage:
        yield stage


@contextlib.asynccontextmanager
async def followed(approval: Platform) -> AsyncIterator[History]:
    """As a starting service has it, the past read back."""
    history = History(approval.client, approval.log, approval.verifier, approval.partitions)
    following = asyncio.create_task(history.follow())
    try:
        async with asyncio.timeout(20):
            await history.until_ready()
        yield history
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def decided(stage: Scene, approval: Platform, decision: str) -> Recorded:
    asked = await stage.ask()
    proof = Proof(issuer=FINA.issuer, subject=FINA.id, digest=asked.digest)
    vote = await append(
        approval, asked, VoteCast.model_validate({"reviewer": FINA, "decision": decision, "proof": proof})
    )
    vote_id = vote.event.event_id
    return await append(
        approval, vote, Approved(votes=(vote_id,)) if decision == "approve" else Rejected(by="fina", vote=vote_id)
    )


async def test_the_session_so_far_holds_earlier_calls_of_the_session_alone_the_latest_first(stage: Scene) -> None:
    session_id = mint_session(AGENT.session_owner)
    async with stage.here.platform(Role.APPROVAL) as approval:
        history = History(approval.client, approval.log, approval.verifier, approval.partitions)
        calls = [await stage.ask(session_id=session_id) for _ in range(5)]
        await stage.ask()  # of another session
        await append(stage.ingress, calls[1], Cancelled(by="bot", code="withdrawn"))
        # Junk under the name of an earlier call: it never began.
        junk = calls[0].ref._replace(call_id=uuid7(0))
        await approval.client.jetstream().publish(calls[0].ref.subject("rejected"), b"junk")
        await approval.client.jetstream().publish(junk.subject("rejected"), b"junk")
        past = await history.session_so_far(calls[3].ref)
        assert [(one.ref, one.state) for one in past] == [
            (calls[2].ref, "waiting_for_approval"),
            (calls[1].ref, "cancelled"),
            (calls[0].ref, "waiting_for_approval"),
        ]
        assert {one.function for one in past} == {"payments.refund"}
        assert [one.ref for one in await history.session_so_far(calls[4].ref, 1)] == [calls[3].ref]
        assert await history.session_so_far(calls[0].ref) == ()


async def test_of_a_long_session_the_last_calls_are_looked_through(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "_RECENT", 3)
    session_id = mint_session(AGENT.session_owner)
    async with stage.here.platform(Role.APPROVAL) as approval:
        history = History(approval.client, approval.log, approval.verifier, approval.partitions)
        calls = [await stage.ask(session_id=session_id) for _ in range(6)]
        assert [one.ref for one in await history.session_so_far(calls[5].ref)] == [calls[4].ref, calls[3].ref]
        assert await history.session_so_far(calls[2].ref) == ()


async def test_earlier_decisions_are_read_back_at_the_start_and_followed(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So small that reading back takes several windows, and leaves out the oldest.
    monkeypatch.setattr(history_module, "_WINDOW", 2)
    monkeypatch.setattr(history_module, "_READ_BACK", 2)
    async with stage.here.platform(Role.APPROVAL) as approval:
        before = [await decided(stage, approval, "approve") for _ in range(3)]
        expired = await append(approval, await stage.ask(), ApprovalExpired(expired_at=now()))
        async with followed(approval) as history:
            found = history.earlier("payments.refund")
            assert [(one.ref, one.outcome, one.by) for one in found] == [
                (expired.ref, "expired", ()),
                (before[2].ref, "approved", ("fina",)),
                (before[1].ref, "approved", ("fina",)),
            ]
            assert {one.requester for one in found} == {AGENT}
            assert history.earlier("payments.payout") == ()
            rejected = await decided(stage, approval, "reject")

            async def told() -> bool | None:
                return True if history.earlier("payments.refund", 1)[0].ref == rejected.ref else None

            await eventually(told)
            assert len(history.earlier("payments.refund")) == 4


async def test_what_is_no_part_of_a_chain_is_no_decision(stage: Scene) -> None:
    async with stage.here.platform(Role.APPROVAL) as approval:
        asked = await stage.ask()
        # Signed by approval, and not what the votes came to.
        await append(approval, asked, Rejected(by="fina", vote=uuid7()))
        await approval.client.jetstream().publish(asked.ref.subject("approved"), b"junk")
        async with followed(approval) as history:
            assert history.earlier("payments.refund") == ()
