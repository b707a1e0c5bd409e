"""Follows CONTROL into SQL: grants with their uses, and freezes.

A row is the whole story of its grant or freeze, folded from the records themselves. So writing one again changes
nothing, and the cursor only says which of them are to be looked at.
"""

import asyncio
import logging
from collections import OrderedDict

from nats.aio.client import Client

from callgate.control import LOOK_EVERY, Feed
from callgate.errors import Retryable
from callgate.log import Message, reading
from callgate.records import Records
from contracts.subjects import CONTROL, freeze_subject, grant_filter
from services.audit.control_rows import FreezeStory, GrantStory
from services.audit.rows import Rows
from services.audit.store import Store

logger = logging.getLogger("services.audit")

_TOLD = "control.*.>"
"""Everything but policy sets, which are large."""
_BATCH = 256
_KEPT = 256
"""Stories kept folded; a grant that is used again and again is read on, not anew."""


class ControlProjection:
    """The projection of CONTROL, by any number of replicas into one database."""

    def __init__(self, client: Client, records: Records, store: Store) -> None:
        self._client = client
        self._records = records
        self._store = store
        self._kept: OrderedDict[tuple[str, str], tuple[GrantStory | FreezeStory, Feed]] = OrderedDict()
        self.waits_for: str | None = "the first look at CONTROL"
        """None while it keeps up, else our code for what holds it up."""

    async def follow(self) -> None:
        """Projects for ever; waits out a broker or a database that is away."""
        while True:
            try:
                await self.catch_up()
                self.waits_for = None
            except Retryable as error:
                self.waits_for = error.code
                logger.warning("the projection of CONTROL waits", extra={"code": error.code})
            await asyncio.sleep(LOOK_EVERY)

    async def catch_up(self) -> int:
        """How many messages about grants and freezes were new. BrokerAway, DatabaseAway."""
        count, done = 0, False
        while not done:
            seen = await asyncio.to_thread(self._store.cursor, CONTROL)
            messages, done = await reading.direct_batch(self._client, CONTROL, _TOLD, seen + 1, _BATCH)
            if not messages:
                break
            rows, last = await self._rows(messages), messages[-1].sequence
            if await asyncio.to_thread(self._store.write, CONTROL, seen, last, rows):
                count += sum(_is_about(message) for message in messages)
            else:
                done = False  # another replica wrote, or rebuilds
        return count

    async def _rows(self, messages: list[Message]) -> Rows:
        rows = Rows()
        for kind, name in dict.fromkeys(_named(message) for message in messages if _is_about(message)):
            (await self._story(kind, name)).add_to(rows)
        return rows

    async def _story(self, kind: str, name: str) -> GrantStory | FreezeStory:
        """As it is by now. BrokerAway."""
        if (kind, name) not in self._kept:
            story = GrantStory() if kind == "grant" else FreezeStory()
            about = grant_filter(name) if kind == "grant" else freeze_subject(name)
            self._kept[kind, name] = story, Feed(self._client, self._records, about, story.apply)
        self._kept.move_to_end((kind, name))
        story, feed = self._kept[kind, name]
        await feed.refresh()
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return story


def _named(message: Message) -> tuple[str, str]:
    _, kind, name, *_ = message.subject.split(".")
    return kind, name


def _is_about(message: Message) -> bool:
    return _named(message)[0] in ("grant", "freeze")
