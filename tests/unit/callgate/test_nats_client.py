import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from callgate.nats_client import LeanClient

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


async def test_a_task_cancelled_as_its_reply_arrives_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def request(self: Client, *_: Any, **__: Any) -> str:  # as nats-py waits
        return await asyncio.wait_for(reply, 10)

    monkeypatch.setattr(Client, "request", request)
    answered = []

    async def follow() -> None:
        answered.append(await LeanClient().request("subject"))
        await asyncio.Event().wait()

    task = asyncio.create_task(follow())
    await asyncio.sleep(0)  # it has begun to wait
    reply.set_result("reply")
    task.cancel()
    async with asyncio.timeout(10):
        await asyncio.wait([task])
    assert task.cancelled()
    assert answered == []


async def test_a_request_while_a_cancelled_task_cleans_up_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def request(self: Client, *_: Any, **__: Any) -> str:
        await asyncio.sleep(0)
        return "reply"

    monkeypatch.setattr(Client, "request", request)
    answered = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            answered.append(await LeanClient().request("subject"))

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert answered == ["reply"]
    assert task.cancelled()
