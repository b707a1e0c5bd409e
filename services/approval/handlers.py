"""Approval's shell: load, decide, save (step 4 of docs/call-lifecycle.md).

Whoever casts the deciding vote concludes at once; the delivery of that vote and the timer are there for what a crash
leaves open. That several do so at the same time is settled by the log: one of them appends, the others lose the race.
"""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from eventsourcing.application import AggregateNotFoundError

from callgate.delivery import Delivery
from callgate.errors import BrokerAway
from callgate.ids import uuid7
from callgate.log import Message
from callgate.sealing import Place, Sealer
from contracts.events import Recorded
from contracts.identity import Principal
from contracts.subjects import CallRef
from services.approval.aggregate import Approval, Decider, NobodyAsked
from services.approval.domain import (
    Ballot,
    DecisionRefused,
    Intent,
    Question,
    Refusal,
    authority,
    check_vote,
)
from services.approval.notices import Notices
from services.approval.people import Rights
from services.approval.repository import Approvals, TooLate
from services.approval.timers import ESCALATION, EXPIRY, REMINDER, Timers, call_due
from services.approval.waiting import Waiting

logger = logging.getLogger("services.approval")

_SOON = timedelta(seconds=5)
"""A timer this early is kept in flight; setting it anew would fire at once where the broker's clock is ahead."""
_VOTES_KEPT = 256


