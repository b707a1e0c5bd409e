"""Every event of a call, as it stands on CALLS. The numbers are the steps of docs/call-lifecycle.md.

An event's bytes are CloudEvents 1.0 in binary mode. The body is the UTF-8 JSON of `Event`; `ce-type` is `TYPE` of
its data. Versions are explicit: a changed shape is a new class with a new type, and the old one stays readable: its
`upcast` says in today's shape what it meant.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import Field, StringConstraints, model_validator

from contracts.identity import Principal, Role
from contracts.model import Contract, JsonValue, Timestamp
from contracts.subjects import CALL_ID, SESSION_ID, CallRef

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in lower-case hex."""
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""A reason of ours, e.g. `upstream_timeout`. Other people's error texts quote raw values and never stand here."""

DataClass = Literal["raw", "view"]


class Sealed(Contract):
    """A payload under AES-256-GCM. Either `ciphertext` stands here, or `payload` names its chunks on PAYLOADS.

    The associated data binds deployment, session, call, event, field and key, so it opens in its own place only.
    """

    key_id: str
    nonce: str
    ciphertext: str | None = None
    payload: "PayloadRef | None" = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.ciphertext is None) == (self.payload is None):
            raise ValueError("exactly one of ciphertext and payload")
        return self


class PayloadRef(Contract):
    """A ciphertext too big for a message: its chunks on PAYLOADS and the SHA-256 of them all in order."""

    payload_id: str
    chunks: int = Field(gt=0)
    size: int = Field(gt=0)
    sha256: Digest


class Finding(Contract):
    """Something sensitive that masking found: where, what, and which half-open span of code points of the leaf.

    `path` is a JSON pointer into the masked view in which `*` stands for a key that could be a raw value: one that the
    function's schema does not declare in its place and that does not look like an identifier (results have no schema).
    """

    path: str
    entity: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)


class RequirementV1(Contract):
    """What version 1 of `approval_required` asks: `quorum` distinct members of any of the `approvers` groups."""

    policies: tuple[str, ...]
    approvers: tuple[str, ...] = Field(min_length=1)
    quorum: int = Field(ge=1)
    expires_at: Timestamp


class Escalation(Contract):
    """From `at` on, by the time of the vote, members of these groups may approve as well."""

    approvers: tuple[str, ...] = Field(min_length=1)
    at: Timestamp


class Requirement(Contract):
    """What people must do before a call may run. The fields without a default are those of version 1."""

    policies: tuple[str, ...]
    approvers: tuple[str, ...] = Field(min_length=1)
    quorum: int = Field(ge=1)
    """Distinct people, of any of the groups; with `each` that many of each group, nobody counted for two."""
    expires_at: Timestamp
    each: bool = False
    rejections: int = Field(default=1, ge=1)
    """How many of those asked must reject to end it."""
    reason_required: bool = False
    """An approval without a reason does not count."""
    remind_at: Timestamp | None = None
    escalation: Escalation | None = None
    break_glass: tuple[str, ...] = ()
    """Groups, any member of which may approve alone, with a reason."""

    @property
    def people(self) -> int:
        """How many must approve in all."""
        return self.quorum * len(self.approvers) if self.each else self.quorum


class InputProblem(Contract):
    """Where the arguments break the function's schema, and by which keyword. The caller's own keys are `*`."""

    pointer: str
    keyword: str


class Proof(Contract):
    """Who cast a vote and on what: the issuer's word on the person, and the digest of the event voted on."""

    issuer: str
    subject: str
    authenticated_at: Timestamp | None = None
    digest: Digest


def _nothing(value: object) -> bool:
    return value is None


class EventData(Contract):
    """The data of one event. `NAME` is the last token of its subject, `TYPE` its ce-type, `ROLES` who may sign it."""

    NAME: ClassVar[str]
    TYPE: ClassVar[str]
    ROLES: ClassVar[frozenset[Role]]

    def upcast(self) -> "EventData":
        """The same in the newest shape of its kind, which is all that readers know."""
        return self


class Stoppable(EventData):
    """What may have ended a call because of a freeze."""

    freeze: str | None = Field(default=None, exclude_if=_nothing)
    """The id of the freeze that stopped it, where the code is `frozen`. Left out on the wire where there is none, as
    `Allowed.grant`; older events of that code have none."""


