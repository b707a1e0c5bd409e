"""What the auditors' API answers, member by member. Rows of the projection and replays have these members already."""

from typing import Any, Literal

from pydantic import ConfigDict

from callgate.openapi import Answer
from contracts.grants import GrantState
from contracts.model import Timestamp
from contracts.records import Conditions, FreezeScope


class SessionDocument(Answer):
    session_id: str
    principal: str
    on_behalf_of: str | None
    began_at: Timestamp
    last_at: Timestamp
    calls: int


class SessionList(Answer):
    sessions: tuple[SessionDocument, ...]
    next: str | None
    """The `cursor` of the next page."""


class Head(Answer):
    """The last event of a call's chain."""

    sequence: int
    digest: str


class CallDocument(Answer):
    """A call as the projection has it."""

    id: str
    function: str
    principal: str
    on_behalf_of: str | None
    state: str
    """The name of its last event."""
    began_at: Timestamp
    ended_at: Timestamp | None
    over: bool
    code: str | None
    policies: tuple[str, ...]
    approvers: tuple[str, ...]
    head: Head


class SessionCalls(Answer):
    session_id: str
    principal: str
    on_behalf_of: str | None
    began_at: Timestamp
    last_at: Timestamp
    calls: tuple[CallDocument, ...]


class StepDocument(Answer):
    """One event; its other members are those of the event (contracts/schemas), its masked payloads opened."""

    model_config = ConfigDict(frozen=True, extra="allow")

    event: str
    at: Timestamp
    sequence: int


class AlienDocument(Answer):
    """A message on the subjects of a call that is no part of its chain."""

    sequence: int
    subject: str
    code: str
    recorded_at: Timestamp


class ReplayedCall(Answer):
    id: str
    function: str
    principal: str
    on_behalf_of: str | None
    state: str
    steps: tuple[StepDocument, ...]
    aliens: tuple[AlienDocument, ...]


class SessionReplay(Answer):
    session_id: str
    principal: str | None
    calls: tuple[ReplayedCall, ...]
    next: str | None
    """The `after` of the next page."""


class CallEvents(Answer):
    """A call event by event, with what proves each."""

    id: str
    state: str
    genesis: str
    head: str
    events: tuple[dict[str, Any], ...]


class ControlRecord(Answer):
    """Where the signed record stands on CONTROL."""

    sequence: int
    digest: str


class GrantedCall(Answer):
    """One use of a grant."""

    number: int
    call: str
    at: Timestamp


class AuditedGrant(Answer):
    id: str
    state: GrantState
    by: str
    by_issuer: str
    agent: str | None
    issuer: str | None
    on_behalf_of: str | None
    session: str | None
    function: str
    conditions: Conditions
    policy: str
    uses: int
    used: int
    since: Timestamp
    expires_at: Timestamp
    revoked_at: Timestamp | None
    revoked_by: str | None
    calls: tuple[GrantedCall, ...]
    record: ControlRecord
    reason: str | None
    """None where it was erased."""


class AuditedGrants(Answer):
    grants: tuple[AuditedGrant, ...]
    next: str | None
    """The `cursor` of the next page."""


class StoppedCall(Answer):
    """A call that ended as frozen; `state` is its last event."""

    id: str
    function: str
    state: str
    at: Timestamp


class Stopped(Answer):
    count: int
    calls: tuple[StoppedCall, ...]
    """The first of them."""


class AuditedFreeze(Answer):
    id: str
    state: Literal["in_force", "lifted", "expired"]
    scope: FreezeScope
    target: str | None
    issuer: str | None
    by: str
    by_issuer: str
    since: Timestamp
    expires_at: Timestamp | None
    lifted_at: Timestamp | None
    lifted_by: str | None
    stopped: Stopped
    """The calls in its scope that ended as frozen while it held."""
    record: ControlRecord
    reason: str | None
    """None where it was erased."""


class AuditedFreezes(Answer):
    freezes: tuple[AuditedFreeze, ...]
    next: str | None
    """The `cursor` of the next page."""
