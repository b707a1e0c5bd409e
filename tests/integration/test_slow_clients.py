"""Clients that are slow, rude or gone: each costs little, for a bounded time, and others are served as before."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from raw_peers import GET, Door, Peer, open_door

from callgate.connections import Limits

CONNECTIONS = 300
BODY = b"POST /size HTTP/1.1\r\nhost: t\r\ncontent-length: 100000\r\n\r\n"


@pytest.fixture
async def impatient() -> AsyncIterator[Door]:
    async with open_door(Limits(head_seconds=0.3, body_seconds=0.3, stall_seconds=0.3)) as door:
        yield door


async def served(door: Door) -> None:
    """Somebody else is, over a connection of their own."""
    peer = await door.connect()
    await peer.send(GET + b"\r\n")
    assert (await peer.answer()).status == 200


async def dripped(peer: Peer, text: bytes) -> bytes:
    """What comes back while the text is sent byte by byte, until the server closes; it must before the text's end."""
    answer = asyncio.create_task(peer.rest())
    for number in range(len(text)):
        if not await peer.send(text[number : number + 1]):
            break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await asyncio.shield(answer)
        if answer.done():
            break
    else:
        raise AssertionError("the server took all of it")
    return await answer


@pytest.mark.parametrize(
    ("before", "dripping", "code"),
    [
        (b"", GET + b"x: y\r\n" * 90, b"headers_too_slow"),
        (GET, b"x: y\r\n" * 90, b"headers_too_slow"),
        (BODY, b"x" * 100_000, b"body_too_slow"),
    ],
)
async def test_a_byte_now_and_then(impatient: Door, before: bytes, dripping: bytes, code: bytes) -> None:
    peer = await impatient.connect()
    await peer.send(before)
    answer = await dripped(peer, dripping)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert code in answer
    await served(impatient)


async def test_others_are_served_beside_many_that_are_slow() -> None:
    async with open_door(Limits()) as door:
        peers = [await door.connect() for _ in range(CONNECTIONS)]
        for number, peer in enumerate(peers):
            await peer.send((b"", GET, BODY, GET + b"\r\n")[number % 4])
        for _ in range(20):
            await served(door)


async def test_who_never_reads_an_answer_without_an_end(impatient: Door) -> None:
    peer = await impatient.connect()
    await peer.send(b"GET /endless HTTP/1.1\r\nhost: t\r\n\r\n")
    async with asyncio.timeout(20):
        await impatient.over.wait()
    await served(impatient)


@pytest.mark.parametrize("last", [b"", b"connection: close\r\n"])
async def test_who_never_reads_answers_makes_room_for_others(last: bytes) -> None:
    async with open_door(Limits(connections=1, stall_seconds=0.3)) as door:
        first = await door.connect()
        await first.send(b"GET /large HTTP/1.1\r\nhost: t\r\n" + last + b"\r\n")
        async with asyncio.timeout(20):
            while True:
                other = await door.connect()
                await other.send(GET + b"\r\n")
                if (await other.answer()).status == 200:
                    break
                other.close()
                await asyncio.sleep(0.05)  # refused connections count until they are closed, and nothing tells when


async def test_who_sends_no_more_and_waits_is_gone() -> None:
    """A half-closed connection is one that is lost: what was asked for is not held open for it."""
    async with open_door(Limits()) as door:
        peer = await door.connect()
        await peer.send(b"GET /held HTTP/1.1\r\nhost: t\r\n\r\n")
        await door.held.wait()
        peer.half_close()
        async with asyncio.timeout(10):
            await door.over.wait()


async def test_rubbish_in_a_row_behind_a_held_request_ends_only_its_own(impatient: Door) -> None:
    peers = [await impatient.connect() for _ in range(20)]
    for number, peer in enumerate(peers):
        await peer.send(b"GET /held HTTP/1.1\r\nhost: t\r\n\r\n")
        await peer.send(bytes([128 + number]) * 1000 + b"\r\n\r\n")
    for peer in peers:
        assert b"200 OK" not in await peer.rest()
    await served(impatient)


async def test_the_server_stops_beside_clients_that_stay() -> None:
    async with asyncio.timeout(30), open_door(Limits(), staying=True) as door:
        for text in (BODY, GET, GET + b"\r\n", b"GET /endless HTTP/1.1\r\nhost: t\r\n\r\n"):
            await (await door.connect()).send(text)
        await (await door.connect()).send(b"GET /held HTTP/1.1\r\nhost: t\r\n\r\n")
        await door.held.wait()
    assert door.over.is_set()
