"""The public form of what stands in events: nothing that is not masked, no policy facts, no reviewer's name. Pure."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from callgate.jsontext import JsonTextError, parse
from contracts.events import (
    Allowed,
    ApprovalExpired,
    ApprovalRequired,
    ArgumentsMasked,
    Cancelled,
    Denied,
    EventData,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    Finding,
    OutcomeSettled,
    OutcomeUnknown,
    Recorded,
    Requested,
    Requirement,
    ResultMasked,
    Stoppable,
    VoteCast,
)
from contracts.model import rfc3339


class Shown(NamedTuple):
    """A masked body ready for a JSON document."""

    readable: bool
    value: Any = None


def shown(view: bytes, content_type: str | None) -> Shown:
    """JSON as it stands in the view, each number as it came; anything else as text, which masking writes in UTF-8;
    None for an empty body."""
    if not view:
        return Shown(True)
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type in ("application/json", "text/json") or media_type.endswith("+json"):
        return Shown(True, orjson.Fragment(view)) if _is_json(view) else Shown(False)
    try:
        return Shown(True, view.decode())
    except UnicodeDecodeError:
        return Shown(False)


def _is_json(view: bytes) -> bool:
    """Checked, since it goes into the answer as it stands."""
    try:
        orjson.loads(view)
    except orjson.JSONDecodeError:
        try:
            parse(view, numbers="lossless")  # it holds numbers that orjson does not
        except JsonTextError:
            return False
    return True


def findings_of(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Where something was masked and what it was; not which characters of it."""
    return [{"path": finding.path, "entity": finding.entity} for finding in findings]


def requirements_of(requirements: Sequence[Requirement], missing: Sequence[int]) -> list[dict[str, Any]]:
    """Each requirement with how many approvals it still lacks."""
    return [
        {
            "policies": requirement.policies,
            "groups": requirement.approvers,
            "quorum": requirement.quorum,
            "each": requirement.each,
            "missing": lacking,
            "expires_at": rfc3339(requirement.expires_at),
        }
        for requirement, lacking in zip(requirements, missing, strict=True)
    ]


def freeze_of(data: EventData) -> dict[str, str]:
    """The freeze by which a call ended, where one did."""
    return {"freeze": data.freeze} if isinstance(data, Stoppable) and data.freeze is not None else {}


def summary_of(recorded: Recorded) -> dict[str, Any]:
    """One event of the stream of events."""
    return {
        "id": str(recorded.ref),
        "event": recorded.name,
        "sequence": recorded.sequence,
        "at": rfc3339(recorded.event.at),
        **_details(recorded),
    }


def _details(recorded: Recorded) -> dict[str, Any]:
    data = recorded.data
    match data:
        case Requested():
            return {"function": data.function}
        case ArgumentsMasked():
            return {"findings": findings_of(data.findings), "uninspectable": data.uninspectable}
        case Allowed():
            return {"policies": data.policies}
        case Denied():
            return {"policies": data.policies, "code": data.code} | freeze_of(data)
        case ApprovalRequired():
            lacking = [requirement.people for requirement in data.requirements]
            return {"policies": data.policies, "requirements": requirements_of(data.requirements, lacking)}
        case VoteCast():
            return {"decision": data.decision}
        case ApprovalExpired():
            return {"expired_at": rfc3339(data.expired_at)}
        case ExecutionStarted():
            return {"attempt": data.attempt, "deadline": rfc3339(data.deadline)}
        case ExecutionCompleted():
            return {"status": data.status, "size": data.size, "duration_ms": data.duration_ms}
        case ExecutionFailed() | OutcomeUnknown() | Cancelled():
            return {"code": data.code} | freeze_of(data)
        case OutcomeSettled():
            return {"outcome": data.outcome}
        case ResultMasked():
            told = {"status": data.status, "findings": findings_of(data.findings), "withheld": data.withheld}
            return told | ({"header_findings": findings_of(data.header_findings)} if data.header_findings else {})
        case _:
            return {}
