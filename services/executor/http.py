"""Runs one function over HTTP: at most one request on the wire, and an honest word on what became of it.

The line between `NotSent` and `Unknown` is the moment at which a connection is handed to the request (`_Request.send`):
everything from there on counts as sent, including cases that were not, never the other way round.
"""

import asyncio
import codecs
import io
import re
import ssl
import time
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.client_middlewares import ClientHandlerType
from aiohttp.connector import Connection
from yarl import URL

from services.executor.answer_headers import shown
from services.executor.body import BoundedBody
from services.executor.credentials import CredentialHeader
from services.executor.outcomes import Completed, NotSent, NotSentCode, Outcome, Unknown, UnknownCode
from services.executor.request import HttpRequest

KEEP_ALIVE = 2.0
"""Seconds for which an idle connection is used again. Shorter than what servers commonly allow (uvicorn and Node 5,
gunicorn 2): a request that meets a closing connection has an unknown outcome, which costs a person's time."""

_LARGE_BODY = 512 * 1024
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,2046}[\x21-\x7e])?")
_CONTENT_TYPE = re.compile(
    r"((?:application|audio|font|image|message|model|multipart|text|video)/(?!\S*[0-9]{4})[a-z][a-z0-9.+-]{0,80})"
    r"(?:\s*;\s*charset=\"?([a-z0-9_-]{1,20})\"?)?(?=\s*(?:;|$))",
)


class HttpRunner:
    """The connections of one executor to its upstreams; an async context manager, for use in one event loop.

    No redirect is followed, no cookie kept, no proxy or netrc taken from the environment, nothing ever retried.
    """

    def __init__(self, *, connections: int = 128, tls: ssl.SSLContext | None = None) -> None:
        """At most `connections` at once, over all upstreams; further calls wait, within their deadline."""
        self._connections = connections
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections,
                ssl=self._tls if self._tls is not None else True,
                keepalive_timeout=KEEP_ALIVE,
            ),
            request_class=_Request,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the deadline is ours, over everything
            auto_decompress=False,  # BoundedBody does it, within the limit
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def run(
        self,
        request: HttpRequest,
        *,
        credential: CredentialHeader | None,
        idempotency_key: str,
        deadline_seconds: float,
        response_limit: int,
        traceparent: str | None = None,
    ) -> Outcome:
        """Sends the request once. `deadline_seconds`, from now to the last byte of the answer, then it is aborted.

        Raises only on cancellation, whose outcome the caller must take for unknown.
        """
        if self._session is None:
            raise RuntimeError("HttpRunner is used inside of `async with`")
        if not deadline_seconds > 0:
            return NotSent("deadline_passed")
        headers = _headers(request, credential, idempotency_key, traceparent)
        if headers is None:
            return NotSent("header_invalid")
        started = time.perf_counter()
        attempt = _Attempt()
        try:
            async with (
                asyncio.timeout(deadline_seconds),
                self._session.request(
                    request.method,
                    URL(request.url, encoded=True),  # as it stands: yarl would decode and resolve it
                    data=_payload(request.body),
                    headers=headers,
                    skip_auto_headers=("Content-Type",),  # nothing is guessed that the request does not say
                    allow_redirects=False,
                    middlewares=(attempt,),
                ) as response,
            ):
                if response.status == 101:  # an upgrade, which was never asked for
                    response.close()
                    return Unknown("protocol_error")
                body, whole = await _read(response, response_limit)
                content_type = _content_type(response.headers.get("Content-Type", ""))
                duration_ms = (time.perf_counter() - started) * 1000
                seen = shown(response.headers.items())
                return Completed(response.status, content_type, body, not whole, duration_ms, seen)
        except Exception as error:  # whatever the library raises: only the code may leave, its text quotes values
            return Unknown(_unknown(error)) if attempt.sent else NotSent(_not_sent(error))


class _InterruptedError(Exception):
    """A sent request failed. No subclass of the errors upon which aiohttp sends GET, PUT and DELETE again."""

    def __init__(self, code: UnknownCode) -> None:
        super().__init__(code)
        self.code: UnknownCode = code


class _Request(aiohttp.ClientRequest):
    sent = False

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """aiohttp's only way to write to a connection that it opened or took from the pool."""
        self.sent = True
        return await super().send(conn)


class _Attempt:
    """The middleware of one call: knows whether it was sent, and ends it when it fails after that.

    aiohttp repeats an idempotent method when a reused connection turns out closed (RFC 9112, 9.3.1 allows it).
    The upstream may have acted before it closed, so the second request would be the second execution.
    """

    __slots__ = ("_request",)

    def __init__(self) -> None:
        self._request: _Request | None = None

    @property
    def sent(self) -> bool:
        return self._request is not None and self._request.sent

    async def __call__(self, request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        if self.sent or not isinstance(request, _Request):
            raise _InterruptedError("transport_error")
        self._request = request
        try:
            return await handler(request)
        except Exception as error:
            if request.sent:
                raise _InterruptedError(_unknown(error)) from None
            raise


def _headers(
    request: HttpRequest, credential: CredentialHeader | None, idempotency_key: str, traceparent: str | None
) -> dict[str, str] | None:
    """All headers of the request, or None when a value is not fit for one. The credential comes last and wins."""
    headers = dict(request.headers)
    headers |= {"Accept-Encoding": "gzip", "User-Agent": "callgate", "Idempotency-Key": idempotency_key}
    if traceparent is not None:
        headers["traceparent"] = traceparent
    if not all(_HEADER_VALUE.fullmatch(value) for value in headers.values()):
        return None
    if credential is not None:  # its name and value were checked when it was read
        headers[credential.name] = credential.value.reveal()
    return headers


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    # aiohttp writes bytes in one go, and warns above 1 MiB; a file object goes in pieces.
    return io.BytesIO(body) if body is not None and len(body) > _LARGE_BODY else body


async def _read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    body = BoundedBody(limit, response.headers.get("Content-Encoding", ""))
    async for chunk in response.content.iter_any():
        if not body.feed(chunk):
            response.close()  # the rest is not read; the connection is of no more use
            break
    return body.finish()


def _content_type(header: str) -> str:
    """`type/subtype`, with `; charset=…` where Python knows it; "" for anything else.

    The header is the upstream's text, and ends in clear in an event: nothing passes that could be somebody's value.
    """
    found = _CONTENT_TYPE.match(header.strip().lower())
    if found is None:
        return ""
    try:
        return f"{found[1]}; charset={codecs.lookup(found[2]).name}" if found[2] else found[1]
    except LookupError:
        return found[1]


def _not_sent(error: Exception) -> NotSentCode:
    match error:
        case TimeoutError():
            return "connect_timeout"
        case aiohttp.ClientConnectorDNSError():
            return "dns_failure"
        case aiohttp.ClientSSLError() | aiohttp.ClientConnectorCertificateError() | ssl.SSLError():
            return "tls_failure"
        case aiohttp.ClientConnectorError(os_error=ConnectionRefusedError()):
            return "connection_refused"
        case aiohttp.ClientConnectionError() | OSError():
            return "connect_failed"
        case _:
            return "request_invalid"


def _unknown(error: Exception) -> UnknownCode:
    match error:
        case _InterruptedError():
            return error.code
        case TimeoutError():
            return "timeout"
        case aiohttp.ServerDisconnectedError():
            return "disconnected"
        case aiohttp.ClientPayloadError():
            return "response_cut"
        case aiohttp.ClientResponseError():
            return "protocol_error"
        case aiohttp.ClientConnectionError() | ConnectionError():
            return "connection_reset"
        case _:
            return "transport_error"
