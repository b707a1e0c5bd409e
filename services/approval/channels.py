"""From the log to the channels: which endpoint is told of which event, once, and how the sending goes.

Two steps, each of them a durable consumer's. An event of a call becomes one record a call, event and endpoint on
NOTICES, created only where none stands, so a replayed stream, a redelivery or a second replica adds nothing. Such a
record is then sent, with pauses after failures, until it is delivered, not needed any more, or given up. How it went
stands beside it, and with it the time of the next attempt: a restart goes on where the last process was.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from zlib import crc32

from callgate.delivery import Delivery
from callgate.errors import LostRace
from callgate.keyring import UNKNOWN_KEY, BadSignature
from callgate.log import Alien, Log, Message
from callgate.log.messages import Verifier
from callgate.records import Records, Standing
from contracts.events import ApprovalRequired, Approved, OutcomeSettled, OutcomeUnknown, Recorded
from contracts.lifecycle import ANSWERING, Call
from contracts.records import NoticeDue, NoticeOutcome
from contracts.subjects import NOTICES, CallRef, notice_due_subject, notice_outcome_subject, notice_outcomes
from services.approval.domain import CallFacts, Question, question_of
from services.approval.outcomes import unsettled_of

logger = logging.getLogger("services.approval.channels")

EVENT_TYPES: Mapping[str, str] = {
    "approval_required": "approval.required",
    "vote_cast": "approval.vote_cast",
    "approved": "approval.approved",
    "rejected": "approval.rejected",
    "approval_expired": "approval.expired",
    "arguments_amended": "approval.amended",
    "reminder": "approval.reminder",
    "escalated": "approval.escalated",
    "glass_broken": "approval.glass_broken",
    "cancelled": "call.cancelled",
    "denied": "call.denied",
    "execution_failed": "call.failed",
    "result_masked": "call.completed",
    "outcome_unknown": "call.outcome_unknown",
    "outcome_settled": "call.outcome_settled",
}
"""Kind of notice → as settings and receivers name it."""
FRESH = timedelta(days=7)
"""What is older is told to nobody: NOTICES remembers for a month what was told, and not for ever."""
_AT_ONCE = 8
"""Attempts under way at the same time for one endpoint."""
_ENDED_WITHIN = 0.25, 30.0
"""Seconds between looks whether an approved call has ended: at first, and at most."""
_RING_LAG = 5.0


@dataclass(frozen=True, slots=True)
class Told:
    """One event, and the question that stood then; or an outcome that nobody knew, for those who settle it."""

    kind: str
    """The event's name, or `reminder`, `escalated`, `glass_broken`."""
    about: CallFacts
    """A Question or an Unsettled."""
    about_id: str
    """The event id of the `approval_required`, or of the `outcome_unknown`."""
    groups: frozenset[str]
    """Those whom the question asks then, the ones that an escalation adds, or the settlers."""

    def is_for(self, events: Container[str], groups: Iterable[str]) -> bool:
        """Whether an endpoint that hears of these events, for these groups, is told."""
        return EVENT_TYPES.get(self.kind) in events and not self.groups.isdisjoint(groups)


