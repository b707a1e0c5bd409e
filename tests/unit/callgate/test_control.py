"""Following CONTROL: a look sees what was acknowledged before it, shares its request, and loses no late key."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from callgate.control import Feed
from callgate.errors import BrokerAway
from callgate.keyring import UNKNOWN_KEY, BadSignature
from callgate.log import reading
from callgate.log.messages import Message
from callgate.records import Standing


class Stream:
    """Messages on CONTROL, those of `codes` not verifiable for now; `asked` counts requests to the leader."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.codes: dict[int, str] = {}
        self.asked = 0
        self.away = False
        self.meanwhile: Callable[[], None] = lambda: None
        self.taken: list[int] = []
        self.seen: list[int] = []

    def put(self, code: str | None = None, age: timedelta = timedelta(0)) -> int:
        sequence = len(self.messages) + 1
        self.messages.append(Message("control.freeze.f", {}, b"", sequence, datetime.now(UTC) - age))
        if code is not None:
            self.codes[sequence] = code
        return sequence

    def verify(self, message: Message) -> Standing:
        if message.sequence in self.codes:
            raise BadSignature(self.codes[message.sequence])
        return cast("Standing", message)

    async def direct_all(self, *_: Any) -> AsyncIterator[Message]:
        for message in self.messages[:1]:  # a replica that is behind
            yield message

    async def leader_next(self, _client: Any, _stream: str, _filter: str, start: int) -> Message | None:
        self.asked += 1
        if self.away:
            raise BrokerAway
        found = self.messages[start - 1] if start <= len(self.messages) else None
        await asyncio.sleep(0)
        self.meanwhile()
        return found


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Stream:
    made = Stream()
    monkeypatch.setattr(reading, "direct_all", made.direct_all)
    monkeypatch.setattr(reading, "leader_next", made.leader_next)
    return made


@pytest.fixture
def feed(stream: Stream) -> Feed:
    nothing: Any = None
    return Feed(
        nothing,
        cast("Any", stream),
        "control.freeze.>",
        lambda standing: stream.taken.append(standing.sequence),
        lambda message: stream.seen.append(message.sequence),
    )


async def test_everything_is_taken_once_and_in_order(stream: Stream, feed: Feed) -> None:
    for _ in range(3):
        stream.put()
    await feed.refresh()
    stream.put()
    await feed.refresh()
    await feed.refresh()
    assert stream.taken == stream.seen == [1, 2, 3, 4]


async def test_those_who_ask_at_the_same_time_share_a_request(stream: Stream, feed: Feed) -> None:
    await feed.refresh()
    before = stream.asked
    await asyncio.gather(*(feed.refresh() for _ in range(50)))
    assert stream.asked == before + 1


async def test_what_comes_while_a_look_is_under_way_is_seen_by_the_next(stream: Stream, feed: Feed) -> None:
    await feed.refresh()
    first = asyncio.create_task(feed.refresh())
    second: list[asyncio.Task[None]] = []

    def acknowledged() -> None:
        stream.meanwhile = lambda: None
        stream.put()  # after the leader answered the first look that there was nothing
        second.append(asyncio.create_task(feed.refresh()))

    stream.meanwhile = acknowledged
    await first
    await second[0]
    assert stream.taken == [1]


async def test_a_broker_that_is_away_is_told_to_all_and_asked_again(stream: Stream, feed: Feed) -> None:
    stream.put()
    stream.away = True
    results = await asyncio.gather(*(feed.refresh() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, BrokerAway) for result in results)
    stream.away = False
    await feed.refresh()
    assert stream.taken == [1]


async def test_an_alien_is_no_obstacle(stream: Stream, feed: Feed) -> None:
    stream.put("wrong_role")
    stream.put()
    await feed.refresh()
    assert (stream.taken, stream.seen) == ([2], [1, 2])


async def test_what_bears_a_key_that_the_ring_gets_later_is_taken_then(stream: Stream, feed: Feed) -> None:
    late = stream.put(UNKNOWN_KEY)
    await feed.refresh()
    await feed.refresh()
    assert stream.taken == []
    del stream.codes[late]
    await feed.refresh()
    await feed.refresh()
    assert stream.taken == [late]


async def test_somebodys_junk_is_not_kept_for_ever(stream: Stream, feed: Feed) -> None:
    old = stream.put(UNKNOWN_KEY, timedelta(days=2))
    await feed.refresh()
    del stream.codes[old]
    await feed.refresh()
    assert stream.taken == []


async def test_who_stops_waiting_stops_nobody_else(stream: Stream, feed: Feed) -> None:
    stream.put()
    leaving, staying = asyncio.create_task(feed.refresh()), asyncio.create_task(feed.refresh())
    await asyncio.sleep(0)
    leaving.cancel()
    await staying
    assert stream.taken == [1]
