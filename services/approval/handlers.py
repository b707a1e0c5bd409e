"""Approval's shell: load, decide, append (step 4 of docs/call-lifecycle.md).

Whoever casts the deciding vote concludes at once; the delivery of that vote and the timer are there for what a crash
leaves open. That several do so at the same time is settled by the log: one of them appends, the others lose the race.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from weakref import WeakValueDictionary

from callgate.cedar.entities import call_entity
from callgate.cedar.policies import Evaluation
from callgate.cedar.published import PublishedPolicies
from callgate.delivery import Delivery
from callgate.errors import BrokerAway, LostRace
from callgate.ids import uuid7
from callgate.log import Draft, Log, Message
from callgate.sealing import Place, Sealer
from contracts.events import EventData, Recorded
from contracts.functions import Catalog
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition
from services.approval.domain import (
    Ballot,
    Decision,
    Intent,
    Question,
    Refusal,
    VoteRefused,
    authority,
    check_vote,
    conclusion,
    is_asked,
    question_of,
    vote_of,
)
from services.approval.notices import Notices
from services.approval.timers import ESCALATION, EXPIRY, REMINDER, Timers, call_due
from services.approval.waiting import Waiting

logger = logging.getLogger("services.approval")

_TRIES = 50
"""Of one vote against others on the same call, which each take one to be appended."""
_PAUSE = 0.02
_SOON = timedelta(seconds=5)
"""A timer this early is kept in flight; setting it anew would fire at once where the broker's clock is ahead."""
_CLOSE = timedelta(seconds=2)
"""So near to expiry the broker's clock may judge otherwise than ours: ask the log what it took."""


class NotFound(Exception):
    """No such call, or nobody was ever asked about it."""


