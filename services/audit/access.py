"""Who may look, and the record of who did: on ACCESS and on disk before anything is shown."""

from collections.abc import Callable
from datetime import datetime

from callgate.cedar.entities import session_entity
from callgate.cedar.published import PublishedPolicies
from callgate.records import Records
from contracts.identity import Principal, Role
from contracts.model import JsonValue
from contracts.records import Accessed
from contracts.subjects import access_subject

ALL_SESSIONS = "sessions"
"""Stands for a session's id where a list of sessions was looked at."""


class Access:
    """Asks policy, and keeps the record."""

    def __init__(self, policies: PublishedPolicies, records: Records, clock: Callable[[], datetime]) -> None:
        self._policies = policies
        self._records = records
        self._clock = clock

    def allowed(self, person: Principal, session_id: str, owner: str | None) -> bool:
        """Whether the policies in force let the person audit this session. NoPolicies."""
        resource = session_entity(session_id, owner)
        return self._policies.may("audit", person, resource, self._clock()).decision

    @property
    def in_force(self) -> bool:
        """Whether there are policies to ask."""
        return self._policies.current is not None

    async def viewed(self, person: Principal, session_id: str, call_id: str | None = None, **detail: JsonValue) -> None:
        await record_view(self._records, self._clock(), person, session_id, call_id, **detail)


async def record_view(
    records: Records, at: datetime, person: Principal, session_id: str, call_id: str | None = None, **detail: JsonValue
) -> None:
    """Returns when it is on disk. BrokerAway: then nothing may be shown."""
    data = Accessed(who=person, action="viewed", session_id=session_id, call_id=call_id, detail=detail)
    await records.publish(access_subject(Role.AUDIT, session_id, "viewed"), data, at)
