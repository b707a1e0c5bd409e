"""A real nats-server for a test: an embedded broker with one user a role, and connections as these users."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from callgate.rights import inbox_prefix
from cli.embedded import EmbeddedBroker, new_password
from contracts.identity import Role


def passwords() -> dict[Role, str]:
    return {role: new_password() for role in Role}


def header(message: Msg, name: str) -> str | None:
    return (message.headers or {}).get(name)


class User:
    """One role's connection, and what the broker refused it."""

    def __init__(self, nc: Client, refusals: asyncio.Queue[str]) -> None:
        self.nc = nc
        self._refusals = refusals

    async def settled(self) -> None:
        """Everything sent before has reached the server; nats-py's own `flush` sends its PING ahead of what waits."""
        await self.nc.jetstream().account_info()

    async def refused(self) -> list[str]:
        """Every violation of what was sent so far: the server answers a connection in order."""
        await self.settled()
        found = []
        while not self._refusals.empty():
            found.append(self._refusals.get_nowait())
        return found


@contextlib.asynccontextmanager
async def connected(url: str, role: Role, users: Mapping[Role, str]) -> AsyncIterator[User]:
    refusals: asyncio.Queue[str] = asyncio.Queue()

    async def on_error(error: Exception) -> None:
        refusals.put_nowait(str(error))

    nc = await nats.connect(
        url, user=role.value, password=users[role], inbox_prefix=inbox_prefix(role).encode(), error_cb=on_error
    )
    try:
        yield User(nc, refusals)
    finally:
        await nc.close()


@contextlib.asynccontextmanager
async def running_broker(folder: Path, users: Mapping[Role, str]) -> AsyncIterator[EmbeddedBroker]:
    async with EmbeddedBroker(folder, passwords=users) as broker:
        yield broker
