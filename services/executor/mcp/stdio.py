"""An MCP server as a child process that speaks over its standard streams.

Unlike the SDK's own transport, it gives the child no variable that is not named, and no line may be longer than the
limit: a server that never ends its line would fill our memory.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

logger = logging.getLogger("services.executor")

_GRACE = 2.0
"""Seconds for the server to end after its input was closed, and again after SIGTERM."""

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]


@contextlib.asynccontextmanager
async def stdio(
    command: Sequence[str], environment: Mapping[str, str], limit: int, ended: Callable[[], None]
) -> AsyncIterator[Streams]:
    """The streams of a child, as `mcp.Client` takes them. `ended` is called once it says nothing more. OSError."""
    child = await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # it quotes whatever the server was given
        limit=limit,
        start_new_session=True,
    )
    to_us, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, from_us = anyio.create_memory_object_stream[SessionMessage](0)
    tasks = [asyncio.create_task(_read(child, to_us, ended)), asyncio.create_task(_write(child, from_us))]
    try:
        yield read, write
    finally:
        for stream in (read, write, to_us, from_us):
            stream.close()
        for task in tasks:
            task.cancel()
        await asyncio.shield(asyncio.create_task(_stop(child)))
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(
    child: asyncio.subprocess.Process, to_us: MemoryObjectSendStream[Any], ended: Callable[[], None]
) -> None:
    assert child.stdout is not None  # noqa: S101
    try:
        with to_us:
            while line := await child.stdout.readline():
                try:
                    message = SessionMessage(jsonrpc_message_adapter.validate_json(line, by_name=False))
                except ValueError:  # the text of the error quotes the line
                    logger.warning("an MCP server wrote a line that is no message")
                    continue
                await to_us.send(message)
    except ValueError:
        logger.warning("an MCP server wrote a line beyond the limit; it is stopped")
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        pass  # the session is over
    finally:
        ended()


async def _write(child: asyncio.subprocess.Process, from_us: MemoryObjectReceiveStream[SessionMessage]) -> None:
    assert child.stdin is not None  # noqa: S101
    with contextlib.suppress(OSError, anyio.ClosedResourceError), from_us:
        async for message in from_us:
            text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
            child.stdin.write(text.encode() + b"\n")
            await child.stdin.drain()


async def _stop(child: asyncio.subprocess.Process) -> None:
    """The sequence of the specification: close its input, then ask, then kill, it and what it started."""
    if child.stdin is not None:
        child.stdin.close()
    for sign in (None, signal.SIGTERM, signal.SIGKILL):
        if sign is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, sign)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(child.wait(), _GRACE)
            return