class Requested(EventData):
    """1. Ingress: an authenticated principal asks for a function to be run."""

    NAME: ClassVar[str] = "requested"
    TYPE: ClassVar[str] = "callgate.call.requested.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.INGRESS})

    function: str
    """The name of a declared function, or UNKNOWN_FUNCTION."""
    principal: Principal
    arguments: Sealed
    """Class raw, readable by masking alone."""
    request: Sealed | None = Field(default=None, exclude_if=_nothing)
    """Class raw: the HTTP request that the arguments were read from, where it came through the proxy. Left out on the
    wire where there is none, as `Allowed.grant`."""


class ArgumentsMasked(EventData):
    """2. Masking: the effective arguments sealed anew with their masked view; policy and executor read these.

    It repeats function and principal, so that policy judges without reading the chain; the fold refuses it
    where they differ from `requested`.
    """

    NAME: ClassVar[str] = "arguments_masked"
    TYPE: ClassVar[str] = "callgate.call.arguments_masked.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.MASKING})

    function: str
    principal: Principal
    arguments: Sealed | None
    """Class raw, for policy and executor; None where they could not be inspected."""
    view: Sealed | None
    """Class view: the masked form."""
    findings: tuple[Finding, ...] = ()
    uninspectable: tuple[Code, ...] = ()
    """Why parts (or, with `arguments` None, all) of it could not be inspected; policy denies such a call."""
    refused_tokens: tuple[InputProblem, ...] = Field(default=(), exclude_if=lambda refused: not refused)
    """Where tokens stand that were not resolved, and by which code; the first few. Left out on the wire where there are
    none, as `Allowed.grant`."""
    amended: bool = Field(default=False, exclude_if=lambda amended: not amended)
    """Whether they are as a reviewer changed them, for policy, which reads no chain otherwise; the fold refuses the
    event where that is not so. Left out on the wire where it is false, as `Allowed.grant`."""
    request: Sealed | None = Field(default=None, exclude_if=_nothing)
    """Class raw: that of `requested`, as it is, for the executor, which sends it only where the effective arguments can
    be read from it. Left out on the wire where there is none, as `Allowed.grant`."""


class _Judged(EventData):
    policy_set: Digest
    """SHA-256 of the policy set that decided; of nothing (64 zeros) where none was loaded."""
    policies: tuple[str, ...] = ()
    """The `@id`s of the policies that decided."""
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    """The facts that they used: JSON pointer → masked value."""
    function_digest: Digest
    """Of the function's definition that was judged; the executor runs no other."""


class GrantUse(Contract):
    """The grant by which a call is allowed that people would have had to approve."""

    grant_id: str
    granted: Digest
    """Of the record of the grant."""
    number: int = Field(ge=1)
    """Which of its uses this is, as the record of the use says."""


class Allowed(_Judged):
    """3. Policy: the call may run. The only event that authorises an execution."""

    NAME: ClassVar[str] = "allowed"
    TYPE: ClassVar[str] = "callgate.call.allowed.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.POLICY})

    grant: GrantUse | None = Field(default=None, exclude_if=_nothing)
    """Left out on the wire where there is none, so an event without one has the bytes that it always had."""


class Denied(_Judged, Stoppable):
    """3. Policy: the call may not run, and why."""

    NAME: ClassVar[str] = "denied"
    TYPE: ClassVar[str] = "callgate.call.denied.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.POLICY})

    code: Code
    problems: tuple[InputProblem, ...] = ()
    """What is wrong with the arguments, where that is the reason."""


class ApprovalRequired(_Judged):
    """3. Policy: people must decide first; every requirement must be met."""

    NAME: ClassVar[str] = "approval_required"
    TYPE: ClassVar[str] = "callgate.call.approval_required.v2"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.POLICY})

    requirements: tuple[Requirement, ...] = Field(min_length=1)

    @property
    def expires_at(self) -> datetime:
        """The earliest expiry counts."""
        return min(requirement.expires_at for requirement in self.requirements)


class ApprovalRequiredV1(_Judged):
    """3. Policy, until version 2: a quorum of any of the groups, and nothing beside it."""

    NAME: ClassVar[str] = "approval_required"
    TYPE: ClassVar[str] = "callgate.call.approval_required.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.POLICY})

    requirements: tuple[RequirementV1, ...] = Field(min_length=1)

    def upcast(self) -> ApprovalRequired:
        return ApprovalRequired.model_validate(self.model_dump())


