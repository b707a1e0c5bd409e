"""Alarms: a metric, a log line and a signed record on ACCESS for every message that is no part of any chain."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from callgate.errors import LostRace
from callgate.keyring import BadSignature
from callgate.records import Records, Standing
from callgate.telemetry import ALIENS
from contracts.identity import Role
from contracts.records import Alarmed
from contracts.subjects import ACCESS, Partition, alarm_subject
from services.audit.rows import Placed

logger = logging.getLogger("services.audit")

_AT_ONCE = 32
_SUBJECT_SHOWN = 256


class Alarms:
    """Tells of each alien once a process, and keeps one record of it, however often and by however many it is asked.

    Nothing that stands where the record belongs silences one, but that record itself.
    """

    def __init__(self, records: Records, clock: Callable[[], datetime]) -> None:
        self._records = records
        self._clock = clock
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._told: dict[Partition, int] = {}
        """The last sequence told of: a partition's aliens come in the order of its log."""

    async def raise_all(self, partition: Partition, aliens: Sequence[Placed]) -> None:
        """Returns when all are on disk. BrokerAway."""
        for alien in aliens:
            self._tell(partition, alien)
        await asyncio.gather(*(self._record(partition, alien) for alien in aliens))

    def _tell(self, partition: Partition, alien: Placed) -> None:
        """Before the record, which a broker may refuse."""
        if alien.sequence <= self._told.get(partition, 0):
            return
        self._told[partition] = alien.sequence
        code = _code(alien)
        ALIENS.labels(Role.AUDIT, code).inc()
        logger.error(
            "alien message on the log: it is no part of any call; find out who wrote it",
            extra={"partition": str(partition), "sequence": alien.sequence, "code": code},
        )

    async def _record(self, partition: Partition, alien: Placed) -> None:
        data = Alarmed(
            stream=partition.stream, sequence=alien.sequence, subject=alien.subject[:_SUBJECT_SHOWN], code=_code(alien)
        )
        subject = alarm_subject(partition, alien.sequence)
        async with self._slots:
            try:
                await self._records.publish(subject, data, self._clock(), expected_last=0)
            except LostRace:
                if not await self._stands(subject, data):
                    await self._records.publish(subject, data, self._clock())

    async def _stands(self, subject: str, alarm: Alarmed) -> bool:
        """Whether the alarm is on record: mostly it is the last there; behind others where somebody wrote after it."""
        with contextlib.suppress(BadSignature):
            if _is(await self._records.last(ACCESS, subject), alarm):
                return True
        return any([_is(standing, alarm) async for standing in self._records.all(ACCESS, subject)])


def _code(alien: Placed) -> str:
    return alien.code or "unknown"


def _is(standing: Standing | BadSignature | None, alarm: Alarmed) -> bool:
    if not isinstance(standing, Standing) or standing.role is not Role.AUDIT or not isinstance(standing.data, Alarmed):
        return False
    return (standing.data.stream, standing.data.sequence) == (alarm.stream, alarm.sequence)
