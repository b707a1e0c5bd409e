"""What waits for people: an in-memory projection, rebuilt from the log at every start.

Events are only cues: whenever one touches a call that people were asked about, its chain is read from the leader and
folded anew, so neither the order in which cues arrive nor a forged one matters. At the start most calls that were ever
asked about are over: that is seen by one request to any replica, and the leader is asked about the rest alone.
"""

import asyncio
import logging
from collections.abc import Iterator

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
    Recorded,
    Rejected,
    VoteCast,
)
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition, event_filter
from services.approval.changes import Changes
from services.approval.domain import Question, question_of

logger = logging.getLogger("services.approval")

_TOUCHING = tuple(event.NAME for event in (VoteCast, Approved, Rejected, ApprovalExpired, ArgumentsAmended, Cancelled))
_AT_ONCE = 16
"""Chains read at the same time."""
_AWAY_PAUSE = 0.25


class Waiting:
    """The calls that wait for people. Run `follow` in the background; `ready` once the past has been read."""

    def __init__(self, client: Client, log: Log, verifier: Verifier, partitions: tuple[Partition, ...]) -> None:
        self._client = client
        self._log = log
        self._verifier = verifier
        self._partitions = partitions
        self._waiting: dict[CallRef, Question] = {}
        self._touched: dict[CallRef, int] = {}
        """The sequence of the question by which the past told of a call; 0 where an event of now did."""
        self.changes = Changes()
        """Of the calls that wait."""
        self._cue = asyncio.Event()
        self._idle = asyncio.Event()
        self._ready = asyncio.Event()

    def __iter__(self) -> Iterator[Question]:
        """What waits, by expiry."""
        return iter(sorted(self._waiting.values(), key=lambda question: (question.expires_at, str(question.ref))))

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_ready(self) -> bool:
        return self._ready.is_set()

    async def until_ready(self) -> None:
        await self._ready.wait()

    async def follow(self) -> None:
        """Reads the past, then keeps up, for ever; waits out a broker that is away."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._refresh_touched())
            for partition in self._partitions:
                # What ends a waiting is followed from here on; what ended one before is seen when the past is read.
                end = await self._end_of(partition)
                for name in _TOUCHING:
                    group.create_task(self._touch_each(partition, name, end))
            for partition in self._partitions:
                asked = await self._touch_past(partition)
                group.create_task(self._touch_each(partition, ApprovalRequired.NAME, asked))
            self._idle.clear()
            self._cue.set()
            await self._idle.wait()
            self._ready.set()
            logger.info("what waits has been read", extra={"waiting": len(self._waiting)})

    async def _end_of(self, partition: Partition) -> int:
        while True:
            try:
                return await reading.last_sequence(self._client, partition.stream)
            except BrokerAway:
                await asyncio.sleep(_AWAY_PAUSE)

    async def _touch_past(self, partition: Partition) -> int:
        """Touches every call that people were ever asked about; the sequence of the last such question."""
        wanted, last = event_filter(ApprovalRequired.NAME, str(partition)), 0
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

    async def _touch_each(self, partition: Partition, name: str, after: int) -> None:
        async for recorded in self._log.follow(partition, after, name):
            if isinstance(recorded, Recorded):
                self._touch(recorded.ref)

    def _touch(self, ref: CallRef) -> None:
        self._touched[ref] = 0
        self._cue.set()

    def _touch_before(self, question: Recorded) -> None:
        if self._touched.get(question.ref) != 0:
            self._touched[question.ref] = question.sequence
            self._cue.set()

    async def _refresh_touched(self) -> None:
        """One reader for all, so that an older reading of a call never overwrites a newer one."""
        while True:
            await self._cue.wait()
            # The latest first: at start those are the ones that may still wait.
            batch = [self._touched.popitem() for _ in range(min(_AT_ONCE, len(self._touched)))]
            await asyncio.gather(*(self._refresh(ref, asked) for ref, asked in batch))
            if not self._touched:
                self._cue.clear()
                self._idle.set()

    async def _refresh(self, ref: CallRef, asked: int) -> None:
        try:
            over = asked > 0 and await self._is_over(ref, asked)
            question = None if over else question_of((await self._log.read(ref)).call)
        except BrokerAway:
            self._touched.setdefault(ref, asked)
            await asyncio.sleep(_AWAY_PAUSE)
            return
        before = self._waiting.pop(ref, None)
        if question is not None and question.waiting:
            self._waiting[ref] = question
        if before is not None or question is not None:
            self.changes.tell(ref, frozenset().union(*(one.concerned for one in (before, question) if one is not None)))

    async def _is_over(self, ref: CallRef, asked: int) -> bool:
        """Whether nobody is asked any more, as any replica tells that has the question at that sequence.

        Where the chain went past a question, it never comes back to it; a later question is a later cue.
        """
        messages, complete = await reading.direct_batch(self._client, ref.partition.stream, ref.all_events, 1)
        if not complete or all(message.sequence != asked for message in messages):
            return False
        verified = (self._verifier.verify(message) for message in messages)
        recorded = [event for event in verified if isinstance(event, Recorded)]
        question = question_of(Call.replay(ref, self._log.origin(ref).digest, recorded))
        return question is None or not question.waiting
