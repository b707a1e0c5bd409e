"""4. The approval of one call, as an aggregate of the `eventsourcing` library. Pure: ids and time are passed in.

Its events are the call's own, those of all services, in the order of the chain: it continues what the others began. The
rules are those of `contracts.lifecycle` and of this service's domain; nothing is decided twice.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from eventsourcing.domain import BaseAggregate, CanInitAggregate, CanMutateAggregate
from eventsourcing.utils import get_topic

from contracts.events import ArgumentsAmended, Cancelled, EventData, Recorded, Sealed, make_event
from contracts.freezes import FROZEN
from contracts.identity import Principal
from contracts.lifecycle import WAITING_FOR_PEOPLE, Call, IllegalTransition
from contracts.subjects import CallRef
from services.approval.domain import (
    Intent,
    Question,
    check_amendment,
    check_vote,
    conclusion,
    proof_of,
    question_of,
    vote_of,
)
from services.approval.outcomes import (
    SealedSettlement,
    Settlement,
    Unsettled,
    check_settlement,
    settled_of,
    unsettled_of,
)

UNSIGNED = ""
"""The digest of an event that does not stand yet: none, so nothing can answer it."""


class NotStanding(Exception):
    """The approval's last event is not on the log yet: save it, and go on with what stands."""


class NobodyAsked(LookupError):
    """People were never asked about this call."""


@dataclass(frozen=True, slots=True)
class Decider:
    """A person, and what Cedar says of their right at this moment: the `@id`s that gave it, if they have it."""

    person: Principal
    permitted: bool
    policies: tuple[str, ...] = ()


@dataclass(frozen=True)
class CallEvent(CanMutateAggregate[str]):
    """One event of the call's chain, at its position."""

    originator_id: str
    originator_version: int
    timestamp: datetime
    recorded: Recorded
    before: Call | None = None
    """Of an event not yet appended: the call that it continues."""

    def apply(self, aggregate: "Approval") -> None:
        """IllegalTransition where it does not continue the call."""
        aggregate.call = aggregate.call.apply(self.recorded)


class Approval(BaseAggregate[str]):
    """A call, and what people may make of it. `id` is `str(CallRef)`, `version` the number of its events.

    It is rebuilt from the log (`services.approval.repository`), never constructed: a call begins at ingress.
    """

    @dataclass(frozen=True)
    class Event(CallEvent):
        """The base that the library asks for."""

    @dataclass(frozen=True)
    class Continued(Event):
        """Any event but the first."""

    @dataclass(frozen=True)
    class Begun(Event, CanInitAggregate[str]):
        """`requested`, by which the library makes the aggregate."""

        originator_topic: str = ""

        def apply(self, aggregate: "Approval") -> None:
            """Nothing is left to do after `__init__`."""

    def __init__(self, recorded: Recorded) -> None:
        # What the first event follows is the partition's genesis record, as the log has checked.
        self.call = Call(recorded.ref, recorded.event.follows).apply(recorded)
        """The fold of the chain; its last event may not stand yet."""

    @classmethod
    def event_of(cls, version: int, recorded: Recorded, before: Call | None = None) -> CallEvent:
        """The domain event of what stands, or is to stand, at that position."""
        place = str(recorded.ref), version, recorded.event.at, recorded, before
        if version == cls.INITIAL_VERSION:
            return cls.Begun(*place, originator_topic=get_topic(cls))
        return cls.Continued(*place)

    @classmethod
    def of(cls, call: Call) -> Self | None:
        """The approval of a call that was read; None for a call without events."""
        approval: Self | None = None
        for version, recorded in enumerate(call.chain, cls.INITIAL_VERSION):
            approval = cls.event_of(version, recorded).mutate(approval)
        return approval

    @property
    def ref(self) -> CallRef:
        return self.call.ref

    @property
    def question(self) -> Question | None:
        """What people are asked, or were asked last; None where nobody was ever asked."""
        return question_of(self.call)

    @property
    def must_question(self) -> Question:
        """The question, where there is one. NobodyAsked."""
        question = self.question
        if question is None:
            raise NobodyAsked
        return question

    @property
    def must_unsettled(self) -> Unsettled:
        """The last outcome that nobody knew, where there is one. NobodyAsked."""
        unsettled = unsettled_of(self.call)
        if unsettled is None:
            raise NobodyAsked
        return unsettled

    @property
    def pending_id(self) -> str | None:
        """The id of the event that was recorded and is not saved yet, if there is one."""
        return self.call.chain[-1].event.event_id if self.pending_events else None

    def holds(self, event_id: str) -> bool:
        """Whether that event is part of the call."""
        return any(recorded.event.event_id == event_id for recorded in self.call.chain)

    def record(self, event_id: str, at: datetime, data: EventData, traceparent: str | None = None) -> None:
        """Continues the call by one event, to be saved. IllegalTransition by the fold's own rules; NotStanding.

        `event_id` is minted before, since payloads are sealed for it.
        """
        head = self.call.head
        if self.pending_events or head is None or head.digest == UNSIGNED:
            raise NotStanding
        before = self.call
        recorded = Recorded(
            ref=before.ref,
            sequence=head.sequence + 1,
            recorded_at=at,
            digest=UNSIGNED,
            key_id="",
            event=make_event(event_id, before.ref, at, before.head_digest, data),
            traceparent=traceparent or head.traceparent,
        )
        self.trigger_event(self.Continued, timestamp=at, recorded=recorded, before=before)

    def cast_vote(self, event_id: str, now: datetime, reviewer: Decider, intent: Intent, reason: Sealed | None) -> None:
        """Records a vote, or a changed one. DecisionRefused, NobodyAsked, NotStanding."""
        question = self.must_question
        check_vote(question, reviewer.person, reviewer.permitted, intent, now)
        self.record(event_id, now, vote_of(question, reviewer.person, intent, reason, reviewer.policies))

    def amend(
        self, event_id: str, now: datetime, author: Decider, digest: str, patch: Sealed, reason: Sealed | None
    ) -> None:
        """Records a change of the arguments, after which everything starts over. DecisionRefused, NobodyAsked,
        NotStanding."""
        question = self.must_question
        check_amendment(question, author.person, author.permitted, digest, now)
        proof = proof_of(author.person, question)
        self.record(event_id, now, ArgumentsAmended(author=author.person, patch=patch, reason=reason, proof=proof))

    def settle(
        self, event_id: str, now: datetime, person: Decider, settlement: Settlement, sealed: SealedSettlement
    ) -> None:
        """Records what became of a call whose outcome nobody knew. DecisionRefused, NobodyAsked, NotStanding."""
        unsettled = self.must_unsettled
        check_settlement(unsettled, person.person, person.permitted, settlement)
        self.record(event_id, now, settled_of(unsettled, person.person, settlement, sealed))

    def cancel(self, event_id: str, now: datetime, by: str, freeze: str) -> bool:
        """Records that this freeze, by that person, stopped it; whether it waited for people, so that there was
        anything to stop. NotStanding."""
        if self.call.state not in WAITING_FOR_PEOPLE:
            return False
        self.record(event_id, now, Cancelled(by=by, code=FROZEN, freeze=freeze))
        return True

    def conclude(self, event_id: str, now: datetime, traceparent: str | None = None) -> bool:
        """Records what votes and time come to at this moment; whether there was anything to conclude. NotStanding."""
        data = conclusion(self.call, now)
        if data is None:
            return False
        self.record(event_id, now, data, traceparent)
        return True


__all__ = ["Approval", "CallEvent", "Decider", "IllegalTransition", "NobodyAsked", "NotStanding"]
