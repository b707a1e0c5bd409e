"""The embedded broker: its data survives every death, its folder has one owner, its timers fire."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from broker_fixtures import connected, header, passwords, running_broker

from callgate.provision import provision
from cli.embedded import BrokerError, EmbeddedBroker, find_nats_server, new_password
from cli.state_folder import StateFolder, StateFolderError, parse_version
from contracts.identity import Role

# An owner to be killed: starts the broker, records one call, says where it is, and waits for ever.
OWNER = """
import asyncio, json, sys
from pathlib import Path
import nats
from callgate.provision import provision
from callgate.rights import inbox_prefix
from cli.embedded import EmbeddedBroker
from contracts.identity import Role

async def main():
    users = {Role(name): word for name, word in json.loads(sys.argv[2]).items()}
    async with EmbeddedBroker(Path(sys.argv[1]), passwords=users) as broker:
        async def user(role):
            return await nats.connect(
                broker.url, user=role.value, password=users[role], inbox_prefix=inbox_prefix(role).encode()
            )
        await provision(await user(Role.PROVISIONER))
        await (await user(Role.INGRESS)).jetstream().publish("calls.1-0.s.c.requested", b"before the kill")
        print(json.dumps({"server": broker.pid, "url": broker.url}), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def owner(folder: Path, users: dict[Role, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Another process that owns the folder, and the pid of its server."""
    words = json.dumps({role.value: word for role, word in users.items()})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, str(folder), words),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = await process.stdout.readline()
        yield process, json.loads(line)["server"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def recorded(broker: EmbeddedBroker, users: dict[Role, str]) -> bytes:
    async with connected(broker.url, Role.EXECUTOR, users) as user:
        return (await user.nc.jetstream().get_msg("CALLS_1_0", seq=1)).data or b""


async def test_kill_9_of_the_owner_loses_nothing(tmp_path: Path) -> None:
    users = passwords()
    async with owner(tmp_path / "b", users) as (process, _):
        process.kill()
        await process.wait()
        async with running_broker(tmp_path / "b", users) as broker:
            assert await recorded(broker, users) == b"before the kill"
            async with connected(broker.url, Role.PROVISIONER, users) as user:
                assert (await provision(user.nc)).created == []


async def test_a_server_left_by_a_killed_owner_is_ended_and_its_data_kept(tmp_path: Path) -> None:
    """As where the system cannot tie a child to its parent: the server runs on, without an owner."""
    users = passwords()
    folder = StateFolder(tmp_path / "b")
    async with running_broker(folder.root, users) as broker:
        async with connected(broker.url, Role.PROVISIONER, users) as user:
            await provision(user.nc)
        async with connected(broker.url, Role.INGRESS, users) as user:
            await user.nc.jetstream().publish("calls.1-0.s.c.requested", b"kept")
    command = (str(find_nats_server()), "-c", str(folder.config), "-P", str(folder.pid))
    orphan = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    try:
        assert orphan.stderr is not None
        async with asyncio.timeout(30):
            while b"Server is ready" not in await orphan.stderr.readline():
                assert not orphan.stderr.at_eof()
        assert folder.orphan() == orphan.pid
        async with running_broker(folder.root, users) as broker:
            async with asyncio.timeout(10):
                await orphan.wait()
            assert await recorded(broker, users) == b"kept"
    finally:
        if orphan.returncode is None:
            orphan.kill()
        await orphan.wait()


async def test_a_stale_pid_file_harms_nobody(tmp_path: Path) -> None:
    users = passwords()
    async with running_broker(tmp_path / "b", users):
        pass
    bystander = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=asyncio.subprocess.PIPE)
    try:
        StateFolder(tmp_path / "b").pid.write_text(str(bystander.pid))
        async with running_broker(tmp_path / "b", users):
            assert bystander.returncode is None
            os.kill(bystander.pid, 0)
    finally:
        bystander.kill()
        await bystander.wait()


async def test_a_second_owner_is_refused_and_told_who_owns_it(tmp_path: Path) -> None:
    users = passwords()
    async with owner(tmp_path / "b", users) as (process, server):
        with pytest.raises(StateFolderError, match=f"in use by process {process.pid}"):
            await EmbeddedBroker(tmp_path / "b", passwords=users).start()
        os.kill(server, 0)
    async with running_broker(tmp_path / "b", users) as broker:
        assert await recorded(broker, users) == b"before the kill"


async def test_two_brokers_take_two_free_ports(tmp_path: Path) -> None:
    users = passwords()
    async with running_broker(tmp_path / "a", users) as one, running_broker(tmp_path / "b", users) as other:
        assert one.url != other.url
        assert not one.url.endswith(":0")


async def test_a_crash_is_noticed_and_the_broker_restarts_on_its_port(tmp_path: Path) -> None:
    users = passwords()
    async with running_broker(tmp_path / "b", users) as broker:
        async with connected(broker.url, Role.PROVISIONER, users) as user:
            await provision(user.nc)
        async with connected(broker.url, Role.INGRESS, users) as user:
            await user.nc.jetstream().publish("calls.1-0.s.c.requested", b"synced")
        url, pid = broker.url, broker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(10):
            assert await broker.watch() == -signal.SIGKILL
        assert broker.pid is None
        await broker.restart()
        assert broker.url == url
        assert not broker.died.is_set()
        assert await recorded(broker, users) == b"synced"


async def test_a_clean_stop_is_no_death(tmp_path: Path) -> None:
    async with running_broker(tmp_path / "b", passwords()) as broker:
        pid = broker.pid
    assert pid is not None
    assert not broker.died.is_set()
    assert broker.exit_code == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(BrokerError):
        await broker.restart()


async def test_a_port_in_use_is_said_and_the_folder_given_up(tmp_path: Path) -> None:
    users = passwords()
    async with running_broker(tmp_path / "a", users) as broker:
        port = int(broker.url.rpartition(":")[2])
        with pytest.raises(BrokerError, match="address already in use"):
            await EmbeddedBroker(tmp_path / "b", passwords=users, port=port).start()
        async with running_broker(tmp_path / "b", users):
            pass


async def test_only_the_owner_reads_the_configuration(tmp_path: Path) -> None:
    async with running_broker(tmp_path / "b", passwords()) as broker:
        assert broker.folder.config.stat().st_mode & 0o777 == 0o600
        assert broker.folder.root.stat().st_mode & 0o777 == 0o700
        log = broker.folder.log.read_text()
    assert "Server is ready" in log


@pytest.mark.parametrize(
    ("note", "code"),
    [
        ('{"format": 2, "nats_server": "2.15.1"}', "state_folder_newer"),
        ('{"format": 1, "nats_server": "99.0.0"}', "state_folder_newer"),
        ('{"format": 1, "nats_server": "2.10.0"}', "state_folder_older"),
        ('{"format": 1}', "state_folder_unknown"),
        ("", "state_folder_unknown"),
    ],
)
async def test_another_version_s_folder_is_refused(tmp_path: Path, note: str, code: str) -> None:
    users = passwords()
    async with running_broker(tmp_path, users):
        pass
    (tmp_path / "format.json").write_text(note)
    with pytest.raises(StateFolderError) as refused:
        await EmbeddedBroker(tmp_path, passwords=users).start()
    assert refused.value.code == code
    assert (tmp_path / "format.json").read_text() == note
    assert ("callgate up --upgrade" in str(refused.value)) is (code == "state_folder_older")


async def test_an_older_folder_is_upgraded_when_asked(tmp_path: Path) -> None:
    users = passwords()
    async with running_broker(tmp_path, users):
        pass
    (tmp_path / "format.json").write_text('{"format": 1, "nats_server": "2.10.0"}')
    async with EmbeddedBroker(tmp_path, passwords=users, upgrade=True):
        pass
    assert parse_version(json.loads((tmp_path / "format.json").read_text())["nats_server"]) > (2, 10, 0)


async def test_a_due_schedule_is_delivered_to_approval(tmp_path: Path) -> None:
    users = passwords()
    async with running_broker(tmp_path / "b", users) as broker:
        async with connected(broker.url, Role.PROVISIONER, users) as user:
            await provision(user.nc)
        async with connected(broker.url, Role.APPROVAL, users) as approval:
            deliveries = await approval.nc.subscribe("deliver.approval-timers", queue="approval")
            await approval.settled()
            due = datetime.now(UTC) + timedelta(milliseconds=300)
            for name, at in (("past", due - timedelta(days=1)), ("soon", due)):
                headers = {
                    "Nats-Schedule": f"@at {at.isoformat()}",
                    "Nats-Schedule-Target": f"timers.due.expiry.{name}",
                    "Nats-Schedule-TTL": "1h",
                    "callgate-signature": "key:signature",
                }
                await approval.nc.jetstream().publish(f"timers.set.expiry.{name}", name.encode(), headers=headers)
            for name in ("past", "soon"):
                fired = await deliveries.next_msg(10)
                assert (fired.subject, fired.data) == (f"timers.due.expiry.{name}", name.encode())
                assert header(fired, "callgate-signature") == "key:signature"
                assert header(fired, "Nats-Scheduler") == f"timers.set.expiry.{name}"
                await fired.ack_sync()
            assert datetime.now(UTC) >= due
            assert await approval.refused() == []


def test_new_passwords_differ_and_suit_the_configuration() -> None:
    assert len({new_password() for _ in range(50)}) == 50
    assert all(len(new_password()) >= 43 for _ in range(5))
