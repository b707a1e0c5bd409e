"""Who asks, on the doors for people, and what Cedar lets them do."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal, TypeVar

from fastapi import Request

from callgate.cedar.entities import call_entity, call_traits
from callgate.cedar.masked_input import input_reads
from callgate.cedar.people import may
from callgate.cedar.policies import PolicySet
from callgate.cedar.published import PublishedPolicies
from callgate.identity.authenticator import Authenticator
from contracts.functions import Catalog
from contracts.identity import Principal
from services.approval.aggregate import Decider
from services.approval.domain import CallFacts
from services.approval.masked_inputs import MaskedInputs

DecidingRight = Literal["approve", "settle"]
C = TypeVar("C", bound=CallFacts)
_QUESTIONS_A_TURN = 50
"""Cedar takes some 200 µs for each."""


async def person_of(authenticator: Authenticator, request: Request) -> Principal:
    """The verified identity of a request. Unauthenticated, also where there is more than one to choose from."""
    return await authenticator.identify(request)


class Rights:
    """What people may do to a call, by the policies in force."""

    def __init__(
        self,
        policies: PublishedPolicies,
        catalog: Catalog,
        inputs: MaskedInputs,
        clock: Callable[[], datetime],
    ) -> None:
        self._policies = policies
        self._catalog = catalog
        self._inputs = inputs
        self._clock = clock

    async def over(self, right: DecidingRight, facts: CallFacts, person: Principal) -> Decider:
        """The person with Cedar's word on them, which is no where the function is declared no more.

        The call's masked arguments are opened only where policies on this right read them. NoPolicies, BrokerAway.
        """
        policies = self._policies.in_force()
        seen = await self._inputs.of(facts, input_reads(policies, right))
        return self._over(policies, right, facts, person, self._clock(), seen)

    async def among(self, right: DecidingRight, person: Principal, calls: Sequence[C]) -> list[C]:
        """Those of many calls over which `over` permits, at this moment. NoPolicies, BrokerAway.

        Cedar is asked once for all calls that differ by nothing but their id and arguments that no policy reads: a
        policy that names a call by its id counts where somebody looks at that call, or decides on it, and not in lists.
        """
        policies, known = self._policies.in_force(), dict[tuple[Any, ...], bool]()
        inputs, now = await self._inputs.of_all(calls, input_reads(policies, right)), self._clock()
        found: list[C] = []
        for call, seen in zip(calls, inputs, strict=True):
            alike = call.function, call_traits(call.requester), call.entities, seen
            if alike not in known:
                known[alike] = self._over(policies, right, call, person, now, seen).permitted
                if len(known) % _QUESTIONS_A_TURN == 0:
                    await asyncio.sleep(0)  # thousands of different amounts must not hold up everybody else
            if known[alike]:
                found.append(call)
        return found

    def _over(
        self, policies: PolicySet, right: DecidingRight, facts: CallFacts, person: Principal, now: datetime, seen: str
    ) -> Decider:
        function = self._catalog.get(facts.function)
        if function is None:
            return Decider(person, permitted=False)
        entity = call_entity(str(facts.ref), function, facts.requester, facts.entities)
        found = may(policies, right, person, entity, now, seen)
        return Decider(person, found.decision, found.reasons)
