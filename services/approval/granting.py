"""Grants: one reviewer's approval given in advance, recorded on CONTROL and revoked there."""

import logging
from collections.abc import Callable
from datetime import datetime

from callgate.cedar.entities import call_entity
from callgate.cedar.grants import BadCondition, grant_text, require_satisfiable
from callgate.cedar.masked_input import are_about, input_reads
from callgate.cedar.published import PublishedPolicies
from callgate.cedar.schema import APPROVE
from callgate.control import GrantBook, reason_place
from callgate.errors import Rejected
from callgate.ids import uuid7
from callgate.records import Records
from callgate.sealing import Sealer
from contracts.events import Sealed
from contracts.functions import Catalog, Function
from contracts.grants import Grant, GrantState, meets_alone
from contracts.identity import Principal
from contracts.records import Granted, GrantRevoked
from contracts.subjects import grant_revoked_subject, grant_subject
from contracts.tally import may_vote
from services.approval.domain import Question
from services.approval.freezing import NotAllowed
from services.approval.grant_forms import GrantScope, Terms
from services.approval.scopes import BadScope, is_delegated

logger = logging.getLogger("services.approval")


class UnknownGrant(Exception):
    """There is none of that id."""


class Granting:
    """Everything that people do with grants. BrokerAway and NoPolicies beside the exceptions named."""

    def __init__(
        self,
        records: Records,
        sealer: Sealer,
        book: GrantBook,
        policies: PublishedPolicies,
        catalog: Catalog,
        clock: Callable[[], datetime],
    ) -> None:
        self._records = records
        self._sealer = sealer
        self._book = book
        self._policies = policies
        self._catalog = catalog
        self._clock = clock

    def scope_of(self, question: Question, person: Principal, *, to_session: bool) -> GrantScope:
        """Calls like the one that this person may decide. NotAllowed where their approval alone would not do."""
        function = self._catalog.get(question.function)
        if function is None:
            raise BadScope("unknown_function", "The function is no longer declared.")
        if not meets_alone((one.requirement for one in question.progress), person):
            raise NotAllowed("grant_insufficient")
        return GrantScope(question.requester, function, question.ref.session_id if to_session else None)

    async def grant(self, person: Principal, scope: GrantScope, terms: Terms) -> Grant:
        """The grant, in force. NotAllowed, BadScope."""
        requester, function = scope.requester, scope.function
        if is_delegated(person):
            raise NotAllowed("delegated")
        if not may_vote(requester, person):
            raise NotAllowed("own_call")
        if not self._may_approve(person, function, requester):
            limited = are_about(input_reads(self._policies.in_force(), APPROVE), function.name)
            raise NotAllowed("not_permitted_in_advance" if limited else "not_permitted")
        grant_id, at = uuid7(), self._clock()
        draft = Granted(
            grant_id=grant_id,
            by=person,
            agent=requester.id,
            issuer=requester.issuer,
            on_behalf_of=requester.on_behalf_of,
            session_id=scope.session_id,
            function=function.name,
            conditions=terms.conditions,
            policy="",
            uses=terms.uses,
            expires_at=at + terms.lasts,
            reason=await self._sealed(grant_id, terms.reason, at),
        )
        try:
            text = grant_text(draft, function)
            require_satisfiable(terms.conditions, function)
        except BadCondition as bad:
            raise BadScope(bad.code, f"{bad.detail[:1].upper()}{bad.detail[1:]}.") from None
        data = draft.model_copy(update={"policy": text})
        await self._records.publish(grant_subject(grant_id), data, at, 0)
        logger.info("granted", extra={"grant": grant_id, "function": function.name, "uses": terms.uses})
        await self._book.refresh()
        return self._known(grant_id)

    async def revoke(self, person: Principal, grant_id: str) -> Grant:
        """The grant, over. By its granter, or whoever may approve such calls. UnknownGrant, NotAllowed."""
        await self._book.refresh()
        grant = self._known(grant_id)
        if not self._is_theirs(person, grant):
            raise NotAllowed("not_permitted")
        if grant.stands(self._clock()):
            data = GrantRevoked(grant_id=grant_id, by=person)
            await self._records.publish(grant_revoked_subject(grant_id), data, self._clock())
            logger.info("grant revoked", extra={"grant": grant_id})
            await self._book.refresh()
        return self._known(grant_id)

    async def listed(self, person: Principal) -> list[Grant]:
        """What is neither over nor revoked of what this person gave or could have given; some of it may be used up."""
        await self._book.refresh()
        return [grant for grant in self._book.standing() if self._is_theirs(person, grant)]

    def state(self, grant: Grant) -> GrantState:
        return grant.state(self._clock())

    async def reason(self, grant: Grant) -> str | None:
        """Why; None where it was erased."""
        try:
            place = reason_place("grant", grant.data.grant_id)
            return (await self._sealer.open(grant.data.reason, place, "view")).decode(errors="replace")
        except Rejected:
            return None

    async def _sealed(self, grant_id: str, reason: str, at: datetime) -> Sealed:
        return await self._sealer.seal(reason.encode(), reason_place("grant", grant_id), "view", at)

    def _is_theirs(self, person: Principal, grant: Grant) -> bool:
        if is_delegated(person):
            return False
        if (person.issuer, person.id) == (grant.data.by.issuer, grant.data.by.id):
            return True
        function, agent, issuer = self._catalog.get(grant.data.function), grant.data.agent, grant.data.issuer
        if function is None or agent is None or issuer is None:
            return False
        requester = Principal(id=agent, issuer=issuer, on_behalf_of=grant.data.on_behalf_of)
        return self._may_approve(person, function, requester)

    def _may_approve(self, person: Principal, function: Function, requester: Principal) -> bool:
        """Whether Cedar lets this person approve such calls, as far as they are known before they are asked: without
        their arguments, which policy judges at each use."""
        entity = call_entity("granted", function, requester, ())
        return self._policies.may("approve", person, entity, self._clock()).decision

    def _known(self, grant_id: str) -> Grant:
        grant = self._book.get(grant_id)
        if grant is None:
            raise UnknownGrant
        return grant
