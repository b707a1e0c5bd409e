"""What the bridge of `callgate mcp` does where Callgate is away, has forgotten, or loses an answer."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from bridge_scene import Machine, Session, broken, forgotten, serving, stream_of

from cli import bridge as bridging

HELLO = b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}'
CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"n":1.10}}}'
LIST = b'{"jsonrpc":"2.0","id":2,"method":"tools/list"}'
READY = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def test_bytes_go_on_as_they_came_with_who_asks_and_which_run(http: aiohttp.ClientSession) -> None:
    machine = Machine()
    async with serving(machine) as port:
        session = Session(http, port)
        await session.say(HELLO)
        await session.say(CALL)
        await session.end()
    assert machine.sent("tools/call") == [CALL], "1.10 stays 1.10"
    (_, first, _), (_, second, _), (ended, last, _) = machine.seen
    assert (first["Authorization"], first["Callgate-Session"]) == ("Bearer t", "run-1")
    assert "Mcp-Session-Id" not in first
    assert (second["Mcp-Session-Id"], second["MCP-Protocol-Version"]) == ("s1", "2025-11-25")
    assert (ended, last["Mcp-Session-Id"]) == ("DELETE", "s1")


async def test_a_session_that_was_forgotten_begins_anew(http: aiohttp.ClientSession) -> None:
    machine = Machine()
    machine.answers = [forgotten]
    async with serving(machine) as port:
        session = Session(http, port)
        await session.say(HELLO)
        answer = await session.say(CALL)
        assert "result" in answer
        await session.end()
    sessions = [headers.get("Mcp-Session-Id") for _, headers, body in machine.seen if body == CALL]
    assert sessions[0] == "s1"
    assert sessions[1] not in (None, "s1")
    assert len(machine.sent("notifications/initialized")) == 1


async def test_a_call_whose_answer_was_lost_is_made_again_under_its_key(http: aiohttp.ClientSession) -> None:
    machine = Machine()
    async with serving(machine) as port:
        session = Session(http, port)
        await session.say(HELLO)
        machine.answers = [broken]
        assert "result" in await session.say(CALL)
        assert "result" in await session.say(CALL)
        first, again, other = machine.keys()
        assert first == again != other, "a line is a call, however alike they are"
        machine.answers = [broken, forgotten]
        assert "result" in await session.say(CALL), "it was started anew, and has forgotten the session too"
        assert len(set(machine.keys()[3:])) == 1
        machine.answers = [broken, broken]
        assert "may go on" in (await session.say(CALL))["error"]["message"]
        machine.answers = [broken]
        assert "result" in await session.say(LIST), "what changes nothing is asked again"
        await session.end()


async def test_a_call_that_was_sent_is_not_said_to_be_unsent(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridging, "GIVE_UP_AFTER", 0.0)
    machine = Machine()
    async with serving(machine) as port:
        session = Session(http, port)
        await session.say(HELLO)

        async def gone(request: web.Request) -> web.StreamResponse:
            assert machine.site is not None
            await machine.site.stop()
            return await broken(request)

        machine.answers = [gone]
        answer = await session.say(CALL)
        assert (answer["error"]["code"], "may go on" in answer["error"]["message"]) == (-32002, True)
        await session.end()


async def test_what_a_session_is_told_is_passed_on_and_made_up_for_where_it_was_missed(
    http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridging, "_LISTEN_AGAIN", (0.01, 0.01))
    machine, over = Machine(), asyncio.Event()
    told = {**CHANGED, "params": {"n": 1}}
    machine.streams = [stream_of(told), forgotten, stream_of(ends=over)]
    async with serving(machine) as port:
        session = Session(http, port)
        await session.say(HELLO)
        session.tell(READY)
        assert await session.heard() == told
        assert await session.heard() == CHANGED, "who did not listen for a while cannot know"
        await session.end()
        over.set()
    (first, again, anew) = [headers for method, headers, _ in machine.seen if method == "GET"]
    assert first["Mcp-Session-Id"] == again["Mcp-Session-Id"] != anew["Mcp-Session-Id"]
    assert (first["Authorization"], first["Accept"]) == ("Bearer t", "text/event-stream")


async def test_a_subscription_is_held_until_its_client_takes_it_back(http: aiohttp.ClientSession) -> None:
    machine, over, left = Machine(), asyncio.Event(), asyncio.Event()
    acknowledged = {"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged"}
    holding = stream_of(acknowledged, ends=over)

    async def held(request: web.Request) -> web.StreamResponse:
        try:
            return await holding(request)
        finally:
            left.set()

    meta = {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}
    machine.answers = [held]
    async with serving(machine) as port:
        session = Session(http, port)
        listen = {"jsonrpc": "2.0", "id": "l", "method": "subscriptions/listen", "params": meta}
        assert await session.say(json.dumps(listen).encode()) == acknowledged
        back = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {**meta, "requestId": "l"}}
        session.tell(json.dumps(back).encode())
        await asyncio.wait_for(left.wait(), 30)
        await session.end()


async def test_callgate_that_comes_back_is_found(http: aiohttp.ClientSession) -> None:
    machine = Machine()
    async with serving(machine) as port:
        session = Session(http, port)
        await session.say(HELLO)
    saying = asyncio.create_task(session.say(CALL))
    await asyncio.sleep(0)
    async with serving(machine, port):
        assert "result" in await saying
        await session.end()


async def test_callgate_that_stays_away_is_told(http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridging, "GIVE_UP_AFTER", 0.0)
    async with serving(Machine()) as port:
        pass
    session = Session(http, port)
    answer = await session.say(CALL)
    assert (answer["id"], answer["error"]["code"]) == (1, -32001)
    assert "nothing was sent" in answer["error"]["message"]
    await session.end()


async def test_a_token_that_was_renewed_is_read_again(http: aiohttp.ClientSession) -> None:
    current = "old"

    async def expired(request: web.Request) -> web.StreamResponse:
        nonlocal current
        current = "new"
        return web.json_response(
            {"detail": "The token has expired."}, status=401, content_type="application/problem+json"
        )

    machine = Machine()
    machine.answers = [expired, expired]
    async with serving(machine) as port:
        session = Session(http, port, lambda: current)
        answer = await session.say(CALL)
        assert answer["error"]["message"] == "Callgate answered 401: The token has expired."
        assert [headers["Authorization"] for _, headers, _ in machine.seen] == ["Bearer old", "Bearer new"]
        await session.end()


@pytest.mark.parametrize("line", [b"nonsense", b"[1]", b"{"])
async def test_a_line_that_is_no_message(http: aiohttp.ClientSession, line: bytes) -> None:
    session = Session(http, 1)
    assert (await session.say(line))["error"]["code"] == -32700
    await session.end()


async def test_a_stream_is_written_message_by_message(http: aiohttp.ClientSession) -> None:
    progress = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progress": 1}}
    result = {"jsonrpc": "2.0", "id": 1, "result": {}}

    async def streaming(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": ping\r\n\r\nid: 1\r\ndata: \r\n\r\n")
        for message in (progress, result):
            await response.write(f"event: message\r\ndata: {json.dumps(message)}\r\n\r\n".encode())
        return response

    machine = Machine()
    machine.answers = [streaming]
    async with serving(machine) as port:
        session = Session(http, port)
        assert await session.say(CALL) == progress
        assert await session.heard() == result
        await session.end()


async def test_a_result_may_be_as_long_as_it_likes(http: aiohttp.ClientSession) -> None:
    result = {"jsonrpc": "2.0", "id": 1, "result": {"text": "x" * 3_000_000}}

    async def streaming(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(f"event: message\r\ndata: {json.dumps(result)}\r\n\r\n".encode())
        return response

    machine = Machine()
    machine.answers = [streaming]
    async with serving(machine) as port:
        session = Session(http, port)
        assert await session.say(CALL) == result
        await session.end()


@pytest.mark.parametrize("body", [b"[1, 2", b"[]", b"7", b"[" * 100_000])
async def test_what_came_back_and_is_no_message_is_a_lost_answer(http: aiohttp.ClientSession, body: bytes) -> None:
    async def garbled(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    machine = Machine()
    machine.answers = [garbled, garbled]
    async with serving(machine) as port:
        session = Session(http, port)
        answer = await session.say(CALL)
        assert (answer["id"], answer["error"]["code"]) == (1, -32002)
        assert len(set(machine.keys())) == 1, "asked once more, under its key"
        await session.end()
