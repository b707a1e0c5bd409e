"""Freezes: recording them on CONTROL, lifting them, and cancelling what waits for people while they hold.

A freeze counts from its acknowledgement on: ingress and policy follow CONTROL, the executor asks its leader before it
starts. What waits is cancelled by whichever replica comes first; the log lets one of them.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import datetime

from callgate.cedar.entities import scope_entity
from callgate.cedar.people import Right
from callgate.cedar.published import PublishedPolicies
from callgate.control import LOOK_EVERY, FreezeBook, reason_place
from callgate.errors import BrokerAway, Rejected
from callgate.ids import uuid7
from callgate.records import Records
from callgate.sealing import Sealer
from contracts.events import Cancelled
from contracts.freezes import Freeze, first_stopping
from contracts.functions import Catalog
from contracts.identity import Principal
from contracts.records import Frozen, Unfrozen
from contracts.subjects import CallRef, freeze_subject
from services.approval.aggregate import Approval
from services.approval.domain import Question
from services.approval.repository import Approvals
from services.approval.scopes import FreezeWanted, is_delegated
from services.approval.waiting import Waiting

logger = logging.getLogger("services.approval")

_AT_ONCE = 16
"""Calls cancelled at the same time."""


class NotAllowed(Exception):
    """No policy gives this person the right. `code` is a wire name."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class UnknownFreeze(Exception):
    """There is none of that id."""


class Freezing:
    """Everything that people do with freezes. BrokerAway and NoPolicies beside the exceptions named."""

    def __init__(
        self,
        approvals: Approvals,
        records: Records,
        sealer: Sealer,
        book: FreezeBook,
        waiting: Waiting[Question],
        policies: PublishedPolicies,
        catalog: Catalog,
        clock: Callable[[], datetime],
    ) -> None:
        self._approvals = approvals
        self._records = records
        self._sealer = sealer
        self._book = book
        self._waiting = waiting
        self._policies = policies
        self._catalog = catalog
        self._clock = clock
        self._cue = asyncio.Event()

    async def freeze(self, person: Principal, wanted: FreezeWanted) -> tuple[Freeze, int]:
        """The freeze, in force, and how many calls that wait for people it stops. NotAllowed."""
        self._require("freeze", person, wanted.scope, wanted.target)
        freeze_id, at = uuid7(), self._clock()
        reason = await self._sealer.seal(wanted.reason.encode(), reason_place("freeze", freeze_id), "view", at)
        data = Frozen(
            freeze_id=freeze_id,
            scope=wanted.scope,
            target=wanted.target,
            issuer=wanted.issuer,
            by=person,
            reason=reason,
            expires_at=at + wanted.lasts if wanted.lasts is not None else None,
        )
        await self._records.publish(freeze_subject(freeze_id), data, at, 0)
        logger.warning("frozen", extra={"freeze": freeze_id, "scope": wanted.scope})
        await self._book.refresh()
        freeze = self._known(freeze_id)
        stopped = sum(freeze.stops(one.requester, one.ref.session_id, one.function) for one in self._waiting)
        self._cue.set()
        return freeze, stopped

    async def lift(self, person: Principal, freeze_id: str) -> Freeze:
        """The freeze, no more in force; lifting one that is over changes nothing. UnknownFreeze, NotAllowed."""
        await self._book.refresh()
        freeze = self._known(freeze_id)
        self._require("unfreeze", person, freeze.scope, freeze.target)
        if freeze.in_force(self._clock()):
            lifted = Unfrozen(freeze_id=freeze_id, by=person)
            await self._records.publish(freeze_subject(freeze_id), lifted, self._clock())
            logger.warning("unfrozen", extra={"freeze": freeze_id})
            await self._book.refresh()
        return self._known(freeze_id)

    def may(self, right: Right, person: Principal, scope: str, target: str | None) -> bool:
        """Whether the policies in force let this person freeze, or lift, such a thing. NoPolicies."""
        resource = scope_entity(scope, target, self._catalog)
        return not is_delegated(person) and self._policies.may(right, person, resource, self._clock()).decision

    async def listed(self, person: Principal) -> list[Freeze]:
        """What is in force of what this person may freeze or lift."""
        await self._book.refresh()
        return [
            freeze
            for freeze in self._book.in_force()
            if self.may("freeze", person, freeze.scope, freeze.target)
            or self.may("unfreeze", person, freeze.scope, freeze.target)
        ]

    def stopped_by(self, question: Question, cancelled: Cancelled, at: datetime) -> Freeze | None:
        """The freeze that cancelled a call then: the one that the event names; of an older event, which names none, the
        latest of that person that could."""
        if cancelled.freeze is not None:
            return self._book.get(cancelled.freeze)
        fitting = (
            one
            for one in self._book.known()
            if one.by.id == cancelled.by
            and one.since <= at
            and one.stops(question.requester, question.ref.session_id, question.function)
        )
        return max(fitting, key=lambda one: one.since, default=None)

    def waiting(self) -> tuple[Question, ...]:
        """Everything that waits for people, whoever they are."""
        return tuple(self._waiting)

    async def reason(self, freeze: Freeze) -> str | None:
        """Why; None where it was erased, or stands in the clear of an old record."""
        if freeze.reason is None:
            return None
        try:
            text = await self._sealer.open(freeze.reason, reason_place("freeze", freeze.freeze_id), "view")
        except Rejected:
            return None
        return text.decode(errors="replace")

    async def keep(self) -> None:
        """Cancels what waits, or comes to wait, in the scope of a freeze, for ever."""
        while True:
            try:
                await self._book.refresh()
                await self._cancel_frozen()
            except BrokerAway:
                logger.warning("what a freeze stops waits for the broker to be cancelled")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._cue.wait()
            self._cue.clear()

    async def _cancel_frozen(self) -> None:
        freezes = self._book.in_force()
        if not freezes:
            return
        frozen = [
            (one.ref, freeze)
            for one in self._waiting
            if (freeze := first_stopping(freezes, one.requester, one.ref.session_id, one.function)) is not None
        ]
        for start in range(0, len(frozen), _AT_ONCE):
            if start:
                await self._book.refresh()  # whoever froze too much and lifts it saves what is not cancelled yet
            batch = [(ref, freeze) for ref, freeze in frozen[start : start + _AT_ONCE] if self._holds(freeze)]
            await asyncio.gather(*(self._cancel(ref, freeze) for ref, freeze in batch))

    async def _cancel(self, ref: CallRef, freeze: Freeze) -> None:
        async def cancel(approval: Approval) -> None:
            approval.cancel(uuid7(), self._clock(), freeze.by.id, freeze.freeze_id)

        async with self._approvals.turn(ref):
            approval = await self._approvals.continued(await self._approvals.get(ref), cancel)
        if approval.call.state == Cancelled.NAME:
            logger.info("cancelled by a freeze", extra={"call": str(ref), "freeze": freeze.freeze_id})

    def _holds(self, freeze: Freeze) -> bool:
        return self._known(freeze.freeze_id).in_force(self._clock())

    def _known(self, freeze_id: str) -> Freeze:
        freeze = self._book.get(freeze_id)
        if freeze is None:
            raise UnknownFreeze
        return freeze

    def _require(self, right: Right, person: Principal, scope: str, target: str | None) -> None:
        if is_delegated(person):
            raise NotAllowed("delegated")
        if not self.may(right, person, scope, target):
            raise NotAllowed("not_permitted")