class VoteCast(EventData):
    """4. Approval: one person's vote. `reason` is class view: it is a person's free text."""

    NAME: ClassVar[str] = "vote_cast"
    TYPE: ClassVar[str] = "callgate.call.vote_cast.v2"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    reviewer: Principal
    decision: Literal["approve", "reject"]
    reason: Sealed | None = None
    policies: tuple[str, ...] = ()
    """The policies that gave the reviewer the right to decide."""
    proof: Proof
    replaces: str | None = None
    """The event id of this person's vote that this one changes; None where it is their first."""
    break_glass: bool = False
    """The reviewer approves alone, as a requirement lets their group."""


class VoteCastV1(EventData):
    """4. Approval, until version 2: a vote that replaces none, and breaks no glass."""

    NAME: ClassVar[str] = "vote_cast"
    TYPE: ClassVar[str] = "callgate.call.vote_cast.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    reviewer: Principal
    decision: Literal["approve", "reject"]
    reason: Sealed | None = None
    policies: tuple[str, ...] = ()
    proof: Proof

    def upcast(self) -> VoteCast:
        return VoteCast.model_validate(self.model_dump())


class Approved(EventData):
    """4. Approval: every requirement is met. It authorises nothing yet: policy judges once more."""

    NAME: ClassVar[str] = "approved"
    TYPE: ClassVar[str] = "callgate.call.approved.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    votes: tuple[str, ...] = Field(min_length=1)
    """The event ids of the votes that met the requirements."""


class Rejected(EventData):
    """4. Approval: as many reviewers said no as end it."""

    NAME: ClassVar[str] = "rejected"
    TYPE: ClassVar[str] = "callgate.call.rejected.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    by: str
    vote: str
    """The event id of the rejecting vote that ended it, where its reason stands."""


class ApprovalExpired(EventData):
    """4. Approval: nobody decided in time."""

    NAME: ClassVar[str] = "approval_expired"
    TYPE: ClassVar[str] = "callgate.call.approval_expired.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    expired_at: Timestamp


class ArgumentsAmended(EventData):
    """4. Approval: a reviewer changed the arguments; masking applies the patch, and everything starts over from 2."""

    NAME: ClassVar[str] = "arguments_amended"
    TYPE: ClassVar[str] = "callgate.call.arguments_amended.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    author: Principal
    patch: Sealed
    """Class raw: a JSON Patch (RFC 6902) on the arguments."""
    reason: Sealed | None = None
    proof: Proof


class ExecutionStarted(EventData):
    """5. Executor: the intent, recorded before the irreversible effect."""

    NAME: ClassVar[str] = "execution_started"
    TYPE: ClassVar[str] = "callgate.call.execution_started.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.EXECUTOR})

    instance: str
    attempt: int = Field(ge=1)
    deadline: Timestamp
    """By then this executor has aborted its request, whatever came of it."""


class ExecutionCompleted(EventData):
    """6. Executor: the function answered, whatever its status code."""

    NAME: ClassVar[str] = "execution_completed"
    TYPE: ClassVar[str] = "callgate.call.execution_completed.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.EXECUTOR})

    function: str
    status: int = Field(ge=100, le=999)
    content_type: str | None = None
    result: Sealed
    """Class raw, for masking: the body as it came, cut off at the connection's limit."""
    size: int = Field(ge=0)
    truncated: bool = False
    duration_ms: float = Field(ge=0)
    headers: Sealed | None = Field(default=None, exclude_if=_nothing)
    """Class raw, for masking: a JSON array of names and values, of an answer that goes to the proxy. Left out on the
    wire where there is none, as `Allowed.grant`."""


class ExecutionFailed(Stoppable):
    """6. Executor: certainly no effect (connection refused, credential missing, frozen)."""

    NAME: ClassVar[str] = "execution_failed"
    TYPE: ClassVar[str] = "callgate.call.execution_failed.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.EXECUTOR})

    code: Code


class OutcomeUnknown(Stoppable):
    """6. Executor: it may have happened. Never run again by itself; a person settles it."""

    NAME: ClassVar[str] = "outcome_unknown"
    TYPE: ClassVar[str] = "callgate.call.outcome_unknown.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.EXECUTOR})

    code: Code


class OutcomeSettled(EventData):
    """6. Approval: a person recorded what really happened."""

    NAME: ClassVar[str] = "outcome_settled"
    TYPE: ClassVar[str] = "callgate.call.outcome_settled.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    by: Principal
    outcome: Literal["done", "not_done", "run_again"]
    result: Sealed | None = None
    """Class raw, for masking: the result, where `done` and known."""
    evidence: Sealed | None = None
    reason: Sealed
    proof: Proof


