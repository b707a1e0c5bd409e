"""HTTP under the SDK's Streamable HTTP transport: knows what was sent, and lets nothing out of hand.

The SDK turns every failure into one of few errors, and an exception under it ends the whole session with all that is
under way. So failures are noted here, on the attempt that they are of, and handed up as answers that the SDK takes
for refusals. The attempt comes by a context variable: the SDK runs each request in the context of whoever sent it.
"""

import contextvars
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from contracts.functions import Credential
from services.executor.credentials import CredentialError, read_credential
from services.executor.outcomes import NotSentCode, UnknownCode

_SESSION: Final = "mcp-session-id"
_REFUSAL: Final = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"refused by the executor"}}'
_SLACK: Final = 64 * 1024
"""Bytes of an answer beside the result: its envelope, and notifications of progress."""
_JSON, _EVENTS = "application/json", "text/event-stream"


@dataclass(slots=True)
class Sending:
    """What is known of one request on its way."""

    sent: bool = False
    """A connection was handed to it: from there on it counts as sent."""
    unsent: NotSentCode | None = None
    """Why it certainly did not leave."""
    status: int | None = None
    failure: UnknownCode | None = None
    """What broke after it was sent."""
    too_large: bool = False
    session_gone: bool = False
    """The server knows the session no more, and by the specification did not look at the request."""


SENDING: contextvars.ContextVar[Sending | None] = contextvars.ContextVar("mcp_sending", default=None)


class Wire(httpx2.AsyncBaseTransport):
    """One connection's requests. The credential is read anew for each, so a rotated one works without a restart."""

    def __init__(
        self, inner: httpx2.AsyncBaseTransport, credential: Credential | None, environ: Mapping[str, str], limit: int
    ) -> None:
        """`limit` is how many bytes the answer to one request may have; streams of notifications have none."""
        self._inner = inner
        self._credential = credential
        self._environ = environ
        self._limit = limit

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        sending = SENDING.get() if request.method == "POST" else None
        sending = sending or Sending()
        try:
            self._prepare(request, sending)
            response = await self._inner.handle_async_request(request)
        except CredentialError as error:
            sending.unsent = error.code
            return _refused()
        except Exception as error:  # whatever the library raises: its text quotes values
            if sending.sent:
                sending.failure = _broken(error)
            else:
                sending.unsent = _unsent(error)
            return _refused()
        sending.status = response.status_code
        sending.session_gone = response.status_code == 404 and _SESSION in request.headers
        if not _is_readable(request.method, response):
            await response.aclose()
            sending.failure = "protocol_error" if response.status_code < 300 else None
            return _refused()
        limit = self._limit + _SLACK if request.method == "POST" else None
        headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-length"]
        stream = _Bounded(response, sending, limit)
        return httpx2.Response(
            response.status_code, headers=headers, stream=stream, extensions=dict(response.extensions)
        )

    async def aclose(self) -> None:
        await self._inner.aclose()

    def _prepare(self, request: httpx2.Request, sending: Sending) -> None:
        request.headers["Accept-Encoding"] = "identity"  # what is compressed could be beyond every limit
        request.headers["User-Agent"] = "callgate"
        if self._credential is not None:
            header = read_credential(self._credential, self._environ)
            request.headers[header.name] = header.value.reveal()

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            if event.endswith("send_request_headers.started"):
                sending.sent = True

        request.extensions = {**request.extensions, "trace": trace}


class _Bounded(httpx2.AsyncByteStream):
    """A body up to a limit. What breaks it is a StreamError, which the SDK takes for the end of this answer alone."""

    def __init__(self, response: httpx2.Response, sending: Sending, limit: int | None) -> None:
        self._response = response
        self._sending = sending
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        try:
            async for chunk in self._response.stream:  # type: ignore[union-attr]
                read += len(chunk)
                if self._limit is not None and read > self._limit:
                    self._sending.too_large = True
                    break
                yield chunk
            else:
                return
        except httpx2.TransportError as error:
            self._sending.failure = _broken(error)
        raise httpx2.StreamError("the answer ended here")

    async def aclose(self) -> None:
        await self._response.aclose()


def http_client(wire: Wire, connect_seconds: float) -> httpx2.AsyncClient:
    """The client that the SDK sends with. No time-outs but for connecting: each call has its own deadline."""
    return httpx2.AsyncClient(
        transport=wire, timeout=httpx2.Timeout(None, connect=connect_seconds), trust_env=False, follow_redirects=False
    )


def pooled(tls: ssl.SSLContext, connections: int = 128) -> Callable[[], httpx2.AsyncHTTPTransport]:
    """Makes transports that share one TLS context: a bundle of authorities takes 20 ms to read."""
    limits = httpx2.Limits(max_connections=connections, max_keepalive_connections=16, keepalive_expiry=2.0)
    return lambda: httpx2.AsyncHTTPTransport(verify=tls, trust_env=False, limits=limits, retries=0)


def _is_readable(method: str, response: httpx2.Response) -> bool:
    """Whether the SDK may have it. Not a redirect, which it would follow: the request would be sent a second time."""
    if 300 <= response.status_code < 400 or response.headers.get("content-encoding", "identity") != "identity":
        return False
    if response.status_code >= 400 or method != "POST":
        return True
    content_type = response.headers.get("content-type", "").lower()
    return response.status_code == 202 or content_type.startswith((_JSON, _EVENTS))


def _refused() -> httpx2.Response:
    return httpx2.Response(502, headers={"content-type": _JSON}, content=_REFUSAL)


def _unsent(error: Exception) -> NotSentCode:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionRefusedError):
            return "connection_refused"
        if isinstance(cause, ssl.SSLError):
            return "tls_failure"
        cause = cause.__cause__ or cause.__context__
    match error:
        case httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            return "connect_timeout"
        case httpx2.TransportError() | OSError():
            return "connect_failed"
        case _:
            return "request_invalid"


def _broken(error: Exception) -> UnknownCode:
    match error:
        case httpx2.TimeoutException():
            return "timeout"
        case httpx2.RemoteProtocolError():
            return "disconnected"
        case httpx2.NetworkError():
            return "connection_reset"
        case _:
            return "transport_error"
