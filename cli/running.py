"""How a command's coroutine is run."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

import typer
import uvloop

from callgate.errors import CallgateError
from cli import output


def run(work: Coroutine[Any, Any, int]) -> None:
    """Runs a command's coroutine on uvloop and exits with what it returns."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(work)
    if code:
        raise typer.Exit(code)


async def until_signalled(failed: asyncio.Future[BaseException]) -> int:
    """Waits for Ctrl-C or SIGTERM (0), or for a fatal error (1)."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    ends: set[asyncio.Future[Any]] = {asyncio.create_task(stop.wait()), failed}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    if failed.done():
        error = failed.result()
        output.error(error.detail if isinstance(error, CallgateError) and error.detail else type(error).__name__)
        return 1
    return 0
