"""Who asks, on the doors for people, and what Cedar lets them do."""

from collections.abc import Callable
from datetime import datetime

from fastapi import Request

from callgate.cedar.entities import call_entity
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
        function = self._catalog.get(facts.function)
        if function is None:
            return Decider(person, permitted=False)
        entity = call_entity(str(facts.ref), function, facts.requester, facts.entities)
        found = self._policies.may(right, person, entity, self._clock())
        return Decider(person, found.decision, found.reasons)
