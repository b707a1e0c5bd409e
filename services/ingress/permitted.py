"""The functions that a principal may call, as far as the policies in force tell, and as nothing else bars them.

Ingress decides nothing by it: a function that no call of this principal's could ever use is not shown, and every call
is judged all the same.
"""

import asyncio
import hashlib
from collections import OrderedDict
from typing import Final, NamedTuple

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


Basis = tuple[PolicySet | None, Catalog]
"""What every list rests on: the policies in force and the functions that there are. Either is replaced whole."""


class Permitted:
    """Of the tools of a catalog, those that a principal is shown."""

    def __init__(self, tools: Tools, policies: PublishedPolicies) -> None:
        self.tools = tools
        self._policies = policies
        self._seen: OrderedDict[tuple[PolicySet, Catalog, str], _Shown] = OrderedDict()

    @property
    def basis(self) -> Basis:
        """Another than before where a list may have changed."""
        return self._policies.current, self.tools.catalog.snapshot

    async def names(self, principal: Principal) -> tuple[str, ...]:
        """The names of the tools, in their order; none while no policies are in force."""
        return (await self._shown(principal)).names

    async def digest(self, principal: Principal) -> bytes:
        """Of the tools and their definitions: another where the principal is shown others than before."""
        return (await self._shown(principal)).digest

    async def _shown(self, principal: Principal) -> "_Shown":
        (policies, catalog), by_name = self.basis, self.tools.by_name
        if policies is None:
            return _NOTHING
        key = (policies, catalog, principal.model_dump_json(exclude=_OF_THE_TOKEN))
        known = self._seen.get(key)
        if known is not None:
            self._seen.move_to_end(key)
            return known
        functions: dict[str, str] = {}
        for number, (name, function) in enumerate(sorted(by_name.items())):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            if catalog.bar(function.name) is not None:
                continue
            if not policies.surely_denies(principal, function.name, (CONNECTION, function.connection)):
                functions[name] = catalog.digest_of(function.name)
        digest = hashlib.sha256("\n".join(f"{name} {function}" for name, function in functions.items()).encode())
        self._seen[key] = shown = _Shown(tuple(functions), digest.digest())
        if len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        return shown


class _Shown(NamedTuple):
    names: tuple[str, ...]
    digest: bytes


_NOTHING: Final = _Shown((), b"")
