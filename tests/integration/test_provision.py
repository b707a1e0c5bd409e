"""`provision` against a real broker: idempotent, never silent, never destructive."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from broker_fixtures import User, connected, passwords, running_broker

from callgate.broker_config import Cluster, nats_config
from callgate.provision import ProvisionError, provision
from callgate.streams import consumers, streams
from cli.embedded import find_nats_server, new_password
from contracts.identity import Role

EVERYTHING = {spec.name for spec in streams()} | {f"{spec.stream}/{spec.durable}" for spec in consumers()}


@pytest.fixture
async def provisioner(tmp_path: Path) -> AsyncIterator[User]:
    users = passwords()
    async with (
        running_broker(tmp_path / "broker", users) as broker,
        connected(broker.url, Role.PROVISIONER, users) as user,
    ):
        yield user


async def test_creates_everything_once(provisioner: User) -> None:
    first = await provision(provisioner.nc)
    assert set(first.created) == EVERYTHING
    second = await provision(provisioner.nc)
    assert set(second.unchanged) == EVERYTHING
    assert (second.created, second.updated, second.differs) == ([], [], [])


async def test_two_provisioners_at_once_agree(provisioner: User) -> None:
    await asyncio.gather(provision(provisioner.nc), provision(provisioner.nc))
    assert set((await provision(provisioner.nc)).unchanged) == EVERYTHING


async def test_resumes_after_an_interrupted_run(provisioner: User) -> None:
    await provisioner.nc.jetstream().add_stream(streams()[0].config)
    report = await provision(provisioner.nc)
    assert report.complete
    assert report.unchanged == ["CONTROL"]
    assert set(report.created) == EVERYTHING - {"CONTROL"}


async def test_safe_changes_wait_for_upgrade(provisioner: User) -> None:
    await provision(provisioner.nc)
    report = await provision(provisioner.nc, ack_wait=5.0, max_ack_pending={"executor": 8})
    assert not report.complete
    assert not report.updated
    assert "CALLS_1_0/executor: max_ack_pending is 64, the table says 8" in map(str, report.differs)
    before = await provisioner.nc.jetstream().consumer_info("CALLS_1_0", "executor")
    assert (before.config.max_ack_pending, before.config.ack_wait) == (64, 30.0)

    upgraded = await provision(provisioner.nc, ack_wait=5.0, max_ack_pending={"executor": 8}, upgrade=True)
    assert upgraded.complete
    assert "CALLS_1_0/executor" in upgraded.updated
    after = await provisioner.nc.jetstream().consumer_info("CALLS_1_0", "executor")
    assert (after.config.max_ack_pending, after.config.ack_wait) == (8, 5.0)


async def test_a_new_shard_and_a_new_epoch_wait_for_upgrade(provisioner: User) -> None:
    await provision(provisioner.nc)
    waiting = await provision(provisioner.nc, shards=2)
    assert [str(difference) for difference in waiting.differs] == ["CALLS_1_1: missing"]
    grown = await provision(provisioner.nc, shards=2, upgrade=True)
    services = ("masking", "policy", "approval", "approval-notices", "executor")
    assert set(grown.created) == {"CALLS_1_1", *(f"CALLS_1_1/{service}" for service in services)}
    next_epoch = await provision(provisioner.nc, epoch=2, upgrade=True)
    assert "CALLS_2_0" in next_epoch.created
    with pytest.raises(ProvisionError, match="CALLS_1_1: not in the table"):
        await provision(provisioner.nc, shards=1, upgrade=True)


async def test_a_lost_stream_is_not_replaced_in_silence(provisioner: User) -> None:
    await provision(provisioner.nc)
    await provisioner.nc.jetstream().delete_stream("CONTROL")
    assert [str(difference) for difference in (await provision(provisioner.nc)).differs] == ["CONTROL: missing"]


async def test_an_unsafe_difference_is_named_and_nothing_is_written(provisioner: User) -> None:
    calls = next(spec for spec in streams() if spec.name == "CALLS_1_0")
    await provisioner.nc.jetstream().add_stream(calls.config, max_age=3600)
    with pytest.raises(ProvisionError, match="CALLS_1_0: max_age is 3600000000000, the table says null"):
        await provision(provisioner.nc, upgrade=True)
    assert [info.config.name for info in await provisioner.nc.jetstream().streams_info()] == ["CALLS_1_0"]


async def test_calls_refuse_deletion_even_by_the_provisioner(provisioner: User) -> None:
    await provision(provisioner.nc)
    for subject, body in (
        ("$JS.API.STREAM.PURGE.CALLS_1_0", b""),
        ("$JS.API.STREAM.MSG.DELETE.CALLS_1_0", json.dumps({"seq": 1}).encode()),
    ):
        answer = json.loads((await provisioner.nc.request(subject, body)).data)
        assert "error" in answer


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@contextlib.asynccontextmanager
async def three_nodes(folder: Path, users: dict[Role, str]) -> AsyncIterator[list[str]]:
    """The client addresses of three servers that have elected the leader of their metadata."""
    clients, routes = free_ports(3), free_ports(3)
    secret = new_password()
    async with contextlib.AsyncExitStack() as stack:
        nodes = []
        for index in range(3):
            others = [f"nats://route:{secret}@127.0.0.1:{port}" for port in routes if port != routes[index]]
            node = Cluster(f"n{index}", "callgate", routes[index], others, secret)
            config = folder / f"n{index}.conf"
            store = str(folder / f"n{index}")
            config.write_text(nats_config(users, port=clients[index], store_dir=store, cluster=node))
            nodes.append(await stack.enter_async_context(server(config)))
        async with asyncio.timeout(60):
            await asyncio.gather(*(node.wait() for node in nodes))
        yield [f"nats://127.0.0.1:{port}" for port in clients]


@contextlib.asynccontextmanager
async def server(config: Path) -> AsyncIterator[asyncio.Event]:
    """A nats-server, and the event that its log names a metadata leader."""
    command = (str(find_nats_server()), "-c", str(config))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    elected = asyncio.Event()

    async def read_log() -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            if b"metadata leader" in line:
                elected.set()

    reading = asyncio.create_task(read_log())
    try:
        yield elected
    finally:
        process.terminate()
        await process.wait()
        await reading


@pytest.mark.cluster
async def test_a_cluster_delivers_across_nodes_and_accounts(tmp_path: Path) -> None:
    users = passwords()
    async with three_nodes(tmp_path, users) as urls:
        async with connected(urls[0], Role.PROVISIONER, users) as provisioner:
            await provision(provisioner.nc, replicas=3)
        async with (
            connected(urls[0], Role.INGRESS, users) as ingress,
            connected(urls[1], Role.MASKING, users) as masking,
            connected(urls[2], Role.AUDIT, users) as audit,
        ):
            live = await audit.nc.subscribe("live.calls.>")
            deliveries = await masking.nc.subscribe("deliver.masking", queue="masking")
            await audit.settled()
            await masking.settled()
            acknowledged = await ingress.nc.jetstream().publish("calls.1-0.s.c.requested", b"body")
            assert acknowledged.stream == "CALLS_1_0"
            delivery = await deliveries.next_msg(10)
            assert delivery.data == b"body"
            await delivery.ack_sync()
            assert (await live.next_msg(10)).subject == "live.calls.1-0.s.c.requested"
            stored = await masking.nc.jetstream().get_msg("CALLS_1_0", seq=1)
            assert stored.data == b"body"
            info = await audit.nc.jetstream().stream_info("CALLS_1_0")
            assert info.config.num_replicas == 3
