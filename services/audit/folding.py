"""The place of each message in its call's chain: open calls are kept folded, others folded again from the log."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from callgate.log import Alien, Log
from contracts.events import Recorded
from contracts.lifecycle import NOTHING, TRANSITIONS, Call, IllegalTransition
from contracts.subjects import CallRef
from services.audit.rows import Placed
from services.audit.slim import without_payloads

OPEN_CALLS = 8192
"""Calls kept folded. More than ever wait to be written, so a call that is not kept is either new or projected."""
_OVER = 32_768
"""Finished calls remembered, for the same reason."""
V = TypeVar("V")

_FIRST = TRANSITIONS[NOTHING]

Known = Callable[[Sequence[CallRef]], Awaitable[set[CallRef]]]
"""Which of these calls are projected already."""


class Folding:
    """Places the messages of one partition, given in order."""

    def __init__(self, log: Log, known: Known, genesis: str) -> None:
        self._log = log
        self._known = known
        self._genesis = genesis
        self._open: OrderedDict[CallRef, Call] = OrderedDict()
        self._over: OrderedDict[CallRef, None] = OrderedDict()

    async def place(self, items: Sequence[Recorded | Alien]) -> list[Placed]:
        """Each with its place. BrokerAway or DatabaseAway where an earlier call is needed and cannot be had."""
        begun = await self._begun(items)
        return [await self._place(item, begun) for item in items]

    async def _begun(self, items: Iterable[Recorded | Alien]) -> set[CallRef]:
        """Of the calls that seem to begin here, those that began before: asked in one go, since nearly all are new."""
        asked = [item.ref for item in items if isinstance(item, Recorded) and self._may_begin(item)]
        return await self._known(asked) if asked else set()

    def _may_begin(self, item: Recorded) -> bool:
        return item.name in _FIRST and item.ref not in self._open and item.ref not in self._over

    async def _place(self, item: Recorded | Alien, begun: set[CallRef]) -> Placed:
        if isinstance(item, Alien):
            return Placed(item.sequence, item.subject, item.recorded_at, item.code)
        ref, code = item.ref, None
        call = self._open.get(ref)
        if call is None:
            is_new = self._may_begin(item) and ref not in begun
            call = Call(ref, self._genesis) if is_new else await self._before(item)
        try:
            call = call.apply(without_payloads(item))
        except IllegalTransition as refused:
            code = refused.code
        self._keep(call)
        return Placed(item.sequence, ref.subject(item.name), item.recorded_at, code, item, call)

    def _keep(self, call: Call) -> None:
        if call.is_terminal:
            # What still comes is alien, and rare: it is placed by reading the call again.
            self._open.pop(call.ref, None)
            _remember(self._over, call.ref, None, _OVER)
        else:
            _remember(self._open, call.ref, call, OPEN_CALLS)

    async def _before(self, item: Recorded) -> Call:
        """The call as it stood before this message."""
        chain = await self._log.read_upto(item)
        call = Call(item.ref, self._genesis)
        for recorded in chain.call.chain:
            if recorded.sequence < item.sequence:
                call = call.apply(without_payloads(recorded))
        return call


def _remember(kept: OrderedDict[CallRef, V], ref: CallRef, value: V, limit: int) -> None:
    kept[ref] = value
    kept.move_to_end(ref)
    if len(kept) > limit:
        kept.popitem(last=False)
