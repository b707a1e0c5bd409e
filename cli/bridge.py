"""`callgate mcp`: MCP over standard input and output for clients that speak nothing else, passed on to Callgate's /mcp.

Thin: a message goes on as the bytes that came, and comes back as the bytes that were sent. The bridge adds who asks,
which agent run it is, and the headers of Streamable HTTP; it finds its way back after Callgate was away.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from mcp.shared.inbound import NAME_BEARING_METHODS, encode_header_value, mcp_param_headers, x_mcp_header_map
from mcp_types import PROTOCOL_VERSION_META_KEY

from callgate.errors import CallgateError

logger = logging.getLogger("cli.bridge")

GIVE_UP_AFTER = 30.0
"""Seconds for which a Callgate that cannot be reached is tried again."""
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
_UNREACHABLE, _LOST, _REFUSED = -32001, -32002, -32003
_TASK_METHODS = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})
_SAFE_AGAIN = frozenset({"initialize", "ping", "tools/list", "server/discover", "tasks/get"})
"""What may be sent once more though it may have arrived: it changes nothing."""


class Lost(Exception):
    """The connection ended after the message was sent, or the answer is none: nobody knows what became of it."""


class Unreachable(Exception):
    """Nobody answers at the address; nothing was sent."""


@dataclass(frozen=True, slots=True)
class Line:
    """A message of the client, with what its headers are made of."""

    text: bytes
    method: str
    request_id: str | int | None
    params: Mapping[str, Any]

    @property
    def version(self) -> str | None:
        """The protocol that a message of 2026-07-28 or later names; None before."""
        meta = self.params.get("_meta")
        named = meta.get(PROTOCOL_VERSION_META_KEY) if isinstance(meta, dict) else None
        return named if isinstance(named, str) else None


class Bridge:
    """`read_token` is asked at every message: short-lived tokens are written anew while we run."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        read_token: Callable[[], str],
        session: str,
        write: Callable[[bytes], None],
    ) -> None:
        self._http = http
        self._url = url
        self._read_token = read_token
        self._session = session
        self._write = write
        self._greeting: Line | None = None
        """The client's `initialize`, to be said again where Callgate has forgotten the session."""
        self._mcp_session: str | None = None
        self._protocol: str | None = None
        self._greeting_again = asyncio.Lock()
        self._mirrored: dict[str, Mapping[str, Any]] = {}
        """Input schemas of tools that want arguments in headers."""

    async def serve(self, lines: AsyncIterator[bytes], linger: float = 10.0) -> None:
        """Passes on every line until there are no more; then waits for what is under way, and ends the session."""
        tasks: set[asyncio.Task[None]] = set()
        async for text in lines:
            line = parsed(text)
            if line is None:
                self._write(_error(None, -32700, "This is no JSON-RPC message on one line."))
                continue
            task = asyncio.create_task(self._pass_on(line))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            if line.method == "initialize":
                await asyncio.wait((task,))  # what follows belongs to the session that this begins
        if tasks:
            await asyncio.wait(tasks, timeout=linger)
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._end()

    async def _pass_on(self, line: Line) -> None:
        """Sends a message and writes what comes back; a request always gets an answer."""
        try:
            await self._sent(line, again=True)
        except Unreachable:
            self._refuse(line, _UNREACHABLE, f"Callgate cannot be reached at {self._url}; nothing was sent.")
        except Lost:
            self._refuse(
                line,
                _LOST,
                "The answer was lost: the connection to Callgate ended before it, or what came was none. A tool call "
                "may have been recorded, and may go on: do not make it again before you know.",
            )
        except CallgateError as error:
            self._refuse(line, _REFUSED, error.detail)  # of reading the token

    def _refuse(self, line: Line, code: int, message: str) -> None:
        logger.warning("a message could not be passed on", extra={"method": line.method, "code": code})
        if line.request_id is not None:
            self._write(_error(line.request_id, code, message))

    async def _sent(self, line: Line, *, again: bool) -> None:
        token = self._read_token()
        session = self._mcp_session
        try:
            async with self._posted(line, token) as response:
                if response.status == 401 and again and self._read_token() != token:
                    pass  # a new token was written meanwhile
                elif response.status == 404 and session is not None and again and line.version is None:
                    await self._greet_again(session)
                else:
                    await self._answered(line, response)
                    return
        except Lost:
            if not again or line.method not in _SAFE_AGAIN:
                raise
        await self._sent(line, again=False)

    @contextlib.asynccontextmanager
    async def _posted(self, line: Line, token: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a message. Tries again while nobody can be reached. Unreachable, Lost."""
        until = asyncio.get_running_loop().time() + GIVE_UP_AFTER
        pauses = iter(_PAUSES)
        while True:
            posting = self._http.post(self._url, data=line.text, headers=self._headers(line, token))
            try:
                response = await posting
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
                if asyncio.get_running_loop().time() > until:
                    raise Unreachable from None
                await asyncio.sleep(next(pauses, _PAUSES[-1]))
                continue
            except (aiohttp.ClientError, TimeoutError):
                raise Lost from None
            break
        async with response:
            try:
                yield response
            except (aiohttp.ClientError, TimeoutError):
                raise Lost from None

    def _headers(self, line: Line, token: str) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Callgate-Session": self._session,
        }
        if line.version is None:
            greets = line.method == "initialize"
            headers |= {"Mcp-Session-Id": self._mcp_session} if self._mcp_session and not greets else {}
            headers |= {"MCP-Protocol-Version": self._protocol} if self._protocol and not greets else {}
            return headers
        headers |= {"MCP-Protocol-Version": line.version, "Mcp-Method": line.method}
        key = "taskId" if line.method in _TASK_METHODS else NAME_BEARING_METHODS.get(line.method)
        name = line.params.get(key) if key else None
        if isinstance(name, str):
            headers["Mcp-Name"] = encode_header_value(name)
            schema, arguments = self._mirrored.get(name), line.params.get("arguments")
            if schema is not None and isinstance(arguments, dict):
                headers |= mcp_param_headers(x_mcp_header_map(schema), arguments)
        return headers

    async def _answered(self, line: Line, response: aiohttp.ClientResponse, *, silent: bool = False) -> None:
        """Writes every message of a response, and learns from it. Lost where it ends before the answer."""
        kind = response.content_type
        answered = False
        if kind == "text/event-stream":
            async for text in _events(response):
                answered |= self._passed_back(line, text, silent)
        elif kind == "application/json" and (body := await response.read()):
            answered = self._passed_back(line, body, silent)
        elif line.request_id is not None and not silent:
            self._refuse(line, _REFUSED, await _refusal(response))
            answered = True
        if line.request_id is not None and not answered:
            raise Lost
        if line.method == "initialize" and response.status == 200:
            self._greeting, self._mcp_session = line, response.headers.get("Mcp-Session-Id")

    def _passed_back(self, line: Line, text: bytes, silent: bool) -> bool:
        """Whether this message of Callgate's was the answer. Lost for what is no message."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise Lost from None
        if not isinstance(message, dict):
            raise Lost
        is_answer = "result" in message or "error" in message
        if is_answer and message.get("id") is None and line.request_id is not None:
            text = json.dumps({**message, "id": line.request_id}).encode()  # refused before its id was read
        if is_answer:
            self._learn(line, message.get("result"))
        if not silent:
            self._write(text)
        return is_answer

    def _learn(self, line: Line, result: Any) -> None:
        if line.method == "initialize" and isinstance(result, dict):
            self._protocol = result.get("protocolVersion")
        if line.method == "tools/list" and line.version is not None and isinstance(result, dict):
            tools = {tool["name"]: tool.get("inputSchema") or {} for tool in result.get("tools", ())}
            self._mirrored |= {name: schema for name, schema in tools.items() if x_mcp_header_map(schema)}

    async def _greet_again(self, forgotten: str) -> None:
        """Begins a session in place of one that Callgate has forgotten: it was started anew, or the session was idle
        for long. Nothing of ours hung on it but the name of the agent run, which stays."""
        async with self._greeting_again:
            if self._mcp_session != forgotten or self._greeting is None:
                return
            logger.info("Callgate has forgotten the session; beginning another")
            token = self._read_token()
            async with self._posted(self._greeting, token) as response:
                await self._answered(self._greeting, response, silent=True)
            ready = parsed(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')
            assert ready is not None
            async with self._posted(ready, token) as response:
                await response.read()

    async def _end(self) -> None:
        if self._mcp_session is None:
            return
        headers = {"Authorization": f"Bearer {self._read_token()}", "Mcp-Session-Id": self._mcp_session}
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._http.delete(self._url, headers=headers, timeout=aiohttp.ClientTimeout(total=2)):
                pass


def parsed(text: bytes) -> Line | None:
    """The message of a line; None for what is none."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict):
        return None
    params, request_id = message.get("params"), message.get("id")
    known = isinstance(request_id, str | int) and not isinstance(request_id, bool)
    return Line(
        text.strip(),
        str(message.get("method", "")),
        request_id if known and "method" in message else None,
        params if isinstance(params, dict) else {},
    )


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The data of a stream of events (WHATWG HTML, section 9.2), comments and empty events left out."""
    data: list[bytes] = []
    async for line in _lines(response.content):
        stripped = line.rstrip(b"\r")
        if stripped.startswith(b"data:"):
            data.append(stripped[5:].removeprefix(b" "))
        elif not stripped and data:
            text, data = b"\n".join(data), []
            if text.strip():
                yield text


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Without the limit of the library's own reading by lines: a result may be many megabytes long."""
    parts: list[bytes] = []
    async for chunk in content.iter_any():
        first, *more = chunk.split(b"\n")
        parts.append(first)
        for line in more:
            yield b"".join(parts)
            parts = [line]


async def _refusal(response: aiohttp.ClientResponse) -> str:
    """What a problem document says, in one line."""
    try:
        problem = json.loads(await response.read())
        return f"Callgate answered {response.status}: {problem['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"Callgate answered {response.status}."


def _error(request_id: str | int | None, code: int, message: str) -> bytes:
    error = {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}
    return json.dumps(error, ensure_ascii=False).encode()
