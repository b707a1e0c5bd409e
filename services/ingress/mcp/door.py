"""The door itself: who asks and what, checked before the SDK's kernel gets a message without arguments."""

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from mcp import MCPError
from mcp.server.connection import Connection
from mcp.server.streamable_http import check_accept_headers
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
    unsupported_protocol_version_rejection,
)
from mcp_types import HEADER_MISMATCH
from mcp_types.methods import validate_client_request
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION
from pydantic import ValidationError
from starlette.datastructures import Headers

from callgate.errors import CallgateError
from callgate.http import Problem, json_response, straight, unauthenticated
from callgate.identity.authenticator import Authenticator
from callgate.identity.errors import Unauthenticated
from callgate.ingress_settings import IngressSettings
from callgate.settings import Settings
from contracts.functions import Catalog
from contracts.identity import Principal
from contracts.subjects import CallRef
from services.ingress.doors import FrontDesk
from services.ingress.headers import KEY_HEADER, SESSION_HEADER, traceparent_of
from services.ingress.intake import caller, in_thread_if_long, json_body
from services.ingress.leaving import Leaving
from services.ingress.mcp.address import METADATA, PATH, Address
from services.ingress.mcp.asked import Asked
from services.ingress.mcp.exchange import answered, refused
from services.ingress.mcp.listening import LISTEN, Listeners, require_stream
from services.ingress.mcp.listing import ToolList
from services.ingress.mcp.messages import BadMessage, Message, read_message
from services.ingress.mcp.reply import Progress, Reply, Watched
from services.ingress.mcp.results import is_withdrawn
from services.ingress.mcp.server import McpServer, build_server
from services.ingress.mcp.sessions import Session, Sessions, TooManySessions
from services.ingress.mcp.tasks import speaks_tasks
from services.ingress.mcp.toolcalls import ToolCalls
from services.ingress.permitted import Permitted

_SESSION_ID = "mcp-session-id"
_VERSION = "mcp-protocol-version"
_TAKEN_BACK = MCPError(-32800, "The request was taken back, and its call withdrawn before it began.")
"""The code is what the SDK answers with to a request of 2025-11-25 that its client took back."""


def mcp_door(
    desk: FrontDesk,
    authenticator: Authenticator,
    catalog: Catalog,
    permitted: Permitted,
    listeners: Listeners,
    settings: Settings,
) -> APIRouter:
    """The routes of the door; `permitted` tells who is shown which tools."""
    own = settings.ingress.mcp
    issuers = [issuer.issuer for issuer in settings.identity.issuers]
    tools = ToolList(catalog, permitted)
    address = Address(own, settings.public_url, settings.listen, issuers)
    sessions = Sessions(own.sessions, own.session_idle)
    calls = ToolCalls(desk, tools, own.hold)
    server = build_server(desk, tools)
    return McpDoor(desk, server, tools, calls, sessions, listeners, authenticator, address, settings.ingress).router()


