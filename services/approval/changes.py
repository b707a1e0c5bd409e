"""That something changed which somebody may be looking at: a number that grows, and the last changes behind it.

It tells what concerns whom, never what it says: whoever is told looks again, with their own rights.
"""

import asyncio
import re
import secrets
from collections import deque
from dataclasses import dataclass, field

from contracts.subjects import CallRef

KEPT = 1024
"""Changes remembered; who saw less than that is told that something changed."""
_POSITION = re.compile(r"([0-9a-f]{16})-([0-9]{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Change:
    """One call came to wait, changed, or waits no more; without `ref`, freezes or grants in force are others now."""

    ref: CallRef | None
    groups: frozenset[str] | None
    """Everyone who is asked about it; None where no group tells whom it concerns."""

    def concerns(self, groups: frozenset[str]) -> bool:
        """Whether it is a call's, and somebody in these groups may have it on their list."""
        return self.ref is not None and (self.groups is None or not self.groups.isdisjoint(groups))


@dataclass
class Changes:
    """Those of one process. `epoch` tells them from another's, whose numbers say nothing here."""

    epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    closed: bool = False
    _number: int = 0
    _kept: deque[Change] = field(default_factory=lambda: deque(maxlen=KEPT))
    _cue: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def position(self) -> str:
        """Where we are: what a page shows is at least as new as the position taken before it was made."""
        return f"{self.epoch}-{self._number}"

    def tell(self, ref: CallRef | None, groups: frozenset[str] | None) -> None:
        self._kept.append(Change(ref, groups))
        self._number += 1
        self._wake()

    def close(self) -> None:
        """Whoever waits is let go, for good."""
        self.closed = True
        self._wake()

    def since(self, position: str) -> tuple[Change, ...] | None:
        """What came after; None where that is not known any more, or never was."""
        match = _POSITION.fullmatch(position)
        if match is None or match[1] != self.epoch:
            return None
        missed = self._number - int(match[2])
        if not 0 <= missed <= len(self._kept):
            return None
        return tuple(self._kept)[len(self._kept) - missed :]

    async def after(self, position: str) -> None:
        """Returns when something came after the position, or nothing will any more."""
        while self.position == position and not self.closed:
            await self._cue.wait()

    def _wake(self) -> None:
        cue, self._cue = self._cue, asyncio.Event()
        cue.set()
