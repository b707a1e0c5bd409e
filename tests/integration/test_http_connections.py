"""What one connection may cost before anybody is known: raw sockets against the server that every service runs."""

import json
from collections.abc import AsyncIterator

import pytest
from raw_peers import GET, SECRET, Door, open_door

from callgate.connections import Limits


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    async with open_door(Limits()) as door:
        yield door


@pytest.fixture
async def impatient() -> AsyncIterator[Door]:
    async with open_door(Limits(head_seconds=0.1)) as door:
        yield door


async def test_an_ordinary_request_and_the_next_on_the_same_connection(door: Door) -> None:
    peer = await door.connect()
    for _ in range(2):
        await peer.send(GET + b"x-long: " + b"x" * 20_000 + b"\r\n" + b"x-many: y\r\n" * 90 + b"\r\n")
        answer = await peer.answer()
        assert (answer.status, json.loads(answer.body)) == (200, {"bytes": 0, "headers": 92})


async def test_a_large_body_is_no_large_head(door: Door) -> None:
    peer = await door.connect()
    body = b"x" * 3_000_000
    await peer.send(b"POST /size HTTP/1.1\r\nhost: t\r\ncontent-length: %d\r\n\r\n" % len(body) + body + GET + b"\r\n")
    assert json.loads((await peer.answer()).body)["bytes"] == len(body)
    assert (await peer.answer()).status == 200


async def test_who_is_refused_while_they_send_their_body_hears_why(door: Door) -> None:
    """Closing at once would reset the connection of a client that still writes, and take the answer with it."""
    peer = await door.connect()
    pieces = [b"x" * 1000] * 200
    await peer.send(b"POST /refused HTTP/1.1\r\nhost: t\r\ncontent-length: 300000\r\n\r\n", pieces[0])
    (await peer.answer()).problem(415, "not_json")
    assert await peer.rest() == b""
    assert await peer.send(*pieces) == 200_000


async def test_who_was_refused_with_all_their_body_is_let_go_at_once(door: Door) -> None:
    peer = await door.connect()
    await peer.send(b"POST /refused HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\nab")
    (await peer.answer()).problem(415, "not_json")
    assert await peer.rest() == b""


async def test_a_head_in_pieces(door: Door) -> None:
    peer = await door.connect()
    for byte in GET + b"\r\n":
        await peer.send(bytes([byte]))
    assert (await peer.answer()).status == 200


async def test_a_chunked_body_in_pieces_with_a_trailer(door: Door) -> None:
    peer = await door.connect()
    head = b"POST /size HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n"
    await peer.send(head, b"4\r\nab", b"cd\r\n", b"2\r\nef\r\n0\r\n", b"x-sum: 1\r\n\r\n")
    assert json.loads((await peer.answer()).body)["bytes"] == 6


async def test_a_trailer_is_no_header(door: Door) -> None:
    """What a TLS terminator in front strips or sets are headers; a `Client-Cert` behind the body would pass it by."""
    peer = await door.connect()
    head = b"POST /size HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n"
    await peer.send(head + b"2\r\nab\r\n0\r\nclient-cert: :AA==:\r\nhost: evil\r\nexpect: 100-continue\r\n\r\n")
    assert json.loads((await peer.answer()).body) == {"bytes": 2, "headers": 2}


async def test_the_spaces_around_a_value_are_none_of_it(door: Door) -> None:
    """RFC 9110, 5.5. The names that MCP mirrors into headers are compared with those in the body."""
    peer = await door.connect()
    await peer.send(b"GET /said HTTP/1.1\r\nhost: t\r\nx-said: \t a  b \t \r\nx-said:\r\nx-said:  \r\n\r\n")
    assert json.loads((await peer.answer()).body) == ["a  b", "", ""]


async def test_one_huge_header_is_refused_early(door: Door) -> None:
    peer = await door.connect()
    await peer.send(GET + b"authorization: Bearer ", *(SECRET * 4096 for _ in range(64)))
    (await peer.answer()).problem(431, "headers_too_large")
    assert await peer.rest() == b""


