"""Alarms: a metric, a log line and a signed record on ACCESS for every message that is no part of any chain."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from callgate.errors import LostRace
from callgate.records import Records
from callgate.telemetry import ALIENS
from contracts.identity import Role
from contracts.records import Alarmed
from contracts.subjects import Partition, access_subject
from services.audit.rows import Placed

logger = logging.getLogger("services.audit")

_AT_ONCE = 32
_SUBJECT_SHOWN = 256


class Alarms:
    """Raises each alarm once, however often it is asked to and by however many replicas."""

    def __init__(self, records: Records, clock: Callable[[], datetime]) -> None:
        self._records = records
        self._clock = clock
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def raise_all(self, partition: Partition, aliens: Sequence[Placed]) -> None:
        """Returns when all are on disk. BrokerAway."""
        await asyncio.gather(*(self._raise(partition, alien) for alien in aliens))

    async def _raise(self, partition: Partition, alien: Placed) -> None:
        code = alien.code or "unknown"
        data = Alarmed(
            stream=partition.stream, sequence=alien.sequence, subject=alien.subject[:_SUBJECT_SHOWN], code=code
        )
        subject = access_subject(partition.stream, f"alarmed_{alien.sequence}")
        async with self._slots:
            # The subject is the alarm's own, so a second one is refused: it stands already.
            with contextlib.suppress(LostRace):
                await self._records.publish(subject, data, self._clock(), expected_last=0)
                ALIENS.labels(Role.AUDIT, code).inc()
                logger.error(
                    "alien message on the log: it is no part of any call; find out who wrote it",
                    extra={"partition": str(partition), "sequence": alien.sequence, "code": code},
                )
