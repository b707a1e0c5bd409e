"""The log on three nodes: the same contract, and that it outlives the death of the leader."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nats
import nats.errors
import pytest
import pytest_asyncio
from calls import Calls
from log_paging import LogPaging
from log_suite import LogSuite, Scene, draft, masked_of, scene_of

from callgate import keys
from callgate.broker_config import Cluster, nats_config
from callgate.errors import BrokerAway, LostRace
from callgate.rights import inbox_prefix
from callgate.settings import Settings
from cli.embedded import find_nats_server
from cli.provisioning import provision_deployment
from contracts.events import Recorded
from contracts.identity import Role

pytestmark = pytest.mark.cluster
NODES = 3
PATIENCE = 60.0


@dataclass
class Node:
    name: str
    process: asyncio.subprocess.Process
    url: str


@contextlib.asynccontextmanager
async def three_nodes(folder: Path, passwords: Mapping[Role, str]) -> AsyncIterator[list[Node]]:
    """Three real nats-servers that replicate; ready when they have chosen who leads."""
    # Held until the servers start, so that the six ports differ.
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2 * NODES)]
        ports = [one.getsockname()[1] for one in sockets]
    clients, routes = ports[:NODES], ports[NODES:]
    guard = secrets.token_urlsafe(16)
    async with contextlib.AsyncExitStack() as stack:
        nodes = []
        for number in range(NODES):
            # A route's URL carries its user; the configuration file is the servers' alone.
            others = [f"nats://route:{guard}@127.0.0.1:{port}" for port in routes if port != routes[number]]
            cluster = Cluster(f"n{number}", "test", routes[number], others, guard)
            config = folder / f"n{number}.conf"
            store = str(folder / f"n{number}")
            config.write_text(nats_config(passwords, port=clients[number], store_dir=store, cluster=cluster))
            process = await asyncio.create_subprocess_exec(
                str(find_nats_server()), "-c", str(config), "-l", str(folder / f"n{number}.log")
            )
            stack.push_async_callback(ended, process)
            nodes.append(Node(f"n{number}", process, f"nats://127.0.0.1:{clients[number]}"))
        await led(nodes, passwords)
        yield nodes


async def ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def led(nodes: list[Node], passwords: Mapping[Role, str]) -> None:
    """All three are in the cluster, and it answers JetStream requests."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                client = await nats.connect(
                    [node.url for node in nodes],
                    user=Role.PROVISIONER.value,
                    password=passwords[Role.PROVISIONER],
                    inbox_prefix=inbox_prefix(Role.PROVISIONER).encode(),
                    error_cb=_quiet,
                )
                try:
                    await client.request("$JS.API.INFO", b"", timeout=0.5)
                    return
                finally:
                    await client.close()
            except (nats.errors.Error, OSError):
                await asyncio.sleep(0.05)  # they choose a leader; nothing tells when


async def _quiet(_error: Exception) -> None:
    """Refused connections are expected while the servers start."""


@dataclass
class Replicated:
    settings: Settings
    nodes: list[Node]
    scene: Scene


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def replicated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replicated]:
    folder = tmp_path_factory.mktemp("cluster")
    keys.init(folder / "keys", "cluster")
    passwords = {role: keys.read_password(folder / "keys", role) for role in Role}
    async with three_nodes(folder, passwords) as nodes:
        broker = {"url": ",".join(node.url for node in nodes), "replicas": NODES, "shards": 2}
        settings = Settings.model_validate({"deployment": "cluster", "state": folder, "broker": broker})
        await provision_deployment(settings)
        async with scene_of(settings) as scene:
            yield Replicated(settings, nodes, scene)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(replicated: Replicated) -> Scene:
    return replicated.scene


@pytest.mark.asyncio(loop_scope="module")
class TestThreeNodes(LogPaging, LogSuite):
    async def test_every_stream_has_three_replicas(self, scene: Scene) -> None:
        for stream in ("CALLS_1_0", "CALLS_1_1", "CONTROL", "SESSION_KEYS", "PAYLOADS"):
            info = await scene.provisioner.jetstream().stream_info(stream)
            assert info.config.num_replicas == NODES

    async def test_provisioning_again_changes_nothing(self, replicated: Replicated) -> None:
        report = await provision_deployment(replicated.settings)
        assert report.complete
        assert (report.created, report.updated) == ([], [])

    async def test_races_over_different_nodes_have_one_winner(self, replicated: Replicated) -> None:
        async with contextlib.AsyncExitStack() as stack:
            scenes = []
            for node in replicated.nodes:
                broker = replicated.settings.broker.model_copy(update={"url": node.url})
                settings = replicated.settings.model_copy(update={"broker": broker})
                scenes.append(await stack.enter_async_context(scene_of(settings)))
            for _ in range(10):
                requested = await scenes[0].calls.requested()
                maskings = [one[Role.MASKING] for one in scenes for _ in range(3)]
                attempts = (m.log.append(draft(m, masked_of(requested)), requested) for m in maskings)
                outcomes = await asyncio.gather(*attempts, return_exceptions=True)
                (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Recorded)]
                assert sum(isinstance(outcome, LostRace) for outcome in outcomes) == len(maskings) - 1
                call = (await scenes[1][Role.AUDIT].log.read(requested.ref)).call
                assert call.head_digest == winner.digest

    async def test_zz_the_death_of_a_streams_leader_loses_nothing(self, replicated: Replicated) -> None:
        """The last test of this file: it leaves two nodes."""
        calls: Calls = replicated.scene.calls
        before = [
            await calls.masked(await calls.requested(session_id=replicated.scene.session_in(0))) for _ in range(5)
        ]
        info = await replicated.scene.provisioner.jetstream().stream_info("CALLS_1_0")
        leader = next(node for node in replicated.nodes if node.name == info.cluster.leader)
        os.kill(leader.process.pid, signal.SIGKILL)
        await leader.process.wait()
        async with asyncio.timeout(PATIENCE):
            for masked in before:
                # The same clients: they find the other nodes, and appends wait for the new leader.
                await self.persistently(calls, masked)
        for masked in before:
            call = (await replicated.scene[Role.AUDIT].log.read(masked.ref)).call
            assert [r.name for r in call.chain] == ["requested", "arguments_masked", "allowed"]

    @staticmethod
    async def persistently(calls: Calls, masked: Recorded) -> None:
        while True:
            try:
                await calls.allowed(masked)
            except BrokerAway:
                continue
            except LostRace:
                return  # an earlier try of ours stands
            return
