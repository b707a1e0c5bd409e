"""The conversation with Callgate's API, without I/O: what to ask next, given what came back.

Each flow is a generator of steps, which `clients` carries out, in a thread or on a loop; it returns what it was for.
"""

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from callgate.client.outcome import Outcome, Problem, Unreachable
from callgate.errors import CallgateError

HOLD: Final = 50.0
"""Seconds that one request is held open: less than what proxies usually allow."""
TRIES: Final = 6
"""Of one request that nobody answers, or that Callgate cannot take now."""
_PAUSES: Final = 0.2, 5.0
PASSING: Final = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `hold` are the seconds for which its answer may be held back."""

    method: str
    path: str
    body: Any = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: float = 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `document` is None for a body that is no JSON."""

    status: int
    document: Any = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)


Step = Ask | Pause
Flow = Generator[Step, Reply | None, Any]
"""Receives the reply to an Ask, or None for a request that nobody answered, and after a Pause."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """`left` are the seconds until then, as the clock given says; None waits for ever."""

    at: float | None
    now: Callable[[], float]

    def left(self) -> float | None:
        return None if self.at is None else max(0.0, self.at - self.now())

    def hold(self) -> float:
        left = self.left()
        return HOLD if left is None else min(HOLD, left)


def asked(url: str, ask: Ask, deadline: Deadline | None = None, key: str | None = None) -> Flow:
    """The reply to a request that may be repeated. Problem, Unreachable."""
    for attempt in range(TRIES):
        reply = yield ask
        if reply is not None and reply.status not in PASSING:
            return accepted(url, reply)
        pause = pause_after(attempt, reply)
        left = deadline.left() if deadline is not None else None
        if attempt + 1 == TRIES or (left is not None and pause >= left):
            if reply is None:
                raise Unreachable(url, key)
            return accepted(url, reply)
        yield Pause(pause)
    raise AssertionError("the last attempt returns")


def _held(url: str, ask: Ask, deadline: Deadline, key: str | None = None) -> Flow:
    """The reply to a request that is to be held open. Where it was not, and there is no answer yet (Callgate ends, or
    holds nothing), a pause comes after it, or we would ask without end."""
    began = deadline.now()
    reply = yield from asked(url, ask, deadline, key)
    spare = ask.hold - (deadline.now() - began)
    if reply.status == 202 and spare > 0:
        yield Pause(min(pause_after(0, reply), spare))
    return reply


def call(url: str, body: Mapping[str, Any], key: str, deadline: Deadline) -> Flow:
    """The outcome of a call; as far as it is, once the deadline is over."""
    hold = deadline.hold()
    headers = {"Idempotency-Key": key, "Prefer": _prefer(hold)}
    reply = yield from _held(url, Ask("POST", "/v1/calls", body, headers, hold), deadline, key)
    return (yield from _to_the_end(url, reply, deadline))


def look(url: str, call_id: str, deadline: Deadline) -> Flow:
    """The outcome of a call that was submitted before."""
    reply = yield from _held(url, _look(call_id, deadline.hold()), deadline)
    return (yield from _to_the_end(url, reply, deadline))


def cancel(url: str, call_id: str) -> Flow:
    """The call, withdrawn."""
    reply = yield from asked(url, Ask("DELETE", call_path(call_id)))
    return _outcome(url, reply)


def calls(url: str, session: str | None) -> Flow:
    """The calls of a session, page by page. ValueError without a session."""
    if session is None:
        raise ValueError("no session yet: name one, or make a call")
    outcomes: list[Outcome] = []
    after: str | None = ""
    while after is not None:
        path = f"/v1/calls?session={quote(session, safe='')}" + (f"&after={quote(after, safe='')}" if after else "")
        page = (yield from asked(url, Ask("GET", path))).document
        outcomes += (Outcome.of(one, answered=one["answered"]) for one in page["calls"])
        after = page["next"]
    return outcomes


def call_path(call_id: str) -> str:
    return f"/v1/calls/{quote(call_id, safe='')}"


def tool_calls(
    url: str, format: str, body: Mapping[str, Any], session: str | None, key: str, deadline: Deadline
) -> Flow:
    """The messages that answer a model's tool calls, and the session; those of calls that still wait say so."""
    path = f"/v1/tool-calls/{format.partition('-')[0]}"
    while True:
        hold = deadline.hold()
        headers = {"Idempotency-Key": key, "Prefer": _prefer(hold)} | ({"Callgate-Session": session} if session else {})
        reply = yield from _held(url, Ask("POST", path, body, headers, hold), deadline, key)
        left = deadline.left()
        if reply.status != 202 or (left is not None and left <= 0):
            return reply.document["messages"], reply.document["session"] or session


def _to_the_end(url: str, reply: Reply, deadline: Deadline) -> Flow:
    outcome = _outcome(url, reply)
    while not outcome.answered:
        left = deadline.left()
        if left is not None and left <= 0:
            return outcome
        reply = yield from _held(url, _look(outcome.id, deadline.hold()), deadline)
        outcome = _outcome(url, reply)
    return outcome


def _look(call_id: str, hold: float) -> Ask:
    return Ask("GET", call_path(call_id), headers={"Prefer": _prefer(hold)}, hold=hold)


def _prefer(hold: float) -> str:
    """In whole seconds; less than one is one."""
    return f"wait={max(1, int(hold))}" if hold > 0 else "respond-async"


def _outcome(url: str, reply: Reply) -> Outcome:
    try:
        return Outcome.of(reply.document, answered=reply.status != 202)
    except (KeyError, TypeError):
        raise _not_callgate(url) from None


def accepted(url: str, reply: Reply) -> Reply:
    """The reply. Problem for a refusal; CallgateError where Callgate did not say it."""
    if reply.status < 300 and reply.document is not None:
        return reply
    if isinstance(reply.document, dict) and "code" in reply.document:
        raise Problem(reply.status, reply.document)
    raise _not_callgate(url)


def _not_callgate(url: str) -> CallgateError:
    return CallgateError("not_callgate", f"{url} does not answer like Callgate; check the address")


def pause_after(attempt: int, reply: Reply | None = None) -> float:
    """What Callgate asks for, else ever longer, jittered."""
    after = reply.headers.get("retry-after", "") if reply is not None else ""
    if after.isdecimal():
        return min(float(after), 60.0) + random.uniform(0, _PAUSES[0])  # noqa: S311
    return min(_PAUSES[1], _PAUSES[0] * (1 << attempt)) * random.uniform(0.75, 1.25)  # noqa: S311
