"""Finding grants and freezes in the projection, and the calls that went by them or were stopped."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, and_, desc, not_, or_, select

from contracts.events import Requested
from contracts.freezes import FROZEN, Freeze
from contracts.identity import Principal
from contracts.model import rfc3339
from contracts.records import FreezeScope
from contracts.subjects import CallRef, Partition
from services.audit.rows import Row
from services.audit.store import Store
from services.audit.tables import calls, events, freezes, grant_uses, grants

Standing = Literal["in_force", "ended"]

STOPPED_SHOWN = 100
"""Calls that the document of a freeze names; it counts more."""
_STOPPED_READ = 10_000
_LATE = timedelta(seconds=10)
"""So long after the end of a freeze a call may still be recorded as stopped by it."""


@dataclass(frozen=True, slots=True)
class GrantFilter:
    """Grants to that agent, of that function, in force or ended at `now`."""

    now: datetime
    standing: Standing | None = None
    agent: str | None = None
    function: str | None = None


@dataclass(frozen=True, slots=True)
class FreezeFilter:
    """Freezes of that target, in force or ended at `now`."""

    now: datetime
    standing: Standing | None = None
    target: str | None = None


def find_grants(store: Store, wanted: GrantFilter, before: int | None, limit: int) -> list[Row]:
    """Newest first, at most `limit`, each with its `calls`; `before`: of a smaller sequence. DatabaseAway."""
    column, now = grants.c, rfc3339(wanted.now)
    in_force = and_(column.revoked_at.is_(None), column.expires_at > now, column.used < column.uses)
    query = select(grants).order_by(desc(column.sequence)).limit(limit).where(*_standing(in_force, wanted.standing))
    if before is not None:
        query = query.where(column.sequence < before)
    if wanted.agent is not None:
        query = query.where(column.agent == wanted.agent)
    if wanted.function is not None:
        query = query.where(column.function == wanted.function)
    found = store.read(query)
    uses = _uses(store, [row["grant_id"] for row in found])
    return [_shown_grant(row, uses[row["grant_id"]], now) for row in found]


def find_freezes(store: Store, wanted: FreezeFilter, before: int | None, limit: int) -> list[Row]:
    """Newest first, at most `limit`, each with what it `stopped`; `before`: of a smaller sequence. DatabaseAway."""
    column, now = freezes.c, rfc3339(wanted.now)
    in_force = and_(column.lifted_at.is_(None), or_(column.expires_at.is_(None), column.expires_at > now))
    query = select(freezes).order_by(desc(column.sequence)).limit(limit).where(*_standing(in_force, wanted.standing))
    if before is not None:
        query = query.where(column.sequence < before)
    if wanted.target is not None:
        query = query.where(column.target == wanted.target)
    return [_shown_freeze(row, stopped_by(store, row), now) for row in store.read(query)]


def stopped_by(store: Store, freeze: Row) -> list[Row]:
    """The calls that it ended, in order: those whose last event names it. An event of before freezes were named counts
    where the call was in its scope while it held; of two that held at once, both. DatabaseAway."""
    column, asked, last = calls.c, events.alias("asked"), events.alias("last")
    of_call = and_(
        asked.c.session_id == column.session_id,
        asked.c.call_id == column.call_id,
        asked.c.partition == column.partition,
        asked.c.name == Requested.NAME,
        asked.c.place == "chain",
    )
    ending = and_(last.c.partition == column.partition, last.c.sequence == column.head_sequence)
    shown = select(calls, asked.c.facts.label("asked"), last.c.facts.label("last"))
    query = shown.join(asked, of_call).join(last, ending).order_by(column.ended_at).limit(_STOPPED_READ)
    query = query.where(column.code == FROZEN, column.ended_at >= freeze["since"])
    ends = [end for end in (freeze["expires_at"], freeze["lifted_at"]) if end is not None]
    if ends:
        query = query.where(column.ended_at < rfc3339(datetime.fromisoformat(min(ends)) + _LATE))
    scope = _freeze(freeze)
    return [_stopped(row) for row in store.read(query) if _stops(scope, row)]


def _standing(in_force: ColumnElement[bool], wanted: Standing | None) -> list[ColumnElement[bool]]:
    if wanted is None:
        return []
    return [in_force if wanted == "in_force" else not_(in_force)]


def _uses(store: Store, grant_ids: Sequence[str]) -> dict[str, list[Row]]:
    column = grant_uses.c
    found: dict[str, list[Row]] = {grant_id: [] for grant_id in grant_ids}
    for row in store.read(select(grant_uses).where(column.grant_id.in_(grant_ids)).order_by(column.number)):
        found[row["grant_id"]].append({name: row[name] for name in ("number", "call", "at")})
    return found


def _shown_grant(row: Row, uses: list[Row], now: str) -> Row:
    ended = "revoked" if row["revoked_at"] else "expired" if row["expires_at"] <= now else None
    return {
        "id": row["grant_id"],
        "state": ended or ("in_force" if row["used"] < row["uses"] else "used_up"),
        **{name: row[name] for name in ("by", "by_issuer", "agent", "issuer", "on_behalf_of")},
        "session": row["session_id"],
        "function": row["function"],
        "conditions": json.loads(row["conditions"]),
        **{name: row[name] for name in ("policy", "uses", "used", "since", "expires_at", "revoked_at", "revoked_by")},
        "calls": uses,
        "record": {"sequence": row["sequence"], "digest": row["digest"]},
    }


def _shown_freeze(row: Row, stopped: list[Row], now: str) -> Row:
    over = row["expires_at"] is not None and row["expires_at"] <= now
    return {
        "id": row["freeze_id"],
        "state": "lifted" if row["lifted_at"] else "expired" if over else "in_force",
        **{name: row[name] for name in ("scope", "target", "issuer", "by", "by_issuer")},
        **{name: row[name] for name in ("since", "expires_at", "lifted_at", "lifted_by")},
        "stopped": {"count": len(stopped), "calls": stopped[:STOPPED_SHOWN]},
        "record": {"sequence": row["sequence"], "digest": row["digest"]},
    }


def _freeze(row: Row) -> Freeze:
    by = Principal(id=row["by"], issuer=row["by_issuer"])
    scope = cast("FreezeScope", row["scope"])
    since = datetime.fromisoformat(row["since"])
    return Freeze(row["freeze_id"], scope, row["target"], row["issuer"], by, since, expires_at=None, reason=None)


def _stops(freeze: Freeze, row: Row) -> bool:
    named = json.loads(row["last"]).get("freeze")
    if named is not None:
        return bool(named == freeze.freeze_id)
    asked_by = Principal.model_validate(json.loads(row["asked"])["principal"])
    return freeze.stops(asked_by, row["session_id"], row["function"])


def _stopped(row: Row) -> dict[str, Any]:
    ref = CallRef(Partition.parse(row["partition"]), row["session_id"], row["call_id"])
    return {"id": str(ref), "function": row["function"], "state": row["state"], "at": row["ended_at"]}
