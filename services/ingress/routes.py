"""The HTTP doors of ingress: what goes in and out, with every error as a problem document.

Every outcome that is known is a 200, whatever it is: a denial is an answer, not a failure of HTTP. While there is none,
202 with where to ask again.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from callgate.errors import BrokerAway, TooLarge
from callgate.http import Problem, json_response, straight
from callgate.identity.authenticator import Authenticator
from callgate.settings import IngressSettings
from contracts.events import Recorded
from contracts.freezes import FROZEN, Freeze
from contracts.functions import Catalog
from contracts.lifecycle import WAITING_FOR_PEOPLE, Call
from contracts.model import rfc3339
from services.ingress.calls import Calls, Frozen, PerhapsRecorded, TooLate, UnknownCall
from services.ingress.domain import BadRequest, CallRequest, functions_of, is_answered, parse_request
from services.ingress.headers import Wait, last_event_id, traceparent_of, wait_of
from services.ingress.intake import caller, in_thread_if_long, json_body
from services.ingress.openapi import CALL, CALL_BODY, KNOWN, LIST
from services.ingress.views import summary_of
from services.ingress.waiting import TooManyHeld

_PRIVATE = {"Cache-Control": "no-store"}


def routes(
    calls: Calls,
    authenticator: Authenticator,
    catalog: Catalog,
    settings: IngressSettings,
    admission: Callable[[], str | None],
) -> APIRouter:
    """`admission` gives None while calls are admitted, else the code of why not."""
    router = APIRouter(prefix="/v1", tags=["calls"])
    functions = orjson.dumps({"functions": functions_of(catalog)})

    @router.post("/calls", openapi_extra=CALL_BODY, status_code=200, responses=CALL)
    @straight
    async def submit(request: Request) -> Response:
        """Ask for a function to be run. Waits for the outcome as `Prefer: wait=N` says (RFC 7240)."""
        principal = await caller(request, authenticator)
        refused = admission()
        if refused is not None:
            raise Problem(503, refused, "The event log cannot take new calls now.", {"Retry-After": "30"})
        wait = wait_of(request.headers.getlist("prefer"), settings.wait, settings.max_wait)
        asked = await _asked(request, settings)
        trace = traceparent_of(request.headers.getlist("traceparent"))
        with _Refusals():
            call = await calls.submit(principal, asked, wait.seconds, request.is_disconnected, trace)
        return await _answer(calls, call, wait)

    @router.get("/calls/{call_id}", responses=CALL)
    async def look(request: Request, call_id: str) -> Response:
        """The outcome of a call, or where it stands. `Prefer: wait=N` waits for the outcome."""
        principal = await caller(request, authenticator)
        wait = wait_of(request.headers.getlist("prefer"), 0.0, settings.max_wait)
        with _Refusals():
            call = await calls.look(principal, call_id, wait.seconds, request.is_disconnected)
        return await _answer(calls, call, wait)

    @router.get("/calls/{call_id}/events", response_class=StreamingResponse)
    async def events(request: Request, call_id: str) -> Response:
        """The call's events as they come (server-sent events). `Last-Event-ID` resumes after that one."""
        principal = await caller(request, authenticator)
        with _Refusals():
            after = last_event_id(request.headers.get("last-event-id"))
            following = await calls.events(principal, call_id, after)
        headers = {**_PRIVATE, "X-Accel-Buffering": "no"}
        return StreamingResponse(_sse(following), headers=headers, media_type="text/event-stream")

    @router.delete("/calls/{call_id}", responses=KNOWN)
    async def cancel(request: Request, call_id: str) -> Response:
        """Withdraw a call that has not begun."""
        principal = await caller(request, authenticator)
        with _Refusals():
            call = await calls.cancel(principal, call_id)
        return json_response(await calls.outcome(call), headers=_PRIVATE)

    @router.get("/functions", responses=LIST)
    async def list_functions(request: Request) -> Response:
        """The functions that may be asked for; whether one may run is the policy's to say."""
        await caller(request, authenticator)
        return Response(functions, media_type="application/json")

    return router


async def _asked(request: Request, settings: IngressSettings) -> CallRequest:
    body = await json_body(request, settings.body_limit)
    with _Refusals():
        return await in_thread_if_long(len(body), lambda: parse_request(body, settings.depth_limit))


async def _answer(calls: Calls, call: Call, wait: Wait) -> Response:
    location = {"Location": _location(call)}
    headers = _PRIVATE | ({"Preference-Applied": wait.applied} if wait.applied else {})
    try:
        document = await calls.outcome(call)
    except BrokerAway:
        detail = "The call is recorded; its outcome cannot be read now. Ask at Location."
        raise Problem(503, "broker_away", detail, location | {"Retry-After": "2"}) from None
    if is_answered(call):
        return json_response(document, headers=headers)
    pause = "5" if call.state in WAITING_FOR_PEOPLE else "1"
    return json_response(document, 202, headers | location | {"Retry-After": pause})


def _location(call: Call) -> str:
    return f"/v1/calls/{call.ref}"


async def _sse(following: AsyncIterator[Recorded | None]) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    try:
        async for recorded in following:
            if recorded is None:
                yield b":\n\n"
            else:
                data = orjson.dumps(summary_of(recorded))
                yield b"id: %d\nevent: %b\ndata: %b\n\n" % (recorded.sequence, recorded.name.encode(), data)
    except (BrokerAway, TooManyHeld):
        return  # the client comes again, with the last id that it saw


class _Refusals:
    """Turns what the use cases raise into problem documents."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        problem = _problem_of(error)
        if problem is not None:
            raise problem from None


def _frozen(freeze: Freeze) -> Problem:
    """RFC 4918's 423. It names nothing that the caller did not send, but who froze it and until when."""
    what = {"agent": "this agent", "session": "this session", "everything": "everything"}.get(freeze.scope)
    until = f", until {rfc3339(freeze.expires_at)}" if freeze.expires_at is not None else ""
    since = f"since {rfc3339(freeze.since)}{until}, by {freeze.by.id}"
    detail = f"Frozen: {what or f'{freeze.scope} {freeze.target}'}, {since}; nothing was recorded, nothing was run."
    extra = {"freeze": freeze.freeze_id, "scope": freeze.scope, "since": rfc3339(freeze.since)}
    return Problem(423, FROZEN, detail, extra=extra)


def _problem_of(error: BaseException | None) -> Problem | None:
    match error:
        case BadRequest():
            return Problem(error.status, error.code, error.detail, extra=error.extra)
        case UnknownCall():
            return Problem(404, "unknown_call", "There is no such call of yours.")
        case Frozen():
            return _frozen(error.freeze)
        case TooLate():
            detail = "The call has begun or is over; it can no longer be withdrawn."
            return Problem(409, "too_late", detail, extra={"state": error.call.state})
        case TooManyHeld():
            detail = "Too many requests wait here; try again, or send `Prefer: respond-async`."
            return Problem(503, "too_many_waiting", detail, {"Retry-After": "2"})
        case PerhapsRecorded():
            detail = "The event log went away while the call was recorded. Ask at Location whether it stands."
            headers = {"Retry-After": "2", "Location": f"/v1/calls/{error.ref}"}
            return Problem(503, "broker_away", detail, headers, {"id": str(error.ref)})
        case TooLarge():
            return Problem(413, "call_too_large", "The call does not fit into one event.")
        case _:
            return None
