"""Following a partition: what stands by Direct Get, what comes by the broker's republication.

Core NATS may drop a republished message (a reconnect, a slow reader), so each one says only *look*: where it is not the
very next one of the partition, the stream is read from where we are. A look without a cue every few seconds closes
what a lost last cue leaves open.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from callgate.errors import BrokerAway
from callgate.log import reading
from callgate.log.messages import Alien, Message, Verifier
from callgate.nats_client import at_once
from contracts.events import Recorded
from contracts.subjects import LIVE, Partition, event_filter

LOOK_EVERY = 2.0
"""Seconds without a cue after which the stream is looked at anyway."""
_QUEUED = 1024
_AWAY_PAUSE = 0.25
_STALE_PAUSE = 0.02


async def follow(
    client: Client, verifier: Verifier, partition: Partition, after: int, event: str = "*"
) -> AsyncIterator[Recorded | Alien]:
    """Everything after that sequence, in order, then what comes. It waits out a broker that is away."""
    wanted = event_filter(event, str(partition))
    cues: deque[Message] = deque()
    cued_now = asyncio.Event()

    def cue(message: Msg) -> None:
        # A full queue loses the cue and not the event: the gap is seen at the next one.
        if len(cues) < _QUEUED:
            with contextlib.suppress(KeyError, ValueError):
                cues.append(reading.from_direct(message))
                cued_now.set()

    subscription = await client.subscribe(f"{LIVE}{wanted}", cb=at_once(cue))
    contiguous = event == "*"
    cued = 0
    try:
        while True:
            before = after
            try:
                async for message in reading.direct_all(client, partition.stream, wanted, after + 1):
                    yield verifier.verify(message)
                    after = message.sequence
                if after == before and not contiguous:
                    after = await _past_others(client, partition.stream, wanted, after)
            except BrokerAway:
                await asyncio.sleep(_AWAY_PAUSE)
                continue
            if after < cued:
                await asyncio.sleep(_STALE_PAUSE)  # the replica that answered is behind the cue
                continue
            # Live from here, as long as nothing is missing.
            while True:
                if not cues and not await _soon(cued_now):
                    break
                message = cues.popleft()
                if message.sequence <= after:
                    continue
                if not contiguous or message.sequence != after + 1:
                    cued = message.sequence
                    break
                yield verifier.verify(message)
                after = message.sequence
    finally:
        with contextlib.suppress(NatsError, ConnectionError):
            await subscription.unsubscribe()


async def _soon(event: asyncio.Event) -> bool:
    """Whether it is set before it is time to look anyway."""
    event.clear()
    try:
        async with asyncio.timeout(LOOK_EVERY):  # wait_for may swallow a cancellation (until 3.12)
            return await event.wait()
    except TimeoutError:
        return event.is_set()


async def _past_others(client: Client, stream: str, wanted: str, after: int) -> int:
    """How far nothing wanted stands, so that no look goes over it again: with rare events that is most of the log.

    The leader says both, in this order: its end, then that nothing wanted comes before it. The look itself may have
    gone to a replica that is behind, and says nothing of its end where it finds nothing. BrokerAway.
    """
    end = await reading.last_sequence(client, stream)
    if end <= after or await reading.leader_next(client, stream, wanted, after + 1) is not None:
        return after
    return end
