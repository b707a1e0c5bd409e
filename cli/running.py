"""How a command's coroutine is run."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import typer
import uvloop


def run(work: Coroutine[Any, Any, int]) -> None:
    """Runs a command's coroutine on uvloop and exits with what it returns."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(work)
    if code:
        raise typer.Exit(code)
