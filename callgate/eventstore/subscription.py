"""Subscriptions: the broker tells, by an ordered ephemeral consumer, and nothing polls.

The consumer acknowledges nothing and lives in memory. Its deliveries are numbered, so a gap is seen at the next one,
and heartbeats tell of silence; either way a new consumer goes on after the last event taken. Flow control makes
a slow subscriber slow the broker down instead of filling memory.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from eventsourcing.persistence import DataError, Notification, OperationalError, ProgrammingError, Subscription
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription as Inbox
from nats.errors import Error as NatsError

from callgate.errors import BrokerAway
from callgate.eventstore.connection import Connection
from callgate.eventstore.wire import Shape
from callgate.ids import token
from callgate.log.reading import request_json

if TYPE_CHECKING:
    from callgate.eventstore.recorders import JetStreamApplicationRecorder

logger = logging.getLogger(__name__)

HEARTBEAT = 2.0
"""Seconds of silence after which the broker says that it is there."""
SILENCE = 3 * HEARTBEAT
"""Seconds of silence after which the consumer is taken for lost."""
_AWAY_PAUSE = 0.25
_GONE_AFTER = 60.0
"""Seconds after which the broker forgets a consumer that nobody listens to."""
_BUFFERED = 1024
_NO_STREAM = 404


class JetStreamSubscription(Subscription["JetStreamApplicationRecorder"]):
    """Notifications after `gt`, then new ones as they are recorded. Iterating blocks until there is one, or `stop`.

    `stop` may be called from any thread. OperationalError out of the iteration once the connection is closed,
    ProgrammingError where the stream does not exist, DataError at a message that is no event.
    """

    def __init__(
        self, recorder: "JetStreamApplicationRecorder", gt: int | None = None, topics: Sequence[str] = ()
    ) -> None:
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._ready: deque[Notification] = deque()
        self._connection = recorder.connection
        self._feed = Feed(self._connection, recorder.stream_name, recorder.shape, gt or 0, frozenset(topics))
        self._connection.start(self._feed.run())

    def __next__(self) -> Notification:
        while not self._has_been_stopped:
            if self._ready:
                return self._ready.popleft()
            try:
                self._ready.extend(self._connection.run(self._feed.take(), timeout=None))
            except OperationalError:
                if not self._has_been_stopped:
                    raise
        raise StopIteration

    def stop(self) -> None:
        super().stop()
        with contextlib.suppress(OperationalError):  # closed: nothing is left to stop
            self._connection.start(self._feed.end())


class Feed:
    """What arrives for one subscription, on the connection's loop."""

    def __init__(self, connection: Connection, stream: str, shape: Shape, after: int, topics: frozenset[str]) -> None:
        self._client = connection.client
        self._reconnected = connection.reconnected
        self._stream = stream
        self._shape = shape
        self._after = after
        self._topics = topics
        self._arrived: deque[Notification] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._lost = asyncio.Event()
        self._heard = 0.0
        self._deliveries = 0
        self._inbox = ""
        self._running: asyncio.Task[None] | None = None
        self._ended = False
        self._error: DataError | ProgrammingError | None = None

    async def take(self) -> list[Notification]:
        """What has arrived, at least one. Once the feed has ended: the error that ended it, or OperationalError."""
        await self._news.wait()
        taken = list(self._arrived)
        self._arrived.clear()
        self._room.set()
        if not self._ended:
            self._news.clear()
        elif not taken:
            raise self._error or OperationalError("the subscription has ended")
        return taken

    async def end(self) -> None:
        """Nothing is taken any more, and whoever waits to take gets nothing."""
        self._ended = True
        self._news.set()
        if self._running is not None:
            self._running.cancel()

    async def run(self) -> None:
        """Until `end`, or until it meets what no later try can mend."""
        self._running = asyncio.current_task()
        self._reconnected.add(self._lost)  # the server may have restarted, and its consumers in memory are gone then
        try:
            while not self._ended:
                try:
                    await self._follow()
                except (BrokerAway, NatsError, ConnectionError):
                    logger.warning("a subscription waits for the broker")
                    await asyncio.sleep(_AWAY_PAUSE)
        except (DataError, ProgrammingError) as error:
            self._error = error
        finally:
            self._reconnected.discard(self._lost)
            self._ended = True
            self._news.set()

    async def _follow(self) -> None:
        """One consumer, until it is lost."""
        name = f"es_{token()}"
        self._inbox = mine = self._client.new_inbox()
        self._deliveries = 0
        self._lost.clear()
        self._heard = asyncio.get_running_loop().time()

        async def on_message(message: Msg) -> None:
            if self._inbox == mine and not self._lost.is_set():  # else of a consumer given up
                await self._on_message(message)

        inbox = await self._client.subscribe(mine, cb=on_message)
        try:
            await self._create(name)
            await self._until_lost()
            if self._error is not None:
                raise self._error
        finally:
            await self._forget(inbox, name)

    async def _create(self, name: str) -> None:
        config: dict[str, Any] = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._after + 1,
            "deliver_subject": self._inbox,
            "filter_subject": self._shape.all_events,
            "ack_policy": "none",
            "max_deliver": 1,
            "replay_policy": "instant",
            "flow_control": True,
            "idle_heartbeat": _nanoseconds(HEARTBEAT),
            "inactive_threshold": _nanoseconds(_GONE_AFTER),
            "mem_storage": True,
            "num_replicas": 1,
        }
        subject = f"$JS.API.CONSUMER.CREATE.{self._stream}.{name}.{self._shape.all_events}"
        answer = await request_json(self._client, subject, {"stream_name": self._stream, "config": config})
        error = answer.get("error")
        if error is not None:
            if error.get("code") in (400, _NO_STREAM):
                raise ProgrammingError(f"the broker takes no such subscription (error {error.get('err_code')})")
            raise BrokerAway("the broker gives no consumer now")

    async def _until_lost(self) -> None:
        loop = asyncio.get_running_loop()
        while (left := self._heard + SILENCE - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, SILENCE)):
                    await self._lost.wait()
                    return

    async def _on_message(self, message: Msg) -> None:
        """In the order of arrival; while it waits for room, nothing after it is answered."""
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        status = (message.headers or {}).get("Status")
        if status is not None and not message.reply.startswith("$JS.ACK."):
            await self._on_control(message)
            return
        try:
            self._on_delivery(message)
        except DataError as error:
            self._error = error
            self._lost.set()
        while len(self._arrived) >= _BUFFERED:
            self._room.clear()
            self._heard = float("inf")  # our own silence, not the broker's
            await self._room.wait()
            self._heard = loop.time()

    async def _on_control(self, message: Msg) -> None:
        headers = message.headers or {}
        answer = message.reply or headers.get("Nats-Consumer-Stalled")
        if answer:
            await self._client.publish(answer)
        # A heartbeat tells the number of the last delivery: one that we miss was lost on its way.
        if int(headers.get("Nats-Last-Consumer", self._deliveries)) != self._deliveries:
            self._lost.set()

    def _on_delivery(self, message: Msg) -> None:
        place = message.metadata.sequence
        if place.consumer != self._deliveries + 1:
            self._lost.set()
            return
        self._deliveries += 1
        if place.stream <= self._after:
            return
        found = self._shape.notification(message.subject, message.headers or {}, message.data, place.stream)
        self._after = place.stream
        if not self._topics or found.topic in self._topics:
            self._arrived.append(found)
            self._news.set()

    async def _forget(self, inbox: Inbox, name: str) -> None:
        """Tidily; a broker that is away forgets by itself."""
        with contextlib.suppress(NatsError, ConnectionError):
            await inbox.unsubscribe()
            await self._client.publish(f"$JS.API.CONSUMER.DELETE.{self._stream}.{name}")


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)
