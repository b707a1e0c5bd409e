"""A service that stops while the broker is away leaves nothing behind that would keep the process from ending."""

import asyncio
from pathlib import Path

from deployment import running_deployment

from contracts.identity import Role


async def test_a_platform_closed_while_the_broker_is_away_stops_looking_for_it(tmp_path: Path) -> None:
    async with running_deployment(tmp_path) as here:
        before = asyncio.all_tasks()
        async with here.platform(Role.INGRESS) as platform:
            client = platform.client
            await here.broker.stop()
            async with asyncio.timeout(10):
                while not client.is_reconnecting:  # noqa: ASYNC110  # nats-py tells nobody when it begins
                    await asyncio.sleep(0)
        assert client.is_closed
        left = asyncio.all_tasks() - before
        if left:
            _, left = await asyncio.wait(left, timeout=5)
        assert not left
