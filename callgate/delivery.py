"""Deliveries: from a JetStream push to a handler, and what is acknowledged when.

Every delivery is taken into flight the moment it arrives and its acknowledgement deadline extended from then on, since
one that waits unseen in a client's queue expires while another replica is at work. The broker bounds how many
are in flight (`max_ack_pending`), so each gets a task of its own.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from callgate.errors import Fatal, LostRace, Rejected, Retryable
from callgate.keyring import UNKNOWN_KEY
from callgate.log.messages import Alien, Message, Verifier
from callgate.nats_client import Callback, at_once
from callgate.telemetry import ALIENS, Tracer, deliveries, describe, handling
from contracts.events import Recorded

logger = logging.getLogger("callgate.delivery")

_BACKOFF = 0.1, 10.0
"""Seconds before the first redelivery after a failure, and at most."""


_RING_LAG = 12, 30.0
"""Deliveries (over a minute) after which an event that waits for a newer key ring comes less often; then seconds."""


_RING_LAG_LIMIT = timedelta(days=1)
"""Age of an event of an unknown key at which it is taken for somebody's junk, whose deliveries must not pile up."""


class Delivery:
    """One delivery, as a handler sees it."""

    def __init__(self, message: Msg, number: int, traceparent: str | None) -> None:
        self._message = message
        self.number = number
        """How often it was delivered, this time included."""
        self.traceparent = traceparent
        self.later: float | None = None

    def again_in(self, seconds: float) -> None:
        """Asks for redelivery instead of acknowledgement."""
        self.later = max(0.0, seconds)

    async def settle(self) -> None:
        if self.later is None:
            await self._message.ack()
        else:
            await self._message.nak(delay=max(0.001, self.later))

    async def in_progress(self) -> None:
        await self._message.in_progress()


Handler = Callable[[Recorded, Delivery], Awaitable[None]]
RawHandler = Callable[[Message, Delivery], Awaitable[None]]


class Deliveries:
    """All that is in flight in one service of this process."""

    def __init__(
        self,
        service: str,
        verifier: Verifier,
        tracer: Tracer,
        ack_wait: float,
        on_fatal: Callable[[Fatal], None],
    ) -> None:
        self._service = service
        self._verifier = verifier
        self._tracer = tracer
        self._beat = ack_wait / 3
        self._on_fatal = on_fatal
        self._flying: dict[asyncio.Task[None], Delivery] = {}

    def __len__(self) -> int:
        return len(self._flying)

    def on_events(self, handlers: Mapping[str, Handler]) -> Callback:
        """A receiver that verifies each event and hands it to the handler of its name."""

        async def take(message: Message, delivery: Delivery) -> None:
            verified = self._verifier.verify(message)
            if isinstance(verified, Alien):
                if delivery.number == 1:
                    self.alarm(verified)
                if verified.code == UNKNOWN_KEY and now() - message.recorded_at < _RING_LAG_LIMIT:
                    # Our ring.json may lag behind a rotation: acknowledged, the call would stand still.
                    late = delivery.number >= _RING_LAG[0]
                    delivery.again_in(_RING_LAG[1] if late else self._pause(delivery.number))
                return
            handler = handlers.get(verified.name)
            if handler is None:
                self.alarm(Alien(message.subject, message.sequence, "not_for_this_service", message.recorded_at))
                return
            with self._tracer.span(f"{self._service} {verified.name}", verified.traceparent) as traceparent:
                delivery.traceparent = traceparent
                await handler(verified, delivery)

        return self.receiver(take)

    def receiver(self, take: RawHandler) -> Callback:
        """A receiver for one deliver subject; it returns at once, the work runs in a task of its own."""

        def receive(raw: Msg) -> None:
            try:
                metadata = raw.metadata
            except (NatsError, ValueError):
                return  # no JetStream delivery: nothing to acknowledge, nothing to lose
            at = metadata.timestamp
            message = Message(
                subject=raw.subject,
                headers=raw.headers or {},
                body=raw.data,
                sequence=metadata.sequence.stream,
                recorded_at=at if at.tzinfo else at.replace(tzinfo=UTC),
            )
            delivery = Delivery(raw, metadata.num_delivered, None)
            task = asyncio.create_task(self._run(take, message, delivery))
            self._flying[task] = delivery
            task.add_done_callback(lambda done: self._flying.pop(done, None))

        return at_once(receive)

    def alarm(self, alien: Alien) -> None:
        ALIENS.labels(self._service, alien.code).inc()
        logger.error(
            "alien message on the log: it is no part of any call; find out who wrote it",
            extra={"service": self._service, "sequence": alien.sequence, "code": alien.code},
        )

    async def _run(self, take: RawHandler, message: Message, delivery: Delivery) -> None:
        started = time.perf_counter()
        outcome = "acknowledged"
        try:
            await take(message, delivery)
        except LostRace:
            outcome = "answered_already"
        except Fatal as fatal:
            self._on_fatal(fatal)
            return
        except (Retryable, Rejected) as error:
            outcome = error.code
            # A rejection is the handler's to record as a terminal event; one that arrives here must not lose the call.
            delivery.again_in(self._pause(delivery.number))
        except Exception as error:
            outcome = "crashed"
            delivery.again_in(self._pause(delivery.number))
            logger.error(
                "a handler failed; the delivery comes again",
                extra={"service": self._service, "sequence": message.sequence, "error": describe(error)},
            )
        deliveries(self._service, outcome).inc()
        handling(self._service, _kind(message.subject)).observe(time.perf_counter() - started)
        with contextlib.suppress(NatsError, ConnectionError):  # an unacknowledged delivery comes again
            await delivery.settle()

    @staticmethod
    def _pause(number: int) -> float:
        return min(_BACKOFF[0] * 2.0 ** min(number - 1, 16), _BACKOFF[1])

    async def keep_alive(self) -> None:
        """Extends the deadline of all that is in flight, until cancelled."""
        while True:
            await asyncio.sleep(self._beat)
            for delivery in list(self._flying.values()):
                with contextlib.suppress(NatsError, ConnectionError):
                    await delivery.in_progress()

    async def drain(self, seconds: float) -> None:
        """Waits for what is in flight; what is not done by then comes again after a restart."""
        if self._flying:
            _, late = await asyncio.wait(list(self._flying), timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _kind(subject: str) -> str:
    """A metric's label: the event's name on CALLS, else what begins the subject, since what ends it is an id."""
    first, _, rest = subject.partition(".")
    return rest.rpartition(".")[2] if first == "calls" else f"{first}.{rest.partition('.')[0]}"


def now() -> datetime:
    """The clock of the process, handed into what must stay pure."""
    return datetime.now(UTC)
