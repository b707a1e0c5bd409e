"""The HTTP response to a message: JSON, or a stream of events once there is progress to tell."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from callgate.jsontext import dump
from services.ingress.leaving import Leaving

_STREAM = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class EventStream:
    """A response of server-sent events, begun with the first thing that is to be sent."""

    def __init__(self, send: Send) -> None:
        self.begun = False
        self._send = send

    async def event(self, message: Mapping[str, Any], *, last: bool = False) -> None:
        await self._write(b"event: message\r\ndata: %b\r\n\r\n" % dump(dict(message)), last=last)

    async def alive(self) -> None:
        """Shows the line to whoever would cut one that is silent."""
        await self._write(b":\r\n\r\n")

    async def end(self) -> None:
        await self._write(b"", last=True)

    async def _write(self, body: bytes, *, last: bool = False) -> None:
        if not self.begun:
            self.begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _STREAM})
        await self._send({"type": "http.response.body", "body": body, "more_body": not last})


class Progress(EventStream):
    """Tells the client how its request stands, where it gave a token for that and takes a stream."""

    def __init__(self, send: Send, token: str | int | None) -> None:
        super().__init__(send)
        self._token = token
        self._steps = 0

    @property
    def wanted(self) -> bool:
        return self._token is not None

    async def tell(self, message: str) -> None:
        self._steps += 1
        params = {"progressToken": self._token, "progress": self._steps, "message": message}
        await self.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})


class Watched(Leaving):
    """Whether the client is gone, of one that is told progress: asked now and then while nothing happens, it shows the
    line as well."""

    __slots__ = ("_progress",)

    def __init__(self, request: Request, progress: Progress) -> None:
        super().__init__(request)
        self._progress = progress

    async def __call__(self) -> bool:
        if self._progress.begun:
            await self._progress.alive()
        return await super().__call__()


Work = Callable[[Progress], Awaitable[tuple[int, Mapping[str, Any]]]]
"""The status and the JSON-RPC response of a request."""


class Reply(Response):
    """A response that is worked out while its request is open."""

    def __init__(self, work: Work, token: str | int | None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(headers=headers)
        self._work = work
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        progress = Progress(send, self._token)
        status, document = await self._work(progress)
        if progress.begun:
            await progress.event(document, last=True)
            return
        own = {name: value for name, value in self.headers.items() if name != "content-length"}
        headers = {**own, "Cache-Control": "no-store"}
        await Response(dump(dict(document)), status, headers, "application/json")(scope, receive, send)