class Deciding:
    """Everything that approval does while people decide on a call."""

    def __init__(
        self,
        approvals: Approvals,
        sealer: Sealer,
        rights: Rights,
        timers: Timers,
        notices: Notices,
        waiting: Waiting[Question],
        clock: Callable[[], datetime],
        sweep_every: float,
    ) -> None:
        self._approvals = approvals
        self._sealer = sealer
        self._rights = rights
        self._timers = timers
        self._notices = notices
        self._waiting = waiting
        self._clock = clock
        self._sweep_every = sweep_every
        self._concluded_here: OrderedDict[str, None] = OrderedDict()
        """Event ids of the last votes that were concluded where they were cast: their deliveries have nothing to do."""

    # Deliveries.

    async def on_approval_required(self, recorded: Recorded, _: Delivery) -> None:
        """Sets the timers; what waits is listed, and people are told, by following the log."""
        question = (await self._approvals.up_to(recorded)).question
        if question is None or question.digest != recorded.digest:
            return  # no part of the chain, or asked anew since
        for kind, at in _timers_of(question, question.asked_at):
            await self._timers.set(recorded.ref, kind, at)

    async def on_vote_cast(self, recorded: Recorded, delivery: Delivery) -> None:
        """Concludes where whoever cast the vote did not come to it."""
        async with self._approvals.turn(recorded.ref):
            if recorded.event.event_id in self._concluded_here:
                del self._concluded_here[recorded.event.event_id]
            else:
                await self._concluded(await self._approvals.get(recorded.ref), delivery.traceparent)

    async def on_timer_due(self, message: Message, delivery: Delivery) -> None:
        """Does what, by the log, is due now: expires, reminds, escalates; a timer that came early is set right."""
        due = call_due(message.subject)
        if due is None:
            logger.warning("a timer names no call", extra={"sequence": message.sequence})
            return
        kind, ref = due
        try:
            question = (await self._conclude(ref)).must_question
        except (AggregateNotFoundError, NobodyAsked):
            logger.warning("a timer names no call", extra={"sequence": message.sequence})
            return
        if not question.waiting:
            return
        now = self._clock()
        if kind == REMINDER and question.remind_at is not None and question.remind_at <= now:
            await self._notices.reminder(ref, question)
        elif kind == ESCALATION:
            for escalation in question.escalations:
                if escalation.at <= now:
                    await self._notices.escalated(ref, question, escalation.approvers)
        at = dict(_timers_of(question, now)).get(kind)
        if at is None or (kind != EXPIRY and at <= now):
            return
        if at - now <= _SOON:
            delivery.again_in(max(0.0, (at - now).total_seconds()))
        else:
            await self._timers.set(ref, kind, at)

    async def keep_time(self) -> None:
        """Expires what is due, for ever, from memory: a wiped TIMERS delays an expiry, and loses none."""
        await self._waiting.until_ready()
        timed: set[str] = set()
        while True:
            try:
                for question in list(self._waiting):
                    if question.expires_at <= self._clock():
                        await self._conclude(question.ref)
                    elif question.digest not in timed:
                        for kind, at in _timers_of(question, question.asked_at):
                            await self._timers.ensure(question.ref, kind, at)
                        timed.add(question.digest)
            except BrokerAway:
                logger.warning("expiry waits for the broker")
            timed.intersection_update(question.digest for question in self._waiting)
            await asyncio.sleep(self._sweep_every)

    # People.

    @property
    def is_ready(self) -> bool:
        """Whether what waits is known; until then the list is not."""
        return self._waiting.is_ready

    def now(self) -> datetime:
        """The time by which people are asked, and votes are cast."""
        return self._clock()

    async def look(self, ref: CallRef, reviewer: Principal) -> tuple[Question, Decider]:
        """The question about a call from the leader, and what Cedar says of the reviewer.

        AggregateNotFoundError, NobodyAsked, NoPolicies, BrokerAway.
        """
        question = (await self._approvals.get(ref)).must_question
        return question, await self._rights.over("approve", question, reviewer)

    async def for_reviewer(self, reviewer: Principal) -> list[Question]:
        """What waits and this person may decide, or has, by expiry. NoPolicies, BrokerAway."""
        now = self._clock()
        asked = [question for question in self._waiting if authority(question, reviewer, True, now) is None]
        # Cedar is asked last: it takes the most time, and can only say no to what is left.
        return await self._rights.among("approve", reviewer, asked)

    async def vote(self, ref: CallRef, reviewer: Principal, intent: Intent) -> Question:
        """Casts a vote, or changes one, and concludes where it decides; the question after it.

        AggregateNotFoundError, NobodyAsked, NoPolicies, DecisionRefused; BrokerAway, after which the vote may or may
        not stand.
        """
        async with self._approvals.turn(ref):
            approval = await self._approvals.get(ref)
            before: list[Ballot | None] = []

            async def cast(approval: Approval) -> None:
                question = approval.must_question
                decider = await self._rights.over("approve", question, reviewer)
                check_vote(question, reviewer, decider.permitted, intent, self._clock())  # nothing is sealed for others
                before.append(question.ballot_of(reviewer.id))
                if before[0] != before[-1]:  # cast elsewhere since: which of the two is meant, they must say
                    raise DecisionRefused(Refusal.VOTED_MEANWHILE, question)
                event_id, at = uuid7(), self._clock()
                reason = None
                if intent.reason:
                    place = Place(ref, event_id, "reason")
                    reason = await self._sealer.seal(intent.reason.encode(), place, "view", at)
                approval.cast_vote(event_id, at, decider, intent, reason)

            try:
                approval = await self._approvals.continued(approval, cast)
            except TooLate as late:
                raise DecisionRefused(Refusal.EXPIRED, late.approval.must_question) from None
            told = {"call": str(ref), "decision": intent.decision, "break_glass": intent.break_glass}
            logger.log(logging.WARNING if intent.break_glass else logging.INFO, "vote cast", extra=told)
            vote = approval.call.votes[-1].event.event_id
            with contextlib.suppress(BrokerAway):  # the vote stands, and its delivery concludes
                approval = await self._concluded(approval)
                self._concluded_here[vote] = None
                if len(self._concluded_here) > _VOTES_KEPT:
                    self._concluded_here.popitem(last=False)
            self._waiting.know(approval.call)
            return approval.must_question

    # The end of the waiting.

    async def _conclude(self, ref: CallRef) -> Approval:
        async with self._approvals.turn(ref):
            return await self._concluded(await self._approvals.get(ref))

    async def _concluded(self, approval: Approval, traceparent: str | None = None) -> Approval:
        """The approval after what its votes and the time come to."""

        async def conclude(approval: Approval) -> None:
            approval.conclude(uuid7(), self._clock(), traceparent)

        try:
            after = await self._approvals.continued(approval, conclude)
        except TooLate as late:
            return late.approval  # the timer finds it expired
        if after is not approval:
            logger.info("concluded", extra={"call": str(after.ref), "state": after.call.state})
        return after


def _timers_of(question: Question, after: datetime) -> Iterator[tuple[str, datetime]]:
    """The timers that a waiting call has: of each kind the next after that time."""
    yield EXPIRY, question.expires_at
    if question.remind_at is not None:
        yield REMINDER, question.remind_at
    escalation = next((one.at for one in question.escalations if one.at > after), None)
    if escalation is not None:
        yield ESCALATION, escalation
