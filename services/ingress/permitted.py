"""The functions that a principal may call, as far as the policies in force tell, and as nothing else bars them.

Ingress decides nothing by it: a function that no call of this principal's could ever use is not shown, and every call
is judged all the same.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from callgate.cedar.policies import PolicySet
from callgate.cedar.published import PublishedPolicies
from callgate.cedar.schema import CONNECTION
from contracts.functions import Catalog
from contracts.identity import Principal
from services.ingress.tools import Tools

_KEPT: Final = 1024
"""Principals whose list is remembered for the policies in force."""
_OF_THE_TOKEN: Final = {"token_id", "authenticated_at"}
"""What is new with each token and no policy reads."""
_AT_ONCE: Final = 8
"""Functions asked about before others get their turn: each takes Cedar half a millisecond."""


class Permitted:
    """Of the tools of a catalog, those that a principal is shown."""

    def __init__(self, tools: Tools, policies: PublishedPolicies) -> None:
        self.tools = tools
        self._policies = policies
        self._seen: OrderedDict[tuple[PolicySet, Catalog, str], tuple[str, ...]] = OrderedDict()

    async def names(self, principal: Principal) -> tuple[str, ...]:
        """The names of the tools, in their order; none while no policies are in force."""
        policies = self._policies.current
        if policies is None:
            return ()
        catalog = self.tools.catalog.snapshot
        key = (policies, catalog, principal.model_dump_json(exclude=_OF_THE_TOKEN))
        known = self._seen.get(key)
        if known is not None:
            self._seen.move_to_end(key)
            return known
        names: list[str] = []
        for number, (name, function) in enumerate(sorted(self.tools.by_name.items())):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            if catalog.bar(function.name) is not None:
                continue
            if not policies.surely_denies(principal, function.name, (CONNECTION, function.connection)):
                names.append(name)
        self._seen[key] = tuple(names)
        if len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        return tuple(names)
