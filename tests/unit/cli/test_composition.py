"""What becomes of a deployment whose embedded broker dies."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from callgate.errors import Fatal
from cli.composition import keep_running
from cli.embedded import BrokerError


class Broker:
    """Dies at once, whenever it runs, and starts again as `starts` says, one word for each try."""

    def __init__(self, *starts: bool) -> None:
        self.folder = SimpleNamespace(log=Path("broker/nats-server.log"))
        self.tries = 0
        self.running_at_last = asyncio.Event()
        self._starts = list(starts)

    async def watch(self) -> int:
        if self.tries and not self._starts:
            self.running_at_last.set()
            await asyncio.Event().wait()
        return -9

    async def restart(self) -> None:
        self.tries += 1
        if not self._starts.pop(0):
            raise BrokerError("broker_did_not_start", "nats-server ended")


def unfailed() -> asyncio.Future[BaseException]:
    return asyncio.get_running_loop().create_future()


async def test_a_broker_that_does_not_start_again_fails_the_deployment() -> None:
    broker: Any = Broker(False, False, False)
    failed = unfailed()
    async with asyncio.timeout(10):
        await keep_running(broker, failed, pauses=(0, 0))
    error = failed.result()
    assert isinstance(error, Fatal)
    assert (error.code, broker.tries) == ("broker_ended", 3)
    assert "broker/nats-server.log" in error.detail
    assert "start Callgate again" in error.detail


async def test_a_broker_that_starts_at_a_further_try_is_watched_on() -> None:
    broker: Any = Broker(False, True, False, True)
    failed = unfailed()
    task = asyncio.create_task(keep_running(broker, failed, pauses=(0, 0)))
    async with asyncio.timeout(10):
        await broker.running_at_last.wait()
    assert (broker.tries, failed.done()) == (4, False)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_error_that_stands_already_is_kept() -> None:
    broker: Any = Broker(False)
    failed = unfailed()
    failed.set_result(Fatal("ring_older"))
    await keep_running(broker, failed, pauses=())
    assert broker.tries == 0
