"""Expiry on the broker's clock: one message schedule a waiting call on TIMERS (NATS ADR-51).

A timer is a hint that it is time to look. Nothing on TIMERS is signed, and whoever may write there can set or wipe it.
"""

from datetime import datetime

from nats.aio.client import Client

from callgate.log import reading
from callgate.records import publish_acknowledged
from contracts.model import rfc3339
from contracts.subjects import TIMERS, CallRef, timer_due_subject, timer_subject

EXPIRY = "expiry"
_DUE_PREFIX = f"timers.due.{EXPIRY}."
_DUE_KEPT = "1h"
"""How long a timer that fired is kept for whom it was not delivered to yet."""


class Timers:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def set(self, ref: CallRef, at: datetime) -> None:
        """Fires at that time, or at once where it is past; a call has one, so a second one replaces it. BrokerAway."""
        headers = {
            "Nats-Schedule": f"@at {rfc3339(at)}",
            "Nats-Schedule-Target": timer_due_subject(ref, EXPIRY),
            "Nats-Schedule-TTL": _DUE_KEPT,
        }
        await publish_acknowledged(self._client, timer_subject(ref, EXPIRY), b"", headers)

    async def ensure(self, ref: CallRef, at: datetime) -> None:
        """Sets the timer unless one stands. BrokerAway."""
        if await reading.direct_last(self._client, TIMERS, timer_subject(ref, EXPIRY)) is None:
            await self.set(ref, at)


def call_due(subject: str) -> CallRef | None:
    """The call of `timers.due.expiry.<call>`; None for any other subject."""
    if not subject.startswith(_DUE_PREFIX):
        return None
    try:
        return CallRef.parse(subject.removeprefix(_DUE_PREFIX))
    except ValueError:
        return None
