"""What proves that a grant let a call through: the records themselves, not the word of the event that names them."""

from dataclasses import dataclass
from typing import Self

from callgate.cedar.grants import BadCondition, grant_text
from callgate.records import Records, Standing
from contracts.events import Allowed, ArgumentsAmended, GrantUse, Recorded
from contracts.functions import Function
from contracts.grants import in_scope, is_other
from contracts.lifecycle import Call
from contracts.records import Granted, GrantRevoked, GrantUsed
from contracts.subjects import CONTROL, CallRef, grant_revoked_subject, grant_subject, grant_use_subject


@dataclass(frozen=True, slots=True)
class GrantProof:
    """The first verified records about one use of a grant: what verifies first can be neither replaced nor hidden."""

    granted: Standing
    grant: Granted
    used: Standing
    use: GrantUsed
    revoked: Standing | None
    revocation: GrantRevoked | None

    @classmethod
    async def read(cls, records: Records, use: GrantUse, ref: CallRef) -> Self | None:
        """None where the grant, or this call's use of it, is not on record. BrokerAway."""
        granted = await records.first(CONTROL, grant_subject(use.grant_id))
        used = await records.first(CONTROL, grant_use_subject(use.grant_id, ref.call_id))
        revoked = await records.first(CONTROL, grant_revoked_subject(use.grant_id))
        if granted is None or used is None:
            return None
        grant, counted = granted.data, used.data
        if not isinstance(grant, Granted) or not isinstance(counted, GrantUsed):
            return None
        revocation = revoked.data if revoked is not None and isinstance(revoked.data, GrantRevoked) else None
        return cls(granted, grant, used, counted, revoked, revocation)

    def holds(self, call: Call, allowed: Recorded, function: Function | None) -> bool:
        """Whether the records authorise this `allowed` of the call.

        They are the ones that it names, speak of such calls, were made by somebody who does not stand behind this
        one, count it within their number, and the grant was neither over nor revoked when they did. Its text is
        checked against `function`; None leaves that out, where the definition of that time is not known any more.
        """
        data = allowed.data
        if not isinstance(data, Allowed) or data.grant is None or call.last(ArgumentsAmended) is not None:
            return False
        requested = call.requested
        return (
            not is_other(data.grant, self.grant, self.granted.digest, self.use, call.ref)
            and in_scope(self.grant, call.ref, requested.principal, requested.function)
            and max(allowed.event.at, self.used.record.at) < self.grant.expires_at
            and not self._was_revoked
            and (function is None or _is_own_text(self.grant, function))
        )

    @property
    def _was_revoked(self) -> bool:
        return self.revoked is not None and self.revocation is not None and self.revoked.sequence < self.used.sequence


def _is_own_text(grant: Granted, function: Function) -> bool:
    try:
        return grant_text(grant, function) == grant.policy
    except BadCondition:
        return False
