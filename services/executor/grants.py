"""What the executor verifies before it runs a call that a grant allowed: the records themselves, not policy's word."""

import logging
from collections.abc import Awaitable

from callgate.cedar.grants import BadCondition, grant_text
from callgate.records import Records, Standing
from contracts.events import Allowed, ArgumentsAmended, Recorded
from contracts.functions import Function
from contracts.grants import in_scope, is_other
from contracts.lifecycle import Call
from contracts.records import Granted, GrantRevoked, GrantUsed
from contracts.subjects import CONTROL, grant_revoked_subject, grant_subject, grant_use_subject

logger = logging.getLogger("services.executor")

INVALID = "grant_invalid"


class GrantChecks:
    def __init__(self, records: Records) -> None:
        self._records = records

    async def refusal(self, call: Call, allowed: Recorded, function: Function) -> str | None:
        """The code of why this `allowed` authorises nothing; None where it names no grant, or a good one. BrokerAway.

        Good: the grant's record verifies and is the one named, speaks of such calls, was made by somebody who does not
        stand behind this one, counts it within its number, and was neither over nor revoked when it did.
        """
        data = allowed.data
        if not isinstance(data, Allowed) or data.grant is None:
            return None
        grant_id, ref = data.grant.grant_id, call.ref
        granted = await self._first(grant_subject(grant_id))
        used = await self._first(grant_use_subject(grant_id, ref.call_id))
        if granted is None or used is None:
            return _refused(ref)
        grant, use = granted.data, used.data
        if not isinstance(grant, Granted) or not isinstance(use, GrantUsed):
            return _refused(ref)
        principal = call.requested.principal
        if is_other(data.grant, grant, granted.digest, use, ref) or not _is_own_text(grant, function):
            return _refused(ref)
        if not in_scope(grant, ref, principal, function.name) or call.last(ArgumentsAmended) is not None:
            return _refused(ref)
        if max(allowed.event.at, used.record.at) >= grant.expires_at:
            return _refused(ref)
        revoked = await self._first(grant_revoked_subject(grant_id))
        if revoked is not None and isinstance(revoked.data, GrantRevoked) and revoked.sequence < used.sequence:
            return _refused(ref)
        return None

    def _first(self, subject: str) -> Awaitable[Standing | None]:
        return self._records.first(CONTROL, subject)


def _is_own_text(grant: Granted, function: Function) -> bool:
    try:
        return grant_text(grant, function) == grant.policy
    except BadCondition:
        return False


def _refused(ref: object) -> str:
    logger.error("not executed: its grant does not hold", extra={"call": str(ref)})
    return INVALID
