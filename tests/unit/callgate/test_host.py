import asyncio
import contextlib

import pytest

from callgate.errors import ConfigurationError
from callgate.host import _ended, bind, url_of


def test_a_port_that_is_taken_names_the_setting_to_change() -> None:
    with contextlib.closing(bind("127.0.0.1:0")) as first:
        taken = f"127.0.0.1:{first.getsockname()[1]}"
        with pytest.raises(ConfigurationError) as refused:
            bind(taken, "development.issuer")
    assert refused.value.detail == (
        f"cannot listen on {taken}: something listens there already (another Callgate?); "
        "set development.issuer to a free host:port"
    )


@pytest.mark.parametrize(("listen", "says"), [("127.0.0.1:80x", "must be host:port"), ("192.0.2.1:0", "no such")])
def test_an_address_that_cannot_be_is_refused(listen: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        bind(listen)


@pytest.mark.parametrize(("listen", "begins"), [("127.0.0.1:0", "http://127.0.0.1:"), ("[::1]:0", "http://[::1]:")])
def test_an_address_that_is_listened_to_is_one_to_go_to(listen: str, begins: str) -> None:
    with contextlib.closing(bind(listen)) as listener:
        assert url_of(listener) == f"{begins}{listener.getsockname()[1]}"


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
