"""What waits for people, to be decided or to be settled: an in-memory projection, rebuilt from the log at every start.

Events are only cues: whenever one touches a call that waits, or may come to, its chain is read from the leader and
folded anew, so neither the order in which cues arrive nor a forged one matters. At the start most calls that ever
waited are over: that is seen by one request to any replica, and the leader is asked about the rest alone.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from nats.aio.client import Client

from callgate.errors import BrokerAway
from callgate.log import Log, reading
from callgate.log.messages import Verifier
from contracts.events import (
    ApprovalExpired,
    ApprovalRequired,
    Approved,
    ArgumentsAmended,
    Cancelled,
    EventData,
    ExecutionCompleted,
    ExecutionFailed,
    OutcomeSettled,
    OutcomeUnknown,
    Recorded,
    Rejected,
    VoteCast,
)
from contracts.lifecycle import Call
from contracts.model import rfc3339
from contracts.subjects import CallRef, Partition, event_filter
from services.approval.domain import CallFacts, Question, question_of
from services.approval.outcomes import Unsettled, unsettled_of

logger = logging.getLogger("services.approval")

_AT_ONCE = 16
"""Chains read at the same time."""
_AWAY_PAUSE = 0.25
_GATHERING = 0.02
"""Seconds in which what touches a call is gathered: a vote and what it comes to take one reading, and that not at the
moment when the call itself goes on."""

W = TypeVar("W", bound=CallFacts)


@dataclass(frozen=True, slots=True)
class Kind(Generic[W]):
    """One kind of waiting: the event with which it begins, those that may change or end it, and its order."""

    begins: type[EventData]
    touches: tuple[type[EventData], ...]
    waiting_in: Callable[[Call], W | None]
    """What waits in a call at this moment."""
    position: Callable[[W], str]
    """Text order is the order of what waits."""


def _asked(call: Call) -> Question | None:
    question = question_of(call)
    return question if question is not None and question.waiting else None


def _unsettled(call: Call) -> Unsettled | None:
    unsettled = unsettled_of(call)
    return unsettled if unsettled is not None and unsettled.waiting else None


QUESTIONS: Kind[Question] = Kind(
    ApprovalRequired,
    (VoteCast, Approved, Rejected, ApprovalExpired, ArgumentsAmended, Cancelled),
    _asked,
    lambda question: f"{rfc3339(question.expires_at)}_{question.ref}",
)
"""By expiry."""
UNSETTLED: Kind[Unsettled] = Kind(
    OutcomeUnknown,
    (OutcomeSettled, ExecutionCompleted, ExecutionFailed),
    _unsettled,
    lambda unsettled: f"{rfc3339(unsettled.since)}_{unsettled.ref}",
)
"""The oldest first."""


def _tell_nobody(_: CallFacts) -> None:
    """Where nobody looks at what waits."""


class Waiting(Generic[W]):
    """The calls that wait. Run `follow` in the background; `ready` once the past has been read.

    `changed` is called with what came to wait, changed while it waited, or, as it was, with what waits no more.
    """

    def __init__(
        self,
        kind: Kind[W],
        client: Client,
        log: Log,
        verifier: Verifier,
        partitions: tuple[Partition, ...],
        changed: Callable[[W], None] = _tell_nobody,
    ) -> None:
        self._kind = kind
        self._client = client
        self._log = log
        self._verifier = verifier
        self._partitions = partitions
        self._changed = changed
        self._waiting: dict[CallRef, tuple[str, W]] = {}
        """With its position, which is made once: the list is sorted whenever somebody looks."""
        self._touched: dict[CallRef, int] = {}
        """The sequence of the beginning by which the past told of a call; 0 where an event of now did."""
        self._reading: frozenset[CallRef] = frozenset()
        self._overtaken: set[CallRef] = set()
        """Of those that are being read, what was told of meanwhile: the reading may be older, and counts nothing."""
        self._cue = asyncio.Event()
        self._idle = asyncio.Event()
        self._ready = asyncio.Event()

    def __iter__(self) -> Iterator[W]:
        """What waits, in the order of its kind."""
        return iter([one for _, one in sorted(self._waiting.values(), key=lambda placed: placed[0])])

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    async def until_ready(self) -> None:
        await self._ready.wait()

    def know(self, call: Call) -> None:
        """How a call stands that waits as far as we know, from who continued it here: whoever asks what waits right
        after their own decision must not wait for its cue. It is read as well, since others may have gone on from there
        and have been read already."""
        if call.ref in self._waiting:
            self._place(call.ref, self._kind.waiting_in(call))
            self._touch(call.ref)
            if call.ref in self._reading:
                self._overtaken.add(call.ref)

    async def follow(self) -> None:
        """Reads the past, then keeps up, for ever; waits out a broker that is away."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._refresh_touched())
            for partition in self._partitions:
                # What ends a waiting is followed from here on; what ended one before is seen when the past is read.
                end = await self._end_of(partition)
                for event in self._kind.touches:
                    group.create_task(self._touch_known(partition, event, end))
            for partition in self._partitions:
                begun = await self._touch_past(partition)
                group.create_task(self._touch_begun(partition, begun))
            self._idle.clear()
            self._cue.set()
            await self._idle.wait()
            self._ready.set()
            logger.info("what waits has been read", extra=self._counted())

    async def _end_of(self, partition: Partition) -> int:
        while True:
            try:
                return await reading.last_sequence(self._client, partition.stream)
            except BrokerAway:
                await asyncio.sleep(_AWAY_PAUSE)

    async def _touch_past(self, partition: Partition) -> int:
        """Touches every call that ever came to wait; the sequence of the last such beginning."""
        wanted, last = event_filter(self._kind.begins.NAME, str(partition)), 0
        while True:
            try:
                async for message in reading.direct_all(self._client, partition.stream, wanted, last + 1):
                    last = message.sequence
                    verified = self._verifier.verify(message)
                    if isinstance(verified, Recorded):
                        self._touch_before(verified)
                return last
            except BrokerAway:
                await asyncio.sleep(_AWAY_PAUSE)

    async def _touch_begun(self, partition: Partition, after: int) -> None:
        async for recorded in self._log.follow(partition, after, self._kind.begins.NAME):
            if isinstance(recorded, Recorded):
                self._touch(recorded.ref)

    async def _touch_known(self, partition: Partition, event: type[EventData], after: int) -> None:
        """Touches what waits as far as we know; what we do not know of yet will be read when its beginning tells."""
        async for recorded in self._log.follow(partition, after, event.NAME):
            if isinstance(recorded, Recorded) and self._knows(recorded.ref):
                self._touch(recorded.ref)

    def _knows(self, ref: CallRef) -> bool:
        return ref in self._waiting or ref in self._touched or ref in self._reading

    def _touch(self, ref: CallRef) -> None:
        self._touched[ref] = 0
        self._cue.set()

    def _touch_before(self, begun: Recorded) -> None:
        if self._touched.get(begun.ref) != 0:
            self._touched[begun.ref] = begun.sequence
            self._cue.set()

    async def _refresh_touched(self) -> None:
        """One reader for all, so that an older reading of a call never overwrites a newer one."""
        while True:
            await self._cue.wait()
            if self._ready.is_set() and len(self._touched) < _AT_ONCE:  # behind more than that, they gather anyway
                await asyncio.sleep(_GATHERING)
            # The latest first: at start those are the ones that may still wait.
            batch = [self._touched.popitem() for _ in range(min(_AT_ONCE, len(self._touched)))]
            self._reading = frozenset(ref for ref, _ in batch)
            await asyncio.gather(*(self._refresh(ref, begun) for ref, begun in batch))
            self._reading = frozenset()
            self._overtaken.clear()
            if not self._touched:
                self._cue.clear()
                self._idle.set()

    async def _refresh(self, ref: CallRef, begun: int) -> None:
        try:
            over = begun > 0 and await self._is_over(ref, begun)
            found = None if over else self._kind.waiting_in((await self._log.read(ref)).call)
        except BrokerAway:
            self._touched.setdefault(ref, begun)
            await asyncio.sleep(_AWAY_PAUSE)
            return
        if ref not in self._overtaken:
            self._place(ref, found)

    def _place(self, ref: CallRef, found: W | None) -> None:
        _, before = self._waiting.pop(ref, ("", None))
        if found is not None:
            self._waiting[ref] = (self._kind.position(found), found)
        told = found or before
        if told is not None and found != before:
            self._changed(told)

    async def _is_over(self, ref: CallRef, begun: int) -> bool:
        """Whether it waits no more, as any replica tells that has the beginning at that sequence.

        Where the chain went past a beginning, it never comes back to it; a later one is a later cue.
        """
        messages, complete = await reading.direct_batch(self._client, ref.partition.stream, ref.all_events, 1)
        if not complete or all(message.sequence != begun for message in messages):
            return False
        verified = (self._verifier.verify(message) for message in messages)
        recorded = [event for event in verified if isinstance(event, Recorded)]
        return self._kind.waiting_in(Call.replay(ref, self._log.origin(ref).digest, recorded)) is None

    def _counted(self) -> dict[str, int | str]:
        return {"waiting": len(self._waiting), "since": self._kind.begins.NAME}
