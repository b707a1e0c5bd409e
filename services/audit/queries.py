"""Finding sessions and calls in the projection. The columns are the tables'."""

import base64
import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, desc, exists, or_, select

from contracts.lifecycle import TERMINAL, TRANSITIONS
from contracts.model import rfc3339
from contracts.subjects import SESSION_ID, CallRef, Partition
from services.audit.rows import Row
from services.audit.store import Store
from services.audit.tables import calls, sessions

STATES = frozenset(TRANSITIONS) - {"nothing"}


class BadCursor(ValueError):
    """Not a cursor of ours."""


class Position(NamedTuple):
    """After which session a page begins. Sessions are ordered by their beginning, which never changes."""

    began_at: str
    session_id: str

    @classmethod
    def parse(cls, text: str) -> "Position":
        try:
            began_at, session_id = base64.urlsafe_b64decode(text.encode()).decode("ascii").split("|")
        except (binascii.Error, ValueError):
            raise BadCursor from None
        if not SESSION_ID.fullmatch(session_id) or len(began_at) != 27:
            raise BadCursor
        return cls(began_at, session_id)

    def __str__(self) -> str:
        return base64.urlsafe_b64encode("|".join(self).encode()).decode()


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Sessions of that principal, with a call of that function and in that state, active at or after `since`."""

    principal: str | None = None
    function: str | None = None
    state: str | None = None
    since: datetime | None = None


def find_sessions(store: Store, wanted: SessionFilter, after: Position | None, limit: int) -> list[Row]:
    """Newest first, at most `limit`. DatabaseAway."""
    column = sessions.c
    query = select(sessions).order_by(desc(column.began_at), desc(column.session_id)).limit(limit)
    if wanted.principal is not None:
        query = query.where(column.principal == wanted.principal)
    if wanted.since is not None:
        query = query.where(column.last_at >= rfc3339(wanted.since))
    having = [
        getattr(calls.c, name) == value
        for name, value in (("function", wanted.function), ("state", wanted.state))
        if value is not None
    ]
    if having:
        query = query.where(exists().where(calls.c.session_id == column.session_id, *having))
    if after is not None:
        same_time = and_(column.began_at == after.began_at, column.session_id < after.session_id)
        query = query.where(or_(column.began_at < after.began_at, same_time))
    return store.read(query)


def find_session(store: Store, session_id: str) -> Row | None:
    """One session, or None. DatabaseAway."""
    found = store.read(select(sessions).where(sessions.c.session_id == session_id))
    return found[0] if found else None


def find_calls(store: Store, session_id: str, limit: int = 10_000) -> list[Row]:
    """The session's calls in the order in which they began, as people see them. DatabaseAway."""
    query = select(calls).where(calls.c.session_id == session_id)
    found = store.read(query.order_by(calls.c.began_at, calls.c.call_id).limit(limit))
    return [shown_call(row) for row in found]


def latest_calls(store: Store, limit: int, **equal: str | None) -> list[Row]:
    """Calls whose columns have these values (None: any), newest first, as people see them. DatabaseAway."""
    query = select(calls).order_by(desc(calls.c.began_at), desc(calls.c.call_id)).limit(limit)
    for name, value in equal.items():
        if value is not None:
            query = query.where(calls.c[name] == value)
    return [shown_call(row) for row in store.read(query)]


def shown_call(row: Row) -> Row:
    """A row of `calls` with its public id, whether it is over, and its lists as lists."""
    ref = CallRef(Partition.parse(row["partition"]), row["session_id"], row["call_id"])
    return {
        "id": str(ref),
        **{name: row[name] for name in ("function", "principal", "on_behalf_of", "state", "began_at", "ended_at")},
        "over": row["state"] in TERMINAL,
        "code": row["code"],
        "policies": json.loads(row["policies"]),
        "approvers": json.loads(row["approvers"]),
        "head": {"sequence": row["head_sequence"], "digest": row["head_digest"]},
    }
