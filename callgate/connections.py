"""What one HTTP connection may cost before anybody is known: bytes, lines and seconds.

uvicorn with httptools bounds none of them: the parser gathers a header for as long as its bytes come, and of the two
settings with such names one is the other parser's and the other comes after the head was read.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from callgate.http import Problem
from callgate.identity.binding import PEER

SLICE = 32 * 1024
"""Bytes given to the parser at once, so that what it holds back is looked at as often."""
LINGER_SECONDS = 2.0
LINGER_BYTES = 4 * 1024 * 1024
"""For the peer to read why it was refused: closing at once on one that still sends would reset the connection."""
LOST = "callgate.lost"
"""In a request's scope: its connection's `Loss`."""
LINE = 4
"""Bytes of a header line beside name and value."""


@dataclass(frozen=True, slots=True)
class Limits:
    head_bytes: int = 32 * 1024
    """Of the request line and the headers together; trailers count as well."""
    head_lines: int = 100
    head_seconds: float = 10.0
    """From the connection, or the first byte of a later request, to the end of its headers."""
    body_seconds: float = 60.0
    """From the end of the headers to the end of the body, whatever the door allows that reads it."""
    stall_seconds: float = 30.0
    """In which a client must take something of what it is sent."""
    pipelined: int = 64
    """Requests that wait behind one that is not answered yet."""
    connections: int = 17_000
    """Of this process, in all."""


class Loss:
    """Whether a connection is lost, and who is told of it."""

    __slots__ = ("_happened", "_told")

    def __init__(self) -> None:
        self._happened = False
        self._told: set[Callable[[], None]] = set()

    def tell(self, whom: Callable[[], None]) -> None:
        """Calls it once the connection is lost: now, if it is already."""
        if self._happened:
            whom()
        else:
            self._told.add(whom)

    def forget(self, whom: Callable[[], None]) -> None:
        self._told.discard(whom)

    def happen(self) -> None:
        self._happened = True
        for whom in tuple(self._told):
            whom()


_MALFORMED = Problem(400, "malformed_request", "This is no HTTP/1.1 request that can be read.")
_TARGET = Problem(414, "target_too_long", "The request's target is too long; arguments belong into the body.")
_HEADERS = Problem(431, "headers_too_large", "The headers are too many or too large; 32 KiB and 100 lines are taken.")
_SLOW = Problem(408, "headers_too_slow", "The headers did not come in time; send the request again.")
_SLOW_BODY = Problem(408, "body_too_slow", "The body did not come in time; send the request again.")
_CROWDED = Problem(503, "too_many_connections", "Too many connections are open; try again.", {"Retry-After": "2"})


class _Answering:
    """The transport as the answer to a request sees it: closing it is the protocol's."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class _OverLimit(Exception):
    """Ends the parser's work on a request that `LimitedProtocol` has marked as refused."""


def limited(limits: Limits) -> type["LimitedProtocol"]:
    """The protocol with these limits, as `uvicorn.Config(http=…)` takes it."""
    return type("Limited", (LimitedProtocol,), {"limits": limits})


