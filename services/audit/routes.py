"""The auditors' door. Who may look is policy, session by session, and each look is on record before it is answered."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, ParamSpec, TypeVar

from fastapi import APIRouter, Query, Request, Response

from callgate.cedar.published import NoPolicies
from callgate.http import Problem, json_response
from callgate.identity.authenticator import Authenticator
from callgate.keyring import Ring
from callgate.log import Chain, Log
from callgate.log.paging import calls_begun
from callgate.records import Records
from callgate.sealing import Sealer
from contracts.identity import Principal
from contracts.subjects import CALL_ID, SESSION_ID, CallRef, Partition, homes
from services.audit.access import ALL_SESSIONS, Access
from services.audit.documents import CallEvents, SessionCalls, SessionList, SessionReplay
from services.audit.queries import (
    WORDS,
    BadCursor,
    Position,
    SessionFilter,
    find_calls,
    find_session,
    find_sessions,
)
from services.audit.rows import Row
from services.audit.store import DatabaseAway, Store
from services.audit.views import replay, shown_chain

_SCANS = 10
"""How many times `limit` sessions are looked at for one page, where the person may not audit most."""

REPLAYED = 100
"""Calls of one page of a replay, at most: each has its payloads opened and its whole story in the answer."""

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Audited:
    """What the routes stand on."""

    authenticator: Authenticator
    access: Access
    store: Store
    log: Log
    sealer: Sealer
    records: Records
    ring: Ring
    partitions: Sequence[Partition]

    async def who(self, request: Request) -> Principal:
        """The caller. Problem without policies, whatever is asked: then nobody may look at anything."""
        if len(request.headers.getlist("authorization")) > 1:
            raise Problem(400, "several_tokens", "Send one Authorization header.")
        person = await self.authenticator.identify(request)
        if not self.access.in_force:
            raise _no_policies(NoPolicies())
        return person

    def permit(self, person: Principal, session_id: str, owner: str | None) -> None:
        if not self.may(person, session_id, owner):
            raise Problem(403, "not_allowed", "No policy lets you audit this session.")

    def may(self, person: Principal, session_id: str, owner: str | None) -> bool:
        try:
            return self.access.allowed(person, session_id, owner)
        except NoPolicies as none:
            raise _no_policies(none) from None

    async def calls(self, session_id: str, after: Chain | None, limit: int) -> list[Chain]:
        """The session's first calls, or those after that one."""
        begun = None if after is None else after.call.chain[0]
        return await calls_begun(self.log, homes(session_id, self.partitions), session_id, begun, limit)


@dataclass(slots=True)
class _Page:
    sessions: list[Row] = field(default_factory=list)
    following: Position | None = None
    """Where the next page begins; None where there is nothing more."""
    passed_over: bool = False


def audit_routes(audited: Audited) -> APIRouter:
    router = APIRouter(tags=["audit"])

    @router.get("/v1/sessions", response_model=SessionList)
    async def sessions(
        request: Request,
        principal: str | None = None,
        function: str | None = None,
        state: str | None = None,
        since: datetime | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: str | None = None,
    ) -> Response:
        """Sessions that the caller may audit, newest first. `next` is the `cursor` of the next page, or null."""
        person = await audited.who(request)
        wanted = _filter(principal, function, state, since)
        page = await _page(audited, person, wanted, _position(cursor), limit)
        if page.passed_over and not page.sessions and cursor is None:
            raise Problem(403, "not_allowed", "No policy lets you audit any of these sessions.")
        await audited.access.viewed(person, ALL_SESSIONS, shown=len(page.sessions))
        return json_response({"sessions": page.sessions, "next": page.following and str(page.following)})

    @router.get("/v1/sessions/{session_id}", response_model=SessionCalls)
    async def session(request: Request, session_id: str) -> Response:
        """One session and its calls, as the projection has them."""
        person = await audited.who(request)
        row = await queried(find_session, audited.store, _session_id(session_id))
        audited.permit(person, session_id, None if row is None else row["principal"])
        if row is None:
            raise _no_session()
        calls = await queried(find_calls, audited.store, session_id)
        await audited.access.viewed(person, session_id, what="calls")
        return json_response({**_shown_session(row), "calls": calls})

    @router.get("/v1/sessions/{session_id}/replay", response_model=SessionReplay)
    async def replayed(
        request: Request,
        session_id: str,
        limit: Annotated[int, Query(ge=1, le=REPLAYED)] = REPLAYED,
        after: str | None = None,
    ) -> Response:
        """Everything that happened in a session, in order, straight from the log: function, masked arguments,
        decision with its policies, votes with their reasons, masked response. `next` is the `after` of the next
        page of calls, or null."""
        person = await audited.who(request)
        first = await audited.calls(_session_id(session_id), None, 1)
        audited.permit(person, session_id, _owner(first))
        if not first:
            raise _no_session()
        last = None if after is None else await _shown_last(audited, session_id, after)
        chains = await audited.calls(session_id, last, limit + 1)
        page = chains[:limit]
        await audited.access.viewed(person, session_id, what="replay", shown=len(page))
        calls = [(await replay(chain, audited.sealer, audited.records)).shown() for chain in page]
        following = str(page[-1].call.ref) if len(chains) > limit else None
        return json_response({"session_id": session_id, "principal": _owner(first), "calls": calls, "next": following})

    @router.get("/v1/sessions/{session_id}/calls/{call_id}", response_model=CallEvents)
    async def call(request: Request, session_id: str, call_id: str) -> Response:
        """Every event of a call, straight from the log, with what proves it. `call_id` is its UUID or its public id."""
        person = await audited.who(request)
        chain = await _find_call(audited, _session_id(session_id), call_id)
        owner = chain.call.requested.principal.id if chain is not None and chain.call.chain else None
        audited.permit(person, session_id, owner)
        if chain is None:
            raise Problem(404, "no_such_call", "This session has no such call.")
        await audited.access.viewed(person, session_id, chain.call.ref.call_id, what="events")
        return json_response(shown_chain(chain, audited.ring))

    return router


