"""Streams that stay open, to tell their clients that the tools which they may call changed.

What changes them is the catalog (an MCP server behind Callgate that offers others) and the policies in force. Both are
looked at here, and each stream's principal is asked about anew only after a change; a client hears of it where the list
is another for this principal, and of many changes together at once. A stream costs its request and a few hundred bytes.
"""

import asyncio
import contextlib
from collections.abc import Iterator

from callgate.identity.claims import Verified
from callgate.telemetry import HELD
from contracts.identity import Principal
from services.ingress.bearers import Bearers
from services.ingress.permitted import Basis, Permitted
from services.ingress.room import Room

LOOK_EVERY = 1.0
"""Seconds between looks at what the lists rest on: no stream is told more often."""
_AT_ONCE = 100
"""Streams looked after before others get their turn."""


class Stream:
    """One client that listens."""

    __slots__ = ("_changed", "_cue", "_shown", "basis", "bearer", "over", "principal")

    def __init__(self, principal: Principal, bearer: Verified) -> None:
        self.principal = principal
        self.bearer = bearer
        self.over = False
        """There is nothing more to tell: its client left, its session ended, another took its place, its token was
        revoked, or the process ends."""
        self.basis: Basis | None = None
        """What the list rests on that was looked at last."""
        self._shown: bytes | None = None
        self._changed = False
        self._cue = asyncio.Event()

    def look(self, basis: Basis, shown: bytes) -> None:
        """The principal is shown this now."""
        if self._shown not in (None, shown):
            self._changed = True
            self._cue.set()
        self.basis, self._shown = basis, shown

    def end(self) -> None:
        self.over = True
        self._cue.set()

    async def changed(self, seconds: float) -> bool:
        """Whether the tools changed since the last time: as soon as they do, else after so many seconds or at the
        end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._cue.wait()
        self._cue.clear()
        changed, self._changed = self._changed, False
        return changed


class Streams:
    """All of this process, of both generations of the protocol; each takes the room of a waiting call. Run `follow` in
    the background."""

    def __init__(self, permitted: Permitted, room: Room, bearers: Bearers) -> None:
        self._permitted = permitted
        self._room = room
        self._bearers = bearers
        self._revocations = bearers.changes
        self._open: set[Stream] = set()
        self._stopping = False

    def require_room(self, principal: Principal) -> None:
        """TooManyHeld."""
        self._room.require(principal)

    @contextlib.contextmanager
    def open(self, principal: Principal, bearer: Verified) -> Iterator[Stream]:
        """A stream of this principal's, who came with that token: `look` at its list once, before its client is told
        that it listens. TooManyHeld."""
        self._room.enter(principal)
        stream = Stream(principal, bearer)
        self._open.add(stream)
        HELD.inc()
        if self._stopping:
            stream.end()
        try:
            yield stream
        finally:
            self._open.discard(stream)
            HELD.dec()
            self._room.leave(principal)

    async def look(self, stream: Stream) -> None:
        """Looks at the list of a stream's principal, where what it rests on is not what it was."""
        basis = self._permitted.basis
        if stream.basis != basis:
            stream.look(basis, await self._permitted.digest(stream.principal))

    def seconds_left(self, stream: Stream) -> float:
        """For which its token counts; 0 where it does no more."""
        if self._bearers.ended(stream.bearer) is not None:
            return 0.0
        return self._bearers.seconds_left(stream.bearer)

    async def follow(self) -> None:
        """Looks for every stream, for ever."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self._end_revoked()
            for number, stream in enumerate(tuple(self._open)):
                if number % _AT_ONCE == _AT_ONCE - 1:
                    await asyncio.sleep(0)
                await self.look(stream)

    def _end_revoked(self) -> None:
        if self._bearers.changes == self._revocations:
            return
        self._revocations = self._bearers.changes
        for stream in tuple(self._open):
            if self._bearers.ended(stream.bearer) is not None:
                stream.end()

    def release(self) -> None:
        """Ends every stream, those that come from now on too: the process ends."""
        self._stopping = True
        for stream in tuple(self._open):
            stream.end()
