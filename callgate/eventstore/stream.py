"""Inserting into and reading from one stream, on the connection's loop.

One insert is one message or one atomic batch (ADR-50 of NATS), and the first event of each subject is conditional on
what stands there: `Nats-Expected-Last-Subject-Sequence`. A writer mostly knows that sequence from its last read or
write; a wrong guess costs a look, never a wrong write.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from eventsourcing.persistence import DataError, IntegrityError, OperationalError, ProgrammingError
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError

from callgate.errors import BrokerAway
from callgate.eventstore.wire import INSERT, TOPIC, VERSION, Entry, version_of
from callgate.ids import token as random_token
from callgate.log import reading
from callgate.log.messages import Message

MAX_BATCH = 1000
"""Events in one insert: what nats-server takes as one atomic batch."""
INSERT_TIMEOUT = 10.0
_ACK_TIMEOUT = 5.0
_BACKOFF = 0.005, 0.25
_BATCHES_AT_ONCE = 16
"""Of one connection: the server takes 50 open batches a stream, from all writers together."""
_KNOWN = 4096
"""How many subjects' ends are remembered."""

_RACES = frozenset({10071, 10164})
"""The subject's last sequence is another, or (in a cluster) is being decided at this moment."""
_TOO_LARGE = frozenset({10054, 10193})
_BAD_REQUEST = 400