class LimitedProtocol(HttpToolsProtocol):
    """One connection. A refusal is a problem document and the end; nothing of the request is quoted."""

    limits = Limits()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._size = 0
        """Of the present request's line, headers and trailers, as far as the parser told of them."""
        self._lines = 0
        self._untold = 0
        """Bytes that the parser took without telling of anything: a header that goes on and on."""
        self._head = True
        """No request has all its headers and lacks some of its body: what comes belongs to a head."""
        self._begun = False
        self._refusal: Problem | None = None
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None
        self._loss = Loss()
        self._stall: asyncio.TimerHandle | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._answering: Any = _Answering(transport, self._part)
        if len(self.connections) > self.limits.connections:
            self._refuse(_CROWDED)
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_stall()
        super().connection_lost(exc)
        self._loss.happen()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._untold += len(data)
            if self._untold > LINGER_BYTES:
                self.transport.close()
            return
        for start in range(0, len(data), SLICE):
            if self._refused or self.transport.is_closing():
                return
            part = data[start : start + SLICE]
            self._untold += len(part)
            super().data_received(part)
            if self._untold > self.limits.head_bytes:
                self._refuse(_HEADERS)
        if self._unfinished and self._timer is None and not self._refused:
            self._await_head()

    @property
    def _unfinished(self) -> bool:
        """Whether part of a head has come, or a body comes on whose request is answered: nobody else waits for it."""
        if self._head:
            return self._begun or self._untold > 0
        return self.cycle is not None and self.cycle.response_complete

    # What the parser tells.

    def on_message_begin(self) -> None:
        self._begun = True
        self._size = self._lines = self._untold = 0
        super().on_message_begin()
        if self.client is not None:  # kept here, since uvicorn lets a proxy's headers say who the client is
            self.scope[PEER] = self.client[0]  # type: ignore[literal-required]
        self.scope[LOST] = self._loss  # type: ignore[literal-required]

    def on_url(self, url: bytes) -> None:
        self._count(len(url), _TARGET)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines += 1
        self._count(len(name) + len(value) + LINE, _HEADERS)
        if self._head:  # a trailer is no header (RFC 9110, 6.5.1): whoever checked those in front of us saw none
            super().on_header(name, value.strip(b" \t"))  # the parser leaves what stands behind a value

    def on_headers_complete(self) -> None:
        self._untold = 0
        if len(self.pipeline) >= self.limits.pipelined:
            self._refusal = _HEADERS
            raise _OverLimit
        super().on_headers_complete()
        self.cycle.transport = self._answering
        self._head = self._begun = False
        self._stop_timer()
        self._await_body()

    def on_body(self, body: bytes) -> None:
        self._untold = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._untold = 0
        self._head = True
        self._stop_timer()
        super().on_message_complete()

    def _count(self, size: int, refusal: Problem) -> None:
        self._untold = 0
        self._size += size
        if self._size > self.limits.head_bytes or self._lines > self.limits.head_lines:
            self._refusal = refusal
            raise _OverLimit

    # Time.

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.limits.head_seconds, self._late)

    def _await_body(self) -> None:
        self._timer = self.loop.call_later(self.limits.body_seconds, self._late)

    def _late(self) -> None:
        self._timer = None
        if not self._head and self.pipeline:
            self._await_body()  # reading is paused until those before it are answered
        elif not self._head:
            self._refuse(_SLOW_BODY)
        elif self.cycle is not None and not self.cycle.response_complete:
            self._await_head()  # an earlier request is not answered yet, and reading may be paused for its sake
        elif self._begun:
            self._refuse(_SLOW)
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What is sent, and not taken.

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_sending()

    def resume_writing(self) -> None:
        self._stop_stall()
        super().resume_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_sending()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_sending()

    def _part(self) -> None:
        """Closes behind an answer, whose peer may still be sending the body that was not wanted."""
        if self._head or self.pipeline or self.transport.is_closing():
            self.transport.close()
            return
        self._refused = True
        self._stop_timer()
        self._linger()

    def _linger(self) -> None:
        self.transport.write_eof()
        self.flow.resume_reading()
        self._timer = self.loop.call_later(LINGER_SECONDS, self._let_go)

    def _let_go(self) -> None:
        self.transport.close()
        self._watch_sending()

    def _watch_sending(self) -> None:
        """From now on something is taken now and then, or the connection ends: closing alone waits for ever until all
        that was written is taken."""
        self._unsent = self.transport.get_write_buffer_size()
        if self._unsent and self._stall is None:
            self._stall = self.loop.call_later(self.limits.stall_seconds, self._stalled)

    def _stalled(self) -> None:
        self._stall = None
        if self.transport.get_write_buffer_size() < self._unsent:
            self._watch_sending()
        else:
            self.transport.abort()

    def _stop_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    # Refusing.

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls where the parser fails, be it by what our callbacks raised."""
        del msg
        self._refuse(self._refusal or _MALFORMED)

    def _unsupported_upgrade_warning(self) -> None:
        """Anybody may ask for an upgrade; the answer is the plain one, and no line in the log."""

    def _refuse(self, problem: Problem) -> None:
        if self._refused:
            return
        self._refused = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        if not self._may_answer:
            self.transport.close()
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the application's own answer would come behind this one
            self.cycle.message_event.set()
        response = problem.response()
        lines = [b"HTTP/1.1 %d %s" % (problem.status, problem.title.encode())]
        lines += [name + b": " + value for name, value in (*response.raw_headers, (b"connection", b"close"))]
        self.transport.write(b"\r\n".join((*lines, b"", bytes(response.body))))
        self._linger()

    @property
    def _may_answer(self) -> bool:
        """Not while an earlier request's answer is due, which this would be taken for, nor twice for one request."""
        if self._head or not self.cycle:
            return not self.cycle or self.cycle.response_complete
        return not self.cycle.response_started and not self.pipeline