async def _shown_last(audited: Audited, session_id: str, call_id: str) -> Chain:
    """The call that ended the page before, by its public id."""
    chain = None if CALL_ID.fullmatch(call_id) else await _find_call(audited, session_id, call_id)
    if chain is None or not chain.call.chain:
        raise Problem(400, "bad_cursor", "`after` is the `next` of an earlier page.")
    return chain


async def _page(
    audited: Audited, person: Principal, wanted: SessionFilter, after: Position | None, limit: int
) -> _Page:
    """Up to `limit` sessions that the person may audit; those that they may not are passed over."""
    page = _Page()
    for _ in range(_SCANS):
        rows = await queried(find_sessions, audited.store, wanted, after, limit)
        for row in rows:
            after = Position(row["began_at"], row["session_id"])
            if audited.may(person, row["session_id"], row["principal"]):
                page.sessions.append(_shown_session(row))
            else:
                page.passed_over = True
            if len(page.sessions) == limit:
                page.following = after
                return page
        if len(rows) < limit:
            return page
    page.following = after
    return page


async def _find_call(audited: Audited, session_id: str, call_id: str) -> Chain | None:
    if CALL_ID.fullmatch(call_id):
        found = [CallRef(partition, session_id, call_id) for partition in homes(session_id, audited.partitions)]
    else:
        try:
            found = [CallRef.parse(call_id)]
        except ValueError:
            found = []
    for ref in found:
        if ref.session_id == session_id and ref.partition in audited.partitions:
            chain = await audited.log.read(ref)
            if chain.last_sequence:
                return chain
    return None


async def queried(query: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    try:
        return await asyncio.to_thread(query, *arguments, **named)
    except DatabaseAway as away:
        raise Problem(503, away.code, "The audit database does not answer. Try again.", {"Retry-After": "5"}) from None


def _filter(principal: str | None, function: str | None, state: str | None, since: datetime | None) -> SessionFilter:
    if state is not None and state not in WORDS:
        raise Problem(400, "unknown_state", f"`state` is one of: {', '.join(sorted(WORDS))}.")
    if since is not None and since.tzinfo is None:
        raise Problem(400, "no_zone", "`since` needs a zone, e.g. 2026-01-31T12:00:00Z.")
    return SessionFilter(principal, function, state, since)


def _position(cursor: str | None) -> Position | None:
    try:
        return None if cursor is None else Position.parse(cursor)
    except BadCursor:
        raise Problem(400, "bad_cursor", "`cursor` is the `next` of an earlier page.") from None


def _session_id(text: str) -> str:
    if not SESSION_ID.fullmatch(text):
        raise Problem(404, "no_such_session", "This is no session's id.")
    return text


def _no_session() -> Problem:
    return Problem(404, "no_such_session", "There is no such session.")


def _no_policies(none: NoPolicies) -> Problem:
    return Problem(503, none.code, none.detail, {"Retry-After": "2"})


def _owner(chains: Sequence[Chain]) -> str | None:
    return chains[0].call.requested.principal.id if chains else None


def _shown_session(row: Row) -> Row:
    return {name: row[name] for name in ("session_id", "principal", "on_behalf_of", "began_at", "last_at", "calls")}
