"""`callgate mcp`: MCP over standard input and output for clients that speak nothing else, passed on to Callgate's /mcp.

Thin: a message goes on as the bytes that came, and comes back as the bytes that were sent. The bridge adds who asks,
which agent run it is, and the headers of Streamable HTTP; it finds its way back after Callgate was away.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any

import aiohttp
from mcp.shared.inbound import NAME_BEARING_METHODS, encode_header_value, mcp_param_headers, x_mcp_header_map

from callgate.errors import CallgateError
from callgate.ids import uuid7
from cli.bridge_messages import Line, error, events, parsed, refusal

logger = logging.getLogger("cli.bridge")

GIVE_UP_AFTER = 30.0
"""Seconds for which a Callgate that cannot be reached is tried again."""
_PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
_UNREACHABLE, _LOST, _REFUSED = -32001, -32002, -32003
_TASK_METHODS = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})
_SAFE_AGAIN = frozenset({"initialize", "ping", "tools/list", "server/discover", "tasks/get", "tools/call"})
"""What may be sent once more though it may have arrived: it changes nothing, or under its key it is the same call."""
_LISTENS = "subscriptions/listen"
_LISTEN_AGAIN = 2.0, 30.0
"""Seconds after which a stream that ended is opened again, and at most: twice as many each time that none opens."""
_CHANGED = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'


class Lost(Exception):
    """The connection ended after the message was sent, or the answer is none: nobody knows what became of it."""


class Unreachable(Exception):
    """Nobody answers at the address; nothing was sent."""


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
        self._listening: dict[str | int | None, asyncio.Task[None]] = {}
        """What tells the client of changes, by the id of its request; None for that of its session."""
        self._mirrored: dict[str, Mapping[str, Any]] = {}
        """Input schemas of tools that want arguments in headers."""

    async def serve(self, lines: AsyncIterator[bytes], linger: float = 10.0) -> None:
        """Passes on every line until there are no more; then waits for what is under way, and ends the session."""
        tasks: set[asyncio.Task[None]] = set()
        async for text in lines:
            line = parsed(text)
            if line is None:
                self._write(error(None, -32700, "This is no JSON-RPC message on one line."))
                continue
            if line.method == "tools/call":
                line = replace(line, key=uuid7())
            task = asyncio.create_task(self._pass_on(line))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            if line.method == "initialize":
                await asyncio.wait((task,))  # what follows belongs to the session that this begins
            self._keep_listening(line, task)
        for listening in self._listening.values():
            listening.cancel()  # it would never be over
        if tasks:
            await asyncio.wait(tasks, timeout=linger)
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, *self._listening.values(), return_exceptions=True)
        await self._end()

    def _keep_listening(self, line: Line, task: asyncio.Task[None]) -> None:
        """Begins and ends what tells the client of changes: by its own request, or from its handshake on."""
        if line.method == _LISTENS and line.request_id is not None:
            self._listening[line.request_id] = task
            task.add_done_callback(lambda _: self._listening.pop(line.request_id, None))
        elif line.method == "notifications/initialized" and None not in self._listening:
            self._listening[None] = asyncio.create_task(self._listen())
        elif line.takes_back is not None and line.takes_back in self._listening:
            self._listening[line.takes_back].cancel()

    async def _listen(self) -> None:
        """Passes on what Callgate tells of itself in a session. Between two streams the tools may have changed."""
        missed, pause = False, _LISTEN_AGAIN[0]
        while True:
            session = self._mcp_session
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, CallgateError, Lost, Unreachable):
                headers = {**self._own_headers(self._read_token()), "Accept": "text/event-stream"}
                async with self._http.get(self._url, headers=headers) as response:
                    if response.status == 404 and session is not None:
                        await self._greet_again(session)
                    elif response.status in (400, 405, 406):
                        return  # a Callgate, or what is before it, that has no such stream
                    elif response.status == 200:
                        if missed:
                            self._write(_CHANGED)
                        missed, pause = True, _LISTEN_AGAIN[0]
                        async for text in events(response):
                            self._write(text)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LISTEN_AGAIN[1])

    async def _pass_on(self, line: Line) -> None:
        """Sends a message and writes what comes back; a request always gets an answer."""
        try:
            await self._sent(line)
        except Unreachable:
            self._refuse(line, _UNREACHABLE, f"Callgate cannot be reached at {self._url}; nothing was sent.")
        except Lost:
            self._refuse(
                line,
                _LOST,
                "The answer was lost: the connection to Callgate ended before it, or what came was none. A tool call "
                "may have been recorded, and may go on: do not make it again before you know.",
            )
        except CallgateError as refused:
            self._refuse(line, _REFUSED, refused.detail)  # of reading the token

    def _refuse(self, line: Line, code: int, message: str) -> None:
        logger.warning("a message could not be passed on", extra={"method": line.method, "code": code})
        if line.request_id is not None:
            self._write(error(line.request_id, code, message))

    async def _sent(self, line: Line) -> None:
        """Each way back is tried once: a newer token, another session, the same again after a lost answer."""
        tried: set[str] = set()
        while True:
            token, session = self._read_token(), self._mcp_session
            try:
                async with self._posted(line, token) as response:
                    if response.status == 401 and "token" not in tried and self._read_token() != token:
                        tried.add("token")
                    elif response.status == 404 and session and "session" not in tried and line.version is None:
                        tried.add("session")
                        await self._greet_again(session)
                    else:
                        await self._answered(line, response)
                        return
            except Unreachable:
                if "again" in tried:
                    raise Lost from None  # it was sent before
                raise
            except Lost:
                if "again" in tried or line.method not in _SAFE_AGAIN:
                    raise
                tried.add("again")

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

    def _own_headers(self, token: str) -> dict[str, str]:
        """Who asks, in which run, and in the session that is open, if any."""
        headers = {"Authorization": f"Bearer {token}", "Callgate-Session": self._session}
        headers |= {"Mcp-Session-Id": self._mcp_session} if self._mcp_session else {}
        return headers | ({"MCP-Protocol-Version": self._protocol} if self._protocol else {})

    def _headers(self, line: Line, token: str) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        headers |= {"Idempotency-Key": line.key} if line.key else {}
        if line.version is None and line.method != "initialize":
            return headers | self._own_headers(token)
        headers |= {"Authorization": f"Bearer {token}", "Callgate-Session": self._session}
        if line.version is None:
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
            async for text in events(response):
                answered |= self._passed_back(line, text, silent)
        elif kind == "application/json" and (body := await response.read()):
            answered = self._passed_back(line, body, silent)
        elif line.request_id is not None and not silent:
            self._refuse(line, _REFUSED, await refusal(response))
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