class EventStream:
    """One stream of the broker, as recorders on one connection see it."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name
        self._known: dict[str, tuple[int, int]] = {}
        self._batches = asyncio.Semaphore(_BATCHES_AT_ONCE)

    async def insert(self, entries: Sequence[Entry]) -> list[int]:
        """The sequences, in order, once all are on disk. IntegrityError, DataError, OperationalError."""
        if len(entries) > MAX_BATCH:
            raise DataError(f"one insert takes up to {MAX_BATCH} events")
        firsts = _firsts(entries)
        insert_id = random_token()
        expected = {subject: await self._expected(subject, version) for subject, version in firsts.items()}
        until = time.monotonic() + INSERT_TIMEOUT
        attempt = 0
        while True:
            last = await self._publish(entries, expected, insert_id)
            if last is None:
                # Refused, or the acknowledgement was lost: the stream says which.
                attempt += 1
                await asyncio.sleep(random.uniform(0, min(_BACKOFF[0] * 2**attempt, _BACKOFF[1])))  # noqa: S311
                last = await self._settled(entries, firsts, expected, insert_id)
            if last is not None:
                sequences = list(range(last - len(entries) + 1, last + 1))
                for entry, sequence in zip(entries, sequences, strict=True):
                    self.remember(entry.subject, entry.version, sequence)
                return sequences
            if time.monotonic() > until:
                raise OperationalError("the insert was not acknowledged in time: it may or may not stand")

    async def _expected(self, subject: str, version: int) -> int:
        """The sequence to be last on the subject before this version, as far as we know."""
        end = self._known.get(subject)
        if end is None:
            if version <= 1:
                return 0  # the beginning of a sequence, most likely
            end = await self._end(subject)
        if end[0] >= version:
            raise IntegrityError("the originator has that version already")
        return end[1]

    async def _settled(
        self, entries: Sequence[Entry], firsts: dict[str, int], expected: dict[str, int], insert_id: str
    ) -> int | None:
        """The last sequence where the insert stands after all; None to try again, from `expected` as set right."""
        first = entries[0].subject
        try:
            ends = {subject: await self._end(subject) for subject in firsts}
            # An insert stands as one piece or not at all, and the first of it would be next on its subject. This look
            # comes last: an earlier try that arrives only now would else be taken for somebody else's.
            after = await reading.leader_next(self.client, self.name, first, expected[first] + 1)
        except (BrokerAway, OperationalError):
            return None
        if after is not None and after.headers.get(INSERT) == insert_id:
            return after.sequence + len(entries) - 1
        if any(ends[subject][0] >= version for subject, version in firsts.items()):
            raise IntegrityError("the originator has that version already")
        expected.update((subject, end[1]) for subject, end in ends.items())
        return None

    async def _end(self, subject: str) -> tuple[int, int]:
        """Version and sequence of the last event on a subject, from the leader; (-1, 0) where there is none."""
        message = await self.last(subject)
        if message is None:
            return -1, 0
        self.remember(subject, _version(message), message.sequence)
        return _version(message), message.sequence

    async def _publish(self, entries: Sequence[Entry], expected: dict[str, int], insert_id: str) -> int | None:
        """The sequence of the last entry, or None where it must be looked up."""
        headers = [_headers(entry, insert_id) for entry in entries]
        conditional: set[str] = set()
        for entry, its in zip(entries, headers, strict=True):
            if entry.subject not in conditional:
                conditional.add(entry.subject)
                its["Nats-Expected-Last-Subject-Sequence"] = str(expected[entry.subject])
        if len(entries) == 1:
            return await self._acknowledged(entries[0], headers[0])
        batch = random_token()  # of each attempt: two of them are never mixed into one
        for number, its in enumerate(headers, 1):
            its["Nats-Batch-Id"] = batch
            its["Nats-Batch-Sequence"] = str(number)
        headers[-1]["Nats-Batch-Commit"] = "1"
        async with self._batches:
            try:
                for entry, its in zip(entries[:-1], headers[:-1], strict=True):
                    await self.client.publish(entry.subject, entry.body, headers=its)
            except MaxPayloadError:
                raise DataError("an event is larger than the broker takes") from None
            except (NatsError, ConnectionError):
                return None
            return await self._acknowledged(entries[-1], headers[-1])

    async def _acknowledged(self, entry: Entry, headers: dict[str, str]) -> int | None:
        try:
            reply = await self.client.request(entry.subject, entry.body, timeout=_ACK_TIMEOUT, headers=headers)
            answer: dict[str, Any] = json.loads(reply.data)
        except MaxPayloadError:
            raise DataError("an event is larger than the broker takes") from None
        except (NatsError, ConnectionError, ValueError):
            return None
        error = answer.get("error")
        if error is None:
            return int(answer["seq"]) if answer.get("stream") == self.name else _elsewhere()
        code = error.get("err_code")
        if code in _TOO_LARGE:
            raise DataError("an event is larger than the broker takes")
        if error.get("code") == _BAD_REQUEST and code not in _RACES and code not in _PASSING:
            raise ProgrammingError(f"the broker takes no such insert (error {code})")
        return None

    async def last(self, subject: str) -> Message | None:
        """The last message on a subject (or of those that fit a filter), from the leader. OperationalError."""
        try:
            return await reading.leader_last(self.client, self.name, subject)
        except BrokerAway:
            raise OperationalError("the stream cannot be read now") from None

    async def read(self, subject_filter: str, start: int, page: int = 256) -> AsyncIterator[Message]:
        """Every message that fits, from a sequence on, to the end as the leader knows it. OperationalError.

        Pages come from any replica by Direct Get; what that replica lacks yet, the leader gives.
        """
        try:
            done = False
            while not done:
                messages, done = await reading.direct_batch(self.client, self.name, subject_filter, start, page)
                for message in messages:
                    yield message
                    start = message.sequence + 1
                done = done or not messages
            while (late := await reading.leader_next(self.client, self.name, subject_filter, start)) is not None:
                yield late
                start = late.sequence + 1
        except BrokerAway:
            raise OperationalError("the stream cannot be read now") from None

    def remember(self, subject: str, version: int, sequence: int) -> None:
        """What is known to stand on a subject at that version."""
        known = self._known.get(subject)
        if known is not None and known[1] >= sequence:
            return
        if known is None and len(self._known) >= _KNOWN:
            del self._known[next(iter(self._known))]
        self._known[subject] = version, sequence

    def start_after(self, subject: str, version: int | None) -> int:
        """A sequence from which on all later versions stand."""
        known = self._known.get(subject)
        return known[1] + 1 if known is not None and version is not None and known[0] <= version else 1


_PASSING = frozenset({10176})
"""An incomplete batch: it met too many others, or a reconnect, which the next try may not."""


def _firsts(entries: Iterable[Entry]) -> dict[str, int]:
    """For each subject the version with which it goes on. IntegrityError where versions do not grow."""
    firsts: dict[str, int] = {}
    lasts: dict[str, int] = {}
    for entry in entries:
        if lasts.get(entry.subject, entry.version - 1) >= entry.version:
            raise IntegrityError("the versions of an originator grow, each has one event")
        firsts.setdefault(entry.subject, entry.version)
        lasts[entry.subject] = entry.version
    return firsts


def _headers(entry: Entry, insert_id: str) -> dict[str, str]:
    return {VERSION: str(entry.version), TOPIC: entry.topic, INSERT: insert_id}


def _version(message: Message) -> int:
    try:
        return version_of(message.headers)
    except (KeyError, ValueError):
        raise DataError(f"message {message.sequence} is no event") from None


def _elsewhere() -> int:
    raise ProgrammingError("another stream took the event: it owns that subject")
