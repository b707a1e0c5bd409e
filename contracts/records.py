"""The signed messages that stand beside CALLS: on CONTROL, SESSION_KEYS, ACCESS and CHECKPOINTS.

Signed as events are: DSSE over `ce-type` and body. The body is the UTF-8 JSON of `Record`.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import Field, StringConstraints, model_validator

from contracts.events import Code, DataClass, Digest, Sealed
from contracts.functions import Name
from contracts.identity import Principal, Role
from contracts.model import Contract, JsonValue, Timestamp
from contracts.tools import ToolDefinition


class RecordData(Contract):
    """The data of one record. `TYPE` is its ce-type, `ROLES` who may sign it."""

    TYPE: ClassVar[str]
    ROLES: ClassVar[frozenset[Role]]


class Genesis(RecordData):
    """CONTROL: the birth of a partition. Its digest is what every `requested` on it follows."""

    TYPE: ClassVar[str] = "callgate.control.genesis.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.PROVISIONER})

    epoch: int = Field(ge=1)
    shard: int = Field(ge=0)
    shards: int = Field(ge=1)


class PolicySetPublished(RecordData):
    """CONTROL: the Cedar policies from now on, file by file, with the digest that decisions name."""

    TYPE: ClassVar[str] = "callgate.control.policy_set_published.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.POLICY})

    policy_set: Digest
    files: dict[str, str]


class ConnectionRegistered(RecordData):
    """CONTROL: a connection's functions, each with the digest of its definition; never its credential."""

    TYPE: ClassVar[str] = "callgate.control.connection_registered.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.POLICY})

    connection: str
    functions: dict[str, Digest]


class ToolFound(RecordData):
    """CONTROL: what an MCP server says of one of its tools, as the executor found it."""

    TYPE: ClassVar[str] = "callgate.control.tool_found.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.EXECUTOR})

    connection: Name
    function: Name
    """Its name within the connection."""
    definition: ToolDefinition | None
    """None where the server offers the tool no more."""


class ToolAccepted(RecordData):
    """CONTROL: a person accepts a tool as its server describes it. Void unless that is the definition found last."""

    TYPE: ClassVar[str] = "callgate.control.tool_accepted.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    connection: Name
    function: Name
    definition: Digest
    """Of `ToolDefinition.digest`: what that person saw."""
    by: Principal


class GrantedV1(RecordData):
    """CONTROL: a grant as Cedar text alone. Nobody can check its scope, so it lifts nothing."""

    TYPE: ClassVar[str] = "callgate.control.granted.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    grant_id: str
    by: Principal
    policy: str
    uses: int | None = Field(default=None, ge=1)
    expires_at: Timestamp
    reason: str


Conditions = dict[str, dict[str, JsonValue]]
"""Parameter → comparison → value, all of which must hold, e.g. `{"amount": {"lte": 40}, "currency": {"eq": "USD"}}`."""


class Granted(RecordData):
    """CONTROL: "approve such calls for 30 minutes": one reviewer's approval, given in advance.

    `policy` is the Cedar text that `callgate.cedar.grants` generates from the rest; with another text it is void.
    """

    TYPE: ClassVar[str] = "callgate.control.granted.v2"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    grant_id: str
    by: Principal
    agent: str | None = None
    """Whose calls, as `Principal.id`; None for those of a session alone."""
    issuer: str | None = None
    on_behalf_of: str | None = None
    """For whom the agent must act; None: for nobody but itself."""
    session_id: str | None = None
    function: str
    conditions: Conditions = Field(default_factory=dict)
    policy: str
    uses: int = Field(ge=1)
    expires_at: Timestamp
    reason: Sealed
    """Class view, in the grant's own place (`callgate.control.reason_place`)."""

    @model_validator(mode="after")
    def _bound(self) -> Self:
        if self.session_id is None and (self.agent is None or self.issuer is None):
            raise ValueError("a grant is bound to an agent of an issuer, or to a session")
        return self


class GrantUsed(RecordData):
    """CONTROL: policy counts one call on a grant, before it allows that call."""

    TYPE: ClassVar[str] = "callgate.control.grant_used.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.POLICY})

    grant_id: str
    call: str
    """The public id of the call."""
    number: int = Field(ge=1)
    """Which of the grant's uses this is."""


