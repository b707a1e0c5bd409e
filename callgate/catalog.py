"""The catalog as it lives: what the operator declares, and the tools of MCP servers as CONTROL tells of them.

Only the executor reaches connections, so it records what it finds there, and everybody follows. A reading replaces the
catalog whole: nobody ever sees half of a change.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

from nats.aio.client import Client

from callgate.control import LOOK_EVERY, Feed
from callgate.errors import BrokerAway
from callgate.records import Records, Standing
from contracts.functions import Bar, Catalog, Connection, Function, McpConnection
from contracts.records import ToolAccepted, ToolFound
from contracts.subjects import ALL_TOOLS, tool_accepted_subject, tool_found_subject
from contracts.tools import States, ToolState, known_of

logger = logging.getLogger("callgate.catalog")

T = TypeVar("T")


class LiveCatalog(Catalog):
    """A catalog that follows CONTROL. Without an MCP connection it is what the operator declared, and asks nobody."""

    def __init__(self, connections: Mapping[str, Connection], client: Client, records: Records) -> None:
        super().__init__(connections)
        self._snapshot = Catalog(connections)
        self._states: dict[tuple[str, str], ToolState] = {}
        self._dirty = False
        self._feed = Feed(client, records, ALL_TOOLS, self._take)
        self.changes = any(isinstance(one, McpConnection) for one in connections.values())
        """Whether it can change at all."""

    @property
    def snapshot(self) -> Catalog:
        return self._snapshot

    @property
    def states(self) -> States:
        """What is known of each tool, beside what it comes to."""
        return self._states

    async def refresh(self) -> None:
        """Afterwards it holds everything that was acknowledged before. BrokerAway."""
        if not self.changes:
            return
        await self._feed.refresh()
        if self._dirty:
            self._dirty = False
            known = known_of(self.connections, self._states)
            self._snapshot = Catalog(self.connections, known.functions, known.barred)

    async def follow(self) -> None:
        """Keeps up for ever; waits out a broker that is away."""
        while True:
            try:
                await self.refresh()
            except BrokerAway:
                logger.warning("CONTROL cannot be read now; the functions known before stay")
            await asyncio.sleep(LOOK_EVERY)

    async def look_up(self, name: str) -> Function | None:
        """The function, also one that others met, or accepted, before we heard of it. BrokerAway."""
        if name in self.barred or (self.get(name) is None and self.awaits(name)):
            await self.refresh()
        return self.get(name)

    def _take(self, standing: Standing) -> None:
        data, subject = standing.data, standing.record.subject
        match data:
            case ToolFound() if subject == tool_found_subject(data.connection, data.function):
                state = self._state(data).find(data.definition)
            case ToolAccepted() if subject == tool_accepted_subject(data.connection, data.function):
                state = self._state(data).accept(data.definition)
            case _:
                return
        self._states[data.connection, data.function] = state
        self._dirty = True

    def _state(self, data: ToolFound | ToolAccepted) -> ToolState:
        return self._states.get((data.connection, data.function), ToolState())

    # What a catalog is read by, of the present snapshot.

    def get(self, name: str) -> Function | None:
        return self._snapshot.get(name)

    def digest_of(self, name: str) -> str:
        return self._snapshot.digest_of(name)

    @property
    def barred(self) -> Mapping[str, Bar]:
        return self._snapshot.barred

    def knows(self, name: str) -> bool:
        return self._snapshot.knows(name)

    def awaits(self, name: str) -> bool:
        return self._snapshot.awaits(name)

    def __iter__(self) -> Iterator[Function]:
        return iter(self._snapshot)

    def __len__(self) -> int:
        return len(self._snapshot)


class Derived(Generic[T]):
    """What is made of a catalog, made anew whenever it changed."""

    def __init__(self, catalog: Catalog, make: Callable[[Catalog], T]) -> None:
        self._catalog = catalog
        self._make = make
        self._of = catalog.snapshot
        self._made = make(self._of)

    def __call__(self) -> T:
        if (now := self._catalog.snapshot) is not self._of:
            self._made, self._of = self._make(now), now
        return self._made