class Approval:
    """Everything that approval does to a call; `partitions` are those provisioned."""

    def __init__(
        self,
        log: Log,
        sealer: Sealer,
        policies: PublishedPolicies,
        catalog: Catalog,
        timers: Timers,
        notices: Notices,
        waiting: Waiting,
        partitions: tuple[Partition, ...],
        clock: Callable[[], datetime],
        sweep_every: float,
    ) -> None:
        self._log = log
        self._sealer = sealer
        self._policies = policies
        self._catalog = catalog
        self._timers = timers
        self._notices = notices
        self._waiting = waiting
        self._partitions = frozenset(partitions)
        self._clock = clock
        self._sweep_every = sweep_every
        # Votes of this process on one call wait for each other here rather than lose races on the log.
        self._turns: WeakValueDictionary[CallRef, asyncio.Lock] = WeakValueDictionary()

    # Deliveries.

    async def on_approval_required(self, recorded: Recorded, _: Delivery) -> None:
        """Sets the timers and tells people; what waits is listed by following the log, in every replica."""
        question = question_of((await self._log.read_upto(recorded)).call)
        if question is None or question.digest != recorded.digest:
            return  # no part of the chain, or asked anew since
        for kind, at in _timers_of(question, question.asked_at):
            await self._timers.set(recorded.ref, kind, at)
        await self._notices.waiting(recorded.ref, question)

    async def on_vote_cast(self, recorded: Recorded, delivery: Delivery) -> None:
        """Concludes where whoever cast the vote did not come to it; the last vote's delivery says what came of it."""
        call = await self._conclude(recorded.ref, delivery.traceparent)
        question = question_of(call)
        last = call.votes[-1].event.event_id if call.votes else None
        if question is not None and not question.waiting and last == recorded.event.event_id:
            await self._notices.decided(recorded.ref, question)

    async def on_timer_due(self, message: Message, delivery: Delivery) -> None:
        """Does what, by the log, is due now: expires, reminds, escalates; a timer that came early is set right."""
        due = call_due(message.subject)
        if due is None or due[1].partition not in self._partitions:
            logger.warning("a timer names no call", extra={"sequence": message.sequence})
            return
        kind, ref = due
        question = question_of(await self._conclude(ref))
        if question is None:
            return
        if not question.waiting:
            if kind == EXPIRY:
                await self._notices.decided(ref, question)
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

    async def look(self, ref: CallRef, reviewer: Principal) -> tuple[Question, Evaluation]:
        """The question about a call from the leader, and what Cedar says of the reviewer. NotFound, NoPolicies."""
        question = await self._asked(ref)
        return question, self._right(question, reviewer)

    def for_reviewer(self, reviewer: Principal) -> "list[Question]":
        """What waits and this person may decide, or has, by expiry. NoPolicies."""
        now = self._clock()
        return [
            question
            for question in self._waiting
            # Cedar is asked last: it takes the most time, and can only say no to what is left.
            if is_asked(question, reviewer, now)
            and authority(question, reviewer, True, now) is None
            and self._right(question, reviewer).decision
        ]

    async def vote(
        self,
        ref: CallRef,
        reviewer: Principal,
        decision: Decision,
        reason: str | None,
        digest: str,
        *,
        break_glass: bool = False,
    ) -> Question:
        """Casts a vote, or changes one, and concludes where it decides; the question after it.

        NotFound, NoPolicies, VoteRefused; BrokerAway, after which the vote may or may not stand.
        """
        intent = Intent(decision, digest, reason, break_glass)
        async with self._turn(ref):
            standing: Ballot | None = None
            for attempt in range(_TRIES):
                call = (await self._log.read(ref)).call if ref.partition in self._partitions else None
                question = question_of(call) if call is not None else None
                if call is None or question is None:
                    raise NotFound
                right = self._right(question, reviewer)
                check_vote(question, reviewer, right.decision, intent, self._clock())
                own = question.ballot_of(reviewer.id)
                if attempt and own != standing:  # cast elsewhere since: which of the two is meant, they must say
                    raise VoteRefused(Refusal.VOTED_MEANWHILE, question.state)
                standing = own
                event_id, at = uuid7(), self._clock()
                sealed = None
                if reason:
                    sealed = await self._sealer.seal(reason.encode(), Place(ref, event_id, "reason"), "view", at)
                vote = vote_of(question, reviewer, intent, sealed, right.reasons)
                try:
                    call = await self._append(call, Draft(event_id, at, vote))
                except LostRace:
                    await asyncio.sleep(random.uniform(0, _PAUSE))  # noqa: S311
                    continue
                cast = _must(question_of(call)).ballot_of(reviewer.id)
                if cast is None or cast.event_id != event_id:
                    raise VoteRefused(Refusal.EXPIRED, call.state)  # by the broker's clock, which the fold trusts
                told = {"call": str(ref), "decision": decision, "break_glass": break_glass}
                logger.log(logging.WARNING if break_glass else logging.INFO, "vote cast", extra=told)
                with contextlib.suppress(BrokerAway):  # the vote stands, and its delivery concludes
                    call = await self._concluded(call)
                return _must(question_of(call))
        raise BrokerAway("too many votes on this call at this moment")

    async def _asked(self, ref: CallRef) -> Question:
        if ref.partition not in self._partitions:
            raise NotFound
        return _must(question_of((await self._log.read(ref)).call))

    def _right(self, question: Question, reviewer: Principal) -> Evaluation:
        function = self._catalog.get(question.function)
        if function is None:
            return Evaluation(decision=False, reasons=(), errors=(), refused=True)
        entity = call_entity(str(question.ref), function, question.requester, question.entities)
        return self._policies.may("approve", reviewer, entity, self._clock())

    # The end of the waiting.

    async def _conclude(self, ref: CallRef, traceparent: str | None = None) -> Call:
        async with self._turn(ref):
            return await self._concluded((await self._log.read(ref)).call, traceparent)

    async def _concluded(self, call: Call, traceparent: str | None = None) -> Call:
        """The call after what its votes and the time come to."""
        for _ in range(_TRIES):
            data: EventData | None = conclusion(call, self._clock())
            if data is None:
                return call
            before = call.head_digest
            try:
                call = await self._append(call, Draft(uuid7(), self._clock(), data), traceparent)
            except LostRace:
                call = (await self._log.read(call.ref)).call
                continue
            if call.head_digest == before:
                return call  # too late by the broker's clock: the timer finds it expired
            logger.info("concluded", extra={"call": str(call.ref), "state": call.state})
        raise BrokerAway("too many votes on this call at this moment")

    async def _append(self, call: Call, draft: Draft, traceparent: str | None = None) -> Call:
        """The call with the event, as the log has it."""
        head = call.head
        assert head is not None  # noqa: S101  # nobody votes on nothing
        recorded = await self._log.append(draft, head, traceparent=traceparent or head.traceparent)
        question = question_of(call)
        if question is not None and question.expires_at - self._clock() < _CLOSE:
            return (await self._log.read(call.ref)).call
        return call.accept(recorded)

    def _turn(self, ref: CallRef) -> asyncio.Lock:
        turn = self._turns.get(ref)
        if turn is None:
            turn = self._turns[ref] = asyncio.Lock()
        return turn


def _must(question: Question | None) -> Question:
    if question is None:
        raise NotFound
    return question


def _timers_of(question: Question, after: datetime) -> Iterator[tuple[str, datetime]]:
    """The timers that a waiting call has: of each kind the next after that time."""
    yield EXPIRY, question.expires_at
    if question.remind_at is not None:
        yield REMINDER, question.remind_at
    escalation = next((one.at for one in question.escalations if one.at > after), None)
    if escalation is not None:
        yield ESCALATION, escalation
