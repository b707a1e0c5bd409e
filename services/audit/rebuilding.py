"""`callgate audit rebuild`: the projection dropped, and filled again from sequence 0."""

import asyncio

from callgate.log import Alien, reading
from callgate.platform import Platform
from contracts.events import Recorded
from contracts.subjects import CONTROL, Partition
from services.audit.control_projection import ControlProjection
from services.audit.projection import BATCH, Projection
from services.audit.slim import without_payloads
from services.audit.store import Store
from services.audit.verifying import Progress


async def rebuild(platform: Platform, store: Store, progress: Progress = lambda *_: None) -> int:
    """How many messages were read. A service that follows the log meanwhile goes on with it.

    DatabaseAway, BrokerAway; Rewound where somebody else began to rebuild. Run it again after each of these.
    """
    await asyncio.to_thread(store.reset, [str(partition) for partition in platform.partitions])
    told = await ControlProjection(platform.client, platform.records, store).catch_up()
    progress(CONTROL, told, told)
    return told + sum([await _fill(platform, store, partition, progress) for partition in platform.partitions])


async def _fill(platform: Platform, store: Store, partition: Partition, progress: Progress) -> int:
    projection = Projection(platform.log, store, partition, platform.genesis[partition])
    await projection.begin()
    batch: list[Recorded | Alien] = []
    count = 0
    async for message in reading.direct_all(platform.client, partition.stream, partition.all_calls):
        item = platform.verifier.verify(message)
        batch.append(without_payloads(item) if isinstance(item, Recorded) else item)
        if len(batch) == BATCH:
            count += await _write(projection, batch)
            progress(partition.stream, projection.seen, projection.seen)
            batch = []
    if batch:
        count += await _write(projection, batch)
    progress(partition.stream, projection.seen, projection.seen)
    return count


async def _write(projection: Projection, batch: list[Recorded | Alien]) -> int:
    await projection.write(batch)
    return len(batch)
