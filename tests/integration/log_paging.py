"""`Log.read_begun` as tests, for every broker layout: a session page by page. Subclass beside `LogSuite`."""

import asyncio
from typing import Any

import pytest
from calls import AGENT
from deployment import append, new_call
from log_suite import PATIENCE, Scene, publish, without_conditions

from callgate.ids import mint_session
from callgate.log import Chain, reading
from callgate.log.messages import Message
from contracts.events import Requested, Sealed
from contracts.identity import Role
from contracts.subjects import CallRef

NOTHING = Sealed(key_id="k", nonce="n", ciphertext="c" * 4096)
REQUESTED = Requested(function="f", principal=AGENT, arguments=NOTHING)


async def page(scene: Scene, ref: CallRef, after: int, limit: int, has: int) -> list[Chain]:
    """Of the session of `ref`, as soon as the nearest replica, which may lag behind, has what stands at `has`."""
    async with asyncio.timeout(PATIENCE):
        while True:
            chains = await scene[Role.AUDIT].log.read_begun(ref.partition, ref.session_id, after, limit)
            if any(chain.last_sequence >= has for chain in chains):
                return chains


class LogPaging:
    """The tests."""

    async def test_a_page_is_the_next_calls_and_all_of_their_chains(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = mint_session(AGENT.session_owner)
        begun = [await scene.calls.requested(session_id=session) for _ in range(5)]
        await scene.calls.requested()  # another's
        masked = [await scene.calls.masked(requested) for requested in reversed(begun)][::-1]
        ref, log = begun[0].ref, scene[Role.AUDIT].log
        await page(scene, ref, 0, 9, masked[0].sequence)
        read: list[int] = []
        true_batch = reading.direct_batch

        async def counted(*args: Any, **more: Any) -> tuple[list[Message], bool]:
            messages, done = await true_batch(*args, **more)
            read.append(len(messages))
            return messages, done

        monkeypatch.setattr(reading, "direct_batch", counted)
        async with asyncio.timeout(PATIENCE):
            while True:
                read.clear()
                found = await log.read_begun(ref.partition, session, 0, 2)
                if [chain.call.head_digest for chain in found] == [one.digest for one in masked[:2]]:
                    break
        assert [chain.call.ref for chain in found] == [one.ref for one in begun[:2]]
        assert sum(read) == 2 + 2 * 2, "what finds the page, and the calls of the page"
        rest = await page(scene, ref, begun[1].sequence, 9, masked[2].sequence)
        assert [chain.call.ref for chain in rest] == [one.ref for one in begun[2:]]
        assert await log.read_begun(ref.partition, session, begun[4].sequence, 9) == []

    async def test_a_call_stands_where_its_own_first_event_does(self, scene: Scene) -> None:
        session, ingress = mint_session(AGENT.session_owner), scene[Role.INGRESS]
        first = await scene.calls.requested(session_id=session)
        # Unsigned, on the subjects of calls that begin later, or never.
        forged = [new_call(ingress, AGENT.session_owner, session) for _ in range(3)]
        for ref in forged:
            await publish(ingress, ref.subject("requested"), b"x")
        await publish(ingress, f"calls.{first.ref.partition}.{session}.no-call.requested", b"x")
        second = await scene.calls.requested(session_id=session)
        late = await append(ingress, ingress.log.origin(forged[1]), REQUESTED)
        # Told twice, well signed: the first counts.
        (message,) = await scene.on_subjects(first.ref)
        again = await publish(ingress, message.subject, message.body, without_conditions(message))
        last = await scene.calls.requested(session_id=session)
        assert late.sequence < again < last.sequence
        begun = [first.ref, second.ref, late.ref, last.ref]
        assert [chain.call.ref for chain in await page(scene, first.ref, 0, 9, last.sequence)] == begun
        for number, after in enumerate((first, second, late), start=1):
            (one,) = await scene[Role.AUDIT].log.read_begun(first.ref.partition, session, after.sequence, 1)
            assert one.call.ref == begun[number]

    async def test_what_is_forged_there_is_alarmed(self, scene: Scene) -> None:
        begun = await scene.calls.requested()
        forged = new_call(scene[Role.INGRESS], AGENT.session_owner, begun.ref.session_id)
        alien = await publish(scene[Role.INGRESS], forged.subject("requested"), b"x")
        last = await scene.calls.requested(session_id=begun.ref.session_id)
        await page(scene, begun.ref, 0, 9, last.sequence)
        log, alarms = scene.log(Role.AUDIT)
        for _ in range(2):
            await log.read_begun(begun.ref.partition, begun.ref.session_id, 0, 9)
        assert [alarm.sequence for alarm in alarms] == [alien]

    async def test_what_a_replica_does_not_have_yet_the_leader_is_asked_for(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun = await scene.calls.requested()
        await page(scene, begun.ref, 0, 9, begun.sequence)
        true_batch = reading.direct_batch

        async def behind(client: Any, stream: str, wanted: str, *more: Any) -> tuple[list[Message], bool]:
            messages, done = await true_batch(client, stream, wanted, *more)
            return ([], True) if wanted == begun.ref.all_events else (messages, done)

        monkeypatch.setattr(reading, "direct_batch", behind)
        (found,) = await page(scene, begun.ref, 0, 9, begun.sequence)
        assert found.call.head_digest == begun.digest

    async def test_a_page_of_more_than_one_batch_is_whole(self, scene: Scene) -> None:
        session, ingress = mint_session(AGENT.session_owner), scene[Role.INGRESS]
        refs = [new_call(ingress, AGENT.session_owner, session) for _ in range(300)]
        begun = await asyncio.gather(*(append(ingress, ingress.log.origin(ref), REQUESTED) for ref in refs))
        in_order = sorted(begun, key=lambda one: one.sequence)
        found = await page(scene, refs[0], 0, 1000, in_order[-1].sequence)
        assert [chain.call.ref for chain in found] == [one.ref for one in in_order]
        some = await page(scene, refs[0], in_order[9].sequence, 270, in_order[279].sequence)
        assert [chain.call.ref for chain in some] == [one.ref for one in in_order[10:280]]
