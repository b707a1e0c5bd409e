"""Clients that listen: a response that stays open and tells them when their tools changed, while their token counts."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import INVALID_PARAMS
from mcp_types.methods import validate_client_request
from mcp_types.version import LATEST_MODERN_VERSION
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from callgate.http import Problem
from contracts.identity import Principal
from services.ingress.doors import problems
from services.ingress.leaving import Leaving, verified_of
from services.ingress.mcp.messages import BadMessage, Message
from services.ingress.mcp.reply import EventStream
from services.ingress.mcp.sessions import Session
from services.ingress.mcp.streams import Stream, Streams

LISTEN = "subscriptions/listen"
ALIVE_EVERY = 15.0
"""Seconds after which a silent line is shown to whoever would cut it, and looked at: its client may have left without a
word."""

Last = Callable[[], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Told:
    """What is sent: `changed` at each change, None where the client asked for no such news; `first` and `last`, which
    say that it listens, and that the stream was not cut off."""

    changed: Mapping[str, Any] | None
    first: Mapping[str, Any] | None = None
    last: Last | None = None


def require_stream(*, takes_stream: bool) -> None:
    """Problem 406 for a client that takes no stream of events."""
    if not takes_stream:
        raise Problem(406, "not_acceptable", "Send an `Accept` that has text/event-stream.")


class Listeners:
    """For both generations of the protocol."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    def of_session(self, request: Request, principal: Principal, session: Session) -> Response:
        """The response to `GET /mcp`, by which a client of 2025-11-25 listens. Problem 503."""
        return self._listening(request, principal, Told(_changed()), session)

    def of_request(self, request: Request, principal: Principal, message: Message, last: Last) -> Response:
        """The response to `subscriptions/listen` of 2026-07-28, which names what of the news asked for there are.
        BadMessage, Problem 503."""
        try:
            validate_client_request(LISTEN, LATEST_MODERN_VERSION, dict(message.params))
        except ValidationError:
            raise BadMessage(INVALID_PARAMS, "Invalid request parameters", message.request_id) from None
        meta = {SUBSCRIPTION_ID_META_KEY: message.request_id}
        wanted = message.params["notifications"].get("toolsListChanged") is True
        honored = {"toolsListChanged": True} if wanted else {}
        first = _notification("subscriptions/acknowledged", {"notifications": honored, "_meta": meta})
        return self._listening(request, principal, Told(_changed(meta) if wanted else None, first, last))

    def _listening(
        self, request: Request, principal: Principal, told: Told, session: Session | None = None
    ) -> Response:
        with problems():
            self._streams.require_room(principal)
        return _Listening(request, principal, self._streams, told, session)


class _Listening(Response):
    def __init__(
        self,
        request: Request,
        principal: Principal,
        streams: Streams,
        told: Told,
        session: Session | None,
    ) -> None:
        super().__init__()
        self._gone = Leaving(request)
        bearer = verified_of(request)
        if bearer is None:
            raise LookupError("nobody was identified")
        self._bearer = bearer
        self._principal = principal
        self._streams = streams
        self._told = told
        self._session = session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        events = EventStream(send)
        with self._streams.open(self._principal, self._bearer) as stream, self._gone.telling(stream.end):
            if self._session is not None:
                self._session.listen(stream)
            try:
                await self._streams.look(stream)  # what changes from here on is told
                await (events.event(self._told.first) if self._told.first is not None else events.alive())
                await self._tell(stream, events)
            finally:
                if self._session is not None:
                    self._session.listened(stream)
        if self._told.last is None:
            await events.end()
        else:
            await events.event(await self._told.last(), last=True)

    async def _tell(self, stream: Stream, events: EventStream) -> None:
        """Until there is nobody left to tell."""
        while (seconds := min(ALIVE_EVERY, self._streams.seconds_left(stream))) > 0:
            changed = await stream.changed(seconds)
            if stream.over or (not changed and await self._gone()):
                return
            if changed and self._told.changed is not None:
                await events.event(self._told.changed)
            else:
                await events.alive()


def _notification(what: str, params: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    message = {"jsonrpc": "2.0", "method": f"notifications/{what}"}
    return message if params is None else {**message, "params": params}


def _changed(meta: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    return _notification("tools/list_changed", None if meta is None else {"_meta": meta})
