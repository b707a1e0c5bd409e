"""Streams: told of what changed for their own principal, once, and ended by whatever ends them."""

import asyncio
import contextlib
from typing import Any, cast

import pytest

from callgate.identity.claims import Verified
from callgate.identity.errors import Refusal
from contracts.identity import Principal
from services.ingress.bearers import Bearers
from services.ingress.mcp.sessions import Sessions
from services.ingress.mcp.streams import Stream, Streams
from services.ingress.permitted import Permitted
from services.ingress.room import Room, TooManyHeld

BOT, FAY = Principal(id="bot", issuer="i"), Principal(id="fay", issuer="i")


class Lists:
    """What each principal is shown, and how often that was worked out."""

    def __init__(self) -> None:
        self.basis: tuple[Any, Any] = (None, 1)
        self.shown = {"bot": b"1", "fay": b"1"}
        self.asked = 0

    async def digest(self, principal: Principal) -> bytes:
        self.asked += 1
        return self.shown[principal.id]

    def change(self, **shown: bytes) -> None:
        self.shown |= shown
        self.basis = (None, self.basis[1] + 1)


class Tokens:
    changes = 0
    why: Refusal | None = None
    left = 5.0

    def ended(self, _: Verified) -> Refusal | None:
        return self.why

    def seconds_left(self, _: Verified) -> float:
        return self.left


def streams_of(lists: Lists, tokens: Tokens, room: int = 8) -> Streams:
    return Streams(cast(Permitted, lists), Room(room, 0.25), cast(Bearers, tokens))


TOKEN = cast(Verified, object())


async def test_only_whose_list_changed_is_told_and_of_many_changes_once() -> None:
    lists = Lists()
    streams = streams_of(lists, Tokens())
    with streams.open(BOT, TOKEN) as mine, streams.open(FAY, TOKEN) as hers:
        for stream in (mine, hers):
            await streams.look(stream)
            await streams.look(stream)
        assert lists.asked == 2, "nothing changed in between"
        for shown in (b"2", b"3"):
            lists.change(fay=shown)
            await streams.look(mine)
            await streams.look(hers)
        assert await hers.changed(5)
        assert not await hers.changed(0)
        assert not await mine.changed(0)


async def test_who_is_told_hears_of_it_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingress.mcp.streams.LOOK_EVERY", 0)
    lists = Lists()
    streams = streams_of(lists, Tokens())
    with streams.open(BOT, TOKEN) as stream:
        await streams.look(stream)
        following = asyncio.create_task(streams.follow())
        lists.change(bot=b"2")
        assert await stream.changed(30)
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def test_a_revoked_token_ends_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ingress.mcp.streams.LOOK_EVERY", 0)
    tokens = Tokens()
    streams = streams_of(Lists(), tokens)
    with streams.open(BOT, TOKEN) as stream:
        assert streams.seconds_left(stream) == tokens.left
        following = asyncio.create_task(streams.follow())
        tokens.why, tokens.changes = Refusal.REVOKED, 1
        assert not await stream.changed(30)
        assert stream.over
        assert streams.seconds_left(stream) == 0
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def test_the_end_of_the_process_ends_all_and_those_that_come_after() -> None:
    streams = streams_of(Lists(), Tokens())
    with streams.open(BOT, TOKEN) as one:
        streams.release()
        with streams.open(FAY, TOKEN) as late:
            assert one.over
            assert late.over


async def test_a_stream_takes_room_and_gives_it_back() -> None:
    streams = streams_of(Lists(), Tokens())
    for _ in range(3):
        with streams.open(BOT, TOKEN), streams.open(BOT, TOKEN):
            with pytest.raises(TooManyHeld):
                streams.require_room(BOT)
            streams.require_room(FAY)


def test_a_session_has_one_stream_and_does_not_run_out_under_it() -> None:
    now = 0.0
    sessions = Sessions(8, 60, lambda: now)
    session, idle = sessions.new("bot"), sessions.new("bot")
    sessions.open(session)
    sessions.open(idle)
    first, second = Stream(BOT, TOKEN), Stream(BOT, TOKEN)
    session.listen(first)
    session.listen(second)
    assert (first.over, second.over) == (True, False)
    session.listened(first)
    now = 100.0
    assert sessions.get(idle.id, "bot") is None, "one that listens keeps no other open"
    assert sessions.get(session.id, "bot") is session
    sessions.end(session)
    assert second.over
