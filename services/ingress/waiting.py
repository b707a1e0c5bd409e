"""Calls held open: one core NATS subscription each on what the broker republishes, made before the append.

What arrives is kept as it came, and verified and parsed (which takes many times the room) only when an answer is among
it. Core NATS may lose messages, so the log
has the last word: it is read wherever the fold misses something or meets what is no part of the chain, after every
reconnect, and (cheaply, one message) every few seconds.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from callgate.errors import BrokerAway
from callgate.identity.claims import Verified
from callgate.identity.errors import Refusal
from callgate.log import Alien, Log, reading
from callgate.log.messages import VERIFIED_HEADERS, Message, Verifier
from callgate.nats_client import at_once
from callgate.telemetry import HELD
from contracts.identity import Principal
from contracts.lifecycle import NOTHING, Call, IllegalTransition
from contracts.subjects import CallRef
from services.ingress.bearers import Bearers
from services.ingress.domain import ANSWER_EVENTS, is_answered
from services.ingress.leaving import Leaving
from services.ingress.room import Room

logger = logging.getLogger("services.ingress")

LOOK_EVERY = 10.0
"""Seconds after which a held call that heard nothing looks at the log, and whether its caller is still there."""
_LOOKS_A_SECOND = 50.0
"""For all held calls together: where many wait, each looks less often."""
_READS_AT_ONCE = 16
_READ_SECONDS = 5.0
_AGAIN_AFTER = 1.0
"""Seconds after which a call whose reading failed is read again."""
_KEPT_BYTES = 64 * 1024 * 1024
"""Of unread messages for all held calls together; beyond, they are dropped and the log is read instead."""
_WATCH_EVERY = 0.2
_FOLD_SECONDS = 3.0
"""For all held calls together, once the process ends: each that is left is told what was known of it before."""

Cues = frozenset[str] | None
"""The events that wake whoever waits (None: each of them)."""
Gone = Callable[[], Awaitable[bool]]
Told = Callable[[Call], Awaitable[None]]
"""Is told of a call that is not answered yet: how it stands at first, and after each event of `FOLLOWED`."""
FOLLOWED = ANSWER_EVENTS | {"approval_required", "vote_cast", "arguments_amended", "approved", "execution_started"}
"""The events that wake whoever waits and tells its caller how the call stands."""


class Waiting:
    """All calls that this process holds open."""

    def __init__(
        self,
        client: Client,
        log: Log,
        verifier: Verifier,
        room: Room,
        bearers: Bearers,
        look_every: float = LOOK_EVERY,
    ) -> None:
        self.client = client
        self.verifier = verifier
        self.room = room
        self.bearers = bearers
        self.kept_bytes = 0
        self._log = log
        self._look_every = look_every
        self._held: set[Held] = set()
        self._reading = asyncio.Semaphore(_READS_AT_ONCE)
        self.stopping = False
        """The process ends: who waits is told how the call stands, and asks again elsewhere."""
        self._fold_until = 0.0

    def __len__(self) -> int:
        return len(self._held)

    def release(self) -> None:
        """Lets go of everybody who waits, now and from now on."""
        self.stopping = True
        self._fold_until = asyncio.get_running_loop().time() + _FOLD_SECONDS
        for held in tuple(self._held):
            held.wake()

    def may_fold(self) -> bool:
        """While the process ends: whether there is time to fold what arrived of one more call."""
        return asyncio.get_running_loop().time() < self._fold_until

    @contextlib.asynccontextmanager
    async def hold(
        self, ref: CallRef, principal: Principal, bearer: Verified | None, cues: Cues = ANSWER_EVENTS
    ) -> "AsyncIterator[Held]":
        """Listens to a call from now on, for a principal with that token. TooManyHeld, BrokerAway."""
        self.room.enter(principal)
        held = Held(self, ref, bearer, cues)
        self._held.add(held)
        HELD.inc()
        try:
            try:
                subscription = await self.client.subscribe(ref.live, cb=at_once(held.receive))
            except (NatsError, ConnectionError):
                raise BrokerAway from None
            try:
                yield held
            finally:
                with contextlib.suppress(NatsError, ConnectionError):
                    await subscription.unsubscribe()
        finally:
            self._held.discard(held)
            self.room.leave(principal)
            HELD.dec()
            held.drop()

    async def watch_connection(self) -> None:
        """After each reconnect every held call reads the log: what was republished meanwhile is gone."""
        seen = self.client.stats["reconnects"]
        while True:
            await asyncio.sleep(_WATCH_EVERY)  # the reconnect callback is the broker framework's own
            # Connected again, and every subscription replayed: from here on nothing slips between log and cues.
            if self.client.is_connected and self.client.stats["reconnects"] != seen:
                seen = self.client.stats["reconnects"]
                logger.info("the broker is back; held calls read the log", extra={"held": len(self._held)})
                for held in tuple(self._held):
                    held.look_again()

    async def watch_revocations(self) -> None:
        """Wakes those whose token somebody revoked, as soon as that is known here."""
        seen = self.bearers.changes
        while True:
            await asyncio.sleep(_WATCH_EVERY)
            if self.bearers.changes != seen:
                seen = self.bearers.changes
                for held in tuple(self._held):
                    if held.ended() is Refusal.REVOKED:
                        held.wake()

    async def read(self, ref: CallRef) -> tuple[Call, int]:
        """The call from the leader, and the last sequence on its subjects. BrokerAway."""
        self._require_connection()
        async with self._reading:
            chain = await self._log.read(ref)
        return chain.call, chain.last_sequence

    async def last_sequence(self, ref: CallRef) -> int:
        """Of whatever stands last on the call's subjects, by one request. BrokerAway."""
        self._require_connection()
        async with self._reading:
            last = await reading.leader_last(self.client, ref.partition.stream, ref.all_events)
        return last.sequence if last is not None else 0

    def _require_connection(self) -> None:
        if not self.client.is_connected:
            raise BrokerAway  # at once: a request would only time out, and the others wait behind it

    def pause(self) -> float:
        """Seconds until a held call looks by itself, jittered."""
        return max(self._look_every, len(self._held) / _LOOKS_A_SECOND) * random.uniform(0.75, 1.25)  # noqa: S311


