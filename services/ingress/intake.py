"""From an HTTP request to the bytes of its body, bounded in size and time, whatever its headers claim."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from callgate.http import Problem
from callgate.identity.authenticator import Authenticator
from contracts.identity import Principal
from services.ingress.domain import SESSION_NAME
from services.ingress.headers import KEY_HEADER, SESSION_HEADER, idempotency_key, is_json

T = TypeVar("T")

BODY_SECONDS = 30.0
"""Within which a body must have come."""
_THREAD_ABOVE = 64 * 1024
_CLOSE = {"Connection": "close"}
"""After an answer to half a request the rest of it must not be read as the next one."""


async def caller(request: Request, authenticator: Authenticator) -> Principal:
    """Who asks. Unauthenticated becomes a problem document of its own."""
    if len(request.headers.getlist("authorization")) > 1:
        raise Problem(400, "several_credentials", "Send one Authorization header.")
    return await authenticator.identify(request)


def key_of(request: Request) -> str | None:
    """The request's idempotency key, if any. Problem 400 for one that cannot be read: it is not taken for absent."""
    return key_among(request.headers.getlist(KEY_HEADER))


def key_among(sent: Iterable[str]) -> str | None:
    """The one idempotency key of those sent. Problem 400 as `key_of`."""
    try:
        return idempotency_key(sent)
    except ValueError:
        detail = "Send one Idempotency-Key of 1 to 255 visible ASCII characters, e.g. a UUID."
        raise Problem(400, "bad_idempotency_key", detail) from None


def named_session(request: Request) -> str | None:
    """The session that a header names, if any. Problem 422 for what can be no session: not taken for absent either."""
    named = request.headers.getlist(SESSION_HEADER)
    if not named:
        return None
    if len(named) > 1 or not SESSION_NAME.fullmatch(named[0]):
        detail = "Send one Callgate-Session: a session's id, or a name of 1-64 of A-Z a-z 0-9 . _ : -"
        raise Problem(422, "bad_session", detail)
    return named[0]


async def json_body(request: Request, limit: int) -> bytes:
    """The body of a JSON request. Problem: 400, 408, 413, 415."""
    if not is_json(request.headers.getlist("content-type")):
        raise Problem(415, "not_json", "Send `Content-Type: application/json`, in UTF-8.", _CLOSE)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem(415, "content_encoded", "Send the body without a Content-Encoding.", _CLOSE)
    return await bounded_body(request, limit)


async def bounded_body(request: Request, limit: int) -> bytes:
    """The body of any request. Problem: 400, 408, 413."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    detail = f"The body may hold {limit} bytes at most."
                    raise Problem(413, "body_too_large", detail, _CLOSE, {"limit": limit})
    except TimeoutError:
        raise Problem(408, "body_too_slow", "The body did not come in time.", _CLOSE) from None
    except ClientDisconnect:
        raise Problem(400, "body_cut_off", "The connection ended within the body.") from None
    return bytes(body)


async def in_thread_if_long(size: int, work: Callable[[], T]) -> T:
    """Reading a long text would keep every other request waiting."""
    return await asyncio.to_thread(work) if size > _THREAD_ABOVE else work()
