"""A process that was told to stop ends, whatever in it does not."""

import asyncio
import os
import signal
import sys

import pytest

STUCK = """
import asyncio, sys, threading
from cli.running import run, until_signalled

async def serve():
    loop = asyncio.get_running_loop()
    if sys.argv[1] == "thread":
        loop.run_in_executor(None, threading.Event().wait)
    loop.call_soon(lambda: print("ready", flush=True))  # once the signals are waited for
    try:
        return await until_signalled(loop.create_future(), stop_within=0.5)
    finally:
        if sys.argv[1] == "task":
            await asyncio.Event().wait()
        if sys.argv[1] == "loop":
            threading.Event().wait()

run(serve())
"""


async def stopped(how: str) -> tuple[int, str]:
    """Exit code and complaints of a process with something in it that does not end, after SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STUCK, how),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGTERM)
            _, complaints = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
        code = await process.wait()
    return code, complaints.decode()


@pytest.mark.parametrize("how", ["task", "loop", "thread"])
async def test_what_does_not_stop_is_left_behind_and_said(how: str) -> None:
    code, complaints = await stopped(how)
    assert code == 1
    assert "not everything stopped within" in complaints


async def test_an_orderly_stop_says_nothing() -> None:
    assert await stopped("not at all") == (0, "")
