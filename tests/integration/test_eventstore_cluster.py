"""What callgate.eventstore promises of one node holds on three, and while who leads the stream changes."""

import contextlib
import json
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError, Notification, OperationalError, StoredEvent
from eventstore_server import PREFIX, STREAM, users_config

from bench import bare_server
from callgate.eventstore import Connection, JetStreamAggregateRecorder, JetStreamApplicationRecorder, create_stream
from callgate.log.reading import request_json
from cli.embedded import new_password

pytestmark = pytest.mark.cluster
NODES = 3
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    url: str
    pid_file: Path


@dataclass(frozen=True, slots=True)
class Nodes:
    """Three nodes that replicate; a connection prefers the first of those given, and may go on at any."""

    each: tuple[Node, ...]
    password: str

    def connect(self, *first: Node, user: str = "writer") -> Connection:
        urls = [node.url for node in dict.fromkeys((*first, *self.each))]
        more = {"dont_randomize": True, "reconnect_time_wait": 0.2}
        return Connection.open(urls, user=user, password=self.password, inbox_prefix=f"_INBOX_{user}", **more)

    @contextlib.contextmanager
    def recorders(self) -> Iterator[list[JetStreamApplicationRecorder]]:
        """One on each node: other processes, as far as the broker can tell."""
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(self.connect(node)) for node in self.each]
            yield [JetStreamApplicationRecorder(connection, STREAM, PREFIX) for connection in connections]

    def leader(self) -> Node:
        with self.connect(user="admin") as admin:
            info = admin.run(request_json(admin.client, f"$JS.API.STREAM.INFO.{STREAM}", {}))
        return next(node for node in self.each if node.name == info["cluster"]["leader"])

    def step_down(self) -> None:
        """Another node leads from now on."""
        with self.connect(user="admin") as admin:
            answer = admin.run(request_json(admin.client, f"$JS.API.STREAM.LEADER.STEPDOWN.{STREAM}", {}))
        assert answer.get("success") is True


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    folder, password, guard = tmp_path_factory.mktemp("store"), new_password(), secrets.token_urlsafe(16)
    with contextlib.ExitStack() as held:  # until the servers start, so that the ports differ
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(NODES)]
        routes = [one.getsockname()[1] for one in sockets]
    with contextlib.ExitStack() as stack:
        started = []
        for number, port in enumerate(routes):
            others = json.dumps([f"nats://route:{guard}@127.0.0.1:{other}" for other in routes if other != port])
            guarded = f'authorization {{ user: route, password: "{guard}" }}'
            cluster = f'cluster {{ name: store, listen: "127.0.0.1:{port}", {guarded}, routes: {others} }}'
            pid_file = folder / f"n{number}.pid"
            lines = (f"server_name: n{number}", f'pid_file: "{pid_file}"', cluster, users_config(password))
            url = stack.enter_context(bare_server.running(folder / f"n{number}", *lines))
            started.append(Node(f"n{number}", url, pid_file))
        nodes = Nodes(tuple(started), password)
        _until_created(nodes)
        yield nodes


def _until_created(nodes: Nodes) -> None:
    """They choose who leads; until then no stream can be made, and nothing tells when."""
    with nodes.connect(user="admin") as admin:
        for _ in range(60):
            with contextlib.suppress(OperationalError):
                create_stream(admin, STREAM, "store.>", replicas=NODES)
                return
    raise AssertionError("the three nodes chose no leader")


def event(originator: UUID, version: int, state: bytes = b"{}") -> StoredEvent:
    return StoredEvent(originator, version, "t", state)


def persistently(recorder: JetStreamAggregateRecorder, originator: UUID, version: int, state: bytes) -> bytes:
    """Writes that version unless somebody else does: what stands in the end. The broker may be away for a while."""
    while True:
        try:
            recorder.insert_events([event(originator, version, state)])
        except OperationalError:
            continue  # the event may or may not stand
        except IntegrityError:
            # Refused because somebody else is writing it at this moment; whether it stands is known a little later.
            with contextlib.suppress(OperationalError):
                for standing in recorder.select_events(originator, gt=version - 1, lte=version):
                    return standing.state
        else:
            return state


