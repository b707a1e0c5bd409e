"""What the executor verifies before it runs a call that a grant allowed: the records themselves, not policy's word."""

import logging

from callgate.grant_proofs import GrantProof
from callgate.records import Records
from contracts.events import Allowed, Recorded
from contracts.functions import Function
from contracts.lifecycle import Call

logger = logging.getLogger("services.executor")

INVALID = "grant_invalid"


class GrantChecks:
    def __init__(self, records: Records) -> None:
        self._records = records

    async def refusal(self, call: Call, allowed: Recorded, function: Function) -> str | None:
        """The code of why this `allowed` authorises nothing; None where it names no grant, or a good one.

        BrokerAway.
        """
        data = allowed.data
        if not isinstance(data, Allowed) or data.grant is None:
            return None
        proof = await GrantProof.read(self._records, data.grant, call.ref)
        if proof is not None and proof.holds(call, allowed, function):
            return None
        logger.error("not executed: its grant does not hold", extra={"call": str(call.ref)})
        return INVALID
