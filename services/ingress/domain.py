"""What ingress decides: what a request asks for, whose session it is in, and what its caller is told. Pure."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from callgate.ids import name_session, owns_session
from callgate.jsontext import JsonTextError, dump, parse
from contracts.events import (
    ApprovalRequired,
    Denied,
    OutcomeSettled,
    Rejected,
    ResultMasked,
    Sealed,
    VoteCast,
)
from contracts.functions import NAME, UNKNOWN_FUNCTION, Catalog
from contracts.identity import Principal
from contracts.lifecycle import ANSWERING, TRANSITIONS, Call
from contracts.model import JsonValue, rfc3339
from contracts.subjects import SESSION_ID, CallRef, Partition, homes
from contracts.tally import standing_votes
from services.ingress.explanations import explain, explain_settled
from services.ingress.views import findings_of, freeze_of, requirements_of, shown

FUNCTION = re.compile(rf"{NAME.pattern}\.{NAME.pattern}")
SESSION_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")
FIELDS = frozenset({"function", "arguments", "session"})

ANSWER_EVENTS = ANSWERING | {"outcome_settled"}
"""Events after which a caller may have its answer."""


class BadRequest(Exception):
    """A body that asks for nothing we understand; `status`, `code` and `detail` are for its sender and quote nothing
    of it. `extra` may point into it."""

    def __init__(self, status: int, code: str, detail: str, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.extra = dict(extra or {})


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A well-formed request. `arguments` is the JSON of an object, to be sealed as it is."""

    function: str
    arguments: bytes = field(repr=False)
    session: str | None = None
    key: str | None = None
    """The caller's idempotency key: the same key and request are one call."""
    received: bytes | None = field(default=None, repr=False)
    """The HTTP request that the arguments were read from, where it is to go on as it came."""
    default_session: str | None = None
    """The session where none is named. It is the door's choice, and no part of what is asked for: a retry under another
    token is the same request."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of what is asked for."""
        parts = [self.function.encode(), (self.session or "").encode(), self.arguments]
        if self.received is not None:
            parts.append(self.received)
        return hashlib.sha256(b"".join(len(part).to_bytes(8) + part for part in parts)).digest()


def parse_request(body: bytes, depth_limit: int) -> CallRequest:
    """The request of a body. BadRequest for everything else."""
    try:
        document = parse(body, max_depth=depth_limit, numbers="exact")
    except JsonTextError as error:
        code, places = error.code, {"pointer": error.pointer, "offset": error.offset}
    else:
        return _request(document)
    extra = {"reason": code, **{name: place for name, place in places.items() if place is not None}}
    raise BadRequest(400, "bad_json", "The body is not JSON as it is accepted here; `reason` says why.", extra)


def _request(document: JsonValue) -> CallRequest:
    if not isinstance(document, dict):
        raise BadRequest(422, "not_an_object", 'The body must be a JSON object: {"function": …, "arguments": {…}}.')
    if not document.keys() <= FIELDS:
        raise BadRequest(422, "unknown_field", "The body may hold `function`, `arguments` and `session` only.")
    function, arguments, session = (document.get(name) for name in ("function", "arguments", "session"))
    if not isinstance(function, str) or not FUNCTION.fullmatch(function):
        raise BadRequest(
            422, "bad_function", "`function` must be `connection.name`, lower case, as GET /v1/functions lists them."
        )
    if not isinstance(arguments, dict):
        raise BadRequest(422, "bad_arguments", "`arguments` must be a JSON object; {} where the function takes none.")
    if "session" in document and not (isinstance(session, str) and SESSION_NAME.fullmatch(session)):
        raise BadRequest(
            422, "bad_session", "`session` must be a session's id, or a name of 1-64 of A-Z a-z 0-9 . _ : -"
        )
    return CallRequest(function, dump(arguments), session)


def recorded_name(function: str, catalog: Catalog) -> str:
    """What an event calls the function: an undeclared name is free text, and no raw value stands on the log."""
    return function if catalog.knows(function) else UNKNOWN_FUNCTION


def session_of(principal: Principal, wanted: str | None) -> str | None:
    """The session that a request belongs to; None where a new one must be minted. BadRequest for another's."""
    if wanted is None:
        return None
    if not SESSION_ID.fullmatch(wanted):
        return name_session(principal.session_owner, wanted)
    if not owns_session(principal.session_owner, wanted):
        raise BadRequest(403, "foreign_session", "The session is not yours; leave `session` out to begin a new one.")
    return wanted


def own_ref(call_id: str, principal: Principal, partitions: frozenset[Partition]) -> CallRef | None:
    """The call that an id names, where it can be the principal's at all; no look at the log is spent on others."""
    try:
        ref = CallRef.parse(call_id)
    except ValueError:
        return None
    owned = owns_session(principal.session_owner, ref.session_id)
    return ref if owned and ref.partition in homes(ref.session_id, partitions) else None


