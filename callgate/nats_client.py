"""nats-py's client on a shorter way: what each message costs here is a fifth of a governed call.

Messages are taken out of the read buffer and handed on at once, without a queue and a task in between; replies go
straight to who waits; headers and the protocol's lines are read and written without a look at each character.
Everything rare (status lines, pings, errors, limits, reconnects) is nats-py's own.
`tests/unit/callgate/test_nats_client.py` compares the two.
"""

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, ClassVar

from faststream.nats import NatsBroker
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionDrainingError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.nuid import NUID
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

_WHITE = " \t\n\r\x0b\x0c"
"""What `bytes.strip` strips."""
_KEPT, _KEPT_SIZE = 256, 4096
_LINE = b"NATS/1.0\r\n"
_SPACE = re.compile(r"\s")
_LINES = re.compile(r"(?:[A-Za-z0-9-]+: [!-~]+(?: +[!-~]+)*\r\n)*")
"""Headers that need no trimming."""
_NO_RESPONDERS = "503"

_AT_ONCE = "__callgate_at_once__"

Receive = Callable[[Msg], None]
Callback = Callable[[Msg], Coroutine[Any, Any, None]]


def at_once(receive: Receive) -> Callback:
    """A callback for `subscribe` to which a LeanClient hands messages as they are read, in order, without a queue and
    a task in between. It must not raise; what takes long it leaves to a task of its own."""

    async def received(message: Msg) -> None:
        receive(message)

    setattr(received, _AT_ONCE, receive)
    return received


class LeanClient(Client):
    """A drop-in client. Header names that were found good are remembered, since the same dozen come every time."""

    _names: ClassVar[dict[str, str | None]] = {}
    _blocks: ClassVar[dict[bytes, dict[str, str]]] = {}

    def __init__(self) -> None:
        super().__init__()
        self._ps = _LeanParser(self)
        self._receivers: dict[int, Receive] = {}
        self._replies: dict[str, asyncio.Future[Msg]] = {}
        self._reply_prefix = ""
        self._numbers = itertools.count()
        self._never_filled: asyncio.Queue[Msg] = asyncio.Queue()

    @staticmethod
    def _parse_header_lines(raw: bytes) -> dict[str, str]:
        headers: dict[str, str] = {}
        names = LeanClient._names
        for line in raw.decode("utf-8", "replace").split("\r\n"):
            written, colon, value = line.partition(":")
            if not colon:
                continue
            name = names[written] if written in names else _token(written)
            if name is not None:
                headers[name] = value.strip(_WHITE)
        return headers

    async def subscribe(
        self,
        subject: str,
        queue: str = "",
        cb: Callable[[Msg], Awaitable[None]] | None = None,
        *more: Any,
        **named: Any,
    ) -> Subscription:
        """As nats-py's; see `at_once`."""
        receive: Receive | None = getattr(cb, _AT_ONCE, None)
        if receive is None:
            return await super().subscribe(subject, queue, cb, *more, **named)
        sid = self._sid + 1  # which nats-py gives before it waits for anything
        self._receivers[sid] = receive
        try:
            subscription = await super().subscribe(subject, queue, None, *more, **named)
        except BaseException:
            self._receivers.pop(sid, None)
            raise
        # A queue of its own is 3 KB, and thousands of calls may wait with a subscription each.
        subscription._pending_queue = self._never_filled
        iterator: Any = subscription._message_iterator
        if iterator is not None:
            iterator._queue = self._never_filled
        return subscription

    def _remove_sub(self, sid: int, max_msgs: int = 0) -> None:
        self._receivers.pop(sid, None)
        super()._remove_sub(sid, max_msgs)

    def take(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> bool:
        """Hands a message on, where that is simple; False where nats-py must look at it."""
        if sid not in self._receivers or (headers and not headers.startswith(_LINE)):
            return False  # or its headers begin with a status
        self._hand_on(sid, subject, reply, data, self._headers(headers) if headers else None)
        return True

    def _headers(self, block: bytes) -> dict[str, str] | None:
        """Services of one process that listen to the same messages get the same blocks."""
        blocks = LeanClient._blocks
        parsed = blocks.get(block)
        if parsed is None:
            parsed = self._parse_header_lines(block[len(_LINE) :])
            if len(blocks) >= _KEPT:
                blocks.clear()
            if len(block) <= _KEPT_SIZE:
                blocks[block] = parsed
        return dict(parsed) or None

    def _hand_on(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None) -> None:
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        self._subs[sid]._received += 1
        self._receivers[sid](Msg(self, subject.decode(), reply.decode(), data, headers, None, False, sid))

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if sid in self._receivers:
            self._hand_on(sid, subject, reply, data, await self._process_headers(headers))
        else:
            await super()._process_msg(sid, subject, reply, data, headers)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,  # noqa: ASYNC109  # as in nats-py
        old_style: bool = False,
        headers: dict[str, Any] | None = None,
    ) -> Msg:
        """As nats-py's. A task that is cancelled as the reply arrives ends: nats-py waits with `asyncio.wait_for`,
        which before Python 3.12 then returns the reply as if nobody had cancelled."""
        if old_style:
            return await super().request(subject, payload, timeout, old_style)
        if self.is_draining_pubs:
            raise ConnectionDrainingError
        if not self._reply_prefix:
            await self._expect_replies()
        loop = asyncio.get_running_loop()
        inbox = f"{self._reply_prefix}{next(self._numbers)}"
        reply: asyncio.Future[Msg] = loop.create_future()
        self._replies[inbox] = reply
        timer = loop.call_later(timeout, _late, reply)
        try:
            await self.publish(subject, payload, inbox, headers)
            message = await reply
        finally:
            timer.cancel()
            del self._replies[inbox]
        if message.headers and message.headers.get("Status") == _NO_RESPONDERS:
            raise NoRespondersError
        return message

    async def _expect_replies(self) -> None:
        """One subscription for the replies to all requests. The prefix is as hard to guess as nats-py's."""
        prefix = f"{bytes(self._inbox_prefix).decode()}.{bytes(NUID().next()).decode()}."
        self._reply_prefix = prefix  # before the subscription is sent: two first requests share it
        try:
            await self.subscribe(f"{prefix}*", cb=at_once(self._replied))
        except BaseException:
            self._reply_prefix = ""
            raise

    def _replied(self, message: Msg) -> None:
        reply = self._replies.get(message.subject)
        if reply is not None and not reply.done():
            reply.set_result(message)

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: Mapping[str, Any] | None = None
    ) -> None:
        """As nats-py's, which does whatever is not plain."""
        block = _written(headers) if headers is not None else b""
        size = len(payload)
        if (
            block is None
            or not subject
            or _SPACE.search(subject)
            or _SPACE.search(reply)
            or self._status != Client.CONNECTED
            or size > self._max_payload
            or self._flush_queue is None
        ):
            await super().publish(subject, payload, reply, dict(headers) if headers is not None else None)
            return
        if block:
            line = f"HPUB {subject} {reply} {len(block)} {len(block) + size}\r\n"
        else:
            line = f"PUB {subject} {reply} {size}\r\n"
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += size
        command = b"".join((line.encode(), block, payload, b"\r\n"))
        if 0 < self._max_pending_size < self._pending_data_size + len(command):
            await self._send_command(command)  # which waits until there is room again
        else:
            self._pending.append(command)
            self._pending_data_size += len(command)
        if self._flush_queue.empty():
            await self._flush_pending()


