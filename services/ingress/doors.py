"""What every door does alike: admit, record, wait, look, withdraw. A door says only how it is asked and how it answers.

Whatever goes wrong comes out as a `Problem`; a door shows it in its own form (a problem document, an error of a tool).
"""

import math
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from callgate.errors import BrokerAway, TooLarge
from callgate.http import Problem
from callgate.identity.claims import Verified
from callgate.identity.errors import Refusal, Unauthenticated
from contracts.freezes import FROZEN, Freeze
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.model import rfc3339
from contracts.subjects import CallRef
from services.ingress.calls import (
    Answered,
    Begun,
    Calls,
    Followed,
    Frozen,
    NotBound,
    PerhapsRecorded,
    TooLate,
    UnknownCall,
)
from services.ingress.domain import BadRequest, CallRequest
from services.ingress.limiting import OverLimit
from services.ingress.reservations import KeyReused
from services.ingress.room import TooManyHeld
from services.ingress.session_pages import Page
from services.ingress.waiting import Gone, Told


class FrontDesk:
    """The use cases as doors call them. Every error is a Problem, but for BrokerAway before anything was recorded."""

    def __init__(self, calls: Calls, admission: Callable[[], str | None]) -> None:
        """`admission` gives None while calls are admitted, else the code of why not."""
        self._calls = calls
        self._admission = admission

    def admit(self) -> None:
        """Problem 503 while no new call can be taken: to be asked before a body is read."""
        refused = self._admission()
        if refused is not None:
            raise Problem(503, refused, "The event log cannot take new calls now.", {"Retry-After": "30"})

    async def submit(
        self,
        principal: Principal,
        asked: CallRequest,
        wait: float,
        gone: Gone,
        traceparent: str | None = None,
        begun: Begun | None = None,
        told: Told | None = None,
    ) -> Call:
        """1. The recorded call, with its answer where there is one within `wait` seconds."""
        self.admit()
        with problems():
            return await self._calls.submit(principal, asked, wait, gone, traceparent, begun, told)

    async def look(self, principal: Principal, call_id: str, wait: float, gone: Gone, told: Told | None = None) -> Call:
        with problems():
            return await self._calls.look(principal, call_id, wait, gone, told)

    async def events(
        self, principal: Principal, call_id: str, after: int, bearer: Verified | None
    ) -> AsyncIterator[Followed]:
        with problems():
            return await self._calls.events(principal, call_id, after, bearer)

    async def of_session(self, principal: Principal, session: str, after: str, limit: int) -> Page:
        with problems():
            return await self._calls.of_session(principal, session, after, limit)

    async def cancel(self, principal: Principal, call_id: str) -> Call:
        with problems():
            return await self._calls.cancel(principal, call_id)

    async def outcome(self, call: Call) -> dict[str, Any]:
        """The outcome document, as far as the call is."""
        with _unread(call):
            return await self._calls.outcome(call)

    async def answered(self, call: Call) -> Answered:
        """The function's own answer, masked, of a call that completed."""
        with _unread(call):
            return await self._calls.answered(call)


@contextmanager
def _unread(call: Call) -> Iterator[None]:
    try:
        yield
    except BrokerAway:
        detail = "The call is recorded; its outcome cannot be read now. Ask at Location."
        headers = {"Location": location(call.ref), "Retry-After": "2"}
        raise Problem(503, "broker_away", detail, headers, {"id": str(call.ref)}) from None


def location(ref: CallRef) -> str:
    """Where a call's outcome is, whichever door it came through."""
    return f"/v1/calls/{ref}"


@contextmanager
def problems() -> Iterator[None]:
    """Turns what the use cases raise into problems."""
    try:
        yield
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            raise
        raise problem from None


def _frozen(freeze: Freeze) -> Problem:
    """RFC 4918's 423. It names nothing that the caller did not send, but who froze it and until when."""
    what = {"agent": "this agent", "session": "this session", "everything": "everything"}.get(freeze.scope)
    until = f", until {rfc3339(freeze.expires_at)}" if freeze.expires_at is not None else ""
    since = f"since {rfc3339(freeze.since)}{until}, by {freeze.by.id}"
    detail = f"Frozen: {what or f'{freeze.scope} {freeze.target}'}, {since}; nothing was recorded, nothing was run."
    extra = {"freeze": freeze.freeze_id, "scope": freeze.scope, "since": rfc3339(freeze.since)}
    return Problem(423, FROZEN, detail, extra=extra)


def _over_limit(error: OverLimit) -> Problem:
    """RFC 6585's 429."""
    what = "calls in too short a time" if error.code == "rate_limited" else "calls in progress at the same time"
    seconds = max(1, math.ceil(error.retry_after))
    # In words as well: a model is not shown headers.
    detail = f"Too many {what} (limit `{error.limit}`); nothing was recorded. Ask again in {seconds} s."
    headers = {"Retry-After": str(seconds)}
    return Problem(429, error.code, detail, headers, {"limit": error.limit})


def problem_of(error: Exception) -> Problem | None:
    """What a caller is told of an error of the use cases; None for what is none of theirs."""
    match error:
        case BadRequest():
            return Problem(error.status, error.code, error.detail, extra=error.extra)
        case UnknownCall():
            return Problem(404, "unknown_call", "There is no such call of yours.")
        case Frozen():
            return _frozen(error.freeze)
        case KeyReused():
            # Which of the two it is cannot be told: a request that only came late must not be made to run twice.
            detail = (
                "This Idempotency-Key was used for another request, or before keys were rotated here. Take a new one "
                "for a new call; for the same one only once you know that it did not run."
            )
            return Problem(422, "idempotency_key_reused", detail)
        case NotBound():
            detail = "This connection takes only tokens bound to a key of their holder: use DPoP or mutual TLS."
            challenge = Unauthenticated(Refusal.NOT_BOUND, detail).challenge
            return Problem(401, Refusal.NOT_BOUND, detail, {"WWW-Authenticate": challenge})
        case OverLimit():
            return _over_limit(error)
        case TooLate():
            detail = "The call has begun or is over; it can no longer be withdrawn."
            return Problem(409, "too_late", detail, extra={"state": error.call.state})
        case TooManyHeld():
            who, limit = ("of yours ", "ingress.held_share") if error.own else ("", "ingress.held")
            detail = f"Too many requests {who}wait here (`{limit}`); try again, or send `Prefer: respond-async`."
            return Problem(503, "too_many_waiting", detail, {"Retry-After": "2"}, {"limit": limit})
        case PerhapsRecorded():
            detail = "The event log went away while the call was recorded. Ask at Location whether it stands."
            headers = {"Retry-After": "2", "Location": location(error.ref)}
            return Problem(503, "broker_away", detail, headers, {"id": str(error.ref)})
        case TooLarge():
            return Problem(413, "call_too_large", "The call does not fit into one event.")
        case _:
            return None