class Held:
    """One call held open: what arrived of it and has not been folded yet."""

    __slots__ = (
        "_bearer",
        "_bytes",
        "_cue",
        "_cues",
        "_left",
        "_look",
        "_missed",
        "_ref",
        "_unread",
        "_upto",
        "_waiting",
        "_woken",
    )

    def __init__(self, waiting: Waiting, ref: CallRef, bearer: Verified | None, cues: Cues) -> None:
        self._waiting = waiting
        self._ref = ref
        self._bearer = bearer
        self._cues = cues
        self._unread: list[Message] = []
        self._bytes = 0
        self._missed = False
        """Messages were dropped, or a reading failed: only the log can tell."""
        self._look = False
        """Messages may have been lost: compare with the log."""
        self._upto = 0
        self._left = False
        """The connection of who asked is lost."""
        self._woken = False
        self._cue: asyncio.Future[None] | None = None
        """Of who waits now; an `asyncio.Event` for each of thousands takes 0.8 KB."""

    def receive(self, raw: Msg) -> None:
        """A republished message of the call."""
        size = len(raw.data)
        if self._waiting.kept_bytes + size > _KEPT_BYTES:
            self.drop()
            self._missed = True
        elif not self._missed:
            self._keep(raw, size)
        if self._cues is None or raw.subject.rpartition(".")[2] in self._cues:
            self.wake()

    def _keep(self, raw: Msg, size: int) -> None:
        try:
            message = reading.from_direct(raw)
        except (KeyError, ValueError):
            self._missed = True
            return
        headers = {name: message.headers[name] for name in VERIFIED_HEADERS if name in message.headers}
        self._unread.append(replace(message, headers=headers))
        self._bytes += size
        self._waiting.kept_bytes += size

    def wake(self) -> None:
        self._woken = True
        if self._cue is not None and not self._cue.done():
            self._cue.set_result(None)

    def leave(self) -> None:
        """Who asked has left."""
        self._left = True
        self.wake()

    def look_again(self) -> None:
        """Something may have been missed."""
        self._look = True
        self.wake()

    def drop(self) -> None:
        """Gives back what is kept."""
        self._waiting.kept_bytes -= self._bytes
        self._unread, self._bytes = [], 0

    def ended(self) -> Refusal | None:
        """Why its caller may wait no longer; None while they may."""
        return None if self._bearer is None else self._waiting.bearers.ended(self._bearer)

    def within(self, seconds: float) -> float:
        """So many seconds, or those that its caller's token counts, if they are fewer."""
        return seconds if self._bearer is None else min(seconds, self._waiting.bearers.seconds_left(self._bearer))

    async def until_answered(self, call: Call, seconds: float, gone: Gone, told: Told | None = None) -> Call:
        """The call once its caller has its answer; as it stands after `seconds`, or once the caller is gone or their
        token counts no more."""
        clock = asyncio.get_running_loop().time
        until = clock() + self.within(seconds)
        known = 0
        with gone.telling(self.leave) if isinstance(gone, Leaving) else contextlib.nullcontext():
            while not is_answered(call) and not self._waiting.stopping and self.ended() is None:
                if told is not None and len(call.chain) > known:
                    known = len(call.chain)
                    await told(call)
                left = until - clock()
                if left <= 0:
                    break
                call, woken = await self.next(call, left)
                if self._left or (not woken and await gone()):
                    break
        return call

    async def next(self, call: Call, seconds: float) -> tuple[Call, bool]:
        """The call after the next cue, or after `seconds` or the next look without one; and whether there was a cue."""
        pause = _AGAIN_AFTER if self._missed or self._look else self._waiting.pause()
        woken = await self._cued(min(seconds, pause))
        if self._left or self.ended() is Refusal.REVOKED:
            # Thousands may leave at once, and nobody reads how their calls stand; whoever is revoked is told no more.
            return call, woken
        if self._waiting.stopping:
            return (self._fold(call) if self._waiting.may_fold() else None) or call, woken
        if not woken:
            self._look = True
        return await self._caught_up(call, idle=not woken and pause < seconds), woken

    async def _cued(self, seconds: float) -> bool:
        """Whether there is a cue within so many seconds, or was one already."""
        if not self._woken:
            self._cue = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(seconds):
                    await self._cue
            except TimeoutError:
                pass
            finally:
                self._cue = None
        woken, self._woken = self._woken, False
        return woken

    async def _caught_up(self, call: Call, *, idle: bool) -> Call:
        """The call with what arrived, and where that may not be all, with what the log says. Where it is `idle`, nobody
        asks yet: what arrived stays unread if it is all that there is."""
        idle = idle and not self._missed and call.state != NOTHING
        folded = call if idle else self._fold(call)
        if folded is not None and not self._look:
            return folded
        call = folded or call
        try:
            async with asyncio.timeout(_READ_SECONDS):
                if folded is not None and await self._waiting.last_sequence(self._ref) <= self._arrived(call):
                    self._look = False
                    return call
                # From here on what arrives is kept: the reading may not have it any more.
                self.drop()
                self._missed = self._look = False
                read, self._upto = await self._waiting.read(self._ref)
        except (BrokerAway, TimeoutError):
            self._missed = True
            return call
        # A chain shorter than what we know comes from a leader that lags.
        return read if len(read.chain) >= len(call.chain) else call

    def _arrived(self, call: Call) -> int:
        """The last sequence that is known, read or not."""
        return max(self._seen(call), self._unread[-1].sequence if self._unread else 0)

    def _seen(self, call: Call) -> int:
        return max(self._upto, call.head.sequence if call.head else 0)

    def _fold(self, call: Call) -> Call | None:
        """The call with what arrived, or None where the log must be asked."""
        messages = self._unread
        self.drop()
        if self._missed or call.state == NOTHING:
            return None
        for message in messages:
            try:
                if message.sequence <= self._seen(call):
                    continue
                verified = self._waiting.verifier.verify(message)
                if isinstance(verified, Alien):
                    return None
                call = call.apply(verified)
            except (ValueError, IllegalTransition):
                return None
        return call
