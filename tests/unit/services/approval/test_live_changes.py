"""What changed while somebody looked, and the stream that tells their page."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from callgate.http import Problem
from contracts.subjects import CallRef, Partition
from services.approval.changes import KEPT, Change, Changes
from services.approval.live import STREAMS_EACH, Live

REF, OTHER = (CallRef(Partition(1, 0), "s_" + letter * 32, f"0199{letter * 28}") for letter in "ab")
FINANCE = frozenset({"finance"})
ROSA = ("https://issuer.example", "rosa")


def of_finance(change: Change) -> bool:
    return change.concerns(FINANCE)


def always() -> bool:
    return True


def test_a_position_tells_what_came_after_it() -> None:
    changes = Changes()
    start = changes.position
    assert changes.since(start) == ()
    changes.tell(REF, FINANCE)
    middle = changes.position
    changes.tell(OTHER, frozenset())
    assert changes.since(start) == (Change(REF, FINANCE), Change(OTHER, frozenset()))
    assert changes.since(middle) == (Change(OTHER, frozenset()),)


def test_who_saw_too_little_or_elsewhere_is_told_so() -> None:
    changes = Changes()
    start = changes.position
    for _ in range(KEPT + 1):
        changes.tell(REF, FINANCE)
    assert changes.since(start) is None
    for unknown in ("", "nonsense", Changes().position, f"{changes.epoch}-{KEPT + 2}", f"{changes.epoch}--1"):
        assert changes.since(unknown) is None, unknown


async def test_a_stream_tells_of_what_concerns_its_reader_alone() -> None:
    changes = Changes()
    events = Live(changes, keep_alive=0.05).events(ROSA, of_finance, changes.position, always)
    assert await anext(events) == b"retry: 2000\n\n"
    changes.tell(REF, frozenset({"sre"}))
    assert await anext(events) == b": ping\n\n"
    changes.tell(OTHER, FINANCE)
    told = await _next_event(events)
    assert told == f"event: changed\ndata: {{}}\nid: {changes.position}\n\n".encode()


def test_what_is_in_force_is_on_nobodys_list() -> None:
    assert not Change(None, None).concerns(FINANCE)
    assert Change(REF, None).concerns(FINANCE)


async def test_a_stream_from_elsewhere_begins_with_a_change() -> None:
    changes = Changes()
    events = Live(changes).events(ROSA, of_finance, Changes().position, always)
    await anext(events)
    assert b"event: changed" in await anext(events)


async def test_a_stream_ends_with_its_session_and_with_the_service() -> None:
    changes = Changes()

    def never() -> bool:
        return False

    ended = [event async for event in Live(changes).events(ROSA, of_finance, changes.position, never)]
    assert ended == [b"retry: 2000\n\n", b"event: signed-out\ndata: {}\n\n"]
    events = Live(changes).events(ROSA, of_finance, changes.position, always)
    await anext(events)
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    changes.close()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_streams_of_one_person_are_bounded() -> None:
    changes = Changes()
    live = Live(changes)
    async with contextlib.AsyncExitStack() as opened:
        for _ in range(STREAMS_EACH):
            live.require_room(ROSA)
            events = live.events(ROSA, of_finance, changes.position, always)
            opened.push_async_callback(events.aclose)
            await anext(events)
        with pytest.raises(Problem, match="too_many_streams"):
            live.require_room(ROSA)
        live.require_room(("https://issuer.example", "fina"))
    live.require_room(ROSA)


async def _next_event(events: AsyncIterator[bytes]) -> bytes:
    async for event in events:
        if not event.startswith(b":"):
            return event
    raise AssertionError("the stream ended")