class Unneeded(Exception):
    """Nobody needs the notice any more. `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class SendFailed(Exception):
    """The receiver was not told. `after` is the pause that it asks for, in seconds; `final`: no attempt will help."""

    def __init__(
        self, code: str, *, status: int | None = None, after: float | None = None, final: bool = False
    ) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.after = after
        self.final = final


class Medium(Protocol):
    """One way to tell people, with the endpoints that it has: their `names`.

    `endpoints` says who is told of an event; it may read, never write. `send` returns the receiver's HTTP status when
    the receiver has it, and is repeated with the same key after a crash: it makes a repetition harmless as far as the
    receiver lets it. Unneeded, SendFailed; BrokerAway from both.
    """

    @property
    def names(self) -> Sequence[str]: ...
    def retries(self, endpoint: str) -> Sequence[float]: ...
    async def endpoints(self, told: Told) -> Iterable[str]: ...
    async def send(self, due: NoticeDue, key: str, call: Call) -> int | None: ...


def as_of(call: Call, event_id: str) -> Call | None:
    """The call as it was when that event was its head; None where the event is no part of it."""
    for position, recorded in enumerate(call.chain, 1):
        if recorded.event.event_id == event_id:
            return Call(call.ref, call.genesis, call.chain[:position])
    return None


def asked_in(call: Call) -> str | None:
    """The event id of the last question."""
    asked = call.last_recorded(ApprovalRequired)
    return asked.event.event_id if asked is not None else None


def lost_in(call: Call) -> str | None:
    """The event id of the last outcome that nobody knew."""
    lost = call.last_recorded(OutcomeUnknown)
    return lost.event.event_id if lost is not None else None


class Channels:
    """`services.approval.notices.Notices`, and the two handlers behind it.

    `settlers` are the groups that are told of every outcome that nobody knows, whether people were asked or not.
    """

    def __init__(
        self,
        media: Sequence[Medium],
        settlers: Iterable[str],
        log: Log,
        records: Records,
        verifier: Verifier,
        clock: Callable[[], datetime],
    ) -> None:
        self._media = tuple(media)
        self._settlers = frozenset(settlers)
        self._log = log
        self._records = records
        self._verifier = verifier
        self._clock = clock
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Every one that the settings name."""
        return tuple(name for medium in self._media for name in medium.names)

    # What approval says; all else stands on the log, from where it is told.

    async def reminder(self, ref: CallRef, facts: Question) -> None:
        await self._tell_about(ref, facts, "reminder", facts.asked_groups(self._clock()))

    async def escalated(self, ref: CallRef, facts: Question, groups: tuple[str, ...]) -> None:
        await self._tell_about(ref, facts, "escalated", frozenset(groups))

    async def _tell_about(self, ref: CallRef, facts: Question, kind: str, groups: frozenset[str]) -> None:
        if not self._media:
            return
        call = (await self._log.read(ref)).call
        asked = next((one.event.event_id for one in call.chain if one.digest == facts.digest), None)
        if asked is not None:
            # Who is escalated to is part of the key: there may be several, one after the other.
            more = f"-{crc32(' '.join(sorted(groups)).encode()):08x}" if kind == "escalated" else ""
            await self._put(Told(kind, facts, asked, groups), asked, f"{asked}-{kind}{more}")

    # Deliveries.

    async def on_event(self, message: Message, delivery: Delivery) -> None:
        """Puts down who is to be told of an event; comes back to an approved call until it has ended."""
        recorded = self._verifier.verify(message)
        if isinstance(recorded, Alien):
            # The service's own durable, or audit, alarms about it.
            if recorded.code == UNKNOWN_KEY and self._is_fresh(message):
                delivery.again_in(_RING_LAG)
            return
        if not self._media or not self._is_fresh(message):
            return
        call = (await self._log.read(recorded.ref)).call
        await self._tell(call, recorded)
        if isinstance(recorded.data, Approved):
            if (call.state in ANSWERING or call.settled_as_not_done) and call.head is not None:
                await self._tell(call, call.head)
            else:
                delivery.again_in(min(_ENDED_WITHIN[0] * 2.0 ** min(delivery.number - 1, 16), _ENDED_WITHIN[1]))

    async def on_due(self, message: Message, delivery: Delivery) -> None:
        """One attempt to send what is due."""
        try:
            due = self._records.verify(message).data
        except BadSignature as bad:
            logger.error("a message on NOTICES that is no notice is ignored", extra={"code": bad.code})
            return
        key = message.subject.rpartition(".")[2]
        if not isinstance(due, NoticeDue) or notice_due_subject(due.endpoint, _ref(due), key) != message.subject:
            return
        subject = notice_outcome_subject(due.endpoint, _ref(due), key)
        standing = await self._records.last(NOTICES, subject)
        before = standing.data if standing is not None else None
        attempts, sequence = 0, standing.sequence if standing is not None else 0
        if isinstance(before, NoticeOutcome):
            if before.outcome != "pending":
                return
            attempts = before.attempts
            early = (before.next_at - self._clock()).total_seconds() if before.next_at else 0.0
            if early > 0:
                delivery.again_in(early)
                return
        outcome = await self._attempt(due, key, attempts)
        await self._records.publish(subject, outcome, self._clock(), sequence)
        if outcome.next_at is not None:
            delivery.again_in((outcome.next_at - self._clock()).total_seconds())

    async def again(self, endpoint: str, ref: CallRef, key: str) -> bool:
        """Sends a dead letter once more, from the first attempt; False where there is none. BrokerAway, LostRace."""
        due = await self._records.last(NOTICES, notice_due_subject(endpoint, ref, key))
        outcome = await self._records.last(NOTICES, notice_outcome_subject(endpoint, ref, key))
        if due is None or outcome is None or not isinstance(due.data, NoticeDue):
            return False
        if not isinstance(outcome.data, NoticeOutcome) or outcome.data.outcome != "dead":
            return False
        pending = outcome.data.model_copy(update={"outcome": "pending", "attempts": 0, "next_at": None})
        now = self._clock()
        await self._records.publish(notice_outcome_subject(endpoint, ref, key), pending, now, outcome.sequence)
        await self._records.publish(notice_due_subject(endpoint, ref, key), due.data, now, due.sequence)
        return True

    async def outcomes(self, endpoint: str) -> AsyncIterator[tuple[str, Standing, NoticeOutcome]]:
        """How the notices to one endpoint went in the last month: the key of each, the oldest attempt first."""
        async for standing in self._records.all(NOTICES, notice_outcomes(endpoint)):
            if isinstance(standing, Standing) and isinstance(standing.data, NoticeOutcome):
                yield standing.record.subject.rpartition(".")[2], standing, standing.data

    async def _tell(self, call: Call, recorded: Recorded) -> None:
        event_id = recorded.event.event_id
        then = as_of(call, event_id)
        if then is None:
            return
        question, asked = question_of(then), asked_in(then)
        if question is not None and asked is not None:  # else nobody was asked, as where an agent withdrew before
            groups = question.asked_groups(recorded.event.at)
            await self._put(Told(recorded.name, question, asked, groups), event_id, event_id)
            if isinstance(recorded.data, Approved) and question.broken_glass is not None:
                told = Told("glass_broken", question, asked, question.concerned)
                await self._put(told, event_id, f"{event_id}-glass_broken")
        if isinstance(recorded.data, OutcomeUnknown | OutcomeSettled):
            outcome, lost = unsettled_of(then), lost_in(then)
            if outcome is not None and lost is not None:
                # The same key as above: an endpoint that serves approvers and settlers is told once.
                await self._put(Told(recorded.name, outcome, lost, self._settlers), event_id, event_id)

    async def _put(self, told: Told, event_id: str, key: str) -> None:
        ref = told.about.ref
        for medium in self._media:
            for endpoint in await medium.endpoints(told):
                due = NoticeDue(endpoint=endpoint, call=str(ref), event_id=event_id, kind=told.kind)
                with contextlib.suppress(LostRace):  # it is there already
                    await self._records.publish(notice_due_subject(endpoint, ref, key), due, self._clock(), 0)

    async def _attempt(self, due: NoticeDue, key: str, attempts: int) -> NoticeOutcome:
        def outcome(word: str, **more: object) -> NoticeOutcome:
            values = {"endpoint": due.endpoint, "call": due.call, "kind": due.kind, "outcome": word}
            return NoticeOutcome.model_validate({**values, "attempts": attempts + 1, **more})

        medium = next((one for one in self._media if due.endpoint in one.names), None)
        if medium is None:
            return outcome("skipped", code="no_such_endpoint", attempts=attempts)
        about = {"endpoint": due.endpoint, "call": due.call, "notice": due.kind}
        try:
            async with self._slots[due.endpoint]:
                call = (await self._log.read(_ref(due))).call
                return outcome("delivered", status=await medium.send(due, key, call))
        except Unneeded as unneeded:
            return outcome("skipped", code=unneeded.code)
        except SendFailed as failed:
            retries = medium.retries(due.endpoint)
            if failed.final or attempts >= len(retries):
                logger.error("a notice was given up", extra={**about, "code": failed.code})
                return outcome("dead", code=failed.code, status=failed.status)
            logger.warning("a notice was not taken; it is sent again", extra={**about, "code": failed.code})
            pause = max(retries[attempts], failed.after or 0.0)
            next_at = self._clock() + timedelta(seconds=pause)
            return outcome("pending", code=failed.code, status=failed.status, next_at=next_at)

    def _is_fresh(self, message: Message) -> bool:
        return self._clock() - message.recorded_at < FRESH


def _ref(due: NoticeDue) -> CallRef:
    return CallRef.parse(due.call)