class McpDoor:
    """Streamable HTTP, for both generations of the protocol."""

    def __init__(
        self,
        desk: FrontDesk,
        server: McpServer,
        tools: ToolList,
        calls: ToolCalls,
        sessions: Sessions,
        listeners: Listeners,
        authenticator: Authenticator,
        address: Address,
        settings: IngressSettings,
    ) -> None:
        self._desk = desk
        self._server = server
        self._tools = tools
        self._calls = calls
        self._sessions = sessions
        self._listeners = listeners
        self._authenticator = authenticator
        self._address = address
        self._settings = settings

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)

        @router.post(PATH)
        @straight
        async def post(request: Request) -> Response:
            self._address.check(request.headers)
            principal = await self._caller(request)
            takes_json, takes_stream = check_accept_headers(request)
            if not takes_json:
                raise Problem(406, "not_acceptable", "Send `Accept: application/json, text/event-stream`.")
            body = await json_body(request, self._settings.body_limit)
            try:
                message = await in_thread_if_long(len(body), lambda: self._read(request.headers, body))
                if _has_sessions(request.headers):
                    return await self._in_session(request, principal, message, takes_stream)
                return self._without_session(request, principal, message, takes_stream)
            except BadMessage as bad:
                return json_response(bad.document, 400)

        @router.get(PATH)
        @straight
        async def listen(request: Request) -> Response:
            """Of a session: a stream of what is no answer to a request."""
            self._address.check(request.headers)
            if not _has_sessions(request.headers):
                raise Problem(405, "method_not_allowed", f"Clients of this protocol send {LISTEN}.", {"Allow": "POST"})
            principal = await self._caller(request)
            session = self._session(request.headers, principal)
            require_stream(takes_stream=check_accept_headers(request)[1])
            return self._listeners.of_session(request, principal, session)

        @router.delete(PATH)
        @straight
        async def end(request: Request) -> Response:
            """The end of a session."""
            self._address.check(request.headers)
            self._sessions.end(self._session(request.headers, await self._caller(request)))
            return Response(status_code=200)

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
        def mirrored(tool: str) -> Mapping[str, Any] | None:
            function = self._tools.tools.by_name.get(tool)
            return function.spec.input if function is not None and not _has_sessions(headers) else None

        return read_message(body, self._settings.depth_limit, headers, mirrored)

    async def _in_session(
        self, request: Request, principal: Principal, message: Message, takes_stream: bool
    ) -> Response:
        """A message of the protocols up to 2025-11-25."""
        if message.method == "initialize" and message.request_id is not None:
            return await self._handshake(request, principal, message)
        session = self._session(request.headers, principal)
        if message.request_id is None:
            if message.cancelled is not None:
                await self._withdraw(session, message.cancelled, principal)
            return Response(status_code=202)
        return self._request(request, principal, session, message, message.request_id, takes_stream)

    def _request(
        self,
        request: Request,
        principal: Principal,
        session: Session,
        message: Message,
        request_id: str | int,
        takes_stream: bool,
    ) -> Response:
        """A request of a session, whose call can be taken back while it waits."""
        began: CallRef | None = None

        def begun(ref: CallRef) -> None:
            nonlocal began
            began = session.calls[request_id] = ref

        asked = self._asked(request.headers, principal, message, f"mcp {session.id}")
        asked.begun = begun

        async def work(progress: Progress) -> tuple[int, Mapping[str, Any]]:
            taken_back = False
            try:
                document = await self._answered(request, asked, message, progress, lambda: session.connection)
            finally:
                if began is not None:
                    taken_back = session.answer(request_id, began)
            # The call's own outcome decides: it may have begun, or ended, before it could be withdrawn.
            withdrawn = taken_back and is_withdrawn(asked.result)
            return 200, refused(request_id, _TAKEN_BACK) if withdrawn else document

        return Reply(work, message.progress_token if takes_stream else None)

    async def _handshake(self, request: Request, principal: Principal, message: Message) -> Response:
        session = self._sessions.new(principal.session_owner)
        asked = self._asked(request.headers, principal, message, f"mcp {session.id}")
        document = await self._dispatched(session.connection, asked, message)
        if "error" in document:
            return json_response(document)
        try:
            self._sessions.open(session)
        except TooManySessions:
            raise Problem(
                503, "too_many_sessions", "Too many sessions are open; try again.", {"Retry-After": "30"}
            ) from None
        return json_response(document, headers={"Mcp-Session-Id": session.id, "Cache-Control": "no-store"})

    def _without_session(
        self, request: Request, principal: Principal, message: Message, takes_stream: bool
    ) -> Response:
        """A message of 2026-07-28: all that it rests on stands in itself and its headers."""
        headers = request.headers
        if message.request_id is None:
            # Nothing to act on: closing the stream is how a client of this generation takes a request back.
            unsupported = unsupported_protocol_version_rejection(headers.get(_VERSION, ""))
            return Response(status_code=202) if unsupported is None else _rejected(unsupported, None)
        doubled = find_duplicated_routing_header(headers.items())
        if doubled is not None:
            raise BadMessage(HEADER_MISMATCH, f"{doubled} header appears more than once", message.request_id)
        envelope = {"method": message.method, "params": message.params}
        route = classify_inbound_request(envelope, headers=dict(headers))
        if isinstance(route, InboundLadderRejection):
            return _rejected(route, message.request_id)

        def connection() -> Connection:
            return Connection.from_envelope(route.protocol_version, route.client_info, route.client_capabilities)

        asked = self._asked(headers, principal, message, f"token {headers.get('authorization', '')}")
        if message.method == LISTEN:
            require_stream(takes_stream=takes_stream)
            return self._listeners.of_request(
                request, principal, message, lambda: self._dispatched(connection(), asked, message)
            )

        async def work(progress: Progress) -> tuple[int, Mapping[str, Any]]:
            document = await self._answered(request, asked, message, progress, connection)
            return _status(document), document

        return Reply(work, message.progress_token if takes_stream else None)

    async def _answered(
        self,
        request: Request,
        asked: Asked,
        message: Message,
        progress: Progress,
        connection: Callable[[], Connection],
    ) -> Mapping[str, Any]:
        """The response to a request. A tool call is validated, then waited for, and only then given to the kernel,
        which shapes its result; meanwhile nothing is kept of the connection, which can be had again."""
        if message.method == "tools/call":
            try:
                as_task = _checked(connection(), message)
                gone = Watched(request, progress) if progress.wanted else Leaving(request)
                asked.result = await self._calls.run(asked, message.params["name"], progress, gone, as_task=as_task)
            except (MCPError, ValidationError) as error:
                return refused(message.request_id, error)
        return await self._dispatched(connection(), asked, message)

    async def _dispatched(self, connection: Connection, asked: Asked, message: Message) -> Mapping[str, Any]:
        assert message.request_id is not None  # noqa: S101  # a notification has no response
        return await answered(self._server, connection, asked, message.request_id, message.method, dict(message.params))

    async def _withdraw(self, session: Session, request_id: str | int, principal: Principal) -> None:
        """Withdraws the call of a request that its client takes back, where it stands and has not begun: then the
        request is answered by that."""
        ref = session.take_back(request_id)
        if ref is not None:
            with contextlib.suppress(Problem, CallgateError):  # it has begun, or nobody can tell now: it goes on
                await self._desk.cancel(principal, str(ref))

    def _session(self, headers: Headers, principal: Principal) -> Session:
        """Problem 400, or 404, on which clients begin another session."""
        session_id = headers.get(_SESSION_ID)
        if session_id is None:
            raise Problem(400, "no_session", "Send `initialize` first, then its `Mcp-Session-Id` with every request.")
        session = self._sessions.get(session_id, principal.session_owner)
        if session is None:
            raise Problem(404, "unknown_session", "There is no such session of yours; begin one with `initialize`.")
        return session

    def _asked(self, headers: Headers, principal: Principal, message: Message, run: str) -> Asked:
        """`run` tells one agent run from another where the client names no session."""
        session = message.session(headers.get(SESSION_HEADER))
        keys = message.keys(headers.getlist(KEY_HEADER))
        trace = traceparent_of(headers.getlist("traceparent"))
        return Asked(principal, headers, session, _session_of(run), keys, message.arguments, trace)

    async def _caller(self, request: Request) -> Principal:
        """Who asks; whoever is nobody is told where tokens come from."""
        try:
            return await caller(request, self._authenticator)
        except Unauthenticated as error:
            problem = unauthenticated(error)
            if problem.status == 401:
                problem.headers["WWW-Authenticate"] = self._address.challenge(error, request.headers)
            raise problem from None


