"""Revocations: recording on CONTROL that a token, or a subject's tokens, identify nobody any more, and lifting that.

A revocation counts from its acknowledgement on. Every service that asks who somebody is follows CONTROL, so a replica
may take such a token for half a second more. What was asked before goes on: a freeze stops that as well.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from callgate.cedar.entities import scope_entity
from callgate.cedar.people import Right
from callgate.cedar.published import PublishedPolicies
from callgate.control import reason_place
from callgate.errors import Rejected
from callgate.ids import uuid7
from callgate.records import Records
from callgate.revocations import RevocationBook
from callgate.sealing import Sealer
from contracts.functions import Catalog
from contracts.identity import Principal
from contracts.records import Revoked, Unrevoked
from contracts.revocations import Revocation
from contracts.subjects import revocation_subject
from services.approval.freezing import NotAllowed
from services.approval.revocation_forms import RevocationWanted
from services.approval.scopes import is_delegated

logger = logging.getLogger("services.approval")

_KINDS = {"subject": "agent", "token": "token"}
"""What policies call the scopes: a subject is an Agent to them."""


class UnknownRevocation(Exception):
    """There is none of that id."""


class Revoking:
    """Everything that people do with revocations. BrokerAway and NoPolicies beside the exceptions named."""

    def __init__(
        self,
        records: Records,
        sealer: Sealer,
        book: RevocationBook,
        policies: PublishedPolicies,
        catalog: Catalog,
        clock: Callable[[], datetime],
        leeways: Mapping[str, float],
    ) -> None:
        """`leeways`: by issuer, how many seconds its clock may be ahead of ours."""
        self._records = records
        self._sealer = sealer
        self._book = book
        self._policies = policies
        self._catalog = catalog
        self._clock = clock
        self._leeways = leeways

    async def revoke(self, person: Principal, wanted: RevocationWanted) -> Revocation:
        """The revocation, in force. NotAllowed."""
        self._require("revoke", person, wanted.scope, wanted.target)
        revocation_id, at = uuid7(), self._clock()
        reason = await self._sealer.seal(wanted.reason.encode(), reason_place("revocation", revocation_id), "view", at)
        data = Revoked(
            revocation_id=revocation_id,
            scope=wanted.scope,
            target=wanted.target,
            issuer=wanted.issuer,
            issued_before=self._issued_by(at, wanted.issuer) if wanted.issued_so_far else None,
            by=person,
            reason=reason,
            expires_at=at + wanted.lasts if wanted.lasts is not None else None,
        )
        await self._records.publish(revocation_subject(revocation_id), data, at, 0)
        logger.warning("revoked", extra={"revocation": revocation_id, "scope": wanted.scope})
        await self._book.refresh()
        return self._known(revocation_id)

    async def lift(self, person: Principal, revocation_id: str) -> Revocation:
        """The revocation, no more in force; lifting one that is over changes nothing. UnknownRevocation, NotAllowed."""
        await self._book.refresh()
        revocation = self._known(revocation_id)
        self._require("unrevoke", person, revocation.scope, revocation.target)
        if revocation.in_force(self._clock()):
            lifted = Unrevoked(revocation_id=revocation_id, by=person)
            await self._records.publish(revocation_subject(revocation_id), lifted, self._clock())
            logger.warning("unrevoked", extra={"revocation": revocation_id})
            await self._book.refresh()
        return self._known(revocation_id)

    async def listed(self, person: Principal) -> list[Revocation]:
        """What is in force of what this person may revoke or lift."""
        await self._book.refresh()
        return [
            one
            for one in self._book.in_force()
            if self._may("revoke", person, one.scope, one.target)
            or self._may("unrevoke", person, one.scope, one.target)
        ]

    async def reason(self, revocation: Revocation) -> str | None:
        """Why; None where it was erased."""
        place = reason_place("revocation", revocation.revocation_id)
        try:
            text = await self._sealer.open(revocation.reason, place, "view")
        except Rejected:
            return None
        return text.decode(errors="replace")

    def _issued_by(self, now: datetime, issuer: str | None) -> datetime:
        """What no token issued until now has in its `iat`, though the issuer's clock be ahead as far as it is forgiven.
        Those of the next seconds end with them: nobody can tell which came first."""
        leeways = [leeway for name, leeway in self._leeways.items() if issuer in (None, name)]
        return now + timedelta(seconds=max(leeways, default=0.0))

    def _known(self, revocation_id: str) -> Revocation:
        revocation = self._book.get(revocation_id)
        if revocation is None:
            raise UnknownRevocation
        return revocation

    def _require(self, right: Right, person: Principal, scope: str, target: str) -> None:
        if is_delegated(person):
            raise NotAllowed("delegated")
        if not self._may(right, person, scope, target):
            raise NotAllowed("not_permitted")

    def _may(self, right: Right, person: Principal, scope: str, target: str) -> bool:
        resource = scope_entity(_KINDS[scope], target, self._catalog)
        return not is_delegated(person) and self._policies.may(right, person, resource, self._clock()).decision
