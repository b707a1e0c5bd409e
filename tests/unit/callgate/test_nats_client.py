import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import BadSubjectError, ConnectionClosedError, MaxPayloadError, NoRespondersError, ProtocolError
from nats.errors import TimeoutError as NatsTimeoutError

from callgate.nats_client import LeanClient, at_once

_PIECES = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            [b"\r\n", b":", b" ", b"\t", b"\x0b", b"\x1c", b"ce-type", b"Nats-Sequence", b": 12", b"\xc3\xa9"]
        ),
    ),
    max_size=24,
).map(b"".join)


@given(_PIECES)
def test_it_parses_headers_as_nats_py_does(raw: bytes) -> None:
    assert LeanClient._parse_header_lines(raw) == Client._parse_header_lines(raw)


def test_it_parses_the_headers_of_an_event() -> None:
    raw = b"ce-type: callgate.call.allowed.v1\r\ncallgate-signature: policy-1:AAA=\r\nempty:\r\nnot a token: x\r\n\r\n"
    assert LeanClient._parse_header_lines(raw) == {
        "ce-type": "callgate.call.allowed.v1",
        "callgate-signature": "policy-1:AAA=",
        "empty": "",
    }


class Wire:
    """A connection to nowhere: what is written is kept, what is read comes from the test."""

    @classmethod
    def of(cls, kind: type[Client], **callbacks: Any) -> Any:
        client: Any = kind()
        client._status = Client.CONNECTED
        client._flush_queue = asyncio.Queue()
        client._error_cb = _raise
        client._flusher_task = asyncio.get_running_loop().create_future()
        client._process_ping = callbacks.get("ping", _nothing)
        return client


async def _raise(error: Exception) -> None:
    raise error


async def _nothing() -> None:
    return None


def sent(client: Any) -> bytes:
    return b"".join(client._pending)


_NAMES = st.sampled_from(["ce-type", "a", "Nats-Expected-Last-Subject-Sequence", " spaced ", "b_c", "d.e"])
_VALUES = st.one_of(st.text(max_size=8), st.sampled_from(["", " x ", "a\r\nb: c", "policy-1:AA==", "a b"]))


@given(
    st.dictionaries(_NAMES, _VALUES, max_size=4) | st.none(),
    st.binary(max_size=9),
    st.sampled_from(["", "_INBOX.1"]),
)
async def test_it_publishes_the_bytes_that_nats_py_does(
    headers: dict[str, str] | None, body: bytes, reply: str
) -> None:
    lean, plain = Wire.of(LeanClient), Wire.of(Client)
    for client in (lean, plain):
        await client.publish("a.b", body, reply, headers)
    assert sent(lean) == sent(plain)
    assert lean.stats == plain.stats


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB x 0", "a\n"])
async def test_no_subject_injects_a_line(subject: str) -> None:
    client = Wire.of(LeanClient)
    with pytest.raises(BadSubjectError):
        await client.publish(subject, b"")
    with pytest.raises(BadSubjectError):
        await client.publish("a", b"", subject or " ")
    assert sent(client) == b""


async def test_what_is_too_large_or_has_nowhere_to_go_is_refused() -> None:
    client = Wire.of(LeanClient)
    client._max_payload = 3
    with pytest.raises(MaxPayloadError):
        await client.publish("a", b"four")
    client._status = Client.CLOSED
    with pytest.raises(ConnectionClosedError):
        await client.publish("a", b"1")


_HEADERS = b"NATS/1.0\r\nce-type: x\r\n\r\n"
_PROTOCOL = st.lists(
    st.one_of(
        st.builds(lambda body: b"MSG a.b 1 %d\r\n%b\r\n" % (len(body), body), st.binary(max_size=30)),
        st.builds(lambda body: b"MSG a.b 1 r.s %d\r\n%b\r\n" % (len(body), body), st.binary(max_size=30)),
        st.builds(
            lambda body, head: b"HMSG a.b 1 r.s %d %d\r\n%b%b\r\n" % (len(head), len(head) + len(body), head, body),
            st.binary(max_size=30),
            st.sampled_from([_HEADERS, b"NATS/1.0\r\n\r\n", b"NATS/1.0 404 No Messages\r\n\r\n"]),
        ),
        st.sampled_from([b"PING\r\n", b"+OK\r\n", b"MSG a.b 7 1\r\nx\r\n"]),
    ),
    max_size=6,
).map(b"".join)