class ResultMasked(EventData):
    """7. Masking: what the agent may see of the result."""

    NAME: ClassVar[str] = "result_masked"
    TYPE: ClassVar[str] = "callgate.call.result_masked.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.MASKING})

    status: int = Field(ge=100, le=999)
    content_type: str | None = None
    view: Sealed | None
    """Class view; None where everything is withheld."""
    findings: tuple[Finding, ...] = ()
    withheld: Code | None = None
    """Why the whole result is withheld."""
    uninspectable: tuple[Code, ...] = ()
    headers: Sealed | None = Field(default=None, exclude_if=_nothing)
    """Class view: the masked form of the answer's headers. Left out on the wire where there is none, as
    `Allowed.grant`."""
    header_findings: tuple[Finding, ...] = Field(default=(), exclude_if=lambda findings: not findings)
    """What was found in those headers; `path` is `/` and the header's name. Apart from `findings`, since a body may
    have such members too. Left out on the wire where there are none, as `Allowed.grant`."""


class Cancelled(Stoppable):
    """The agent withdrew (ingress), or a freeze stopped a waiting call (approval). Before 5 only."""

    NAME: ClassVar[str] = "cancelled"
    TYPE: ClassVar[str] = "callgate.call.cancelled.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.INGRESS, Role.APPROVAL})

    by: str
    code: Code


EVENTS: tuple[type[EventData], ...] = (
    Requested,
    ArgumentsMasked,
    Allowed,
    Denied,
    ApprovalRequired,
    VoteCast,
    Approved,
    Rejected,
    ApprovalExpired,
    ArgumentsAmended,
    ExecutionStarted,
    ExecutionCompleted,
    ExecutionFailed,
    OutcomeUnknown,
    OutcomeSettled,
    ResultMasked,
    Cancelled,
)
"""The newest version of each, which services append."""
FORMER_EVENTS: tuple[type[EventData], ...] = (ApprovalRequiredV1, VoteCastV1)
"""What stands on older logs: read, never appended any more."""
EVENT_BY_TYPE: dict[str, type[EventData]] = {event.TYPE: event for event in (*EVENTS, *FORMER_EVENTS)}
EVENT_NAMES: frozenset[str] = frozenset(event.NAME for event in EVENTS)

D = TypeVar("D", bound=EventData)


class Event(Contract, Generic[D]):
    """The body of a message on CALLS."""

    event_id: Annotated[str, StringConstraints(pattern=f"^{CALL_ID.pattern}$")]
    call_id: Annotated[str, StringConstraints(pattern=f"^{CALL_ID.pattern}$")]
    session_id: Annotated[str, StringConstraints(pattern=f"^{SESSION_ID.pattern}$")]
    at: Timestamp
    follows: Digest
    """The digest of the event answered; for `requested` that of the partition's genesis record."""
    data: D


_BODIES: dict[str, type[Event[Any]]] = {kind.TYPE: Event[kind] for kind in EVENT_BY_TYPE.values()}  # type: ignore[valid-type]


class UnknownEventType(ValueError):
    """A ce-type that this version does not know. Its text names nothing that came from outside."""


def parse_event(ce_type: str, body: bytes) -> Event[Any]:
    """The event of verified bytes. UnknownEventType, or pydantic's ValidationError, which quotes input."""
    model = _BODIES.get(ce_type)
    if model is None:
        raise UnknownEventType("unknown ce-type")
    return model.model_validate_json(body)


def make_event(event_id: str, ref: CallRef, at: datetime, follows: str, data: EventData) -> Event[Any]:
    """An event of the call that `ref` names, validated; KeyError for data that is no event."""
    return _BODIES[data.TYPE](
        event_id=event_id, call_id=ref.call_id, session_id=ref.session_id, at=at, follows=follows, data=data
    )


def encode_event(event: Event[Any]) -> bytes:
    """The bytes to be signed: minted once, never serialised again to be verified."""
    return event.model_dump_json().encode()


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event as it stands on the log: signature, role, subject and ids verified, its place in the chain not."""

    ref: CallRef
    sequence: int
    """Its sequence on the partition's stream; on CALLS a later event has a higher one."""
    recorded_at: datetime
    """The broker's time."""
    digest: str
    key_id: str
    event: Event[Any]
    traceparent: str | None = None

    @property
    def data(self) -> EventData:
        """What the event says, in the newest shape of its kind."""
        data: EventData = self.event.data
        return data.upcast()

    @property
    def name(self) -> str:
        name: str = self.event.data.NAME
        return name
