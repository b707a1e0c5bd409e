"""What the API tells of freezes and grants."""

from typing import Any

from callgate.openapi import Answer
from contracts.freezes import Freeze
from contracts.grants import Grant, GrantState
from contracts.model import Timestamp
from contracts.records import Conditions, FreezeScope


class FreezeDocument(Answer):
    """A freeze."""

    id: str
    scope: FreezeScope
    target: str | None
    """None for everything."""
    issuer: str | None
    by: str
    since: Timestamp
    expires_at: Timestamp | None
    """None: until it is lifted."""
    reason: str | None
    """None where it was erased."""


class FrozenDocument(FreezeDocument):
    """A freeze that was just made."""

    cancelling: int
    """How many calls that wait for approval it stops; they are cancelled in the background, at once."""
    seen: bool
    """False where no call of this agent or session waits for people or was decided on lately: the name may be wrong."""


class LiftedDocument(FreezeDocument):
    """A freeze that is no more in force."""

    lifted: bool = True


class FreezeList(Answer):
    freezes: tuple[FreezeDocument, ...]


class GrantDocument(Answer):
    """A grant."""

    id: str
    state: GrantState
    """`in_force`, or `used_up` with time left; `revoked` or `expired` when it is over."""
    by: str
    agent: str | None
    issuer: str | None
    on_behalf_of: str | None
    session: str | None
    function: str
    conditions: Conditions
    policy: str
    """The Cedar text that the conditions become."""
    uses: int
    left: int
    calls: tuple[str, ...]
    """The calls that were counted on it, in order."""
    since: Timestamp
    expires_at: Timestamp
    reason: str | None
    """None where it was erased."""


class RevokedDocument(GrantDocument):
    """A grant that lets nothing more through."""

    revoked: bool = True


class GrantList(Answer):
    grants: tuple[GrantDocument, ...]


def freeze_members(freeze: Freeze, reason: str | None) -> dict[str, Any]:
    """The members of a FreezeDocument."""
    return {
        "id": freeze.freeze_id,
        "scope": freeze.scope,
        "target": freeze.target,
        "issuer": freeze.issuer,
        "by": freeze.by.id,
        "since": freeze.since,
        "expires_at": freeze.expires_at,
        "reason": reason,
    }


def grant_members(grant: Grant, state: GrantState, reason: str | None) -> dict[str, Any]:
    """The members of a GrantDocument."""
    data = grant.data
    return {
        "id": data.grant_id,
        "state": state,
        "by": data.by.id,
        "agent": data.agent,
        "issuer": data.issuer,
        "on_behalf_of": data.on_behalf_of,
        "session": data.session_id,
        "function": data.function,
        "conditions": data.conditions,
        "policy": data.policy,
        "uses": data.uses,
        "left": grant.left,
        "calls": tuple(sorted(grant.uses, key=lambda call: grant.uses[call])),
        "since": grant.since,
        "expires_at": data.expires_at,
        "reason": reason,
    }
