"""Follows the log into SQL. The events of a batch and the cursor are one transaction: whatever dies, and however many
replicas write to one database, each event is projected once, and a rebuild gives the same rows."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence

from callgate.errors import Retryable
from callgate.log import Alien, Log
from contracts.events import Recorded
from contracts.subjects import CallRef, Partition
from services.audit.folding import Folding
from services.audit.rows import Placed, rows_of
from services.audit.slim import without_payloads
from services.audit.store import Store

logger = logging.getLogger("services.audit")

BATCH = 1000
"""Events in one transaction, at most."""
LINGER = 0.1, 0.5
"""Seconds that a first event waits for others, where few come and where many do: one transaction for many costs least,
and a call whose events are all in it is written once."""
_MANY = 30
"""Events that came while the last ones lingered."""
_QUEUED = 2048
_PAUSE = 0.1, 5.0

Alarm = Callable[[Partition, Sequence[Placed]], Awaitable[None]]
"""Told of aliens before they are projected, perhaps more than once."""


class Rewound(Retryable):
    """The cursor went back, since the projection is being rebuilt: read on from there."""

    def __init__(self) -> None:
        super().__init__("rewound", "another process rebuilds the projection")


class Projection:
    """The projection of one partition."""

    def __init__(self, log: Log, store: Store, partition: Partition, genesis: str, alarm: Alarm | None = None) -> None:
        self._log = log
        self._store = store
        self._partition = partition
        self._genesis = genesis
        self._alarm = alarm
        self._folding = Folding(log, self._known, genesis)
        self._seen = 0
        self.waits_for: str | None = "the first look at the log"
        """None while it keeps up, else our code for what holds it up."""

    @property
    def seen(self) -> int:
        """The last sequence that is projected, as far as this process knows."""
        return self._seen

    async def begin(self) -> int:
        """Forgets everything and starts from the database's cursor, which it returns. DatabaseAway."""
        self._folding = Folding(self._log, self._known, self._genesis)
        self._seen = await asyncio.to_thread(self._store.cursor, str(self._partition))
        return self._seen

    async def follow(self) -> None:
        """Projects for ever; waits out a broker or a database that is away."""
        pause = _PAUSE[0]
        while True:
            before = self._seen
            try:
                after = await self.begin()
                self.waits_for = None
                await self._follow(after)
            except Retryable as error:
                self.waits_for = error.code
                logger.warning("the projection waits", extra={"partition": str(self._partition), "code": error.code})
                await asyncio.sleep(pause)
                pause = _PAUSE[0] if self._seen != before else min(pause * 2, _PAUSE[1])

    async def write(self, items: Sequence[Recorded | Alien]) -> None:
        """Projects messages in order, those that another replica projected left out. Rewound, BrokerAway,
        DatabaseAway: after each of them `begin` again."""
        placed = await self._folding.place(items)
        if self._alarm is not None and any(item.code is not None for item in placed):
            await self._alarm(self._partition, [item for item in placed if item.code is not None])
        while placed := [item for item in placed if item.sequence > self._seen]:
            rows = rows_of(str(self._partition), placed)
            last = placed[-1].sequence
            if await asyncio.to_thread(self._store.write, str(self._partition), self._seen, last, rows):
                self._seen = last
                return
            at = await asyncio.to_thread(self._store.cursor, str(self._partition))
            if at < self._seen:
                raise Rewound
            self._seen = at

    async def _follow(self, after: int) -> None:
        arrived: asyncio.Queue[Recorded | Alien] = asyncio.Queue(_QUEUED)
        reader = asyncio.create_task(self._read(after, arrived))
        try:
            linger = LINGER[0]
            while True:
                batch = await _batch(arrived, reader, linger)
                linger = LINGER[len(batch) >= _MANY]
                await self.write(batch)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _read(self, after: int, arrived: asyncio.Queue[Recorded | Alien]) -> None:
        async with contextlib.aclosing(self._log.follow(self._partition, after)) as messages:  # type: ignore[type-var]
            async for item in messages:
                slim = without_payloads(item) if isinstance(item, Recorded) else item
                if arrived.full():
                    await arrived.put(slim)
                else:
                    arrived.put_nowait(slim)

    async def _known(self, refs: Sequence[CallRef]) -> set[CallRef]:
        return await asyncio.to_thread(self._store.known, str(self._partition), refs)


async def _batch(
    arrived: asyncio.Queue[Recorded | Alien], reader: asyncio.Task[None], linger: float
) -> list[Recorded | Alien]:
    """What has arrived, at least one. Raises what ended the reader."""
    first = asyncio.create_task(arrived.get())
    await asyncio.wait((first, reader), return_when=asyncio.FIRST_COMPLETED)
    if not first.done():
        first.cancel()
        await reader
        raise RuntimeError("following a partition never ends by itself")
    batch = [first.result()]
    if arrived.qsize() < BATCH:
        await asyncio.sleep(linger)
    while len(batch) < BATCH and not arrived.empty():
        batch.append(arrived.get_nowait())
    return batch
