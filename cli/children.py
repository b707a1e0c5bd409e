"""Child processes: tied to this one, and, where they serve HTTP, started, ready, and ended with their context."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

logger = logging.getLogger("cli.children")

READY_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0
# Where the system can (Linux: PR_SET_PDEATHSIG, which survives exec) the child is killed when its parent dies. A
# program of its own, since code between fork and exec may deadlock in a process with threads.
_LAUNCH = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the owner is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class Child:
    pid: int
    url: str


def tied(*command: str) -> tuple[str, ...]:
    """The command that runs this one as a child that does not outlive us. The program is named by its path."""
    return (sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *command)


async def ended(process: asyncio.subprocess.Process, seconds: float = STOP_TIMEOUT) -> int:
    """SIGTERM, and SIGKILL for one that has not ended after so many seconds; its exit code."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(seconds):
                return await process.wait()
        except TimeoutError:
            logger.error("a child does not end; killing it", extra={"pid": process.pid, "seconds": seconds})
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    return await process.wait()


async def start_python(
    stack: contextlib.AsyncExitStack,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    ready_within: float = READY_TIMEOUT,
) -> Child | None:
    """A Python child, ready: its first line names its URL. None where it ends, or the time does, without.

    `env` is added to ours. Its session is its own, so that Ctrl-C in the terminal reaches this process alone, which
    ends its children in order.
    """
    process = await asyncio.create_subprocess_exec(
        *tied(sys.executable, *arguments),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )
    stack.push_async_callback(ended, process)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(ready_within):
            line = await process.stdout.readline()
    except TimeoutError:
        return None
    _, found, rest = line.decode().partition("http://")
    return Child(process.pid, f"http://{rest.split()[0].rstrip('/')}") if found else None


async def start_listening(stack: contextlib.AsyncExitStack, listener: socket.socket, *arguments: str) -> None:
    """A Python child that serves on a socket which listens already: its number is the last argument. Nobody waits for
    the child, since whoever connects before it is ready waits in the socket's queue."""
    with listener:
        process = await asyncio.create_subprocess_exec(
            *tied(sys.executable, *arguments, str(listener.fileno())),
            pass_fds=(listener.fileno(),),
            stdout=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
    stack.push_async_callback(ended, process)
