"""Grants and freezes for auditors: what people decided ahead of calls, whether it is in force or over."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from callgate.http import Problem, json_response
from services.audit.access import ALL_SESSIONS
from services.audit.control_queries import FreezeFilter, GrantFilter, Standing, find_freezes, find_grants
from services.audit.documents import AuditedFreezes, AuditedGrants
from services.audit.queries import find_session
from services.audit.reasons import Reasons, with_reasons
from services.audit.routes import Audited, queried
from services.audit.rows import Row

_SCANS = 10
"""How many times `limit` of them are looked at for one page, where the person may not audit most."""

Limit = Annotated[int, Query(ge=1, le=200)]
Find = Callable[[int | None, int], list[Row]]
"""Those of a smaller sequence than that, at most so many."""
May = Callable[[Row], Awaitable[bool]]


def control_routes(audited: Audited, reasons: Reasons, clock: Callable[[], datetime]) -> APIRouter:
    router = APIRouter(prefix="/v1/audit", tags=["audit"])

    @router.get("/grants", summary="Who granted what to whom, and which calls went by it", response_model=AuditedGrants)
    async def grants(
        request: Request,
        state: Standing | None = None,
        agent: str | None = None,
        function: str | None = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> Response:
        """Grants to those whose sessions the caller may audit, newest first. `state` is `in_force` or `ended` (also by
        its number of uses); `next` is the `cursor` of the next page, or null."""
        person = await audited.who(request)
        wanted = GrantFilter(clock(), state, agent, function)

        async def may(row: Row) -> bool:
            return audited.may(person, row["session"] or ALL_SESSIONS, row["agent"])

        found, following = await _page(partial(find_grants, audited.store, wanted), may, cursor, limit)
        await audited.access.viewed(person, ALL_SESSIONS, what="grants", shown=len(found))
        return json_response({"grants": await with_reasons(reasons, "grant", found), "next": following})

    @router.get("/freezes", summary="Who froze what, and which calls it stopped", response_model=AuditedFreezes)
    async def freezes(
        request: Request,
        state: Standing | None = None,
        target: str | None = None,
        limit: Limit = 50,
        cursor: str | None = None,
    ) -> Response:
        """Freezes of what the caller may audit, newest first. `state` is `in_force` or `ended`; `next` is the `cursor`
        of the next page, or null."""
        person = await audited.who(request)
        wanted = FreezeFilter(clock(), state, target)

        async def may(row: Row) -> bool:
            if row["scope"] != "session":
                return audited.may(person, ALL_SESSIONS, row["target"] if row["scope"] == "agent" else None)
            session = await queried(find_session, audited.store, row["target"])
            return audited.may(person, row["target"], None if session is None else session["principal"])

        found, following = await _page(partial(find_freezes, audited.store, wanted), may, cursor, limit)
        await audited.access.viewed(person, ALL_SESSIONS, what="freezes", shown=len(found))
        return json_response({"freezes": await with_reasons(reasons, "freeze", found), "next": following})

    return router


async def _page(find: Find, may: May, cursor: str | None, limit: int) -> tuple[list[Row], str | None]:
    """Up to `limit` rows that the caller may audit, and the cursor of the next page; the others are passed over."""
    before, shown, passed_over = _before(cursor), list[Row](), False
    for _ in range(_SCANS):
        rows = await queried(find, before, limit)
        for row in rows:
            before = int(row["record"]["sequence"])
            if await may(row):
                shown.append(row)
            else:
                passed_over = True
            if len(shown) == limit:
                return shown, str(before)
        if len(rows) < limit:
            if passed_over and not shown and cursor is None:
                raise Problem(403, "not_allowed", "No policy lets you audit any of these.")
            return shown, None
    return shown, None if before is None else str(before)


def _before(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise Problem(400, "bad_cursor", "`cursor` is the `next` of an earlier page.")
    return int(cursor)
