"""Who asks, on the doors for people, and what Cedar lets them do."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import Request

from callgate.cedar.entities import call_entity, call_traits
from callgate.cedar.people import Right
from callgate.cedar.published import PublishedPolicies
from callgate.identity.authenticator import Authenticator
from contracts.functions import Catalog
from contracts.identity import Principal
from services.approval.aggregate import Decider
from services.approval.domain import CallFacts


async def person_of(authenticator: Authenticator, request: Request) -> Principal:
    """The verified identity of a request. Unauthenticated, also where there is more than one to choose from."""
    return await authenticator.identify(request)


class Rights:
    """What people may do to a call, by the policies in force."""

    def __init__(self, policies: PublishedPolicies, catalog: Catalog, clock: Callable[[], datetime]) -> None:
        self._policies = policies
        self._catalog = catalog
        self._clock = clock

    def over(self, right: Right, facts: CallFacts, person: Principal) -> Decider:
        """The person with Cedar's word on them, which is no where the function is declared no more. NoPolicies."""
        return self._over(right, facts, person, self._clock())

    def listing(self, right: Right, person: Principal) -> Callable[[CallFacts], bool]:
        """Whether `over` permits, for a list of many calls at this moment. NoPolicies.

        Cedar is asked once for all calls that differ by their id alone: a policy that names a call by its id counts
        where somebody looks at that call, or decides on it, and not in lists.
        """
        now, known = self._clock(), dict[tuple[Any, ...], bool]()

        def permitted(facts: CallFacts) -> bool:
            alike = facts.function, call_traits(facts.requester), facts.entities
            found = known.get(alike)
            if found is None:
                found = known[alike] = self._over(right, facts, person, now).permitted
            return found

        return permitted

    def _over(self, right: Right, facts: CallFacts, person: Principal, now: datetime) -> Decider:
        function = self._catalog.get(facts.function)
        if function is None:
            return Decider(person, permitted=False)
        entity = call_entity(str(facts.ref), function, facts.requester, facts.entities)
        found = self._policies.may(right, person, entity, now)
        return Decider(person, found.decision, found.reasons)
