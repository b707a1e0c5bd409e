"""Children that serve HTTP, as the demo's upstream and the benchmark's services are."""

import contextlib
import os

import pytest

from cli.children import start_python

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