def follow(recorder: JetStreamApplicationRecorder, after: int, count: int) -> list[Notification]:
    with recorder.subscribe(gt=after) as notifications:
        return [next(notifications) for _ in range(count)]


class TestThreeNodes:
    def test_the_stream_has_three_replicas(self, nodes: Nodes) -> None:
        with nodes.connect(user="admin") as admin:
            info = admin.run(request_json(admin.client, f"$JS.API.STREAM.INFO.{STREAM}", {}))
        assert (info["config"]["num_replicas"], len(info["cluster"]["replicas"])) == (NODES, NODES - 1)

    @pytest.mark.parametrize("count", [1, 3])
    def test_of_writers_on_different_nodes_one_wins(self, nodes: Nodes, count: int) -> None:
        originator = uuid4()
        with nodes.recorders() as recorders, ThreadPoolExecutor(12) as pool:

            def write(number: int) -> bytes | None:
                state = str(number).encode()
                try:
                    recorders[number % NODES].insert_events(
                        [event(originator, version, state) for version in range(1, count + 1)]
                    )
                except IntegrityError:
                    return None
                return state

            winners = [state for state in pool.map(write, range(24)) if state is not None]
            assert len(winners) == 1
            for recorder in recorders:
                assert [one.state for one in recorder.select_events(originator)] == winners * count

    def test_what_was_acknowledged_is_read_at_once_on_every_node(self, nodes: Nodes) -> None:
        with nodes.recorders() as recorders:
            for number in range(12):
                originator = uuid4()
                (written,) = recorders[number % NODES].insert_events([event(originator, 1)]) or ()
                for recorder in recorders:
                    assert [one.originator_version for one in recorder.select_events(originator)] == [1]
                    assert recorder.max_notification_id() == written
                    (last,) = recorder.select_notifications(written, 5)
                    assert (last.id, last.originator_id) == (written, originator)

    def test_a_change_of_leader_loses_doubles_and_reorders_nothing(self, nodes: Nodes) -> None:
        _write_and_follow(nodes, nodes.step_down)

    def test_zz_nor_does_the_leaders_death(self, nodes: Nodes) -> None:
        """The last test of this file: it leaves two nodes."""
        _write_and_follow(nodes, lambda: os.kill(int(nodes.leader().pid_file.read_text()), signal.SIGKILL))


def _write_and_follow(nodes: Nodes, disturb: Callable[[], None]) -> None:
    """Two processes race for each version of one originator, a third follows; in the middle `disturb`s happen."""
    originator, versions, middle = uuid4(), range(1, 31), threading.Event()
    with nodes.recorders() as recorders, ThreadPoolExecutor(4) as pool:
        after = recorders[0].max_notification_id() or 0
        following = pool.submit(follow, recorders[2], after, len(versions))

        def write(number: int) -> list[bytes]:
            stood = []
            for version in versions:
                stood.append(persistently(recorders[number], originator, version, f"{number}-{version}".encode()))
                if version == 10:
                    middle.set()
            return stood

        writing: list[Future[list[bytes]]] = [pool.submit(write, number) for number in range(2)]
        assert middle.wait(PATIENCE)
        disturb()
        one, other = (each.result(PATIENCE) for each in writing)
        assert one == other
        told = following.result(PATIENCE)
        assert [(each.originator_version, each.state) for each in told] == list(zip(versions, one, strict=True))
        ids = [each.id for each in told]
        assert ids == sorted(set(ids))
        assert [each.state for each in recorders[1].select_events(originator)] == one
        assert [each.id for each in recorders[0].select_notifications(after + 1, 100)] == ids
