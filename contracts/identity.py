"""Who acts: the roles of services, and the principals (agents and people) behind calls and votes."""

import json
from enum import StrEnum
from typing import Literal

from pydantic import Field

from contracts.model import Contract, Timestamp


class Role(StrEnum):
    """A service, as the key ring knows it. `provisioner` signs genesis records and nothing on CALLS."""

    INGRESS = "ingress"
    MASKING = "masking"
    POLICY = "policy"
    APPROVAL = "approval"
    EXECUTOR = "executor"
    AUDIT = "audit"
    PROVISIONER = "provisioner"


class Principal(Contract):
    """A verified identity, as far as its token told.

    `id` names the agent itself: the token's `sub`, or `act.sub` where the token is a delegation (RFC 8693);
    `on_behalf_of` is then the `sub`, the user for whom it acts. Both carry the issuer's `subject_prefix`.
    """

    id: str
    issuer: str
    groups: tuple[str, ...] = ()
    on_behalf_of: str | None = None
    actors: tuple[str, ...] = ()
    """The chain of `act` claims, outermost first; empty without delegation."""
    token_id: str | None = None
    authenticated_at: Timestamp | None = None
    bound_by: Literal["dpop", "mtls"] | None = Field(default=None, exclude_if=lambda kind: kind is None)
    """How the holder proved that the token is theirs (RFC 9449, RFC 8705); None for a bearer token. Left out of the
    bytes then, which are those of principals before there were proofs."""

    @property
    def people(self) -> frozenset[str]:
        """Everyone who stands behind the call; none of them may approve it."""
        return frozenset({self.id, *self.actors, *([self.on_behalf_of] if self.on_behalf_of else [])})

    @property
    def session_owner(self) -> str:
        """Whom a session belongs to: the agent, and the user for whom it acts, as this issuer knows them. An agent
        must not write into the session of one user while it acts for another."""
        return json.dumps([self.issuer, self.id, self.on_behalf_of])
