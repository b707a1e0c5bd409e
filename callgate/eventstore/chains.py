"""Chains of calls as the `eventsourcing` library stores events: what stands on CALLS are our signed contract events.

The originator is the call (`str(CallRef)`), the version is the position in its chain (`requested` is 1), the topic is
the ce-type. Aliens have no position: they are never selected, and no obstacle to an insert. Appending is the log's
alone, so `follows` and the signature are made where they always are, and `LostRace` is the library's
`IntegrityError`.

**One event an insert.** An event answers one that stands, by its digest, which is only known once that is signed; and
whether the broker's clock lets it be part of the chain, only once it stands. So a second event is decided after the
first was read back; an insert of more is refused, and nothing is ever stored in part.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    DataError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    StoredEvent,
)

from callgate.errors import BrokerAway, LostRace, TooLarge
from callgate.log import Draft, Log
from contracts.events import Recorded, encode_event
from contracts.lifecycle import Call
from contracts.subjects import CallRef

T = TypeVar("T")

WAIT_TIMEOUT = 30.0
"""Seconds that a synchronous caller waits for the log, whose own bounds are tighter."""


@dataclass(frozen=True)
class Link(StoredEvent):
    """One event of a chain. `state` is its body as this version writes it; nothing is ever verified from it."""

    recorded: Recorded
    """As it stands, verified; of an event to be appended: its data, id and time, and no digest yet."""
    before: Call | None = None
    """The call that it continues, as its author saw it; None for one that stands."""

    @classmethod
    def of(cls, version: int, recorded: Recorded, before: Call | None = None) -> "Link":
        state = encode_event(recorded.event)
        return cls(str(recorded.ref), version, recorded.data.TYPE, state, recorded, before)


def links(call: Call) -> list[Link]:
    """The chain, versions from 1."""
    return [Link.of(version, recorded) for version, recorded in enumerate(call.chain, 1)]


async def append(log: Log, link: Link) -> Recorded:
    """The event as it stands. LostRace, BrokerAway, TooLarge; ProgrammingError for a link that continues nothing."""
    recorded, before = link.recorded, link.before
    if before is None:
        raise ProgrammingError("the event stands already: it was read from the log")
    if before.ref != recorded.ref or link.originator_version != len(before.chain) + 1:
        raise ProgrammingError("the version of an event is its position in the call that it continues")
    answers = before.head or log.origin(before.ref)
    draft = Draft(recorded.event.event_id, recorded.event.at, recorded.data)
    return await log.append(draft, answers, traceparent=recorded.traceparent)


class ChainRecorder(AggregateRecorder):
    """For synchronous callers in other threads than the log's loop; code on the loop uses `links` and `append`."""

    def __init__(self, log: Log, loop: asyncio.AbstractEventLoop) -> None:
        self._log = log
        self._loop = loop

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        """IntegrityError where somebody else continued the call; OperationalError: it may or may not stand."""
        if any(given is not None for given in kwargs.values()):  # an application always names `tracking`
            raise NotSupportedError("a chain holds events and nothing beside them")
        if not stored_events:
            return
        link, *more = stored_events
        if more:
            raise NotSupportedError("one event at a time: the next answers what stands")
        if not isinstance(link, Link):
            raise ProgrammingError("only links of a chain stand on CALLS; map events with the chain's own mapper")
        self._wait(append(self._log, link))

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[Link]:
        try:
            ref = CallRef.parse(str(originator_id))
        except ValueError:
            raise DataError("not a call id") from None
        found = [
            link
            for link in links(self._wait(self._log.read(ref)).call)
            if (gt is None or link.originator_version > gt) and (lte is None or link.originator_version <= lte)
        ]
        return (found[::-1] if desc else found)[:limit]

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """From the log's loop, in the library's errors, none of which has another cause in it."""
        if not self._loop.is_running() or _running_loop() is self._loop:
            work.close()
            raise ProgrammingError("the log's loop must run, in another thread than the caller's")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(WAIT_TIMEOUT)
        except LostRace:
            raise IntegrityError("somebody else continued the call") from None
        except TooLarge:
            raise DataError("the event is larger than the broker takes") from None
        except (BrokerAway, TimeoutError):
            raise OperationalError("the log is away: the event may or may not stand") from None
        finally:
            future.cancel()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
