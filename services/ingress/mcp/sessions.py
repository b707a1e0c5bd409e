"""Sessions of the protocol before 2026-07-28: what a client's handshake agreed on, and whose it is.

A session holds a kilobyte and no task. It lives in this process: another replica, or this one started anew, answers
404, on which clients begin another, as the protocol says.
"""

import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from mcp.server.connection import Connection

from contracts.subjects import CallRef
from services.ingress.mcp.exchange import NoChannel
from services.ingress.mcp.streams import Stream

_SHARE = 4
"""One principal may hold a fourth of all sessions; its next one takes the place of the one that it used last."""


class TooManySessions(Exception):
    """As many sessions are open as may be."""


@dataclass(slots=True)
class Session:
    id: str
    owner: str
    connection: Connection
    used: float
    """Seconds of the clock at its last request."""
    calls: dict[str | int, CallRef] = field(default_factory=dict)
    """By the id of the request that waits for it: what `notifications/cancelled` may name."""
    taken_back: set[CallRef] = field(default_factory=set)
    """Those of `calls` that it did name. What became of them only the calls themselves tell."""
    stream: Stream | None = None
    """On which its client listens."""

    @property
    def busy(self) -> bool:
        return bool(self.calls) or self.stream is not None

    def listen(self, stream: Stream) -> None:
        """In place of the one before: a client whose line broke comes again before we notice."""
        if self.stream is not None:
            self.stream.end()
        self.stream = stream

    def listened(self, stream: Stream) -> None:
        """The stream is over."""
        if self.stream is stream:
            self.stream = None

    def take_back(self, request_id: str | int) -> CallRef | None:
        """The call to withdraw; None where the request waits for none, or no longer."""
        ref = self.calls.get(request_id)
        if ref is not None:
            self.taken_back.add(ref)
        return ref

    def answer(self, request_id: str | int, ref: CallRef) -> bool:
        """Nobody waits for the call any more. Whether its request was taken back meanwhile."""
        if self.calls.get(request_id) == ref:  # a client may use an id again before its first answer
            del self.calls[request_id]
        taken_back = ref in self.taken_back
        self.taken_back.discard(ref)
        return taken_back


class Sessions:
    """At most `limit` of them, each ended after `idle` seconds without a request or a stream."""

    def __init__(self, limit: int, idle: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._idle = idle
        self._clock = clock
        self._open: OrderedDict[str, Session] = OrderedDict()
        """The longest unused first."""
        self._owned: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def new(self, owner: str) -> Session:
        """A session that is not open yet: `open` it once the handshake is done."""
        session_id = secrets.token_urlsafe(24)
        return Session(session_id, owner, Connection.for_loop(NoChannel(), session_id=session_id), self._clock())

    def open(self, session: Session) -> None:
        """TooManySessions."""
        self._expire()
        if self._owned[session.owner] >= max(1, self._limit // _SHARE):
            self.end(next(one for one in self._open.values() if one.owner == session.owner))
        if len(self._open) >= self._limit:
            raise TooManySessions
        self._open[session.id] = session
        self._owned[session.owner] += 1

    def get(self, session_id: str, owner: str) -> Session | None:
        """The session, where it is open and this owner's: nobody else is told that there is one."""
        self._expire()
        session = self._open.get(session_id)
        if session is None or session.owner != owner:
            return None
        session.used = self._clock()
        self._open.move_to_end(session_id)
        return session

    def end(self, session: Session) -> None:
        if session.stream is not None:
            session.stream.end()
        if self._open.pop(session.id, None) is not None:
            self._owned[session.owner] -= 1
            if not self._owned[session.owner]:
                del self._owned[session.owner]

    def _expire(self) -> None:
        until = self._clock() - self._idle
        while self._open:
            oldest = next(iter(self._open.values()))
            if oldest.used > until:
                return
            if oldest.busy:
                oldest.used = self._clock()
                self._open.move_to_end(oldest.id)
            else:
                self.end(oldest)
