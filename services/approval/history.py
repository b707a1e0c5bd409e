"""What helps people decide beside the call itself: what its session did before, and how others decided alike.

The first is read from the log when somebody looks. The second is an in-memory projection of what was decided lately,
read back from the log's end at every start and followed from then on.
"""

import asyncio
import bisect
import contextlib
import logging
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from nats.aio.client import Client

from callgate.errors import BrokerAway
from callgate.log import Log, reading
from callgate.log.messages import Verifier
from contracts.events import ApprovalExpired, Approved, Cancelled, EventData, Recorded, Rejected, VoteCast
from contracts.freezes import FROZEN
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition, event_filter, parse_call_subject, session_filter
from services.approval.domain import Question, question_of

logger = logging.getLogger("services.approval")

_RECENT = 1000
"""Calls of a session among which earlier ones are looked for: the last so many, however many it has."""
_NO_PAGE = 2**31
"""More subjects than a stream has: of the answer, their number alone is wanted."""
_CHAIN = 64
"""Events read of each earlier call; a longer one is told of as it was then."""
_PER_FUNCTION = 20
_FUNCTIONS = 1024
_READ_BACK = 500
"""Of each kind of decision and partition, at the start."""
_WINDOW = 4096
"""Messages of the log that are looked through first, from its end; four times as many, where that was not enough."""
_AT_ONCE = 16
_AWAY_PAUSE = 0.25
_STOPPED = 1000
"""Calls kept that freezes cancelled."""
_CONCLUDING: tuple[type[EventData], ...] = (Approved, Rejected, ApprovalExpired, Cancelled)

