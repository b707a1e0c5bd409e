"""The library's own tests of recorders, factories and subscriptions, on a stream of a real nats-server.

The user has just the rights that docs/eventstore.md names.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.tests import application as applications
from eventsourcing.tests import persistence as library  # a module: its abstract cases are not to be collected
from eventsourcing.utils import Environment, get_topic
from eventstore_server import PREFIX, STREAM, TRACKING, Server, empty_stream, running_server

from callgate.eventstore import (
    Connection,
    JetStreamAggregateRecorder,
    JetStreamApplicationRecorder,
    JetStreamFactory,
    JetStreamProcessRecorder,
    JetStreamTrackingRecorder,
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("store")) as running:
        yield running


class OnStream:
    """An empty stream and a connection for each test."""

    server: Server
    connection: Connection

    @pytest.fixture(autouse=True)
    def _on_stream(self, server: Server) -> Iterator[None]:
        empty_stream(server)
        self.server = server
        with server.connect() as self.connection:
            yield


class TestAggregateRecorder(OnStream, library.AggregateRecorderTestCase):
    def create_recorder(self) -> JetStreamAggregateRecorder:
        return JetStreamAggregateRecorder(self.connection, STREAM, PREFIX)


class TestAggregateRecorderOfTexts(OnStream, library.AggregateRecorderTestCase):
    def new_originator_id(self) -> UUID | str:
        return f"Konto №{uuid4()}.*.>~ %"

    def create_recorder(self) -> JetStreamAggregateRecorder:
        return JetStreamAggregateRecorder(self.connection, STREAM, PREFIX, str)


class TestApplicationRecorder(OnStream, library.ApplicationRecorderTestCase[JetStreamApplicationRecorder]):
    def create_recorder(self) -> JetStreamApplicationRecorder:
        return JetStreamApplicationRecorder(self.connection, STREAM, PREFIX)

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNotificationIds(OnStream, library.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> JetStreamApplicationRecorder:
        return JetStreamApplicationRecorder(self.connection, STREAM, PREFIX)


class TestTrackingRecorder(OnStream, library.TrackingRecorderTestCase):
    def create_recorder(self) -> JetStreamTrackingRecorder:
        return JetStreamTrackingRecorder(self.connection, STREAM, TRACKING)


class TestProcessRecorder(OnStream, library.ProcessRecorderTestCase):
    def create_recorder(self) -> JetStreamProcessRecorder:
        return JetStreamProcessRecorder(self.connection, STREAM, PREFIX, TRACKING)


def environment(server: Server) -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": "callgate.eventstore",
        "NATS_URL": server.url,
        "NATS_USER": "writer",
        "NATS_PASSWORD": server.password,
        "NATS_INBOX_PREFIX": "_INBOX_writer",
        "NATS_STREAM": STREAM,
        "NATS_PREFIX": "store",
    }


class TestApplication(OnStream, applications.ExampleApplicationTestCase):
    """With snapshots."""

    expected_factory_topic = get_topic(JetStreamFactory)

    @pytest.fixture(autouse=True)
    def _environment(self, _on_stream: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """The library's test leaves its application open."""
        opened: list[Connection] = []

        def connect(*servers: Any, **options: Any) -> Connection:
            opened.append(open_connection(*servers, **options))
            return opened[-1]

        open_connection = Connection.open
        monkeypatch.setattr(Connection, "open", connect)
        for name, value in environment(self.server).items():
            monkeypatch.setenv(name, value)
        yield
        for connection in opened:
            connection.close()


class OwnTrackingRecorder(JetStreamTrackingRecorder):
    pass


class TestFactory(OnStream, library.InfrastructureFactoryTestCase[JetStreamFactory]):
    @pytest.fixture(autouse=True)
    def _environment(self, _on_stream: None) -> None:
        self.env = Environment(env=environment(self.server))

    def expected_factory_class(self) -> type[JetStreamFactory]:
        return JetStreamFactory

    def expected_aggregate_recorder_class(self) -> type[JetStreamAggregateRecorder]:
        return JetStreamAggregateRecorder

    def expected_application_recorder_class(self) -> type[JetStreamApplicationRecorder]:
        return JetStreamApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[JetStreamTrackingRecorder]:
        return JetStreamTrackingRecorder

    def tracking_recorder_subclass(self) -> type[JetStreamTrackingRecorder]:
        return OwnTrackingRecorder

    def expected_process_recorder_class(self) -> type[JetStreamProcessRecorder]:
        return JetStreamProcessRecorder

    def test_own_classes_are_taken_from_the_environment(self) -> None:
        self.env["TRACKING_RECORDER_TOPIC"] = get_topic(OwnTrackingRecorder)
        assert type(self.factory.tracking_recorder()) is OwnTrackingRecorder
