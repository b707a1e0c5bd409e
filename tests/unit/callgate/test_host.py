import asyncio
import contextlib

from callgate.host import _ended


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = asyncio.Event()

    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        swallowed.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)  # it has begun to wait
    async with asyncio.timeout(10):
        await _ended([task])
    assert swallowed.is_set()
    assert task.cancelled()
