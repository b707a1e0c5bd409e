"""The HTTP doors of ingress: what goes in and out, with every error as a problem document.

Every outcome that is known is a 200, whatever it is: a denial is an answer, not a failure of HTTP. While there is none,
202 with where to ask again.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from callgate.errors import BrokerAway
from callgate.http import json_response, straight
from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Refusal
from callgate.ingress_settings import IngressSettings
from contracts.lifecycle import WAITING_FOR_PEOPLE, Call
from services.ingress.calls import Followed
from services.ingress.domain import CallRequest, is_answered, outcome_of, parse_request
from services.ingress.doors import FrontDesk, location, problems
from services.ingress.headers import Wait, last_event_id, traceparent_of, wait_of
from services.ingress.intake import caller, in_thread_if_long, json_body, key_of
from services.ingress.leaving import Leaving, verified_of
from services.ingress.openapi import CALL, CALL_BODY, CALLS, EVENTS, KNOWN, LAST_EVENT, PREFER
from services.ingress.room import TooManyHeld
from services.ingress.views import summary_of

PAGE, PAGE_LIMIT = 50, 200
_PRIVATE = {"Cache-Control": "no-store"}
_ENDED = "Your token counts no more, and this stream ends. Come again with a new one, and the last id as Last-Event-ID."


def routes(desk: FrontDesk, authenticator: Authenticator, settings: IngressSettings) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["calls"])

    @router.post("/calls", openapi_extra=CALL_BODY, status_code=200, responses=CALL)
    @straight
    async def submit(request: Request) -> Response:
        """Ask for a function to be run. Waits for the outcome as `Prefer: wait=N` says (RFC 7240)."""
        principal = await caller(request, authenticator)
        desk.admit()
        wait = wait_of(request.headers.getlist("prefer"), settings.wait, settings.max_wait)
        asked = replace(await _asked(request, settings), key=key_of(request))
        trace = traceparent_of(request.headers.getlist("traceparent"))
        call = await desk.submit(principal, asked, wait.seconds, Leaving(request), trace)
        return await _answer(desk, call, wait)

    @router.get("/calls", responses=CALLS)
    async def of_session(
        request: Request,
        session: str = Query(max_length=64, description="A session of yours: its id, or the name you gave it."),
        after: str = Query("", max_length=200, description="`next` of the page before."),
        limit: int = Query(PAGE, ge=1, le=PAGE_LIMIT),
    ) -> Response:
        """The calls of a session, in the order in which they began; each as far as it is, without its result."""
        principal = await caller(request, authenticator)
        page = await desk.of_session(principal, session, after, limit)
        items = [outcome_of(call) | {"answered": is_answered(call)} for call in page.calls]
        following = str(page.calls[-1].ref) if page.more else None
        return json_response({"calls": items, "next": following}, headers=_PRIVATE)

    @router.get("/calls/{call_id}", responses=CALL, openapi_extra=PREFER)
    async def look(request: Request, call_id: str) -> Response:
        """The outcome of a call, or where it stands. `Prefer: wait=N` waits for the outcome."""
        principal = await caller(request, authenticator)
        wait = wait_of(request.headers.getlist("prefer"), 0.0, settings.max_wait)
        call = await desk.look(principal, call_id, wait.seconds, Leaving(request))
        return await _answer(desk, call, wait)

    @router.get("/calls/{call_id}/events", response_class=StreamingResponse, responses=EVENTS, openapi_extra=LAST_EVENT)
    async def events(request: Request, call_id: str) -> Response:
        """The call's events as they come (server-sent events). `Last-Event-ID` resumes after that one. Where the token
        expires or is revoked meanwhile, the last event is `unauthenticated`, with the code."""
        principal = await caller(request, authenticator)
        after = last_event_id(request.headers.get("last-event-id"))
        following = await desk.events(principal, call_id, after, verified_of(request))
        headers = {**_PRIVATE, "X-Accel-Buffering": "no"}
        return StreamingResponse(_sse(following), headers=headers, media_type="text/event-stream")

    @router.delete("/calls/{call_id}", responses=KNOWN)
    async def cancel(request: Request, call_id: str) -> Response:
        """Withdraw a call that has not begun."""
        principal = await caller(request, authenticator)
        call = await desk.cancel(principal, call_id)
        return json_response(await desk.outcome(call), headers=_PRIVATE)

    return router


async def _asked(request: Request, settings: IngressSettings) -> CallRequest:
    body = await json_body(request, settings.body_limit)
    with problems():
        return await in_thread_if_long(len(body), lambda: parse_request(body, settings.depth_limit))


async def _answer(desk: FrontDesk, call: Call, wait: Wait) -> Response:
    headers = _PRIVATE | ({"Preference-Applied": wait.applied} if wait.applied else {})
    document = await desk.outcome(call)
    if is_answered(call):
        return json_response(document, headers=headers)
    pause = "5" if call.state in WAITING_FOR_PEOPLE else "1"
    return json_response(document, 202, headers | {"Location": location(call.ref), "Retry-After": pause})


async def _sse(following: AsyncIterator[Followed]) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    try:
        async for recorded in following:
            if recorded is None:
                yield b":\n\n"
            elif isinstance(recorded, Refusal):
                # Without an id: the one that the client saw last still says where to resume.
                data = orjson.dumps({"code": recorded, "detail": _ENDED})
                yield b"event: unauthenticated\ndata: %b\n\n" % data
            else:
                data = orjson.dumps(summary_of(recorded))
                yield b"id: %d\nevent: %b\ndata: %b\n\n" % (recorded.sequence, recorded.name.encode(), data)
    except (BrokerAway, TooManyHeld):
        return  # the client comes again, with the last id that it saw
