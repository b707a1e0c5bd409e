"""Grants in place of people's approval: which one covers a call, and the exact count of its uses.

A use is recorded before the call is allowed, by compare-and-set over everything that stands about the grant: of two
replicas one wins and the other looks again, and a revocation that was acknowledged first is never overlooked. A call is
counted once, however often it is delivered.
"""

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from callgate.catalog import Derived
from callgate.cedar.entities import call_entity
from callgate.cedar.grants import BadCondition, grant_text
from callgate.cedar.masked_input import input_reads, masked_input
from callgate.cedar.people import may
from callgate.cedar.policies import PolicySet
from callgate.cedar.schema import APPROVE, cedar_schema
from callgate.cedar.shapes import input_shape
from callgate.control import GrantBook
from callgate.errors import BrokerAway, ConfigurationError, LostRace
from callgate.log import Log
from callgate.records import Records
from callgate.revocations import RevocationBook
from contracts.events import ArgumentsAmended, GrantUse
from contracts.functions import Catalog, Function
from contracts.grants import Grant, meets_alone
from contracts.records import GrantUsed
from contracts.subjects import CallRef, grant_filter, grant_use_subject
from services.policy.domain import CallFacts, Rules, Verdict, covers

logger = logging.getLogger("services.policy")

_TRIES = 50
_PAUSE = 0.02
_PARSED = 256


class GrantUses:
    """Looks for a grant and counts the call on it; who granted must not have had their identity revoked since."""

    def __init__(
        self,
        log: Log,
        book: GrantBook,
        revocations: RevocationBook,
        records: Records,
        catalog: Catalog,
        clock: Callable[[], datetime],
    ) -> None:
        self._log = log
        self._book = book
        self._revocations = revocations
        self._records = records
        self._catalog = catalog
        self._clock = clock
        self._schema = Derived(catalog, cedar_schema)
        self._parsed: OrderedDict[tuple[str, Catalog], PolicySet | None] = OrderedDict()
        self._turn = asyncio.Lock()
        """Calls of this process wait for each other here rather than lose races on CONTROL."""

    async def use(self, ref: CallRef, facts: CallFacts, verdict: Verdict, rules: Rules) -> GrantUse | None:
        """The use on which the call may go without people, recorded; None where it must wait for them. BrokerAway."""
        await self._book.refresh()
        if self._found(ref, facts, verdict, rules) is None:
            return None
        await self._revocations.refresh()
        if (await self._log.read(ref)).call.last(ArgumentsAmended) is not None:
            return None  # whoever changed the arguments may be who granted
        async with self._turn:
            for _ in range(_TRIES):
                grant = self._found(ref, facts, verdict, rules)
                if grant is None:
                    return None
                counted = grant.use_of(ref)
                if counted is not None:
                    return counted
                try:
                    await self._count(ref, grant)
                except LostRace:
                    await asyncio.sleep(random.uniform(0, _PAUSE))  # noqa: S311
                await self._book.refresh()
        raise BrokerAway("too many uses of this grant at this moment")

    async def _count(self, ref: CallRef, grant: Grant) -> None:
        grant_id = grant.data.grant_id
        data = GrantUsed(grant_id=grant_id, call=str(ref), number=len(grant.uses) + 1)
        subject, last = grant_use_subject(grant_id, ref.call_id), self._book.last_sequence(grant_id)
        await self._records.publish(subject, data, self._clock(), last, grant_filter(grant_id))
        logger.info("counted on a grant", extra={"call": str(ref), "grant": grant_id, "number": data.number})

    def _found(self, ref: CallRef, facts: CallFacts, verdict: Verdict, rules: Rules) -> Grant | None:
        """A grant on which the call is counted already, or else the first that covers it."""
        fitting = [grant for grant in self._book.standing() if self._fits(grant, ref, facts, verdict, rules)]
        return next((grant for grant in fitting if grant.use_of(ref) is not None), next(iter(fitting), None))

    def _fits(self, grant: Grant, ref: CallRef, facts: CallFacts, verdict: Verdict, rules: Rules) -> bool:
        """Scope first; then whether the granter, if not revoked, could approve this call, masked as reviewers would see
        it, alone by today's policies; then conditions."""
        function, granter, now = facts.function, grant.data.by, self._clock()
        if function is None or rules.policies is None:
            return False
        if not grant.usable_for(ref, facts.principal, function.name, now):
            return False
        if not meets_alone(verdict.requirements, granter) or self._revocations.ended(granter):
            return False
        entity = call_entity(str(ref), function, facts.principal, facts.findings)
        if not may(rules.policies, "approve", granter, entity, now, _seen(rules.policies, function, facts)).decision:
            return False
        policies = self._policies_of(grant)
        return policies is not None and covers(rules, facts, policies)

    def _policies_of(self, grant: Grant) -> PolicySet | None:
        """The grant's Cedar, parsed once; None where it is not what its structured form generates."""
        key = (grant.digest, self._catalog.snapshot)
        if key in self._parsed:
            self._parsed.move_to_end(key)
            return self._parsed[key]
        parsed = self._load(grant)
        if parsed is None:
            logger.error("a grant is void: its policy is not its own", extra={"grant": grant.data.grant_id})
        self._parsed[key] = parsed
        if len(self._parsed) > _PARSED:
            self._parsed.popitem(last=False)
        return parsed

    def _load(self, grant: Grant) -> PolicySet | None:
        function = self._catalog.get(grant.data.function)
        try:
            if function is None or grant_text(grant.data, function) != grant.data.policy:
                return None
            policies = PolicySet.load({"grant.cedar": grant.data.policy}, self._schema())
        except (BadCondition, ConfigurationError):
            return None
        return None if policies.validate() else policies


def _seen(policies: PolicySet, function: Function, facts: CallFacts) -> str:
    """Of the call what the granter's right may depend on."""
    shape, _ = input_shape(function.name, function.spec.input)
    return masked_input(function.name, shape, facts.view, facts.masked, input_reads(policies, APPROVE))
