"""The limit of the log's store on a real server: every service's account sees it, and ingress stops before it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from broker_fixtures import connected, passwords

from callgate.broker_config import nats_config
from callgate.provision import provision
from cli.embedded import find_nats_server
from contracts.identity import Role
from services.ingress.disk import Disk, share_used

LIMIT = 4_000_000


@contextlib.asynccontextmanager
async def broker_with(folder: Path, users: Mapping[Role, str], max_store: int | None) -> AsyncIterator[str]:
    """A nats-server somewhere else, as `provision --nats-config` has it; its URL."""
    (folder / "nats.conf").write_text(nats_config(users, port=-1, store_dir=str(folder), max_store=max_store))
    command = [str(find_nats_server()), "-c", str(folder / "nats.conf")]
    server = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert server.stderr is not None
    url = ""
    try:
        async with asyncio.timeout(30):
            async for line in server.stderr:
                if b"Listening for client connections on" in line:
                    url = "nats://" + line.decode().split()[-1].replace("0.0.0.0", "127.0.0.1")
                if b"Server is ready" in line:
                    break
        yield url
    finally:
        server.terminate()
        await server.communicate()


@pytest.mark.parametrize(("max_store", "share"), [(None, None), (LIMIT, 0.0)])
async def test_the_account_of_every_service_sees_the_limit_of_the_log(
    tmp_path: Path, max_store: int | None, share: float | None
) -> None:
    users = passwords()
    async with broker_with(tmp_path, users, max_store) as url:
        for role in Role:
            async with connected(url, role, users) as user:
                answer = json.loads((await user.nc.request("$JS.API.INFO", b"")).data)
            assert share_used(answer) == share


async def test_ingress_stops_before_the_broker_does(tmp_path: Path) -> None:
    users = passwords()
    async with broker_with(tmp_path, users, LIMIT) as url:
        async with connected(url, Role.PROVISIONER, users) as provisioner:
            await provision(provisioner.nc)
        async with connected(url, Role.INGRESS, users) as ingress:
            disk = Disk(ingress.nc, 0.9, None)
            said: list[str | None] = []
            while "log_full" not in said:
                await ingress.nc.jetstream().publish(f"payloads.p{len(said)}", b"x" * 100_000)
                await disk.look()
                said.append(disk.problem)
            assert set(said) == {None, "log_full"}
            assert 0.85 * LIMIT < len(said) * 100_000 < LIMIT
            # What has begun can still be recorded.
            await ingress.nc.jetstream().publish("calls.1-0.s.c.requested", b"x" * 100_000)
