"""A call's outcome as the HTTP answer that the agent's client expects of the function, or as a problem document."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from fastapi import Response

from callgate.http import Problem
from contracts.lifecycle import Call
from services.ingress.answers import standing
from services.ingress.calls import Answered
from services.ingress.headers import SESSION_HEADER

CALL_HEADER: Final = "Callgate-Call"
STATUS_HEADER: Final = "Callgate-Status"
"""What became of the call: tells a function's own 403 from the policy's."""
_RETRY_HEADER: Final = "X-Should-Retry"
"""What the SDKs of OpenAI, Anthropic and their likes ask before they send a request again by themselves."""
_NO_RETRY: Final = {_RETRY_HEADER: "false"}

_STATUS_OF: Final = {
    "denied": 403,
    "rejected": 403,
    "expired": 403,
    "cancelled": 409,
    "failed": 502,
    "unknown": 504,
}
_TOLD: Final = ("policies", "problems", "reason", "approvals", "amendments", "settlement")
"""What a problem document takes over from the outcome's."""
_BODYLESS: Final = frozenset({204, 205, 304})
_VALUE = re.compile(r"[\x20-\x7e]*")
_SHARED = re.compile(r"public|private|s-maxage(=.*)?", re.IGNORECASE)


def about(call: Call) -> dict[str, str]:
    """The headers of every answer to a call that stands."""
    return {CALL_HEADER: str(call.ref), STATUS_HEADER: call.status, SESSION_HEADER: call.ref.session_id}


def once_only(problem: Problem) -> Problem:
    """Of a call without a key that stands, or may: the same request would be another one."""
    problem.headers.pop("Retry-After", None)
    problem.headers |= _NO_RETRY
    return problem


def shown(call: Call, answered: Answered) -> Response:
    """The function's own answer. Problem 502 where it is not to be seen."""
    status = answered.status
    if answered.withheld is not None or not 200 <= status < 600:
        code = answered.withheld or "status_unknown"
        detail = (
            f"The function was run and answered (status {status}), but its answer is not shown: {code}. "
            "Do not send the request again to see it."
        )
        extra = {"reason": code, "upstream_status": status}
        raise Problem(502, "result_withheld", detail, about(call) | _NO_RETRY, extra)
    body = b"" if status in _BODYLESS else answered.body
    response = Response(body, status)
    content_type = _content_type(answered.content_type, body)
    for name, value in (*about(call).items(), *_headers(answered.headers), *content_type):
        response.headers.append(name, value)
    if call.amenders:
        response.headers.append("Callgate-Amended", "true")
    return response


def refused(call: Call, document: Mapping[str, Any]) -> Problem:
    """The outcome of a call that has no answer of the function's."""
    status = document["status"]
    extra = {"id": document["id"], "call_status": status}
    extra |= {name: document[name] for name in _TOLD if document.get(name)}
    code = document.get("code") or status
    again = {} if status == "failed" else _NO_RETRY  # nothing came of it, so it may be asked for anew
    return Problem(_STATUS_OF[status], code, document.get("detail") or "", about(call) | again, extra)


def waits(call: Call, document: Mapping[str, Any], pause: int, *, keyed: bool) -> Problem:
    """503: the answer may come later. Under a key the same request would have it; without one it would be another call,
    and of what clients send again by themselves people would approve each."""
    detail = f"This call is recorded and has no answer yet: {standing(document)}. It goes on by itself. "
    if keyed:
        detail += "Send the same request under the same Idempotency-Key to wait on, or ask GET /v1/calls/{id}."
    else:
        detail += (
            "Do not send the request again: it would be another call. Ask GET /v1/calls/{id} for the answer, and send "
            "such requests with an Idempotency-Key, under which the same request waits on."
        )
    extra = {"id": document["id"], "call_status": document["status"]}
    extra |= {name: document[name] for name in _TOLD if document.get(name)}
    problem = Problem(503, document["status"], detail, about(call) | {"Retry-After": str(pause)}, extra)
    return problem if keyed else once_only(problem)


def _headers(headers: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    """The answer's own, with nothing that has a cache give it to somebody else: each caller is judged anew."""
    sound = [(name, value) for name, value in headers if _VALUE.fullmatch(value)]
    caching = [value for name, value in sound if name == "cache-control"]
    directives = [one for value in caching for part in value.split(",") if not _SHARED.fullmatch(one := part.strip())]
    yield "cache-control", ", ".join(["private", *filter(None, directives)]) if caching else "no-store"
    if caching:
        yield "vary", "Authorization"
    yield from ((name, value) for name, value in sound if name != "cache-control")


def _content_type(media_type: str | None, body: bytes) -> Iterable[tuple[str, str]]:
    """Masking writes UTF-8, whatever came; of JSON everybody knows that."""
    if media_type is not None and body:
        is_text = media_type.startswith("text/")
        yield "content-type", f"{media_type}; charset=utf-8" if is_text else media_type