def _checked(connection: Connection, message: Message) -> bool:
    """Whether the client of a tool call takes a task for an answer. ValidationError for what is no tool call."""
    version = connection.protocol_version
    validate_client_request(message.method, version, dict(message.params))
    return speaks_tasks(connection.client_capabilities, version)


def _has_sessions(headers: Headers) -> bool:
    """Whether a request is of the protocols before 2026-07-28; the first of a session names none."""
    return headers.get(_VERSION, LATEST_HANDSHAKE_VERSION) in HANDSHAKE_PROTOCOL_VERSIONS


def _session_of(run: str) -> str:
    """The name of the Callgate session of an agent run that names none.

    One MCP session is one run. Without sessions nothing tells two runs of a client apart but the token that it got for
    itself, so all calls under one token are one session: a new one begins when the token is renewed.
    """
    return f"{run.partition(' ')[0]}.{hashlib.sha256(run.encode()).hexdigest()[:32]}"


def _rejected(rejection: InboundLadderRejection, request_id: str | int | None) -> Response:
    document = refused(request_id, MCPError(rejection.code, rejection.message, rejection.data))
    return json_response(document, _status(document))


def _status(document: Mapping[str, Any]) -> int:
    """The HTTP status of a response of 2026-07-28, which says of some errors what they are."""
    code = document.get("error", {}).get("code")
    return ERROR_CODE_HTTP_STATUS.get(code, 200) if code is not None else 200
