"""Reading a stream without a consumer.

From the leader by `STREAM.MSG.GET` (one message a request, never stale), or by Direct Get in batches (any replica,
may be stale for some milliseconds), ADR-8 and ADR-31 of NATS.
"""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from callgate.errors import BrokerAway
from callgate.log.messages import Message
from callgate.nats_client import at_once

_TIMEOUT = 5.0
_NO_MESSAGE = 10037
"""Of the API; a stream that is away is another error, and no empty one."""


def parse_time(text: str) -> datetime:
    """RFC 3339 in UTC with up to nanoseconds, which Python cannot hold: cut to microseconds. ValueError."""
    if not text.endswith("Z"):
        raise ValueError("not in UTC")
    return datetime.fromisoformat(text)


def parse_headers(encoded: bytes) -> dict[str, str]:
    """The header block of a stored message: `NATS/1.0`, then a name and a value a line.

    Exactly as nats-py parses what is delivered (the last of two counts, a name that is no token is skipped), or one
    reader would take for an event what another takes for an alien.
    """
    headers: dict[str, str] = {}
    for line in encoded.split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        key = name.strip().decode("ascii", "replace")
        if colon and "\ufffd" not in key and not any(character.isspace() for character in key):
            headers[key] = value.strip().decode("utf-8", "replace")
    return headers


async def request_json(client: Client, subject: str, request: dict[str, Any]) -> Any:
    """A request to the JetStream API. BrokerAway where nobody answers; the answer may hold an `error`."""
    try:
        reply = await client.request(subject, json.dumps(request).encode(), timeout=_TIMEOUT)
    except (NatsError, ConnectionError):
        raise BrokerAway from None
    return orjson.loads(reply.data)


async def last_sequence(client: Client, stream: str) -> int:
    """The last sequence of a stream, from the leader."""
    answer = await request_json(client, f"$JS.API.STREAM.INFO.{stream}", {})
    if "error" in answer:
        raise BrokerAway("the stream's state cannot be read now")
    return int(answer["state"]["last_seq"])


async def subjects(client: Client, stream: str, subject_filter: str, skip: int) -> tuple[dict[str, int], int]:
    """From the leader: the subjects that fit with how many messages stand on each, and how many subjects there are.

    In alphabetical order, without the first `skip`; at most 100,000 at once. BrokerAway.
    """
    request = {"subjects_filter": subject_filter, "offset": skip}
    answer = await request_json(client, f"$JS.API.STREAM.INFO.{stream}", request)
    if "error" in answer:
        raise BrokerAway("the stream's subjects cannot be read now")
    return answer["state"].get("subjects") or {}, int(answer.get("total", 0))


async def leader_next(client: Client, stream: str, subject_filter: str, start: int) -> Message | None:
    """The first message at or after `start` that fits the filter, from the leader; None where there is none."""
    request = {"seq": start, "next_by_subj": subject_filter}
    answer = await request_json(client, f"$JS.API.STREAM.MSG.GET.{stream}", request)
    return _stored(answer)


async def leader_last(client: Client, stream: str, subject: str) -> Message | None:
    """The last message on a subject, from the leader; None where there is none."""
    answer = await request_json(client, f"$JS.API.STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
    return _stored(answer)


def _stored(answer: dict[str, Any]) -> Message | None:
    if "error" in answer:
        if answer["error"].get("err_code") == _NO_MESSAGE:
            return None
        raise BrokerAway("the stream cannot be read now")
    message = answer["message"]
    return Message(
        subject=message["subject"],
        headers=parse_headers(base64.b64decode(message.get("hdrs", ""))),
        body=base64.b64decode(message.get("data", "")),
        sequence=message["seq"],
        recorded_at=parse_time(message["time"]),
    )


def from_direct(message: Msg) -> Message:
    """A Direct Get answer or a republished message: where it stands is in its `Nats-` headers."""
    headers = message.headers or {}
    return Message(
        subject=headers["Nats-Subject"],
        headers=headers,
        body=message.data,
        sequence=int(headers["Nats-Sequence"]),
        recorded_at=parse_time(headers["Nats-Time-Stamp"]),
    )


async def direct_last(client: Client, stream: str, subject: str) -> Message | None:
    """The last message on a subject, from any replica; None where it (or this replica) has none."""
    return await _direct(client, f"$JS.API.DIRECT.GET.{stream}.{subject}", b"")


async def direct_first(client: Client, stream: str, subject: str, start: int) -> Message | None:
    """The first message on a subject at or after `start`, from any replica; None where this replica has none."""
    request = json.dumps({"seq": start, "next_by_subj": subject}).encode()
    return await _direct(client, f"$JS.API.DIRECT.GET.{stream}", request)


async def _direct(client: Client, subject: str, request: bytes) -> Message | None:
    try:
        reply = await client.request(subject, request, timeout=_TIMEOUT)
    except (NatsError, ConnectionError):
        raise BrokerAway from None
    return from_direct(reply) if "Nats-Sequence" in (reply.headers or {}) else None


async def direct_batch(
    client: Client, stream: str, subject_filter: str, start: int, batch: int = 256
) -> tuple[list[Message], bool]:
    """Up to `batch` messages at or after `start`, and whether the replica had no more. At most 1 MiB a batch."""
    inbox = client.new_inbox()
    arrivals: asyncio.Queue[Msg] = asyncio.Queue()
    subscription = await client.subscribe(inbox, cb=at_once(arrivals.put_nowait))
    request = {"seq": start, "next_by_subj": subject_filter, "batch": batch, "max_bytes": 1024 * 1024}
    found: list[Message] = []
    try:
        await client.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(request).encode(), reply=inbox)
        while True:
            async with asyncio.timeout(_TIMEOUT):
                reply = await arrivals.get()
            headers = reply.headers or {}
            status = headers.get("Status")
            # The server's own status has no sequence; a stored message may well carry a header of that name.
            if "Nats-Sequence" in headers:
                found.append(from_direct(reply))
            elif status == "204":  # end of batch
                return found, int(headers.get("Nats-Num-Pending", "0")) == 0
            elif status == "404":
                return found, True
            else:
                raise BrokerAway("the stream cannot be read now")
    except (TimeoutError, NatsError, ConnectionError):
        raise BrokerAway from None
    finally:
        with contextlib.suppress(NatsError, ConnectionError):
            await subscription.unsubscribe()


async def direct_all(client: Client, stream: str, subject_filter: str, start: int = 1) -> AsyncIterator[Message]:
    """Every message that fits, from `start` to the end as the replica has it."""
    while True:
        messages, done = await direct_batch(client, stream, subject_filter, start)
        for message in messages:
            yield message
        if messages:
            start = messages[-1].sequence + 1
        if done or not messages:
            return