@given(_PROTOCOL, st.lists(st.integers(1, 40), max_size=12))
async def test_it_reads_what_nats_py_reads_however_it_is_cut(stream: bytes, cuts: list[int]) -> None:
    pings: list[str] = []

    def ping(name: str) -> Any:
        async def answer() -> None:
            pings.append(name)

        return answer

    lean, plain = Wire.of(LeanClient, ping=ping("lean")), Wire.of(Client, ping=ping("plain"))
    heard: list[Any] = []
    await lean.subscribe("a.b", cb=at_once(heard.append))
    subscription = await plain.subscribe("a.b")
    for client in (lean, plain):
        rest = stream
        for cut in (*cuts, len(stream)):
            await client._ps.parse(rest[:cut])
            rest = rest[cut:]
    queue = subscription._pending_queue
    wanted = [queue.get_nowait() for _ in range(queue.qsize())]

    def told(message: Any) -> tuple[Any, ...]:
        return message.subject, message.reply, message.data, message.headers, message.sid

    assert [told(message) for message in heard] == [told(message) for message in wanted]
    assert pings.count("lean") == pings.count("plain")
    assert lean.stats == plain.stats


async def test_a_line_that_is_none_of_the_protocol_ends_the_reading_as_in_nats_py() -> None:
    for kind in (LeanClient, Client):
        with pytest.raises(ProtocolError):
            await Wire.of(kind)._ps.parse(b"MSG a.b one 3\r\nabc\r\n")


async def asked(client: Any, **more: Any) -> tuple[asyncio.Task[Any], str]:
    """A request that waits, and where its reply goes."""
    task = asyncio.create_task(client.request("subject", b"?", **more))
    await asyncio.sleep(0)
    inbox = sent(client).rpartition(b"PUB subject ")[2].split()[0].decode()
    return task, inbox


async def answer(client: Any, inbox: str, body: bytes = b"reply", headers: bytes = b"") -> None:
    subject, sid = inbox.encode(), max(client._receivers)
    if headers:
        line = b"HMSG %b %d %d %d\r\n" % (subject, sid, len(headers), len(headers) + len(body))
    else:
        line = b"MSG %b %d %d\r\n" % (subject, sid, len(body))
    await client._ps.parse(line + headers + body + b"\r\n")


async def test_each_request_gets_its_own_reply() -> None:
    client = Wire.of(LeanClient)
    (first, to_first), (second, to_second) = await asked(client, timeout=10), await asked(client, timeout=10)
    assert to_first != to_second
    await answer(client, to_second, b"2")
    await answer(client, to_first, b"1")
    await answer(client, to_first, b"once more")
    assert [(await task).data for task in (first, second)] == [b"1", b"2"]
    assert client._replies == {}


async def test_a_request_that_nobody_answers_or_serves_fails() -> None:
    client = Wire.of(LeanClient)
    with pytest.raises(NatsTimeoutError):
        await client.request("subject", timeout=0.01)
    task, inbox = await asked(client, timeout=10)
    await answer(client, inbox, b"", b"NATS/1.0 503\r\n\r\n")
    with pytest.raises(NoRespondersError):
        await task
    assert client._replies == {}


async def test_a_subscription_that_ended_hears_nothing_more() -> None:
    client = Wire.of(LeanClient)
    heard: list[Any] = []
    subscription = await client.subscribe("a.b", cb=at_once(heard.append))
    await client._ps.parse(b"MSG a.b 1 1\r\nx\r\n")
    await subscription.unsubscribe()
    await client._ps.parse(b"MSG a.b 1 1\r\ny\r\n")
    assert [message.data for message in heard] == [b"x"]
    with pytest.raises(BadSubjectError):
        await client.subscribe("a b", cb=at_once(heard.append))
    assert client._receivers == {}


async def test_a_task_cancelled_as_its_reply_arrives_ends() -> None:
    client = Wire.of(LeanClient)
    answered = []

    async def follow() -> None:
        answered.append(await client.request("subject", timeout=10))
        await asyncio.Event().wait()

    task = asyncio.create_task(follow())
    await asyncio.sleep(0)  # it has begun to wait
    await answer(client, next(iter(client._replies)))
    task.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([task])
    assert task.cancelled()
    assert answered == []


async def test_a_request_while_a_cancelled_task_cleans_up_is_answered() -> None:
    client = Wire.of(LeanClient)
    answered = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            answered.append((await client.request("subject", timeout=10)).data)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    await answer(client, next(iter(client._replies)))
    await asyncio.gather(task, return_exceptions=True)
    assert answered == [b"reply"]
    assert task.cancelled()
