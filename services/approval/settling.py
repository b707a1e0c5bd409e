"""6. Settling: a person says what became of a call whose outcome nobody knows."""

import logging
from collections.abc import Callable
from datetime import datetime

from callgate.ids import uuid7
from callgate.sealing import Place, Sealer
from contracts.events import DataClass, Sealed
from contracts.identity import Principal
from contracts.subjects import CallRef
from services.approval.aggregate import Approval
from services.approval.domain import DecisionRefused, Refusal, right_of
from services.approval.outcomes import SealedSettlement, Settlement, Unsettled, check_settlement
from services.approval.people import Rights
from services.approval.repository import Approvals, TooLate
from services.approval.waiting import Waiting

logger = logging.getLogger("services.approval")


class Settling:
    """What people do to outcomes. BrokerAway and NoPolicies beside the exceptions named."""

    def __init__(
        self,
        approvals: Approvals,
        sealer: Sealer,
        rights: Rights,
        waiting: Waiting[Unsettled],
        clock: Callable[[], datetime],
    ) -> None:
        self._approvals = approvals
        self._sealer = sealer
        self._rights = rights
        self._waiting = waiting
        self._clock = clock

    @property
    def is_ready(self) -> bool:
        """Whether what waits is known; until then the list is not."""
        return self._waiting.is_ready

    async def for_person(self, person: Principal) -> list[Unsettled]:
        """What waits and this person may settle, the oldest first."""
        theirs = [unsettled for unsettled in self._waiting if right_of(unsettled, person, permitted=True) is None]
        return await self._rights.among("settle", person, theirs)

    async def look(self, ref: CallRef, person: Principal) -> Unsettled:
        """The call from the leader. AggregateNotFoundError, NobodyAsked; DecisionRefused where they may not settle."""
        unsettled = (await self._approvals.get(ref)).must_unsettled
        decider = await self._rights.over("settle", unsettled, person)
        refusal = right_of(unsettled, person, decider.permitted)
        if refusal is not None:
            raise DecisionRefused(refusal, unsettled)
        return unsettled

    async def settle(self, ref: CallRef, person: Principal, settlement: Settlement) -> Unsettled:
        """Records the person's word; the call after it.

        AggregateNotFoundError, NobodyAsked, DecisionRefused. After BrokerAway it may or may not stand.
        """

        async def settle(approval: Approval) -> None:
            unsettled = approval.must_unsettled
            decider = await self._rights.over("settle", unsettled, person)
            check_settlement(unsettled, person, decider.permitted, settlement)  # nothing is sealed for others
            event_id, at = uuid7(), self._clock()
            approval.settle(event_id, at, decider, settlement, await self._sealed(ref, event_id, settlement, at))

        async with self._approvals.turn(ref):
            try:
                approval = await self._approvals.continued(await self._approvals.get(ref), settle)
            except TooLate as late:
                raise DecisionRefused(Refusal.OUTCOME_KNOWN, late.approval.must_unsettled) from None
            self._waiting.know(approval.call)
        logger.info("outcome settled", extra={"call": str(ref), "outcome": settlement.outcome})
        return approval.must_unsettled

    async def _sealed(self, ref: CallRef, event_id: str, settlement: Settlement, at: datetime) -> SealedSettlement:
        async def seal(name: str, plaintext: bytes, data_class: DataClass) -> Sealed:
            return await self._sealer.seal(plaintext, Place(ref, event_id, name), data_class, at)

        evidence, result = settlement.evidence, settlement.result
        return SealedSettlement(
            reason=await seal("reason", (settlement.reason or "").encode(), "view"),
            evidence=await seal("evidence", evidence.encode(), "view") if evidence else None,
            result=await seal("result", result, "raw") if result is not None else None,
        )
