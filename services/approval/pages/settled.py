"""What people said became of a call, as others see it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from callgate.sealing import Place
from contracts.events import OutcomeSettled, Recorded
from contracts.lifecycle import Call
from services.approval.views import Views

SAID: Final[Mapping[str, str]] = MappingProxyType(
    {
        "done": "It was done.",
        "not_done": "It was not done, and must not be.",
        "run_again": "It was not done: run it again.",
    }
)
"""The outcomes of a settlement, in the words in which they are chosen."""


@dataclass(frozen=True, slots=True)
class Said:
    """One settlement. Reason and evidence are None where there is none, or none that opens."""

    by: str
    at: datetime
    outcome: str
    reason: str | None
    evidence: str | None
    has_result: bool


async def settlements_of(views: Views, call: Call) -> list[Said]:
    """The settlements of a call, the latest first. BrokerAway."""
    settled = [(one, one.data) for one in reversed(call.chain) if isinstance(one.data, OutcomeSettled)]
    return list(await asyncio.gather(*(_said(views, recorded, data) for recorded, data in settled)))


async def _said(views: Views, recorded: Recorded, data: OutcomeSettled) -> Said:
    ref, event_id = recorded.ref, recorded.event.event_id
    reason, evidence = await asyncio.gather(
        views.text(Place(ref, event_id, "reason"), data.reason),
        views.text(Place(ref, event_id, "evidence"), data.evidence),
    )
    return Said(data.by.id, recorded.event.at, data.outcome, reason, evidence, data.result is not None)
