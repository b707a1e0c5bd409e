"""How a command's coroutine is run, and ended."""

import asyncio
import os
import signal
import threading
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


STOP_SECONDS = 30.0
"""After which a process that was told to stop ends, whatever has not: longer than each part of an orderly stop."""


async def until_signalled(failed: asyncio.Future[BaseException], stop_within: float = STOP_SECONDS) -> int:
    """Waits for Ctrl-C or SIGTERM (0), or for a fatal error (1). From then on the process has so many seconds left."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    ends: set[asyncio.Future[Any]] = {asyncio.create_task(stop.wait()), failed}
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    end_within(stop_within)
    if failed.done():
        error = failed.result()
        output.error(error.detail if isinstance(error, CallgateError) and error.detail else type(error).__name__)
        return 1
    return 0


def end_within(seconds: float) -> None:
    """Ends the process from a thread of its own: neither a stuck event loop nor a stuck worker thread keeps it up."""

    def give_up() -> None:
        output.error(f"not everything stopped within {seconds:.0f} s; ending now. What was acknowledged is on the log")
        os._exit(1)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
