"""The door itself: who asks and what, checked before the SDK gets a message without arguments."""

import asyncio
import hashlib
from collections.abc import MutableMapping
from typing import Any

from fastapi import APIRouter, Request, Response
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from callgate.http import json_response, straight, unauthenticated
from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Unauthenticated
from callgate.ingress_settings import IngressSettings
from callgate.settings import Settings
from contracts.functions import Catalog
from contracts.identity import Principal
from services.ingress.doors import FrontDesk
from services.ingress.headers import traceparent_of
from services.ingress.intake import caller, in_thread_if_long, json_body
from services.ingress.mcp.address import METADATA, PATH, Address
from services.ingress.mcp.asked import Asked, put
from services.ingress.mcp.listing import ToolList
from services.ingress.mcp.messages import SESSION_HEADER, BadMessage, Message, check_mirrored, read_message
from services.ingress.mcp.server import McpServer, build_server
from services.ingress.mcp.waits import Waits
from services.ingress.permitted import Permitted

_GRACE = 3.0
"""Seconds for answers to get out, once whoever waited was let go."""
_SESSION_ID = "mcp-session-id"
_VERSION = "mcp-protocol-version"


def mcp_door(
    desk: FrontDesk, authenticator: Authenticator, catalog: Catalog, permitted: Permitted, settings: Settings
) -> "McpDoor":
    """The door of a deployment; `permitted` tells who is shown which tools."""
    own = settings.ingress.mcp
    issuers = [issuer.issuer for issuer in settings.identity.issuers]
    tools, waits = ToolList(catalog, permitted), Waits(desk)
    server = build_server(desk, waits, tools, own.hold)
    address = Address(own, settings.public_url, settings.listen, issuers)
    return McpDoor(server, tools, waits, authenticator, address, settings.ingress)


class McpDoor:
    """Run `keep` beside the routes of `router`; `stop` ends it."""

    def __init__(
        self,
        server: McpServer,
        tools: ToolList,
        waits: Waits,
        authenticator: Authenticator,
        address: Address,
        settings: IngressSettings,
    ) -> None:
        self._tools = tools
        self._waits = waits
        self._authenticator = authenticator
        self._address = address
        self._settings = settings
        self._manager = StreamableHTTPSessionManager(
            server,
            session_idle_timeout=settings.mcp.session_idle,
            max_request_body_size=settings.body_limit,
            max_sessions=settings.mcp.sessions,
        )
        self._stopping = asyncio.Event()

    async def keep(self) -> None:
        """The sessions, until `stop`: whoever waits is answered first."""
        async with self._manager.run():
            await self._stopping.wait()
            await self._waits.drained(_GRACE)
            await asyncio.sleep(0.1)  # what was answered is on its way through the SDK's streams
        await asyncio.Event().wait()

    def stop(self) -> None:
        self._stopping.set()

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)

        @router.post(PATH)
        @straight
        async def post(request: Request) -> Response:
            self._address.check(request.headers)
            principal = await self._caller(request)
            body = await json_body(request, self._settings.body_limit)
            try:
                message = await in_thread_if_long(len(body), lambda: self._read(request.headers, body))
            except BadMessage as bad:
                return json_response(bad.document, 400)
            return self._handed(request, principal, message)

        @router.get(PATH)
        @router.delete(PATH)
        @straight
        async def session(request: Request) -> Response:
            """The stream of a session (GET), and its end (DELETE)."""
            self._address.check(request.headers)
            _own(request.scope, await self._caller(request))
            return _Handed(self._manager.handle_request, request.receive)

        @router.get(METADATA)
        @router.get(METADATA + PATH)
        @straight
        async def metadata(request: Request) -> Response:
            self._address.check(request.headers)
            # Nobody's secret: a page that is to sign its user in asks here first.
            headers = {"Access-Control-Allow-Origin": "*", "Cache-Control": "max-age=300"}
            return json_response(self._address.metadata(request.headers), headers=headers)

        return router

    def _read(self, headers: Headers, body: bytes) -> Message:
        message = read_message(body, self._settings.depth_limit, headers.get(SESSION_HEADER))
        name = message.params.get("name")
        function = self._tools.tools.by_name.get(name) if isinstance(name, str) else None
        if function is not None and message.method == "tools/call" and not _has_sessions(headers):
            check_mirrored(message, function.spec.input, headers)
        return message

    def _handed(self, request: Request, principal: Principal, message: Message) -> Response:
        """The SDK's answer to a message; a tool call's arguments reach our handler beside the SDK."""
        headers = request.headers
        mcp_session = headers.get(_SESSION_ID) if _has_sessions(headers) else None
        key = None
        if mcp_session is not None:
            if message.cancelled is not None:
                self._waits.withdraw((mcp_session, message.cancelled), principal)
            key = (mcp_session, str(message.request_id))
        session = message.session or _session_of(mcp_session, headers.get("authorization", ""))
        trace = traceparent_of(headers.getlist("traceparent"))
        _own(request.scope, principal)
        put(request.scope, Asked(principal, message.arguments, session, trace, key))
        return _Handed(self._manager.handle_request, _replayed(message.text, request.receive))

    async def _caller(self, request: Request) -> Principal:
        """Who asks; whoever is nobody is told where tokens come from."""
        try:
            return await caller(request, self._authenticator)
        except Unauthenticated as error:
            problem = unauthenticated(error)
            if problem.status == 401:
                problem.headers["WWW-Authenticate"] = self._address.challenge(error, request.headers)
            raise problem from None


class _Handed(Response):
    """A response that an ASGI application gives; `receive` gives it the request's body."""

    def __init__(self, application: ASGIApp, receive: Receive) -> None:
        super().__init__()
        self._application = application
        self._receive = receive

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive  # what it has of the body is read
        await self._application(scope, self._receive, send)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A body that was read already, followed by what else comes: that the client is gone."""
    unread = True

    async def replay() -> MutableMapping[str, Any]:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay


def _own(scope: Scope, principal: Principal) -> None:
    """Binds an MCP session to the principal that began it: the SDK compares, and answers others that there is none."""
    scope["user"] = AuthenticatedUser(AccessToken(token="", client_id=principal.session_owner, scopes=[]))


def _has_sessions(headers: Headers) -> bool:
    """Whether a request is of the protocols before 2026-07-28; the first of a session names none."""
    return headers.get(_VERSION, LATEST_HANDSHAKE_VERSION) in HANDSHAKE_PROTOCOL_VERSIONS


def _session_of(mcp_session: str | None, authorization: str) -> str:
    """The name of the Callgate session of an agent run that names none.

    One MCP session is one run. Without sessions nothing tells two runs of a client apart but the token that it got for
    itself, so all calls under one token are one session: a new one begins when the token is renewed.
    """
    kind, secret = ("mcp", mcp_session) if mcp_session is not None else ("token", authorization)
    return f"{kind}.{hashlib.sha256(secret.encode()).hexdigest()[:32]}"
