"""What services see of the log."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from callgate.errors import Retryable
from callgate.keyring import UNKNOWN_KEY
from callgate.log.messages import Alien
from contracts.events import EventData, Recorded
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition


@dataclass(frozen=True, slots=True)
class Draft:
    """An event not yet appended. Its id is minted before sealing, which binds payloads to it."""

    event_id: str
    at: datetime
    data: EventData


@dataclass(frozen=True, slots=True)
class Origin:
    """What `requested` answers: nothing on the call's subjects, and the partition's genesis record."""

    ref: CallRef
    digest: str
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Chain:
    """A call with everything that stands on its subjects."""

    call: Call
    aliens: tuple[Alien, ...]
    last_sequence: int
    """Of the last message on the call's subjects, alien or not; 0 where there is none."""

    def around(self, seen: Recorded) -> Call:
        """The call, where this reading can tell whether `seen` is part of it and what became of it.

        Retryable otherwise: the reading ended before it, or an event that may matter bears a key that our ring does
        not know, which may lag behind a rotation.
        """
        part = any(recorded.digest == seen.digest for recorded in self.call.chain)
        after = seen.sequence if part else 0
        unknown = any(alien.code == UNKNOWN_KEY and alien.sequence > after for alien in self.aliens)
        if unknown or self.last_sequence < seen.sequence:
            raise Retryable("chain_incomplete", "not all events of the call can be read yet")
        return self.call


class Log(Protocol):
    """The contract is the docstring of `callgate.log`."""

    def origin(self, ref: CallRef) -> Origin:
        """What the first event of a new call answers. BrokerAway for a partition that was not provisioned."""
        ...

    async def append(self, draft: Draft, answers: Recorded | Origin, *, traceparent: str | None = None) -> Recorded:
        """The event as it stands. LostRace, BrokerAway, TooLarge."""
        ...

    async def read(self, ref: CallRef) -> Chain:
        """The call from the leader; an empty call where there is none. BrokerAway."""
        ...

    async def read_upto(self, seen: Recorded) -> Chain:
        """The call up to an event that the caller was given, from the nearest replica that has it. BrokerAway."""
        ...

    async def read_session(self, partition: Partition, session_id: str) -> list[Chain]:
        """The session's calls in that partition, in the order in which they began. BrokerAway.

        From the nearest replica, which in a cluster may be some milliseconds behind the leader.
        """
        ...

    async def read_begun(self, partition: Partition, session_id: str, after: int, limit: int) -> list[Chain]:
        """The session's next calls in that partition: up to `limit` of those whose first event stands after that
        sequence, in the order in which they began. Fewer where there are no more. BrokerAway.

        As far as the nearest replica has them. It costs what those calls are, however long the session is.
        """
        ...

    def follow(self, partition: Partition, after: int = 0, event: str = "*") -> AsyncIterator[Recorded | Alien]:
        """Everything of a partition (or every event of one name) after that sequence, then what comes, for ever."""
        ...