class _LeanParser(Parser):
    """Takes whole messages out of the buffer; any other line is for nats-py's parser."""

    def reset(self) -> None:
        super().reset()
        self._wanted = 0
        """Bytes that the buffer must hold before there is anything to do."""

    async def parse(self, data: bytes = b"") -> None:
        if self.state != AWAITING_CONTROL_LINE:
            await super().parse(data)
            return
        self.buf += data
        if len(self.buf) < self._wanted:
            return
        at = self._wanted = 0
        while (end := self.buf.find(b"\r\n", at)) >= 0:
            line = bytes(self.buf[at:end]).split()
            sizes = _sizes(line)
            if sizes is None:
                break
            head, size = sizes
            start, stop = end + 2, end + 2 + size
            if len(self.buf) < stop + 2:
                del self.buf[:at]
                self._wanted = stop + 2 - at
                return
            reply = line[3] if len(line) == (6 if head else 5) else b""
            headers = bytes(self.buf[start : start + head])
            body = bytes(self.buf[start + head : stop])
            at = stop + 2
            sid = int(line[2])
            if not self.nc.take(sid, line[1], reply, body, headers):
                # It may wait, and a reconnect meanwhile empties the buffer.
                del self.buf[:at]
                at = 0
                await self.nc._process_msg(sid, line[1], reply, body, headers)
        del self.buf[:at]
        if self.buf:
            await super().parse()


class LeanBroker(NatsBroker):
    """FastStream's broker on that client."""

    async def _connect(self) -> Client:
        client = LeanClient()
        connection: dict[str, Any] = dict(self._connection_kwargs)
        await client.connect(**connection)
        self.config.connect(client)
        return client


def _token(written: str) -> str | None:
    """A header's name as nats-py takes it, or None for one that it skips: not ASCII, or with white space in it."""
    stripped = written.strip(_WHITE)
    name = stripped if stripped.isascii() and (not stripped or stripped.split() == [stripped]) else None
    if len(LeanClient._names) < _KEPT:
        LeanClient._names[written] = name
    return name


def _late(reply: "asyncio.Future[Msg]") -> None:
    if not reply.done():
        reply.set_exception(NatsTimeoutError())


def _sizes(line: list[bytes]) -> tuple[int, int] | None:
    """Bytes of the headers and of the whole of a message, by its first line; None for any other line."""
    if not 4 <= len(line) <= 6 or not line[2].isdigit() or not line[-1].isdigit():
        return None
    if line[0] == b"MSG" and len(line) < 6:
        return 0, int(line[-1])
    if line[0] == b"HMSG" and len(line) > 4 and line[-2].isdigit():
        return int(line[-2]), int(line[-1])
    return None


def _written(headers: Mapping[str, Any]) -> bytes | None:
    """The header block as nats-py writes it; None where a name or a value is not to be written as it stands."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    # A value that holds a line of its own makes one too many.
    if lines.count("\n") != len(headers) or not _LINES.fullmatch(lines):
        return None
    return f"NATS/1.0\r\n{lines}\r\n".encode()
