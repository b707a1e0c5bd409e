"""The record of who was shown what: on ACCESS and on disk before it is shown."""

from collections.abc import Callable
from datetime import datetime

from callgate.records import Records
from contracts.identity import Principal, Role
from contracts.model import JsonValue
from contracts.records import Accessed
from contracts.subjects import CallRef, access_subject

LIST, OUTCOME_LIST = "approvals", "outcomes"
"""Stand for a session's id where a list of calls was looked at."""


class Looks:
    """Returns when the look is on record. BrokerAway: then nothing may be shown."""

    def __init__(self, records: Records, clock: Callable[[], datetime]) -> None:
        self._records = records
        self._clock = clock

    async def at_call(self, person: Principal, ref: CallRef) -> None:
        """The masked arguments of one call."""
        session, call = ref.session_id, ref.call_id
        looked = Accessed(who=person, action="viewed", session_id=session, call_id=call, detail={"what": "arguments"})
        await self._record(looked)

    async def at_list(self, person: Principal, what: str, shown: int, name: str = LIST) -> None:
        """So many calls at once, `what` of each; an empty list shows nothing."""
        if shown:
            detail: dict[str, JsonValue] = {"what": what, "shown": shown}
            await self._record(Accessed(who=person, action="viewed", session_id=name, detail=detail))

    async def _record(self, looked: Accessed) -> None:
        subject = access_subject(Role.APPROVAL, looked.session_id, looked.action)
        await self._records.publish(subject, looked, self._clock())
