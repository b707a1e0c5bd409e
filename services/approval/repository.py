"""Approvals on the log: loading rebuilds them from verified events alone, saving appends by the log's one rule.

Handlers, which run on the log's loop, use `Approvals`. `repository` and `event_store` are the same for the library's
own synchronous classes, in other threads.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from weakref import WeakValueDictionary

from eventsourcing.application import AggregateNotFoundError, Repository
from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import EventStore, JSONTranscoder, Mapper, ProgrammingError, StoredEvent

from callgate.errors import BrokerAway, LostRace
from callgate.eventstore.chains import ChainRecorder, Link, append
from callgate.log import Log
from contracts.events import Recorded
from contracts.subjects import CallRef
from services.approval.aggregate import Approval, CallEvent

_CLOSE = timedelta(seconds=2)
"""So near to expiry the broker's clock may judge otherwise than ours: ask the log what it took."""
_TRIES = 50
"""Of one event against others on the same call, which each take one to be appended."""
_PAUSE = 0.02


class TooLate(Exception):
    """By the broker's clock, which the fold trusts, the event came after its time; `approval` is what stands."""

    def __init__(self, approval: Approval) -> None:
        super().__init__()
        self.approval = approval


class CallMapper(Mapper[str]):
    """Between the aggregate's events and links of the chain. What it is given was verified by the log."""

    def __init__(self) -> None:
        super().__init__(JSONTranscoder())  # the library's; our bytes are `contracts.events`' alone

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> Link:
        if not isinstance(domain_event, CallEvent):
            raise ProgrammingError("only a call's events stand on its chain")
        return Link.of(domain_event.originator_version, domain_event.recorded, domain_event.before)

    def to_domain_event(self, stored_event: StoredEvent) -> CallEvent:
        if not isinstance(stored_event, Link):
            raise ProgrammingError("only what the log has verified is an event of a call")
        return Approval.event_of(stored_event.originator_version, stored_event.recorded, stored_event.before)


class Approvals:
    """Loads and saves on the log's own loop."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._mapper = CallMapper()
        self._turns: WeakValueDictionary[CallRef, asyncio.Lock] = WeakValueDictionary()

    def turn(self, ref: CallRef) -> asyncio.Lock:
        """Held while one continues a call: those of this process wait here rather than lose races on the log."""
        turn = self._turns.get(ref)
        if turn is None:
            turn = self._turns[ref] = asyncio.Lock()
        return turn

    async def get(self, ref: CallRef) -> Approval:
        """From the leader. AggregateNotFoundError for a call that nobody began; BrokerAway."""
        try:
            self._log.origin(ref)
        except BrokerAway:  # a partition that was never provisioned holds no calls
            raise AggregateNotFoundError("no such partition") from None
        return _begun(Approval.of((await self._log.read(ref)).call))

    async def up_to(self, seen: Recorded) -> Approval:
        """As it was at an event that we were given, part of it or not. AggregateNotFoundError, BrokerAway."""
        return _begun(Approval.of((await self._log.read_upto(seen)).call))

    async def continued(self, approval: Approval, decide: Callable[[Approval], Awaitable[None]]) -> Approval:
        """The approval with the event that `decide` records on it, if any: decided anew where somebody was quicker.

        Whatever `decide` raises, TooLate, TooLarge; BrokerAway, after which the event may or may not stand.
        """
        for _ in range(_TRIES):
            await decide(approval)
            event_id = approval.pending_id
            if event_id is None:
                return approval
            try:
                saved = await self.save(approval)
            except LostRace:
                await asyncio.sleep(random.uniform(0, _PAUSE))  # noqa: S311
                approval = await self.get(approval.ref)
                continue
            if not saved.holds(event_id):
                raise TooLate(saved)
            return saved
        raise BrokerAway("too many decisions on this call at this moment")

    async def save(self, approval: Approval) -> Approval:
        """The approval as the log has it after what was recorded; the one given is spent.

        Where the broker's clock found the event too late, it is no part of the call: the version is as before.
        LostRace, BrokerAway (it may or may not stand), TooLarge.
        """
        events = approval.collect_events()
        if not events:
            return approval
        (event,) = events  # Approval.record takes no second one
        link = self._mapper.to_stored_event(event)
        recorded = await append(self._log, link)
        assert link.before is not None  # noqa: S101  # `append` takes no other
        question = approval.question
        if question is not None and question.expires_at - recorded.recorded_at < _CLOSE:
            return await self.get(recorded.ref)
        saved = Approval.of(link.before.accept(recorded))
        assert saved is not None  # noqa: S101  # it continued an event
        return saved


def _begun(approval: Approval | None) -> Approval:
    if approval is None:
        raise AggregateNotFoundError("no such call")
    return approval


def event_store(log: Log, loop: asyncio.AbstractEventLoop) -> EventStore[str]:
    """Signed events of calls as the library's event store; `loop` is the one on which the log lives."""
    return EventStore(CallMapper(), ChainRecorder(log, loop))


def repository(log: Log, loop: asyncio.AbstractEventLoop) -> Repository[str]:
    """`repository(…).get(str(ref))` is the Approval. AggregateNotFoundError, OperationalError, DataError."""
    return Repository(event_store(log, loop))
