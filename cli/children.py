"""Child processes that serve HTTP: started, ready, and ended with the context that they belong to."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Child:
    pid: int
    url: str


async def start_python(
    stack: contextlib.AsyncExitStack, *arguments: str, env: Mapping[str, str] | None = None
) -> Child | None:
    """A Python child, ready: its first line names its URL. None where it ends without. `env` is added to ours.

    Its session is its own, so that Ctrl-C in the terminal reaches this process alone, which ends its children in order.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )

    async def end() -> None:
        if process.returncode is None:
            process.terminate()
        await process.wait()

    stack.push_async_callback(end)
    assert process.stdout is not None
    _, found, rest = (await process.stdout.readline()).decode().partition("http://")
    return Child(process.pid, f"http://{rest.split()[0].rstrip('/')}") if found else None
