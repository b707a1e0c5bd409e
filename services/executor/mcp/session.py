"""One session with an MCP server, over whichever transport and generation of the protocol.

The SDK wants a session entered and left by one task, so a task keeps it and calls come from others. What a server asks
of its client (to sample a model, to ask a person, for its roots) the SDK refuses, since we offer nothing of it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from mcp import Client
from mcp.client._transport import Transport
from mcp_types import (
    CallToolRequest,
    CallToolRequestParams,
    Implementation,
    PaginatedRequestParams,
    Tool,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import TypeAdapter

from callgate.telemetry import describe
from contracts.model import JsonValue
from services.executor.mcp.definitions import MAX_TOOLS
from services.executor.mcp.wire import SENDING, Sending

logger = logging.getLogger("services.executor")

CALL_META: Final = "dev.callgate/call"
"""In a request's `_meta`: the id of the call, the same whenever it is sent again."""
_MODES: Final = {"auto": "auto", "2025-11-25": "legacy", "2026-07-28": "2026-07-28"}
_PAGES: Final = 64
_CLOSE_SECONDS: Final = 8.0
_RAW: Final[Any] = TypeAdapter(dict[str, Any])


class SessionOver(Exception):
    """The session ended, or never began; nothing was sent on it."""


class Session:
    """`changed` is called whenever the server says that its tools are others now."""

    def __init__(self, opening: "Opening", protocol: str, changed: Callable[[], None], sending: Sending) -> None:
        self._opening = opening
        self._mode = _MODES[protocol]
        self._changed = changed
        self._opened: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._over = asyncio.Event()
        self._sending = sending
        """What is known of the handshake."""
        self._task = asyncio.create_task(self._keep())
        self.definitions: Mapping[str, str] = {}
        """Tool → digest of its definition, as this session's server listed them last."""

    @property
    def is_over(self) -> bool:
        return self._over.is_set() or self._task.done()

    async def ready(self) -> None:
        """Waits for the handshake. SessionOver where it fails."""
        await asyncio.wait((self._opened, self._task), return_when=asyncio.FIRST_COMPLETED)
        if not self._opened.done():
            raise SessionOver

    async def tools(self) -> list[Tool]:
        """All of them, as far as our limits go. MCPError, ValidationError."""
        session, found, cursor = (await self._client()).session, [], None
        for _ in range(_PAGES):
            page = await session.list_tools(params=PaginatedRequestParams(cursor=cursor))
            found += page.tools
            cursor = page.next_cursor
            if cursor is None or len(found) > MAX_TOOLS:
                break
        return found[:MAX_TOOLS]

    async def call(
        self, tool: str, arguments: Mapping[str, JsonValue], call_id: str, traceparent: str | None
    ) -> dict[str, Any]:
        """The server's result as it came. MCPError, ValidationError; SessionOver before anything is sent."""
        meta: Any = {CALL_META: call_id} | ({"traceparent": traceparent} if traceparent is not None else {})
        request = CallToolRequest(params=CallToolRequestParams(name=tool, arguments=dict(arguments), _meta=meta))
        # Not the SDK's `call_tool`: it sends again where headers do not fit, and checks results against schemas.
        return cast(dict[str, Any], await (await self._client()).session.send_request(request, _RAW))

    async def close(self) -> None:
        self._over.set()
        done, _ = await asyncio.wait((self._task,), timeout=_CLOSE_SECONDS)
        if not done:
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=_CLOSE_SECONDS)

    def end(self) -> None:
        """Nothing more comes from the server."""
        self._over.set()

    async def _client(self) -> Client:
        if self.is_over or not self._opened.done():
            raise SessionOver
        return self._opened.result()

    async def _keep(self) -> None:
        SENDING.set(self._sending)
        try:
            async with self._opening(self) as transport, self._connected(transport) as client:
                listening = asyncio.create_task(self._listen(client))
                self._opened.set_result(client)
                try:
                    await self._over.wait()
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)
        except Exception as error:  # of the library: only where it was may be said
            logger.info("a session with an MCP server ended", extra={"error": describe(error)})
        finally:
            self._over.set()

    def _connected(self, transport: Transport) -> Client:
        return Client(
            transport,
            mode=self._mode,
            message_handler=self._heard,
            client_info=Implementation(name="callgate", version="1"),
            cache=None,
        )

    async def _heard(self, message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._changed()

    async def _listen(self, client: Client) -> None:
        """In the generation without sessions changes are told on a stream that is asked for."""
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            return
        with contextlib.suppress(Exception):  # without it we still look at intervals
            async with client.listen(tools_list_changed=True) as events:
                async for _ in events:
                    self._changed()


Opening = Callable[[Session], contextlib.AbstractAsyncContextManager[Transport]]
"""Opens the way to the server, and closes it."""
