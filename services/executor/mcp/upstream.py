"""One MCP server as the executor reaches it: a session that is kept, opened anew where it broke."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import httpx2
from mcp import MCPError
from mcp.client._transport import Transport
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, PARSE_ERROR
from pydantic import ValidationError

from contracts.functions import McpConnection, ToolSpec
from contracts.model import JsonValue
from contracts.tools import RESULT_TYPE, ToolDefinition, function_names
from services.executor.mcp.definitions import BadTool, definition_of
from services.executor.mcp.results import BadResult, failure_body, result_body
from services.executor.mcp.session import Session, SessionOver
from services.executor.mcp.stdio import stdio
from services.executor.mcp.wire import SENDING, Sending, Wire, http_client
from services.executor.outcomes import Attempt, Completed, NotSent, NotSentCode, Outcome, Unknown

logger = logging.getLogger("services.executor")

OK: Final = 200
FAILED: Final = 500
"""MCP's results have no status: this one stands for `isError`, and for a server's own error."""
REFUSED: Final = 400
_REFUSALS: Final = frozenset({INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND})
_OPEN_SECONDS: Final = 30.0


class Unreachable(Exception):
    """No session could be opened; nothing was sent. `code` says why."""

    def __init__(self, code: NotSentCode) -> None:
        super().__init__(code)
        self.code: NotSentCode = code


class Upstream:
    """`changed` is set whenever the server's tools may be others than those found last."""

    def __init__(
        self,
        name: str,
        connection: McpConnection,
        environ: Mapping[str, str],
        transports: Callable[[], httpx2.AsyncBaseTransport],
    ) -> None:
        self.name = name
        self.connection = connection
        self.changed = asyncio.Event()
        self._environ = environ
        self._transports = transports
        self._session: Session | None = None
        self._opening = asyncio.Lock()

    async def look(self) -> dict[str, ToolDefinition]:
        """Function → definition, of every tool that can be one. Unreachable; MCPError, ValidationError."""
        async with asyncio.timeout(min(self.connection.timeout, _OPEN_SECONDS)):
            session, fresh = await self._ready()
            return fresh if fresh is not None else await self._listed(session)

    async def call(self, spec: ToolSpec, arguments: Mapping[str, JsonValue], attempt: Attempt) -> Outcome:
        """Calls the tool once. Nothing is sent where the server describes it otherwise than was judged."""
        if not attempt.deadline_seconds > 0:
            return NotSent("deadline_passed")
        started, sending = time.perf_counter(), Sending()
        try:
            async with asyncio.timeout(attempt.deadline_seconds):
                raw = await self._sent(spec, arguments, attempt, sending)
            body, failed = result_body(raw, self.connection.binary)
        except Unreachable as unreachable:
            return NotSent(unreachable.code)
        except TimeoutError:
            return Unknown("timeout") if sending.sent else NotSent(sending.unsent or "connect_timeout")
        except MCPError as error:
            return self._failed(error, sending, started)
        except BadResult as bad:
            if bad.code == "malformed":
                return Unknown("protocol_error")
            text = "The tool asks for more than its arguments, which Callgate has nobody to ask for."
            return _completed(FAILED, failure_body(text), started)
        except ValidationError:
            return Unknown("protocol_error")
        if len(body) > self.connection.response_limit:
            return Completed(OK, RESULT_TYPE, b"", True, _ms(started))
        return _completed(FAILED if failed else OK, body, started)

    async def drop(self) -> None:
        """Ends the session, if there is one; the next use opens another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _sent(
        self, spec: ToolSpec, arguments: Mapping[str, JsonValue], attempt: Attempt, sending: Sending
    ) -> dict[str, Any]:
        for last in (False, True):
            try:
                session, _ = await self._ready()
                self._require_unchanged(session, spec)
                sending.sent = self.connection.command is not None  # a pipe tells nobody how far it got
                token = SENDING.set(sending)
                try:
                    return await session.call(spec.tool, arguments, attempt.call_id, attempt.traceparent)
                finally:
                    SENDING.reset(token)
            except SessionOver:
                sending.sent = False
                if last:
                    raise Unreachable("server_unavailable") from None
            except MCPError:
                # The specification: a session that the server knows no more is begun anew, and the request sent again.
                if last or not sending.session_gone:
                    raise
                sending.sent = sending.session_gone = False
            await self.drop()
        raise AssertionError("unreachable")

    def _require_unchanged(self, session: Session, spec: ToolSpec) -> None:
        listed = session.definitions.get(spec.tool)
        if listed != spec.definition:
            self.changed.set()
            raise Unreachable("function_gone" if listed is None else "function_changed")

    def _failed(self, error: MCPError, sending: Sending, started: float) -> Outcome:
        """What an error of the SDK's is: the server's own answer, or that there was none."""
        if sending.unsent is not None:
            return NotSent(sending.unsent)
        if sending.too_large:
            return Completed(OK, RESULT_TYPE, b"", True, _ms(started))
        if sending.failure is not None:
            return Unknown(sending.failure)
        status = sending.status
        if status is not None and status >= 300:
            self.changed.set()  # perhaps the session is no good any more: looking tells
            return _completed(status, failure_body(_told(error, status)), started)
        if error.code == CONNECTION_CLOSED:
            return Unknown("disconnected")
        if error.code == PARSE_ERROR or status == 202:
            return Unknown("protocol_error")
        refused = REFUSED if error.code in _REFUSALS else FAILED
        return _completed(refused, failure_body(_told(error, None)), started)

    async def _ready(self) -> tuple[Session, dict[str, ToolDefinition] | None]:
        """A session whose tools are listed, and the list where it was made now. Unreachable."""
        async with self._opening:
            if self._session is not None and not self._session.is_over:
                return self._session, None
            await self.drop()
            handshake = Sending()
            session = Session(self._open, self.connection.protocol, self.changed.set, handshake)
            try:
                async with asyncio.timeout(min(self.connection.timeout, _OPEN_SECONDS)):
                    await session.ready()
                    listed = await self._listed(session)
            except (SessionOver, MCPError, ValidationError, TimeoutError):
                await session.close()
                raise Unreachable(handshake.unsent or "server_unavailable") from None
            except BaseException:
                await asyncio.shield(session.close())
                raise
            self._session = session
            return session, listed

    async def _listed(self, session: Session) -> dict[str, ToolDefinition]:
        tools = {tool.name: tool for tool in await session.tools()}
        found: dict[str, ToolDefinition] = {}
        names = function_names(self.connection, tools)
        for name, tool in tools.items():
            try:
                if name not in names:
                    raise BadTool("name_taken")
                found[names[name]] = definition_of(tool, self.name, self.connection)
            except BadTool as bad:
                logger.warning("a tool is no function", extra={"connection": self.name, "code": bad.code})
        session.definitions = {one.tool: one.digest for one in found.values()}
        return found

    @contextlib.asynccontextmanager
    async def _open(self, session: Session) -> AsyncIterator[Transport]:
        connection, limit = self.connection, self.connection.response_limit
        if connection.url is not None:
            wire = Wire(self._transports(), connection.credential, self._environ, limit)
            async with http_client(wire, connection.timeout) as client:
                yield streamable_http_client(connection.url, http_client=client, max_sse_event_size=2 * limit)
            return
        assert connection.command is not None  # noqa: S101
        environment = {name: self._environ[name] for name in connection.env if name in self._environ}
        yield stdio((connection.command, *connection.args), environment, 2 * limit, session.end)


def _told(error: MCPError, status: int | None) -> str:
    """The server's own words, which are masked like any result; the SDK's stand for an answer without any."""
    if status is not None and error.message in ("Server returned an error response", "Not Found", "Session terminated"):
        return f"The MCP server answered with HTTP status {status}."
    return error.message or f"The MCP server answered with error {error.code}."


def _completed(status: int, body: bytes, started: float) -> Completed:
    return Completed(status, RESULT_TYPE, body, False, _ms(started))


def _ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
