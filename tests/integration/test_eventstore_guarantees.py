"""What callgate.eventstore promises beyond the library's own tests: races, lost acknowledgements, outages, rights."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    Notification,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from eventstore_server import PREFIX, STREAM, TRACKING, Server, empty_stream, running_server
from nats.errors import TimeoutError as NatsTimeoutError

from callgate.eventstore import (
    Connection,
    JetStreamAggregateRecorder,
    JetStreamApplicationRecorder,
    JetStreamProcessRecorder,
    create_stream,
    stream,
    subscription,
)
from callgate.log.reading import request_json

PATIENCE = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    empty_stream(server)
    with server.connect() as connection:
        yield connection


@pytest.fixture
def recorder(connection: Connection) -> JetStreamApplicationRecorder:
    return JetStreamApplicationRecorder(connection, STREAM, PREFIX)


@pytest.fixture
def other(server: Server, connection: Connection) -> Iterator[JetStreamApplicationRecorder]:
    """Another process, as far as the broker can tell."""
    with server.connect() as another:
        yield JetStreamApplicationRecorder(another, STREAM, PREFIX)


def event(originator: UUID, version: int, state: bytes = b"{}", topic: str = "t") -> StoredEvent:
    return StoredEvent(originator, version, topic, state)


def events(originator: UUID, *versions: int) -> list[StoredEvent]:
    return [event(originator, version) for version in versions]


def versions(recorder: JetStreamAggregateRecorder, originator: UUID) -> list[int]:
    return [found.originator_version for found in recorder.select_events(originator)]


def publish(server: Server, subject: str, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
    """Past the recorders."""
    with server.connect("admin") as admin:
        admin.run(admin.client.request(subject, body, headers=headers, timeout=PATIENCE))


class Lossy:
    """A client whose acknowledgements fail as told, one after the other: `unsent`, `unacknowledged`, then as usual."""

    def __init__(self, client: Any, *failures: str) -> None:
        self._client = client
        self._failures = list(failures)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def request(self, subject: str, *args: Any, **more: Any) -> Any:
        if not subject.startswith(PREFIX) or not self._failures:
            return await self._client.request(subject, *args, **more)
        if self._failures.pop(0) == "unacknowledged":
            await self._client.request(subject, *args, **more)
        raise NatsTimeoutError


class Late(Lossy):
    """A client whose first insert arrives when it is no longer waited for: as its writer asks `before` that."""

    def __init__(self, client: Any, before: str) -> None:
        super().__init__(client)
        self._before = before
        self._held: tuple[Any, ...] | None = None
        self._was_held = False

    async def request(self, subject: str, body: bytes, **more: Any) -> Any:
        if subject.startswith(PREFIX) and not self._was_held:
            self._held, self._was_held = (subject, body, more), True
            raise NatsTimeoutError
        if self._held is not None and self._before in str(body):
            (held, bytes_of, options), self._held = self._held, None
            await self._client.request(held, bytes_of, **options)
        return await self._client.request(subject, body, **more)


class TestInserting:
    def test_one_of_many_writers_of_a_version_wins(self, server: Server, connection: Connection) -> None:
        connections = [server.connect() for _ in range(4)]
        recorders = [JetStreamAggregateRecorder(each, STREAM, PREFIX) for each in connections]
        originator = uuid4()

        def write(number: int) -> Exception | None:
            try:
                recorders[number % 4].insert_events(
                    [event(originator, 1, str(number).encode()), event(originator, 2, str(number).encode())]
                )
            except IntegrityError as lost:
                return lost
            return None

        try:
            with ThreadPoolExecutor(16) as pool:
                outcomes = list(pool.map(write, range(32)))
            assert outcomes.count(None) == 1
            winner = str(outcomes.index(None)).encode()
            assert [found.state for found in recorders[0].select_events(originator)] == [winner, winner]
        finally:
            for each in connections:
                each.close()

    @pytest.mark.parametrize("count", [1, 3])
    @pytest.mark.parametrize(
        "failures", [("unsent",), ("unacknowledged",), ("unsent", "unacknowledged"), ("unacknowledged", "unsent")]
    )
    def test_a_lost_acknowledgement_never_doubles(
        self, connection: Connection, failures: tuple[str, ...], count: int
    ) -> None:
        recorder = JetStreamApplicationRecorder(connection, STREAM, PREFIX)
        recorder._stream.client = Lossy(connection.client, *failures)  # type: ignore[assignment]
        originator, later = uuid4(), range(2, 2 + count)
        first = recorder.insert_events(events(originator, 1))
        ids = recorder.insert_events(events(originator, *later))
        assert first is not None
        assert ids == list(range(first[0] + 1, first[0] + 1 + count))
        assert versions(recorder, originator) == [1, *later]

    @pytest.mark.parametrize("before", ["last_by_subj", "next_by_subj"])
    def test_a_first_try_that_arrives_late_is_ones_own(self, connection: Connection, before: str) -> None:
        recorder = JetStreamApplicationRecorder(connection, STREAM, PREFIX)
        originator = uuid4()
        recorder.insert_events(events(originator, 1))
        recorder._stream.client = Late(connection.client, before)  # type: ignore[assignment]
        assert recorder.insert_events(events(originator, 2)) == [2]
        assert versions(recorder, originator) == [1, 2]

    def test_several_originators_are_stored_together_or_not_at_all(
        self, recorder: JetStreamApplicationRecorder
    ) -> None:
        taken, free = uuid4(), uuid4()
        recorder.insert_events(events(taken, 1))
        with pytest.raises(IntegrityError):
            recorder.insert_events([*events(free, 1, 2), *events(taken, 1)])
        assert versions(recorder, free) == []
        ids = recorder.insert_events([*events(free, 1), *events(taken, 2), *events(free, 2), *events(taken, 3)])
        assert ids == [2, 3, 4, 5]
        assert (versions(recorder, free), versions(recorder, taken)) == ([1, 2], [1, 2, 3])

    def test_what_another_wrote_meanwhile_is_no_obstacle_to_what_comes_after(
        self, recorder: JetStreamApplicationRecorder, other: JetStreamApplicationRecorder
    ) -> None:
        originator = uuid4()
        recorder.insert_events(events(originator, 1))
        other.insert_events(events(originator, 2))
        with pytest.raises(IntegrityError):
            recorder.insert_events(events(originator, 2))
        other.insert_events(events(originator, 3))
        recorder.insert_events(events(originator, 4, 5))  # what it last knew was 2
        assert versions(other, originator) == [1, 2, 3, 4, 5]

    def test_versions_may_leave_gaps_and_never_fill_them(
        self, recorder: JetStreamApplicationRecorder, other: JetStreamApplicationRecorder
    ) -> None:
        originator = uuid4()
        recorder.insert_events(events(originator, 5))
        for writer in (recorder, other):
            with pytest.raises(IntegrityError):
                writer.insert_events(events(originator, 3))
        other.insert_events(events(originator, 9))
        assert versions(recorder, originator) == [5, 9]

    @pytest.mark.parametrize(
        "refused",
        [
            [StoredEvent("no-uuid", 1, "t", b"")],
            [StoredEvent(uuid4(), 1, "two\nlines", b"")],
            [StoredEvent(uuid4(), 1, "", b"")],
            [event(uuid4(), 1) for _ in range(stream.MAX_BATCH + 1)],
            [event(uuid4(), 1, bytes(2_000_000))],
            [event(uuid4(), 1), event(uuid4(), 1, bytes(2_000_000))],
        ],
        ids=["type of id", "topic of two lines", "no topic", "too many", "too large", "one of them too large"],
    )
    def test_what_cannot_be_stored_as_it_is_is_refused(
        self, recorder: JetStreamApplicationRecorder, refused: list[StoredEvent]
    ) -> None:
        with pytest.raises(DataError):
            recorder.insert_events(refused)
        assert recorder.max_notification_id() is None

    def test_what_the_recorder_does_not_know_is_not_ignored(self, recorder: JetStreamApplicationRecorder) -> None:
        with pytest.raises(NotSupportedError):
            recorder.insert_events(events(uuid4(), 1), tracking=Tracking("up", 1))
        assert recorder.max_notification_id() is None

    def test_a_stream_that_takes_no_batches_says_so_at_once(self, server: Server) -> None:
        with server.connect("admin") as admin:
            plain = {"name": "PLAIN", "subjects": ["plain.>"], "allow_direct": True}
            admin.run(request_json(admin.client, "$JS.API.STREAM.CREATE.PLAIN", plain))
            recorder = JetStreamAggregateRecorder(admin, "PLAIN", "plain")
            with pytest.raises(ProgrammingError, match="10174"):
                recorder.insert_events(events(uuid4(), 1, 2))
            with pytest.raises(ProgrammingError, match="another configuration"):
                create_stream(admin, "PLAIN", "plain.>")

    def test_tracking_and_events_stand_together_or_not_at_all(self, connection: Connection) -> None:
        recorder = JetStreamProcessRecorder(connection, STREAM, PREFIX, TRACKING)
        first, second = uuid4(), uuid4()
        assert recorder.insert_events(events(first, 1, 2), tracking=Tracking("up", 7)) == [1, 2]
        with pytest.raises(IntegrityError):
            recorder.insert_events(events(second, 1), tracking=Tracking("up", 7))
        assert versions(recorder, second) == []
        assert recorder.insert_events(events(second, 1), tracking=Tracking("up", 8)) == [4]  # 3 is the tracking
        assert [found.id for found in recorder.select_notifications(None, 10)] == [1, 2, 4]


class TestReading:
    def test_ids_are_the_streams_with_gaps_where_others_share_it(
        self, server: Server, recorder: JetStreamApplicationRecorder
    ) -> None:
        publish(server, "store.snapshots.x")
        first = recorder.insert_events(events(uuid4(), 1))
        publish(server, "store.snapshots.x")
        publish(server, "store.snapshots.x")
        second = recorder.insert_events(events(uuid4(), 1))
        publish(server, "store.snapshots.x")
        assert (first, second, recorder.max_notification_id()) == ([2], [5], 5)
        assert [found.id for found in recorder.select_notifications(None, 10)] == [2, 5]
        assert [found.id for found in recorder.select_notifications(3, 10)] == [5]
        assert [found.id for found in recorder.select_notifications(1, 10, stop=4)] == [2]

    def test_more_than_a_page(self, recorder: JetStreamApplicationRecorder) -> None:
        originator = uuid4()
        recorder.insert_events(events(originator, *range(1, 701)))
        recorder.insert_events([event(originator, 701, topic="rare")])
        assert versions(recorder, originator) == list(range(1, 702))
        assert [e.originator_version for e in recorder.select_events(originator, gt=650, lte=655)] == [*range(651, 656)]
        found = recorder.select_events(originator, gt=100, lte=600, desc=True, limit=3)
        assert [e.originator_version for e in found] == [600, 599, 598]
        assert len(recorder.select_notifications(None, 600)) == 600
        assert [e.id for e in recorder.select_notifications(None, 5, topics=["rare"])] == [701]

    def test_a_message_that_is_no_event_is_met_and_never_skipped(
        self, server: Server, recorder: JetStreamApplicationRecorder
    ) -> None:
        originator = uuid4()
        recorder.insert_events(events(originator, 1))
        publish(server, f"{PREFIX}.{originator}", b"hello")
        with pytest.raises(DataError):
            recorder.select_events(originator)
        with pytest.raises(DataError):
            recorder.select_events(originator, desc=True, limit=1)
        with pytest.raises(DataError):
            recorder.select_notifications(None, 10)
        with recorder.subscribe() as notifications:
            assert next(notifications).originator_id == originator
            with pytest.raises(DataError):
                next(notifications)

    def test_an_id_written_in_another_way_is_no_second_originator(
        self, server: Server, recorder: JetStreamApplicationRecorder
    ) -> None:
        publish(server, f"{PREFIX}.{str(uuid4()).upper()}", b"", {"es-version": "1", "es-topic": "t"})
        with pytest.raises(DataError):
            recorder.select_notifications(None, 10)


class TestSubscribing:
    def test_a_slow_reader_gets_everything_in_order(self, recorder: JetStreamApplicationRecorder) -> None:
        count = 3 * subscription._BUFFERED
        with recorder.subscribe() as notifications:
            for _ in range(count // 512):
                recorder.insert_events(events(uuid4(), *range(1, 513)))
            assert [next(notifications).id for _ in range(count)] == list(range(1, count + 1))

    def test_topics_are_picked_out(self, recorder: JetStreamApplicationRecorder) -> None:
        with recorder.subscribe(topics=["wanted"]) as notifications:
            recorder.insert_events([event(uuid4(), 1), event(uuid4(), 1, topic="wanted"), event(uuid4(), 1)])
            recorder.insert_events([event(uuid4(), 1, topic="wanted")])
            assert [next(notifications).id, next(notifications).id] == [2, 4]

    def test_stop_from_another_thread_ends_the_waiting(self, recorder: JetStreamApplicationRecorder) -> None:
        with recorder.subscribe() as notifications, ThreadPoolExecutor(1) as pool:
            recorder.insert_events(events(uuid4(), 1))
            assert next(notifications).id == 1
            waiting = pool.submit(list, notifications)
            notifications.stop()
            assert waiting.result(PATIENCE) == []

    def test_closing_the_connection_ends_the_waiting_with_an_error(
        self, server: Server, connection: Connection
    ) -> None:
        with server.connect() as own, ThreadPoolExecutor(1) as pool:
            notifications = JetStreamApplicationRecorder(own, STREAM, PREFIX).subscribe()
            waiting = pool.submit(next, notifications)
            own.close()
            with pytest.raises(OperationalError):
                waiting.result(PATIENCE)
            notifications.stop()
            with pytest.raises(StopIteration):
                next(notifications)

    def test_a_stream_that_does_not_exist(self, server: Server) -> None:
        with server.connect("admin") as admin:
            notifications = JetStreamApplicationRecorder(admin, "NOWHERE", PREFIX).subscribe()
            with notifications, pytest.raises(ProgrammingError):
                next(notifications)

    def test_a_consumer_that_vanishes_is_replaced(
        self, server: Server, recorder: JetStreamApplicationRecorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(subscription, "HEARTBEAT", 0.1)
        monkeypatch.setattr(subscription, "SILENCE", 0.3)
        with recorder.subscribe() as notifications, server.connect("admin") as admin:
            recorder.insert_events(events(uuid4(), 1))
            assert next(notifications).id == 1
            listed = admin.run(request_json(admin.client, f"$JS.API.CONSUMER.NAMES.{STREAM}", {}))
            for name in listed["consumers"]:
                admin.run(request_json(admin.client, f"$JS.API.CONSUMER.DELETE.{STREAM}.{name}", {}))
            recorder.insert_events(events(uuid4(), 1, 2))
            assert [next(notifications).id, next(notifications).id] == [2, 3]

    def test_nothing_of_a_subscription_is_left_on_the_broker(
        self, server: Server, recorder: JetStreamApplicationRecorder
    ) -> None:
        with recorder.subscribe() as notifications:
            recorder.insert_events(events(uuid4(), 1))
            next(notifications)
        with server.connect("admin") as admin:
            # The deletion is on its way on another connection.
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until:
                listed = admin.run(request_json(admin.client, f"$JS.API.CONSUMER.NAMES.{STREAM}", {}))
                if not listed["consumers"]:
                    return
        raise AssertionError("the consumer is still there")


class TestOutages:
    def test_a_restart_of_the_broker_loses_and_doubles_nothing(self, tmp_path: Path) -> None:
        with running_server(tmp_path / "store") as first:
            empty_stream(first)
            connection = first.connect()
            port, password = urlparse(first.url).port, first.password
            recorder = JetStreamApplicationRecorder(connection, STREAM, PREFIX)
            notifications = recorder.subscribe()
            originator = uuid4()
            recorder.insert_events(events(originator, 1))
            assert next(notifications).id == 1
        assert port is not None
        with connection, notifications, ThreadPoolExecutor(1) as pool:
            inserting = pool.submit(recorder.insert_events, events(originator, 2, 3))
            with running_server(tmp_path / "store", port, password):
                try:
                    assert inserting.result(PATIENCE) == [2, 3]
                except OperationalError:  # it took too long: it may or may not stand
                    if versions(recorder, originator) == [1]:
                        recorder.insert_events(events(originator, 2, 3))
                following: list[Notification] = [next(notifications), next(notifications)]
                assert [found.originator_version for found in following] == [2, 3]
                assert versions(recorder, originator) == [1, 2, 3]

    def test_a_broker_that_is_away(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stream, "INSERT_TIMEOUT", 0.2)
        with running_server(tmp_path / "store") as server:
            empty_stream(server)
            connection = server.connect()
            recorder = JetStreamApplicationRecorder(connection, STREAM, PREFIX)
        with connection:
            monkeypatch.setattr(stream, "_ACK_TIMEOUT", 0.1)
            monkeypatch.setattr("callgate.log.reading._TIMEOUT", 0.1)
            for act in (
                lambda: recorder.insert_events(events(uuid4(), 1)),
                lambda: recorder.select_events(uuid4()),
                recorder.max_notification_id,
            ):
                with pytest.raises(OperationalError):
                    act()
        monkeypatch.setattr("callgate.eventstore.connection.CONNECT_TIMEOUT", 0.3)
        with pytest.raises(OperationalError):
            server.connect()


class TestConnection:
    def test_closing_ends_its_thread_and_may_be_repeated(self, server: Server) -> None:
        before = set(threading.enumerate())
        connection = server.connect()
        (thread,) = set(threading.enumerate()) - before
        connection.close()
        connection.close()
        assert not thread.is_alive()
        with pytest.raises(OperationalError):
            JetStreamApplicationRecorder(connection, STREAM, PREFIX).max_notification_id()

    def test_waiting_for_the_loop_on_the_loop_is_refused(
        self, connection: Connection, recorder: JetStreamApplicationRecorder
    ) -> None:
        async def on_the_loop() -> None:
            with pytest.raises(ProgrammingError):
                recorder.max_notification_id()

        connection.run(on_the_loop())


class TestRights:
    """That `rights` is enough is what all other tests here show, whose user has no more."""

    def test_a_reader_reads_and_writes_nothing(
        self, server: Server, recorder: JetStreamApplicationRecorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        originator = uuid4()
        recorder.insert_events(events(originator, 1))
        monkeypatch.setattr(stream, "INSERT_TIMEOUT", 0.2)
        monkeypatch.setattr(stream, "_ACK_TIMEOUT", 0.1)
        with server.connect("reader") as connection:
            reader = JetStreamApplicationRecorder(connection, STREAM, PREFIX)
            assert versions(reader, originator) == [1]
            with pytest.raises(OperationalError):
                reader.insert_events(events(originator, 2))
        assert versions(recorder, originator) == [1]

    def test_a_writer_can_neither_delete_nor_change_the_stream(self, server: Server, connection: Connection) -> None:
        with server.connect("admin") as admin:
            info = admin.run(request_json(admin.client, f"$JS.API.STREAM.INFO.{STREAM}", {}))
            assert info["config"]["deny_delete"]
            assert info["config"]["deny_purge"]

        async def tries(subject: str) -> str:
            reply = await connection.client.request(subject, json.dumps({}).encode(), timeout=0.3)
            return str(reply.data)

        for subject in (f"$JS.API.STREAM.DELETE.{STREAM}", f"$JS.API.STREAM.PURGE.{STREAM}"):
            with pytest.raises(OperationalError):
                connection.run(tries(subject))
