"""Expiry, reminder and escalation on the broker's clock: message schedules on TIMERS (NATS ADR-51).

A waiting call has one schedule of each kind at a time; the next escalation is set when the one before has come.

A timer is a hint that it is time to look. Nothing on TIMERS is signed, and whoever may write there can set or wipe it.
"""

from datetime import datetime

from nats.aio.client import Client

from callgate.log import reading
from callgate.records import publish_acknowledged
from contracts.model import rfc3339
from contracts.subjects import TIMERS, CallRef, timer_due_subject, timer_subject

EXPIRY, REMINDER, ESCALATION = "expiry", "reminder", "escalation"
KINDS = frozenset({EXPIRY, REMINDER, ESCALATION})
_DUE_PREFIX = "timers.due."
_DUE_KEPT = "1h"
"""How long a timer that fired is kept for whom it was not delivered to yet."""


class Timers:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def set(self, ref: CallRef, kind: str, at: datetime) -> None:
        """Fires at that time, or at once where it is past; a second one of the kind replaces it. BrokerAway."""
        headers = {
            "Nats-Schedule": f"@at {rfc3339(at)}",
            "Nats-Schedule-Target": timer_due_subject(ref, kind),
            "Nats-Schedule-TTL": _DUE_KEPT,
        }
        await publish_acknowledged(self._client, timer_subject(ref, kind), b"", headers)

    async def ensure(self, ref: CallRef, kind: str, at: datetime) -> None:
        """Sets the timer unless one stands, or has fired lately. BrokerAway."""
        for subject in (timer_subject(ref, kind), timer_due_subject(ref, kind)):
            if await reading.direct_last(self._client, TIMERS, subject) is not None:
                return
        await self.set(ref, kind, at)


def call_due(subject: str) -> tuple[str, CallRef] | None:
    """The kind and the call of `timers.due.<kind>.<call>`; None for any other subject."""
    kind, _, call = subject.removeprefix(_DUE_PREFIX).partition(".")
    if not subject.startswith(_DUE_PREFIX) or kind not in KINDS:
        return None
    try:
        return kind, CallRef.parse(call)
    except ValueError:
        return None
