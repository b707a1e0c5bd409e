"""Why somebody granted or froze: opened from the record on CONTROL, since the projection holds no sealed text."""

import asyncio
from typing import Literal

from callgate.control import reason_place
from callgate.errors import Rejected
from callgate.records import Records
from callgate.sealing import Sealer
from contracts.records import Frozen, FrozenV1, Granted
from contracts.subjects import CONTROL, freeze_subject, grant_subject
from services.audit.rows import Row

Kind = Literal["grant", "freeze"]


class Reasons:
    def __init__(self, records: Records, sealer: Sealer) -> None:
        self._records = records
        self._sealer = sealer

    async def of(self, kind: Kind, record_id: str, digest: str) -> str | None:
        """The reason in the record of that digest; None where it was erased. BrokerAway."""
        subject = grant_subject(record_id) if kind == "grant" else freeze_subject(record_id)
        standing = await self._records.first(CONTROL, subject, lambda one: one.digest == digest)
        data = None if standing is None else standing.data
        if isinstance(data, FrozenV1):
            return data.reason
        if not isinstance(data, Granted | Frozen):
            return None
        try:
            opened = await self._sealer.open(data.reason, reason_place(kind, record_id), "view")
        except Rejected:
            return None
        return opened.decode(errors="replace")


async def with_reasons(reasons: Reasons, kind: Kind, rows: list[Row]) -> list[Row]:
    """The rows of the projection, each with its reason from the log. BrokerAway."""
    told = await asyncio.gather(*(reasons.of(kind, row["id"], row["record"]["digest"]) for row in rows))
    return [{**row, "reason": reason} for row, reason in zip(rows, told, strict=True)]