async def test_a_header_without_an_end_is_cut_off(door: Door) -> None:
    peer = await door.connect()
    whole = 256 * 1024 * 1024
    sent = await peer.send(GET + b"x: ", *(bytes(b"y" * 65536) for _ in range(whole // 65536)))
    assert sent < whole


@pytest.mark.parametrize("pieces", [1, 50])
async def test_many_headers(door: Door, pieces: int) -> None:
    peer = await door.connect()
    await peer.send(GET, *(b"a: b\r\n" * (5000 // pieces) for _ in range(pieces)))
    (await peer.answer()).problem(431, "headers_too_large")
    assert await peer.rest() == b""


async def test_headers_that_are_large_together(door: Door) -> None:
    peer = await door.connect()
    await peer.send(GET + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 4000) for n in range(9)) + b"\r\n")
    (await peer.answer()).problem(431, "headers_too_large")


async def test_a_long_target(door: Door) -> None:
    peer = await door.connect()
    await peer.send(b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nhost: t\r\n\r\n")
    (await peer.answer()).problem(414, "target_too_long")


@pytest.mark.parametrize("part", [b"0\r\nx: " + b"y" * 200_000, b"0\r\n" + b"x: y\r\n" * 5000, b"1;" + b"e" * 200_000])
async def test_trailers_and_extensions_count_too(door: Door, part: bytes) -> None:
    peer = await door.connect()
    await peer.send(b"POST /size HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n", part)
    (await peer.answer()).problem(431, "headers_too_large")
    assert await peer.rest() == b""


@pytest.mark.parametrize(
    "sent",
    [
        SECRET + b" rubbish\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /size HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nhost: t\r\n\r\n",
        b"POST /size HTTP/1.1\r\nhost: t\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /size HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\nno size\r\n",
    ],
)
async def test_what_is_not_http(door: Door, sent: bytes) -> None:
    peer = await door.connect()
    await peer.send(sent)
    (await peer.answer()).problem(400, "malformed_request")
    assert await peer.rest() == b""


async def test_a_slow_head(impatient: Door) -> None:
    peer = await impatient.connect()
    await peer.send(GET)
    (await peer.answer()).problem(408, "headers_too_slow")
    assert await peer.rest() == b""


async def test_a_slow_second_head(impatient: Door) -> None:
    peer = await impatient.connect()
    await peer.send(GET + b"\r\n")
    assert (await peer.answer()).status == 200
    await peer.send(GET)
    (await peer.answer()).problem(408, "headers_too_slow")


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
async def test_who_says_nothing_is_let_go_without_a_word(impatient: Door, sent: bytes) -> None:
    peer = await impatient.connect()
    await peer.send(sent)
    assert await peer.rest() == b""


async def test_a_held_request_outlasts_the_time_for_a_head(impatient: Door) -> None:
    other = await impatient.connect()
    peer = await impatient.connect()
    await peer.send(b"GET /held HTTP/1.1\r\nhost: t\r\n\r\n" + GET)
    await impatient.held.wait()
    assert await other.rest() == b""  # its time is over, so the other's would be
    impatient.let_go.set()
    assert json.loads((await peer.answer()).body) == {"held": True}


async def test_requests_in_a_row(door: Door) -> None:
    peer = await door.connect()
    await peer.send((GET + b"\r\n") * 20)
    assert [(await peer.answer()).status for _ in range(20)] == [200] * 20


async def test_a_row_without_an_end_is_cut_off(door: Door) -> None:
    peer = await door.connect()
    await peer.send(b"GET /held HTTP/1.1\r\nhost: t\r\n\r\n")
    await door.held.wait()
    await peer.send((GET + b"\r\n") * 1000)
    assert await peer.rest() == b""  # nothing that could be taken for the held request's answer


async def test_rubbish_behind_a_held_request_is_not_its_answer(door: Door) -> None:
    peer = await door.connect()
    await peer.send(b"GET /held HTTP/1.1\r\nhost: t\r\n\r\n")
    await door.held.wait()
    await peer.send(b"rubbish\r\n\r\n")
    assert await peer.rest() == b""


async def test_more_connections_than_are_held() -> None:
    async with open_door(Limits(connections=2)) as door:
        first, _, third = [await door.connect() for _ in range(3)]
        (await third.answer()).problem(503, "too_many_connections")
        assert await third.rest() == b""
        await first.send(GET + b"\r\n")
        assert (await first.answer()).status == 200


@pytest.mark.parametrize(("forwarded", "status"), [(b"", 200), (b"x-forwarded-for: 127.0.0.1, 203.0.113.9\r\n", 403)])
async def test_a_proxy_on_this_machine_does_not_make_everyone_local(door: Door, forwarded: bytes, status: int) -> None:
    peer = await door.connect()
    await peer.send(b"GET /metrics HTTP/1.1\r\nhost: t\r\n" + forwarded + b"\r\n")
    assert (await peer.answer()).status == status
