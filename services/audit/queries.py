"""Finding sessions and calls in the projection. The columns are the tables'."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import and_, desc, exists, or_, select

from callgate.ids import name_session
from contracts.identity import Principal
from contracts.lifecycle import STATUS_OF, TERMINAL, TRANSITIONS
from contracts.model import rfc3339
from contracts.subjects import SESSION_ID, CallRef, Partition
from services.audit.rows import Row
from services.audit.store import Store
from services.audit.tables import calls, sessions

STATES = frozenset(TRANSITIONS) - {"nothing"}
WORDS = STATES | frozenset(STATUS_OF.values())
"""What a state may be called: by the last event of the call, or by the status that its agent was told."""
_AT_ONCE = 500
"""Values of one IN."""


def states_of(word: str) -> frozenset[str]:
    """The states that a word means; none for one that is not of WORDS. A call that was settled is `outcome_settled`
    alone, since its state does not tell the outcome."""
    if word in STATES:
        return frozenset({word})
    return frozenset(state for state, status in STATUS_OF.items() if status == word) - {"outcome_settled"}


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
    """One of WORDS."""
    since: datetime | None = None
    ids: tuple[str, ...] | None = None
    """Only these."""


def find_sessions(store: Store, wanted: SessionFilter, after: Position | None, limit: int) -> list[Row]:
    """Newest first, at most `limit`. DatabaseAway."""
    column = sessions.c
    query = select(sessions).order_by(desc(column.began_at), desc(column.session_id)).limit(limit)
    if wanted.principal is not None:
        query = query.where(column.principal == wanted.principal)
    if wanted.since is not None:
        query = query.where(column.last_at >= rfc3339(wanted.since))
    if wanted.ids is not None:
        query = query.where(column.session_id.in_(wanted.ids))
    having = [] if wanted.function is None else [calls.c.function == wanted.function]
    if wanted.state is not None:
        having.append(calls.c.state.in_(states_of(wanted.state)))
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


def sessions_named(store: Store, name: str, issuers: Sequence[str]) -> list[Row]:
    """The sessions to which agents of these issuers gave that name, oldest first. DatabaseAway."""
    owners = store.read(select(sessions.c.principal, sessions.c.on_behalf_of).distinct())
    people = [
        Principal(id=row["principal"], issuer=issuer, on_behalf_of=row["on_behalf_of"])
        for issuer in issuers
        for row in owners
    ]
    ids = [name_session(person.session_owner, name) for person in people]
    found = [
        row
        for begin in range(0, len(ids), _AT_ONCE)
        for row in store.read(select(sessions).where(sessions.c.session_id.in_(ids[begin : begin + _AT_ONCE])))
    ]
    return sorted(found, key=lambda row: (row["began_at"], row["session_id"]))


def latest_calls(store: Store, limit: int, *, state: str | None = None, **equal: str | None) -> list[Row]:
    """Calls whose columns have these values (None: any), newest first, as people see them. `state` is one of WORDS.
    DatabaseAway."""
    query = select(calls).order_by(desc(calls.c.began_at), desc(calls.c.call_id)).limit(limit)
    if state is not None:
        query = query.where(calls.c.state.in_(states_of(state)))
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
