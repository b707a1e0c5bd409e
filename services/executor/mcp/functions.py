"""The functions of MCP connections: run, found, and kept up with."""

import asyncio
import logging
import os
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final

from mcp import MCPError
from pydantic import ValidationError

from callgate.catalog import LiveCatalog
from callgate.errors import BrokerAway, LostRace, TooLarge
from callgate.http_mapping.received import Received
from callgate.keyring import BadSignature
from callgate.records import Records
from contracts.functions import Connection, Function, McpConnection, ToolSpec
from contracts.model import JsonValue
from contracts.records import ToolFound
from contracts.subjects import CONTROL, tool_found_subject
from contracts.tools import ToolDefinition
from services.executor.mcp.upstream import Unreachable, Upstream
from services.executor.mcp.wire import pooled
from services.executor.outcomes import Attempt, Outcome, Send

logger = logging.getLogger("services.executor")

_AGAIN: Final = 5.0
"""Seconds until the next look at a server that could not be looked at."""
_BREATH: Final = 0.5
"""Seconds between two looks, however often a server says that its tools changed."""


class McpFunctions:
    """The `Runner` of `kind: mcp`. Sessions are opened when they are first needed, and kept."""

    def __init__(
        self,
        catalog: LiveCatalog,
        records: Records,
        clock: Callable[[], datetime],
        environ: Mapping[str, str] = os.environ,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._catalog = catalog
        self._records = records
        self._clock = clock
        servers = {name: one for name, one in catalog.connections.items() if isinstance(one, McpConnection)}
        transports = pooled(tls or ssl.create_default_context())
        self._upstreams = {name: Upstream(name, one, environ, transports) for name, one in servers.items()}
        self._complaints: dict[str, str] = {}

    async def prepare(
        self,
        function: Function,
        connection: Connection,
        arguments: Mapping[str, JsonValue],
        received: Received | None = None,  # noqa: ARG002  # of what came through the proxy to an HTTP connection
    ) -> Send:
        """Nothing can fail here: what a server says, it says when it is asked."""
        spec, upstream = function.spec, self._upstreams[function.connection]
        if not isinstance(connection, McpConnection) or not isinstance(spec, ToolSpec):
            raise TypeError("not an MCP connection")

        async def send(attempt: Attempt) -> Outcome:
            return await upstream.call(spec, arguments, attempt)

        return send

    async def follow(self) -> None:
        """Looks at every server at intervals, and whenever one says that its tools changed, for ever."""
        async with asyncio.TaskGroup() as group:
            for upstream in self._upstreams.values():
                group.create_task(self._keep_looking(upstream))
            await asyncio.Event().wait()

    async def close(self) -> None:
        await asyncio.gather(*(upstream.drop() for upstream in self._upstreams.values()))

    async def _keep_looking(self, upstream: Upstream) -> None:
        refresh = upstream.connection.refresh
        while True:
            looked = await self._look(upstream)
            await asyncio.sleep(min(_BREATH, refresh))
            try:
                async with asyncio.timeout(refresh if looked else min(_AGAIN, refresh)):
                    await upstream.changed.wait()
            except TimeoutError:
                continue

    async def _look(self, upstream: Upstream) -> bool:
        """Whether the server was seen, and what was seen is recorded."""
        upstream.changed.clear()
        code = "mcp_error"
        try:
            found = await upstream.look()
            await self._record(upstream.name, found)
            if self._complaints.pop(upstream.name, None):
                logger.info("an MCP server's tools are known again", extra={"connection": upstream.name})
            return True
        except (BrokerAway, LostRace):
            logger.warning("the tools of an MCP server wait to be recorded", extra={"connection": upstream.name})
            return False
        except Unreachable as unreachable:
            code = unreachable.code
        except (MCPError, ValidationError, TimeoutError):
            await upstream.drop()
        if self._complaints.get(upstream.name) != code:
            self._complaints[upstream.name] = code
            extra = {"connection": upstream.name, "code": code}
            logger.warning("an MCP server cannot be asked for its tools; those known stay", extra=extra)
        return False

    async def _record(self, connection: str, found: Mapping[str, ToolDefinition]) -> None:
        """Records what differs from what stands on CONTROL. BrokerAway; LostRace where another replica was faster."""
        await self._catalog.refresh()
        known = {short: state for (name, short), state in self._catalog.states.items() if name == connection}
        changes: dict[str, ToolDefinition | None] = {
            short: definition
            for short, definition in found.items()
            if short not in known or known[short].found != definition
        }
        changes |= {short: None for short, state in known.items() if state.found is not None and short not in found}
        for short, definition in changes.items():
            data = ToolFound(connection=connection, function=short, definition=definition)
            try:
                await self._records.publish(
                    tool_found_subject(connection, short), data, self._clock(), await self._last(connection, short)
                )
            except TooLarge:
                logger.warning("a tool's definition is too large", extra={"connection": connection, "function": short})
        if changes:
            logger.info("tools found", extra={"connection": connection, "changed": len(changes), "tools": len(found)})
            await self._catalog.refresh()

    async def _last(self, connection: str, short: str) -> int | None:
        try:
            standing = await self._records.last(CONTROL, tool_found_subject(connection, short))
        except BadSignature as bad:
            logger.error("an alien record stands on CONTROL", extra={"connection": connection, "code": bad.code})
            return None
        return standing.sequence if standing is not None else 0