class GrantRevoked(RecordData):
    """CONTROL: a grant ends before its time."""

    TYPE: ClassVar[str] = "callgate.control.grant_revoked.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    grant_id: str
    by: Principal


class FrozenV1(RecordData):
    """CONTROL: a freeze as the first version wrote it: of an agent of whatever issuer, and without an end."""

    TYPE: ClassVar[str] = "callgate.control.frozen.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    freeze_id: str
    scope: Literal["agent", "session", "function", "everything"]
    target: str | None = None
    by: Principal
    reason: str


FreezeScope = Literal["agent", "session", "function", "connection", "everything"]


class Frozen(RecordData):
    """CONTROL: an agent, a session, a function, a connection or everything stops at once."""

    TYPE: ClassVar[str] = "callgate.control.frozen.v2"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    freeze_id: str
    scope: FreezeScope
    target: str | None = None
    """The agent (or user for whom agents act), session, function or connection; None for everything."""
    issuer: str | None = None
    """Of the agent; None for one of that id by any issuer."""
    by: Principal
    reason: Sealed
    """Class view, in the freeze's own place (`callgate.control.reason_place`)."""
    expires_at: Timestamp | None = None

    @model_validator(mode="after")
    def _aimed(self) -> Self:
        if (self.target is None) != (self.scope == "everything"):
            raise ValueError("a target for every scope but everything")
        if self.issuer is not None and self.scope != "agent":
            raise ValueError("only an agent has an issuer")
        return self


class Unfrozen(RecordData):
    """CONTROL: a freeze is lifted."""

    TYPE: ClassVar[str] = "callgate.control.unfrozen.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    freeze_id: str
    by: Principal


class Revoked(RecordData):
    """CONTROL: a token, or the tokens of a subject, identify nobody any more."""

    TYPE: ClassVar[str] = "callgate.control.revoked.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    revocation_id: str
    scope: Literal["subject", "token"]
    target: str
    """The subject as `Principal.id` tells it, or the token's `jti`."""
    issuer: str | None = None
    """Whose subject or token; None for one of that name by any issuer."""
    issued_before: Timestamp | None = None
    """Of a subject: only tokens issued before; None for all, whenever they are issued."""
    by: Principal
    reason: Sealed
    """Class view, in the revocation's own place (`callgate.control.reason_place`)."""
    expires_at: Timestamp | None = None

    @model_validator(mode="after")
    def _aimed(self) -> Self:
        if self.scope == "token" and (self.issuer is None or self.issued_before is not None):
            raise ValueError("a token is named by its issuer and jti, and nothing else")
        return self


class Unrevoked(RecordData):
    """CONTROL: a revocation is lifted."""

    TYPE: ClassVar[str] = "callgate.control.unrevoked.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    revocation_id: str
    by: Principal


class WrappedKey(Contract):
    """A data key, HPKE-encrypted to one reader's sealing key; `wrapped` is base64."""

    reader_key_id: str
    wrapped: str


class SessionKey(RecordData):
    """SESSION_KEYS: one sealer's data key for one session and class, wrapped to each who may read that class."""

    TYPE: ClassVar[str] = "callgate.keys.session_key.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.INGRESS, Role.MASKING, Role.EXECUTOR, Role.APPROVAL})

    key_id: str
    session_id: str
    data_class: DataClass
    wraps: tuple[WrappedKey, ...] = Field(min_length=1)


class SessionErased(RecordData):
    """SESSION_KEYS: the tombstone that closes a session whose keys were erased."""

    TYPE: ClassVar[str] = "callgate.keys.session_erased.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.PROVISIONER})

    session_id: str
    reason: str


class Accessed(RecordData):
    """ACCESS: who looked at, revealed or exported what."""

    TYPE: ClassVar[str] = "callgate.access.accessed.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.AUDIT, Role.APPROVAL, Role.MASKING, Role.INGRESS})

    who: Principal
    action: Literal["viewed", "revealed", "exported"]
    session_id: str
    call_id: str | None = None
    path: str | None = None
    detail: dict[str, JsonValue] = Field(default_factory=dict)