def is_own(call: Call, principal: Principal) -> bool:
    """Whether the principal asked for it. An agent acting for one user does not see what it did for another."""
    if not call.chain:
        return False
    return call.requested.principal.session_owner == principal.session_owner


def is_answered(call: Call) -> bool:
    """Whether its caller has no more to wait for."""
    return call.state in ANSWERING or call.settled_as_not_done


def is_over(call: Call) -> bool:
    """Whether nothing can follow."""
    return call.is_terminal or call.settled_as_not_done


def may_cancel(call: Call) -> bool:
    """Before step 5 only."""
    return "cancelled" in TRANSITIONS[call.state]


class Secret(NamedTuple):
    """A sealed payload of class view, with what it takes to open it."""

    sealed: Sealed
    event_id: str
    field: str


def secret_of(call: Call) -> Secret | None:
    """What must be opened to tell the outcome: the result's view, or why a person said no, or that it was not done."""
    head = call.chain[-1]
    if isinstance(head.data, OutcomeSettled) and call.settled_as_not_done:
        return Secret(head.data.reason, head.event.event_id, "reason")
    if isinstance(head.data, ResultMasked):
        return Secret(head.data.view, head.event.event_id, "view") if head.data.view is not None else None
    if isinstance(head.data, Rejected):
        said = next((vote for vote in call.votes if vote.event.event_id == head.data.vote), None)
        if said is not None and isinstance(said.data, VoteCast) and said.data.reason is not None:
            return Secret(said.data.reason, said.event.event_id, "reason")
    return None


def outcome_of(
    call: Call,
    opened: bytes | None = None,
    unopened: str | None = None,
    schema: Mapping[str, JsonValue] | None = None,
) -> dict[str, Any]:
    """The outcome document. `opened` is what `secret_of` named, or `unopened` the code that says why it does not open;
    `schema` is that of the function's arguments, to say what it allows.

    LookupError for a call without events.
    """
    head, data = call.chain[-1], call.chain[-1].data
    document: dict[str, Any] = {
        "id": str(call.ref),
        "session": call.ref.session_id,
        "function": call.requested.function,
        "status": call.status,
        "event": head.name,
        "at": rfc3339(head.event.at),
    }
    if isinstance(data, ResultMasked):
        document |= _result(data, opened, unopened)
    for name in ("code", "policies"):
        if hasattr(data, name) and head.name in ("denied", "execution_failed", "outcome_unknown", "cancelled"):
            document[name] = getattr(data, name)
    document |= freeze_of(data)
    if call.settled_as_not_done:
        document["code"] = "settled_as_not_done"
    problems = data.problems if isinstance(data, Denied) else ()
    if problems:
        document["problems"] = [problem.model_dump() for problem in problems]
    detail = explain(document["status"], document.get("code"), problems, schema)
    settled = call.last_recorded(OutcomeSettled)
    if settled is not None and isinstance(settled.data, OutcomeSettled):
        document["settlement"] = {"outcome": settled.data.outcome, "at": rfc3339(settled.event.at)}
        detail = detail or explain_settled(settled.data)
    if detail is not None:
        document["detail"] = detail
    if isinstance(data, (Rejected, OutcomeSettled)) and opened is not None:
        document["reason"] = opened.decode("utf-8", "replace")
    approvals = _approvals(call)
    return document | {"approvals": approvals} if approvals else document


def _result(data: ResultMasked, opened: bytes | None, unopened: str | None) -> dict[str, Any]:
    part: dict[str, Any] = {"findings": findings_of(data.findings)}
    if data.header_findings:
        part["header_findings"] = findings_of(data.header_findings)
    withheld = data.withheld or unopened
    if withheld is None and opened is not None:
        body = shown(opened, data.content_type)
        if body.readable:
            return part | {"result": {"status": data.status, "content_type": data.content_type, "body": body.value}}
        withheld = "unreadable"
    # The function answered, but what it said is not to be seen.
    part["result"] = {"status": data.status, "content_type": data.content_type}
    return part | {"withheld": withheld or "no_view"}


def _approvals(call: Call) -> dict[str, Any] | None:
    asked = call.last(ApprovalRequired)
    if asked is None:
        return None
    return {
        "requirements": requirements_of(asked.requirements, call.tally().missing),
        "expires_at": rfc3339(asked.expires_at),
        # Who voted is the reviewers' business; that somebody did is the caller's.
        "votes": [
            {"decision": one.vote.decision, "at": rfc3339(one.at)}
            for one in standing_votes(call.votes, call.requested.principal)
        ],
    }


def functions_of(catalog: Catalog) -> list[dict[str, Any]]:
    """What an agent may know of each function: nothing of where it lives or how it is reached."""
    return [
        {
            "name": function.name,
            "description": function.spec.description,
            "tags": list(function.spec.tags),
            "idempotent": function.spec.idempotent,
            "input": function.spec.input,
        }
        for function in catalog.callable()
    ]
