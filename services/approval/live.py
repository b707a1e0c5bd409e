"""Open pages are told that what they show has changed (server-sent events), and fetch it again themselves."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event

from callgate.http import Problem
from callgate.identity.errors import Unauthenticated
from services.approval.changes import Change, Changes
from services.approval.handlers import Deciding
from services.approval.routes import looked_at
from services.approval.sessions import Sessions

STREAMS = 1024
"""Open at the same time, in this process."""
STREAMS_EACH = 16
"""Of one person: a browser opens one for each page that it shows."""
KEEP_ALIVE = 15.0
"""Seconds without news after which a stream says that it lives, and looks whether its session does."""
GATHER = 0.5
"""Seconds in which changes become one event: votes come in bursts."""
_RETRY_MS = 2000
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}

Whose = tuple[str, str]
"""Issuer and identity."""


class Live:
    """The streams of this process. `keep_alive` in seconds."""

    def __init__(self, changes: Changes, keep_alive: float = KEEP_ALIVE) -> None:
        self._changes = changes
        self._keep_alive = keep_alive
        self._open: Counter[Whose] = Counter()

    def require_room(self, whose: Whose) -> None:
        """Problem where too many streams are open."""
        if self._open[whose] >= STREAMS_EACH or self._open.total() >= STREAMS:
            detail = "Too many pages are open; close some. The pages work without being live."
            raise Problem(503, "too_many_streams", detail, {"Retry-After": "30"})

    async def events(
        self, whose: Whose, concerns: Callable[[Change], bool], seen: str, signed_in: Callable[[], bool]
    ) -> AsyncGenerator[bytes, None]:
        """`changed` whenever something did since `seen`; ends with the session, or when the service stops."""
        with self._place(whose):
            yield format_sse_event(retry=_RETRY_MS)
            while not self._changes.closed:
                if not signed_in():
                    yield format_sse_event(event="signed-out", data_str="{}")
                    return
                news, seen = self._changes.since(seen), self._changes.position
                if news is None or any(map(concerns, news)):
                    yield format_sse_event(event="changed", data_str="{}", id=seen)
                try:
                    async with asyncio.timeout(self._keep_alive):
                        await self._changes.after(seen)
                        await asyncio.sleep(GATHER)
                except TimeoutError:
                    yield KEEPALIVE_COMMENT

    @contextlib.contextmanager
    def _place(self, whose: Whose) -> Iterator[None]:
        self._open[whose] += 1
        try:
            yield
        finally:
            self._open[whose] -= 1
            self._open += Counter()  # forgets whoever has none


def live_routes(live: Live, deciding: Deciding, sessions: Sessions) -> APIRouter:
    """`GET /approvals/events`: of the list, of one call, or of what is in force. To be included before the pages."""
    router = APIRouter(prefix="/approvals", include_in_schema=False)

    @router.get("/events")
    async def events(
        request: Request, seen: str = "", call: str | None = None, of: Literal["list", "in-force"] = "list"
    ) -> Response:
        person, _ = sessions.person(request)
        whose = person.issuer, person.id
        live.require_room(whose)
        ref = (await looked_at(deciding, call, person)).ref if call is not None else None
        groups = frozenset(person.groups)

        def concerns(change: Change) -> bool:
            if ref is not None:
                return change.ref == ref
            return change.ref is None if of == "in-force" else change.concerns(groups)

        def signed_in() -> bool:
            try:
                now, _ = sessions.person(request)
            except Unauthenticated:
                return False
            return (now.issuer, now.id) == whose

        seen = request.headers.get("last-event-id") or seen
        return EventSourceResponse(live.events(whose, concerns, seen, signed_in), headers=_HEADERS)

    return router