class Checkpoint(RecordData):
    """CHECKPOINTS: a signed tree head over a partition."""

    TYPE: ClassVar[str] = "callgate.checkpoint.tree_head.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.AUDIT})

    epoch: int
    shard: int
    tree_size: int = Field(ge=0)
    root: Digest
    previous: Digest | None = None


class Alarmed(RecordData):
    """ACCESS: something on the log that is no part of it: where, and the code that says why."""

    TYPE: ClassVar[str] = "callgate.access.alarmed.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.AUDIT})

    stream: str
    sequence: int
    subject: str
    code: Code


Endpoint = Annotated[str, StringConstraints(pattern=r"^(slack-[A-Z0-9]{1,32}|(webhook|teams|email)-[a-z0-9-]{1,40})$")]
"""Where notices go: a channel of Slack; a webhook, a channel of Teams or a mailing list by its name in the settings."""


class NoticeDue(RecordData):
    """NOTICES: one endpoint is to be told of one event of a call."""

    TYPE: ClassVar[str] = "callgate.notices.due.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    endpoint: Endpoint
    call: str
    event_id: str
    """Of the event that it tells of; of the question, where the kind is no event's name."""
    kind: Code
    """The event's name, or `reminder`, `escalated`, `glass_broken`."""


class NoticeOutcome(RecordData):
    """NOTICES: how the sending of a notice goes."""

    TYPE: ClassVar[str] = "callgate.notices.outcome.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    endpoint: Endpoint
    call: str
    kind: Code
    outcome: Literal["pending", "delivered", "skipped", "dead"]
    """`skipped`: nobody needs it any more; `dead`: it was given up."""
    attempts: int = Field(ge=0)
    code: Code | None = None
    """Why the last attempt failed, or why it was skipped."""
    status: int | None = None
    """What the receiver answered last: the status of HTTP, or the code of a refusal over SMTP."""
    next_at: Timestamp | None = None
    """The next attempt's time, while pending."""


class MessageShown(RecordData):
    """NOTICES: the message in a chat about one question, and what of the call it shows."""

    TYPE: ClassVar[str] = "callgate.notices.message.v1"
    ROLES: ClassVar[frozenset[Role]] = frozenset({Role.APPROVAL})

    endpoint: Endpoint
    call: str
    question: str
    """The event id of the `approval_required`."""
    message: str | None = None
    """The chat's id of the message; None while it is being sent: a crash then leaves open whether it was."""
    shows: int = Field(ge=0)
    """The sequence of the last event that it shows."""


RECORDS: tuple[type[RecordData], ...] = (
    Genesis,
    PolicySetPublished,
    ConnectionRegistered,
    ToolFound,
    ToolAccepted,
    GrantedV1,
    Granted,
    GrantUsed,
    GrantRevoked,
    FrozenV1,
    Frozen,
    Unfrozen,
    Revoked,
    Unrevoked,
    SessionKey,
    SessionErased,
    Accessed,
    Alarmed,
    Checkpoint,
    NoticeDue,
    NoticeOutcome,
    MessageShown,
)
RECORD_BY_TYPE: dict[str, type[RecordData]] = {record.TYPE: record for record in RECORDS}

R = TypeVar("R", bound=RecordData)


class Record(Contract, Generic[R]):
    """The body of a message beside CALLS. `subject` repeats where it stands, so it cannot be moved elsewhere."""

    record_id: str
    deployment: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    subject: str
    at: Timestamp
    data: R


_BODIES: dict[str, type[Record[Any]]] = {record.TYPE: Record[record] for record in RECORDS}  # type: ignore[valid-type]


class UnknownRecordType(ValueError):
    """A ce-type that this version does not know."""


def parse_record(ce_type: str, body: bytes) -> Record[Any]:
    """The record of verified bytes. UnknownRecordType, or pydantic's ValidationError, which quotes input."""
    model = _BODIES.get(ce_type)
    if model is None:
        raise UnknownRecordType("unknown ce-type")
    return model.model_validate_json(body)


def make_record(record_id: str, deployment: str, subject: str, at: datetime, data: RecordData) -> Record[Any]:
    """A record, validated."""
    return _BODIES[data.TYPE](record_id=record_id, deployment=deployment, subject=subject, at=at, data=data)


def encode_record(record: Record[Any]) -> bytes:
    return record.model_dump_json().encode()
