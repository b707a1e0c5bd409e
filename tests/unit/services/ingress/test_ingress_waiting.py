"""Held calls: answered from what is republished alone where it is whole, and from the log wherever it is not."""

import asyncio
import base64
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from ingress_calls import AGENT, NOW, begun, completed, masked, result, then
from nats.errors import TimeoutError as NatsTimeout

from callgate.connections import LOST, Loss
from callgate.errors import BrokerAway
from callgate.identity.binding import VERIFIED
from callgate.identity.claims import Verified
from callgate.identity.errors import Refusal
from callgate.log import Alien, Chain
from contracts.events import Allowed, Denied, Recorded
from contracts.lifecycle import Call
from services.ingress import waiting as module
from services.ingress.bearers import Bearers
from services.ingress.leaving import Leaving
from services.ingress.room import Room, TooManyHeld
from services.ingress.waiting import Gone, Held, Waiting

TOKEN = Verified(AGENT, NOW.timestamp() - 60, NOW.timestamp() + 600, NOW.timestamp() - 60, None)
JUDGED = {"policy_set": "a" * 64, "function_digest": "b" * 64}


class World:
    """A broker, a log and a verifier in memory; `call` is what stands on the log."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.away = False
        self.reads = 0
        self.looks = 0
        self.listeners: list[Any] = []
        self.unsubscribed = 0
        self.is_connected = True
        self.stats = {"reconnects": 0}
        self.known: dict[int, Recorded | Alien] = {}
        self.looked = asyncio.Event()
        self.now = NOW
        self.ended: list[Verified] = []
        """The tokens that are revoked."""
        self.changes = 0

    def waiting(self, limit: int = 10, look_every: float = 60.0) -> Waiting:
        world: Any = self
        return Waiting(world, world, world, Room(limit, 1), Bearers(lambda: self.now, world), look_every)

    # the revocations
    def revoked(self, verified: Verified) -> bool:
        return verified in self.ended

    # the client
    async def subscribe(self, subject: str, cb: Any) -> Any:
        if self.away:
            raise NatsTimeout
        assert subject == self.call.ref.live
        self.listeners.append(cb)

        async def unsubscribe() -> None:
            self.listeners.remove(cb)
            self.unsubscribed += 1

        return SimpleNamespace(unsubscribe=unsubscribe)

    async def request(self, subject: str, payload: bytes, **how: Any) -> Any:
        self.looks += 1
        self.looked.set()
        if self.away:
            raise NatsTimeout
        head = self.call.chain[-1]
        message = {
            "subject": head.ref.subject(head.name),
            "seq": head.sequence,
            "data": base64.b64encode(b"{}").decode(),
            "time": "2026-03-01T12:00:00Z",
        }
        return SimpleNamespace(data=json.dumps({"message": message}).encode())

    # the log
    async def read(self, ref: Any) -> Chain:
        self.reads += 1
        if self.away:
            raise BrokerAway
        return Chain(self.call, (), self.call.chain[-1].sequence)

    # the verifier
    def verify(self, message: Any) -> Recorded | Alien:
        return self.known[message.sequence]

    async def happens(self, *events: Any, heard: bool = True) -> None:
        """Events that stand on the log, and are republished where they are heard."""
        for data in events:
            self.call = then(self.call, data)
            if heard:
                await self.republish(self.call.chain[-1])

    async def republish(self, recorded: Recorded) -> None:
        self.known[recorded.sequence] = recorded
        await self.arrives(recorded.ref.subject(recorded.name), recorded.sequence)

    async def arrives(self, subject: str, sequence: int, size: int = 10) -> None:
        headers = {
            "Nats-Subject": subject,
            "Nats-Sequence": str(sequence),
            "Nats-Time-Stamp": "2026-03-01T12:00:00Z",
        }
        for listener in tuple(self.listeners):
            await listener(SimpleNamespace(subject=f"live.{subject}", headers=headers, data=b"x" * size))


async def here() -> bool:
    return False


async def answer(held: Held, call: Call, gone: Gone = here) -> Call:
    """Soon, although the caller would wait for long."""
    return await asyncio.wait_for(held.until_answered(call, 600, gone), 10)


async def gone() -> bool:
    return True


async def test_an_answer_that_is_heard_whole_needs_no_look_at_the_log() -> None:
    world = World(begun())
    async with world.waiting().hold(world.call.ref, AGENT, TOKEN) as held:
        waits = asyncio.create_task(answer(held, world.call))
        await world.happens(masked(), Denied(code="no", **JUDGED))
        assert (await waits).state == "denied"
    assert (world.reads, world.looks) == (0, 0)
    assert (world.listeners, world.unsubscribed) == ([], 1)


async def test_what_arrives_before_anybody_waits_counts() -> None:
    world = World(begun())
    first = world.call
    async with world.waiting().hold(first.ref, AGENT, TOKEN) as held:
        await world.republish(first.chain[0])  # one's own event is republished as well
        await world.happens(masked(), Denied(code="no", **JUDGED))
        assert (await answer(held, first)).state == "denied"
    assert world.reads == 0


async def test_a_lost_message_sends_to_the_log() -> None:
    world = World(begun())
    async with world.waiting().hold(world.call.ref, AGENT, TOKEN) as held:
        waits = asyncio.create_task(answer(held, world.call))
        await world.happens(masked(), heard=False)
        await world.happens(Denied(code="no", **JUDGED))
        assert (await waits).state == "denied"
    assert world.reads == 1


async def test_an_alien_that_looks_like_an_answer_is_none() -> None:
    world = World(begun())
    first = world.call
    async with world.waiting().hold(first.ref, AGENT, TOKEN) as held:
        alien_subject = first.ref.subject("denied")
        world.known[99] = Alien(alien_subject, 99, "unsigned", first.chain[0].recorded_at)
        await world.arrives(alien_subject, 99)
        call, woken = await held.next(first, 20)
        assert (call.state, woken, world.reads) == ("requested", True, 1)
        await world.happens(masked(), Denied(code="no", **JUDGED))
        assert (await answer(held, call)).state == "denied"


async def test_malformed_cues_send_to_the_log() -> None:
    world = World(begun())
    first = world.call
    async with world.waiting().hold(first.ref, AGENT, TOKEN) as held:
        await world.happens(masked(), Denied(code="no", **JUDGED), heard=False)
        for listener in world.listeners:
            await listener(SimpleNamespace(subject="live.x.denied", headers=None, data=b""))
        assert (await answer(held, first)).state == "denied"


async def test_the_last_cue_lost_is_found_by_the_next_look() -> None:
    world = World(begun())
    async with world.waiting(look_every=0.001).hold(world.call.ref, AGENT, TOKEN) as held:
        waits = asyncio.create_task(answer(held, world.call))
        await world.looked.wait()
        assert world.reads == 0  # one message tells that there is nothing new
        await world.happens(masked(), Denied(code="no", **JUDGED), heard=False)
        assert (await waits).state == "denied"


async def test_a_caller_who_left_is_not_waited_for() -> None:
    world = World(begun())
    async with world.waiting(look_every=0.001).hold(world.call.ref, AGENT, TOKEN) as held:
        assert (await held.until_answered(world.call, 600, gone)).state == "requested"


async def test_a_caller_whose_connection_is_lost_is_let_go_at_once() -> None:
    world, loss = World(begun()), Loss()
    first = world.call
    request: Any = SimpleNamespace(scope={LOST: loss})
    async with world.waiting().hold(first.ref, AGENT, TOKEN) as held:
        waits = asyncio.create_task(held.until_answered(first, 600, Leaving(request)))
        await world.happens(masked())
        loss.happen()
        assert await asyncio.wait_for(waits, 10) == first
    async with world.waiting().hold(first.ref, AGENT, TOKEN) as held:  # lost before anybody waited
        assert await asyncio.wait_for(held.until_answered(first, 600, Leaving(request)), 10) == first
    assert (world.reads, world.looks) == (0, 0)


async def test_what_arrived_stays_unread_while_nobody_asks() -> None:
    world = World(begun())
    waiting = world.waiting(look_every=0.01)
    async with waiting.hold(world.call.ref, AGENT, TOKEN) as held:
        waits = asyncio.create_task(answer(held, world.call))
        await world.happens(masked())
        for _ in range(2):
            world.looked.clear()
            await asyncio.wait_for(world.looked.wait(), 10)
        assert waiting.kept_bytes == 10
        await world.happens(Denied(code="no", **JUDGED))
        assert (await waits).state == "denied"
    assert (world.reads, waiting.kept_bytes) == (0, 0)


async def test_stopping_lets_everybody_go() -> None:
    world = World(begun())
    waiting = world.waiting()
    async with waiting.hold(world.call.ref, AGENT, TOKEN) as held:
        waits = asyncio.create_task(answer(held, world.call))
        await world.happens(masked())
        waiting.release()
        assert (await waits).state == "requested"
    assert len(waiting) == 0


async def test_who_is_let_go_is_told_what_was_heard_while_there_is_time_for_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for seconds, told in ((60.0, 2), (0.0, 1)):
        monkeypatch.setattr(module, "_FOLD_SECONDS", seconds)
        world = World(begun())
        waiting = world.waiting()
        async with waiting.hold(world.call.ref, AGENT, TOKEN) as held:
            waits = asyncio.create_task(answer(held, world.call))
            await asyncio.wait((waits,), timeout=0)  # it waits now
            await world.happens(masked())
            waiting.release()
            assert len((await waits).chain) == told
        assert (world.reads, world.looks) == (0, 0)


async def test_time_runs_out_with_where_the_call_stands() -> None:
    world = World(begun())
    first = world.call
    async with world.waiting().hold(first.ref, AGENT, TOKEN) as held:
        await world.happens(masked(), Allowed(**JUDGED))
        call = await held.until_answered(first, 0.01, here)
    assert call.state == "allowed"


async def test_a_reconnect_sends_every_held_call_to_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WATCH_EVERY", 0.001)
    world = World(begun())
    waiting = world.waiting()
    watcher = asyncio.create_task(waiting.watch_connection())
    async with waiting.hold(world.call.ref, AGENT, TOKEN) as held:
        waits = asyncio.create_task(answer(held, world.call))
        await asyncio.sleep(0)
        await world.happens(masked(), Denied(code="no", **JUDGED), heard=False)
        world.stats["reconnects"] = 1
        assert (await waits).state == "denied"
    watcher.cancel()


async def test_a_broker_that_is_away_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_AFTER", 0.001)
    world = World(begun())
    async with world.waiting(look_every=0.001).hold(world.call.ref, AGENT, TOKEN) as held:
        world.away = True
        waits = asyncio.create_task(answer(held, world.call))
        await world.looked.wait()
        await world.happens(masked(), Denied(code="no", **JUDGED), heard=False)
        world.away = False
        assert (await waits).state == "denied"


async def test_a_read_that_fails_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_AFTER", 0.001)
    world = World(begun())
    first = world.call
    async with world.waiting().hold(first.ref, AGENT, TOKEN) as held:
        await world.happens(masked(), heard=False)
        await world.happens(Denied(code="no", **JUDGED))
        world.away = True
        call, woken = await held.next(first, 600)
        assert (call.state, woken, world.reads) == ("requested", True, 1)
        world.away = False
        assert (await answer(held, call)).state == "denied"


async def test_while_the_connection_is_down_nothing_is_asked() -> None:
    world = World(begun())
    world.is_connected = False
    with pytest.raises(BrokerAway):
        await world.waiting().read(world.call.ref)
    assert world.reads == 0


class Asking(Leaving):
    """A request that came with a token; its client stays."""

    def __init__(self, token: Verified) -> None:
        request: Any = SimpleNamespace(scope={VERIFIED: token}, is_disconnected=here)
        super().__init__(request)


async def test_nobody_waits_for_longer_than_their_token_counts() -> None:
    world = World(begun())
    first, soon = world.call, TOKEN._replace(valid_until=NOW.timestamp() + 0.01)
    async with world.waiting().hold(first.ref, AGENT, soon) as held:
        waits = asyncio.create_task(answer(held, first, Asking(soon)))
        await world.happens(masked(), Allowed(**JUDGED))
        assert (await waits).state == "allowed", "as the call stands then: it goes on"
        assert held.within(600) == pytest.approx(0.01, abs=0.001)
    world.now += timedelta(seconds=600)
    async with world.waiting().hold(first.ref, AGENT, TOKEN) as held:
        assert held.ended() is Refusal.EXPIRED
        assert await answer(held, first, Asking(TOKEN)) == first


async def test_whoever_is_revoked_is_let_go_and_told_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WATCH_EVERY", 0.001)
    world = World(begun())
    first, waiting, other = world.call, world.waiting(), TOKEN._replace(issued_at=0)
    watcher = asyncio.create_task(waiting.watch_revocations())
    async with waiting.hold(first.ref, AGENT, TOKEN) as held, waiting.hold(first.ref, AGENT, other) as stays:
        waits = asyncio.create_task(answer(held, first, Asking(TOKEN)))
        waits_on = asyncio.create_task(answer(stays, first, Asking(other)))
        await asyncio.wait((waits, waits_on), timeout=0)  # they wait now
        world.ended.append(TOKEN)
        await world.happens(masked(), Denied(code="no", **JUDGED))
        assert await waits == first, "not the answer that came when the token was revoked already"
        assert (await waits_on).state == "denied"
    async with waiting.hold(first.ref, AGENT, TOKEN) as held:  # revoked before anybody waited
        assert await answer(held, first, Asking(TOKEN)) == first
    async with waiting.hold(first.ref, AGENT, other) as held:  # only known now
        waits = asyncio.create_task(answer(held, first, Asking(other)))
        await asyncio.wait((waits,), timeout=0)
        world.ended.append(other)
        world.changes += 1
        assert await waits == first
    watcher.cancel()
    assert (world.reads, world.looks) == (0, 0)


async def test_no_more_are_held_than_may_be() -> None:
    world = World(begun())
    waiting = world.waiting(limit=1)
    async with waiting.hold(world.call.ref, AGENT, TOKEN):
        assert len(waiting) == 1
        with pytest.raises(TooManyHeld):
            async with waiting.hold(world.call.ref, AGENT, TOKEN):
                pass
    world.away = True
    with pytest.raises(BrokerAway):
        async with waiting.hold(world.call.ref, AGENT, TOKEN):
            pass
    assert len(waiting) == 0


async def test_what_is_kept_unread_is_bounded_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_BYTES", 100)
    world = World(begun())
    first = world.call
    waiting = world.waiting()
    async with waiting.hold(first.ref, AGENT, TOKEN) as held:
        await world.arrives(first.ref.subject("arguments_masked"), 2, size=90)
        assert waiting.kept_bytes == 90
        await world.arrives(first.ref.subject("allowed"), 3, size=90)
        assert waiting.kept_bytes == 0
        await world.happens(masked(), Denied(code="no", **JUDGED))
        assert (await answer(held, first)).state == "denied"
        assert world.reads == 1
    assert waiting.kept_bytes == 0


async def test_what_happens_during_a_read_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_BYTES", 100)
    world = World(completed())
    first = world.call
    async with world.waiting().hold(first.ref, AGENT, TOKEN) as held:
        read, go_on, plain = asyncio.Event(), asyncio.Event(), world.read

        async def slow(ref: Any) -> Chain:
            chain = await plain(ref)
            read.set()
            await go_on.wait()
            return chain

        world.read = slow  # type: ignore[method-assign]
        await world.arrives(
            first.ref.subject("result_masked"), 50, size=1000
        )  # too much to keep: only the log can tell
        waits = asyncio.create_task(answer(held, first))
        await read.wait()
        await world.happens(result())
        go_on.set()
        assert (await waits).state == "result_masked"
    assert world.reads == 1