Outcome = Literal["approved", "rejected", "expired"]


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier call of the same session."""

    ref: CallRef
    function: str
    state: str
    """In the words that agents are told: `completed`, `denied`, …"""
    at: datetime
    """When it was asked for."""


@dataclass(frozen=True, slots=True)
class Decided:
    """How people decided on a call. It may have been denied or have failed after that."""

    ref: CallRef
    function: str
    outcome: Outcome
    by: tuple[str, ...]
    """Whose votes decided; nobody where it expired."""
    at: datetime
    requester: Principal


@dataclass(frozen=True, slots=True)
class Stopped:
    """A call that waited for people until a freeze cancelled it."""

    question: Question
    cancelled: Cancelled
    at: datetime


def past_of(call: Call) -> Past | None:
    """None for what never began: on its subjects stands nothing that verifies."""
    if not call.chain:
        return None
    return Past(call.ref, call.requested.function, call.status, call.chain[0].event.at)


def decided_in(call: Call, digest: str) -> Decided | None:
    """What the concluding event of that digest decided; None where it is no part of the chain."""
    concluding = next((one for one in call.chain if one.digest == digest), None)
    match concluding.data if concluding is not None else None:
        case Approved(votes=votes):
            outcome: Outcome = "approved"
            voters = {one.event.event_id: one.data.reviewer.id for one in call.chain if isinstance(one.data, VoteCast)}
            by = tuple(dict.fromkeys(voters[vote] for vote in votes if vote in voters))
        case Rejected(by=rejected_by):
            outcome, by = "rejected", (rejected_by,)
        case ApprovalExpired():
            outcome, by = "expired", ()
        case _:
            return None
    assert concluding is not None  # noqa: S101  # it matched
    requested = call.requested
    return Decided(call.ref, requested.function, outcome, by, concluding.event.at, requested.principal)


class History:
    """Run `follow` in the background; until it has read back, `earlier` knows less."""

    def __init__(self, client: Client, log: Log, verifier: Verifier, partitions: tuple[Partition, ...]) -> None:
        self._client = client
        self._log = log
        self._verifier = verifier
        self._partitions = partitions
        self._decided: OrderedDict[str, list[Decided]] = OrderedDict()
        """By function, each in the order of time; the function that was decided on last comes last."""
        self._stopped: deque[Stopped] = deque(maxlen=_STOPPED)
        self._ready = asyncio.Event()

    async def session_so_far(self, ref: CallRef, limit: int = 10) -> tuple[Past, ...]:
        """The calls of its session that were asked for before this one, the latest first. BrokerAway.

        Bounded however long the session is: its last 1,000 calls are looked through, and `limit` of them read.
        """
        stream, wanted = ref.partition.stream, session_filter(ref.partition, ref.session_id, "requested")
        # Ids of calls are UUIDv7 and subjects come in alphabetical order: the last ones are the latest.
        _, total = await reading.subjects(self._client, stream, wanted, _NO_PAGE)
        found, _ = await reading.subjects(self._client, stream, wanted, max(0, total - _RECENT))
        others = sorted(_calls_of(found), reverse=True)
        before = [other for other in others if other.call_id < ref.call_id][:limit]
        calls = await asyncio.gather(*(self._read(other) for other in before))
        return tuple(past for call in calls if (past := past_of(call)) is not None)

    def earlier(self, function: str, limit: int = 5) -> tuple[Decided, ...]:
        """The last decisions on calls of this function, by any agent, the latest first."""
        return tuple(reversed(self._decided.get(function, ())))[:limit]

    def decided(self) -> tuple[Decided, ...]:
        """Every decision that is remembered."""
        return tuple(one for kept in self._decided.values() for one in kept)

    def stopped(self) -> tuple[Stopped, ...]:
        """The last calls that freezes cancelled while they waited for people."""
        return tuple(self._stopped)

    async def until_ready(self) -> None:
        """Returns when the past has been read back."""
        await self._ready.wait()

    async def follow(self) -> None:
        """Reads back, then keeps up, for ever; waits out a broker that is away."""
        async with asyncio.TaskGroup() as group:
            past: list[Recorded] = []
            for partition in self._partitions:
                end = await self._end_of(partition)
                for kind in _CONCLUDING:
                    past += await self._read_back(partition, kind.NAME, end)
                    group.create_task(self._note_each(partition, kind.NAME, end))
            past.sort(key=lambda one: one.event.at)
            for start in range(0, len(past), _AT_ONCE):
                await asyncio.gather(*(self._note(one) for one in past[start : start + _AT_ONCE]))
            self._ready.set()
            logger.info("earlier decisions have been read", extra={"functions": len(self._decided)})

    async def _read(self, ref: CallRef) -> Call:
        messages, _ = await reading.direct_batch(self._client, ref.partition.stream, ref.all_events, 1, _CHAIN)
        verified = (self._verifier.verify(message) for message in messages)
        events: Iterable[Recorded] = (one for one in verified if isinstance(one, Recorded))
        return Call.replay(ref, self._log.origin(ref).digest, events)

    async def _end_of(self, partition: Partition) -> int:
        while True:
            try:
                return await reading.last_sequence(self._client, partition.stream)
            except BrokerAway:
                await asyncio.sleep(_AWAY_PAUSE)

    async def _read_back(self, partition: Partition, name: str, end: int) -> list[Recorded]:
        """The last events of that name up to `end`. A stream is read forwards only, so windows at its end are."""
        wanted, window = event_filter(name, str(partition)), _WINDOW
        while True:
            start = max(1, end - window + 1)
            found: deque[Recorded] = deque(maxlen=_READ_BACK)
            try:
                async for message in reading.direct_all(self._client, partition.stream, wanted, start):
                    verified = self._verifier.verify(message)
                    if isinstance(verified, Recorded) and message.sequence <= end:
                        found.append(verified)
            except BrokerAway:
                await asyncio.sleep(_AWAY_PAUSE)
                continue
            if len(found) == _READ_BACK or start == 1:
                return list(found)
            window *= 4

    async def _note_each(self, partition: Partition, name: str, after: int) -> None:
        async for recorded in self._log.follow(partition, after, name):
            if isinstance(recorded, Recorded):
                await self._note(recorded)

    async def _note(self, concluding: Recorded) -> None:
        if isinstance(concluding.data, Cancelled) and concluding.data.code != FROZEN:
            return  # its agent withdrew it
        while True:
            try:
                call = (await self._log.read_upto(concluding)).call
                break
            except BrokerAway:
                await asyncio.sleep(_AWAY_PAUSE)
        if isinstance(concluding.data, Cancelled):
            question = question_of(call)
            if question is not None and any(one.digest == concluding.digest for one in call.chain):
                self._stopped.append(Stopped(question, concluding.data, concluding.event.at))
            return
        decided = decided_in(call, concluding.digest)
        if decided is None:
            return
        kept = self._decided.setdefault(decided.function, [])
        # Partitions and kinds are followed side by side, so they may come out of order.
        bisect.insort(kept, decided, key=lambda one: one.at)
        del kept[:-_PER_FUNCTION]
        self._decided.move_to_end(decided.function)
        if len(self._decided) > _FUNCTIONS:
            self._decided.popitem(last=False)


def _calls_of(subjects: Iterable[str]) -> Iterator[CallRef]:
    for subject in subjects:
        with contextlib.suppress(ValueError):  # a strange subject; audit alarms about it
            yield parse_call_subject(subject)[0]
