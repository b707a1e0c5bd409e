"""Children that serve HTTP, as the demo's upstream and the benchmark's services are."""

import asyncio
import contextlib
import os
import signal
import socket
import sys

import pytest

from cli.children import ended, start_listening, start_python

SERVING = (
    "import os, time; print('listening on http://127.0.0.1:' + os.environ['PORT'] + '/', flush=True); time.sleep(60)"
)


async def test_a_child_is_ready_when_it_names_its_url_and_ends_with_its_context() -> None:
    async with contextlib.AsyncExitStack() as stack:
        child = await start_python(stack, "-c", SERVING, env={"PORT": "8081"})
        assert child is not None
        assert child.url == "http://127.0.0.1:8081"
        os.kill(child.pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


async def test_a_child_that_ends_without_a_url_is_none() -> None:
    async with contextlib.AsyncExitStack() as stack:
        assert await start_python(stack, "-c", "print('port taken')") is None


async def test_a_child_that_does_not_get_ready_is_none_and_ended() -> None:
    async with contextlib.AsyncExitStack() as stack:
        assert await start_python(stack, "-c", "import time; time.sleep(60)", ready_within=0.2) is None
        async with asyncio.timeout(10):
            await stack.aclose()


async def test_whoever_connects_before_a_child_serves_waits_for_it() -> None:
    serving = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).accept()[0].sendall(b'served')"
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(30):
        await start_listening(stack, listener, "-c", serving)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b"served"
        writer.close()
        await stack.aclose()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_child_that_ignores_sigterm_is_killed() -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", deaf, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        await process.stdout.readline()
        assert await ended(process, seconds=0.2) == -signal.SIGKILL
        assert await ended(process) == -signal.SIGKILL  # again is no error


PARENT = """
import asyncio, sys
from cli.children import tied

async def main():
    await asyncio.create_subprocess_exec(*tied(sys.executable, "-c", "print(flush=True); input()"), stdin=-1)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
async def test_a_tied_child_does_not_outlive_its_killed_parent() -> None:
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert parent.stdout is not None
    async with asyncio.timeout(20):
        await parent.stdout.readline()  # the child runs
        parent.kill()
        assert await parent.stdout.read() == b""  # the end of it: the child held the pipe too
        await parent.wait()
