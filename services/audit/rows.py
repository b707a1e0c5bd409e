"""From events and their places to the projection's rows, pure. The same events give the same rows, however batched."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.events import Allowed, ApprovalRequired, Denied, Recorded
from contracts.lifecycle import Call
from contracts.model import rfc3339
from contracts.subjects import CallRef
from contracts.tally import standing_votes
from services.audit.slim import public_facts

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Placed:
    """One message of a partition. `recorded` and `call` are None where it does not verify by itself."""

    sequence: int
    subject: str
    recorded_at: datetime
    code: str | None
    """None for a part of its call's chain, else why it is alien."""
    recorded: Recorded | None = None
    call: Call | None = None
    """The call after it."""


@dataclass(slots=True)
class Rows:
    """What one transaction writes, besides the cursor. `sessions` are to be added to what stands."""

    events: list[Row] = field(default_factory=list)
    aliens: list[Row] = field(default_factory=list)
    calls: list[Row] = field(default_factory=list)
    sessions: list[Row] = field(default_factory=list)
    grants: list[Row] = field(default_factory=list)
    grant_uses: list[Row] = field(default_factory=list)
    freezes: list[Row] = field(default_factory=list)


def rows_of(partition: str, placed: Iterable[Placed]) -> Rows:
    """The rows of a run of messages of one partition, in the order of its log."""
    rows = Rows()
    latest: dict[CallRef, Call] = {}
    begun: set[CallRef] = set()
    for item in placed:
        if item.code is not None:
            rows.aliens.append(_alien(partition, item, item.code))
        if item.recorded is None:
            continue
        rows.events.append(_event(partition, item, item.recorded))
        if item.code is None and item.call is not None:
            latest[item.call.ref] = item.call
            if len(item.call.chain) == 1:
                begun.add(item.call.ref)
    rows.calls = [_call(partition, call) for call in latest.values()]
    sessions: dict[str, Row] = {}
    for row, ref in zip(rows.calls, latest, strict=True):
        _count(sessions, row, rfc3339(latest[ref].chain[-1].recorded_at), ref in begun)
    # In one order everywhere, so that two writers never wait for each other's rows.
    rows.sessions = [sessions[session_id] for session_id in sorted(sessions)]
    return rows


def text(value: str) -> str:
    """PostgreSQL's text holds no NUL; a name that has one must not stop the projection."""
    return value.replace("\0", "\ufffd")


def _event(partition: str, item: Placed, recorded: Recorded) -> Row:
    return {
        "partition": partition,
        "sequence": recorded.sequence,
        "session_id": recorded.ref.session_id,
        "call_id": recorded.ref.call_id,
        "name": recorded.name,
        "event_id": recorded.event.event_id,
        "at": rfc3339(recorded.event.at),
        "recorded_at": rfc3339(recorded.recorded_at),
        "digest": recorded.digest,
        "follows": recorded.event.follows,
        "key_id": text(recorded.key_id),
        "place": "chain" if item.code is None else "alien",
        "code": item.code,
        "facts": public_facts(recorded.data),
    }


def _alien(partition: str, item: Placed, code: str) -> Row:
    return {
        "partition": partition,
        "sequence": item.sequence,
        "subject": text(item.subject),
        "code": code,
        "recorded_at": rfc3339(item.recorded_at),
    }


def _count(sessions: dict[str, Row], call: Row, last_at: str, begun: bool) -> None:
    """Adds what these messages tell of a call to its session. `begun`: the call's first event is among them."""
    fresh = {name: call[name] for name in ("session_id", "principal", "on_behalf_of", "began_at")}
    row = sessions.setdefault(call["session_id"], {**fresh, "last_at": last_at, "calls": 0})
    if fresh["began_at"] < row["began_at"]:
        row |= fresh
    row["last_at"] = max(row["last_at"], last_at)
    row["calls"] += begun


def _call(partition: str, call: Call) -> Row:
    head, requested = call.chain[-1], call.requested
    principal = requested.principal
    return {
        "partition": partition,
        "session_id": call.ref.session_id,
        "call_id": call.ref.call_id,
        "function": text(requested.function),
        "principal": text(principal.id),
        "on_behalf_of": None if principal.on_behalf_of is None else text(principal.on_behalf_of),
        "state": call.state,
        "began_at": rfc3339(call.chain[0].recorded_at),
        "ended_at": rfc3339(head.recorded_at) if call.is_terminal else None,
        "head_sequence": head.sequence,
        "head_digest": head.digest,
        "code": getattr(head.data, "code", None) or getattr(head.data, "withheld", None),
        "policies": json.dumps(policies_of(call)),
        "approvers": json.dumps(approvers_of(call)),
    }


def policies_of(call: Call) -> list[str]:
    """The policies that took the last decision."""
    for recorded in reversed(call.chain):
        if isinstance(recorded.data, Allowed | Denied | ApprovalRequired):
            return list(recorded.data.policies)
    return []


def approvers_of(call: Call) -> list[str]:
    """Whose approval of the last question stands, in order: not who changed their vote since."""
    standing = standing_votes(call.votes, call.requested.principal)
    return list(dict.fromkeys(one.vote.reviewer.id for one in standing if one.vote.decision == "approve"))
