"""What policies on people read of calls' masked arguments, kept by the event that holds them: a list of ten thousand
calls opens each of them once."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from callgate.catalog import Derived
from callgate.cedar.masked_input import NOTHING_SEEN, Reads, are_about, masked_input
from callgate.cedar.shapes import Record, input_shape
from contracts.functions import Catalog
from services.approval.domain import CallFacts
from services.approval.views import Views

KEPT = 20_000
KEPT_LENGTH = 2048
"""Characters of an input that is kept; a longer one is opened whenever it is needed."""
AT_ONCE = 32
"""Views opened at the same time."""


class MaskedInputs:
    """Opens and keeps masked inputs."""

    def __init__(self, views: Views, catalog: Catalog) -> None:
        self._views = views
        self._catalog = catalog
        self._shapes = Derived(catalog, _shapes_of)
        self._kept: OrderedDict[tuple[str, str, Reads], str] = OrderedDict()
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def of(self, call: CallFacts, reads: Reads) -> str:
        """The call's `masked_input`; nothing where its view does not open. BrokerAway."""
        kept = self._known(call, reads)
        return kept if kept is not None else await self._open(call, reads)

    async def of_all(self, calls: Sequence[CallFacts], reads: Reads) -> list[str]:
        """The same of many calls, in order. BrokerAway."""
        if not reads:
            return [NOTHING_SEEN] * len(calls)
        known = {call.ref: self._known(call, reads) for call in calls}

        async def open_in_turn(call: CallFacts) -> None:
            async with self._turns:
                known[call.ref] = await self.of(call, reads)  # somebody else may have opened it meanwhile

        await asyncio.gather(*(open_in_turn(call) for call in calls if known[call.ref] is None))
        return [known[call.ref] or NOTHING_SEEN for call in calls]

    def _known(self, call: CallFacts, reads: Reads) -> str | None:
        """What need not be opened; None for what must be."""
        if not are_about(reads, call.function) or self._catalog.get(call.function) is None:
            return NOTHING_SEEN
        key = self._key(call, reads)
        kept = self._kept.get(key)
        if kept is not None:
            self._kept.move_to_end(key)
        return kept

    async def _open(self, call: CallFacts, reads: Reads) -> str:
        key, shape = self._key(call, reads), self._shapes()[call.function]
        view = await self._views.of(call)
        if view.withheld is not None:
            return NOTHING_SEEN
        masked = {finding.path for finding in view.findings}
        seen = masked_input(call.function, shape, view.arguments, masked, reads)
        if len(seen) <= KEPT_LENGTH:
            self._kept[key] = seen
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return seen

    def _key(self, call: CallFacts, reads: Reads) -> tuple[str, str, Reads]:
        return call.masked.digest, self._catalog.digest_of(call.function), reads


def _shapes_of(catalog: Catalog) -> dict[str, Record]:
    return {function.name: input_shape(function.name, function.spec.input)[0] for function in catalog}
