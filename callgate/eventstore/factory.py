"""The library's infrastructure factory: `PERSISTENCE_MODULE=callgate.eventstore`.

NATS_URL               nats://127.0.0.1:4222, several separated by commas
NATS_STREAM            the stream, which exists (`create_stream`), or is made where CREATE_STREAM is set
NATS_PREFIX            events go to <prefix>.events.<id>, snapshots to <prefix>.snapshots.<id>
NATS_USER, NATS_PASSWORD, NATS_CREDENTIALS (a file), NATS_INBOX_PREFIX
ORIGINATOR_ID_TYPE     uuid (default) or text
CREATE_STREAM          "y": create the stream over <prefix>.> with one replica; default no
"""

from typing import Any
from uuid import UUID

from eventsourcing import persistence
from eventsourcing.persistence import InfrastructureFactoryError
from eventsourcing.utils import Environment, EnvType, resolve_topic, strtobool

from callgate.eventstore.connection import Connection
from callgate.eventstore.provisioning import EVENTS, TRACKING, create_stream, prefix_of
from callgate.eventstore.recorders import (
    JetStreamAggregateRecorder,
    JetStreamApplicationRecorder,
    JetStreamProcessRecorder,
    JetStreamTrackingRecorder,
)

_ID_TYPES: dict[str, type[UUID] | type[str]] = {"uuid": UUID, "text": str}


class JetStreamFactory(persistence.InfrastructureFactory[JetStreamTrackingRecorder]):
    """One connection for all recorders of an application. It connects when the first is asked for."""

    NATS_URL = "NATS_URL"
    NATS_STREAM = "NATS_STREAM"
    NATS_PREFIX = "NATS_PREFIX"
    NATS_USER = "NATS_USER"
    NATS_PASSWORD = "NATS_PASSWORD"  # noqa: S105  # a setting's name
    NATS_CREDENTIALS = "NATS_CREDENTIALS"
    NATS_INBOX_PREFIX = "NATS_INBOX_PREFIX"
    ORIGINATOR_ID_TYPE = "ORIGINATOR_ID_TYPE"
    CREATE_STREAM = "CREATE_STREAM"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        self._stream = self._required(self.NATS_STREAM)
        self._prefix = self._required(self.NATS_PREFIX)
        self._servers = self._required(self.NATS_URL).split(",")
        id_type = self.env.get(self.ORIGINATOR_ID_TYPE, "uuid")
        if id_type not in _ID_TYPES:
            raise InfrastructureFactoryError(f"{self.ORIGINATOR_ID_TYPE} is uuid or text")
        self._id_type = _ID_TYPES[id_type]
        self._connection: Connection | None = None

    def _required(self, name: str) -> str:
        value = self.env.get(name)
        if not value:
            raise InfrastructureFactoryError(f"{name} is not set")
        return value

    @property
    def connection(self) -> Connection:
        """Made at the first look. OperationalError."""
        if self._connection is None:
            options: dict[str, Any] = {
                option: value
                for option, name in (
                    ("user", self.NATS_USER),
                    ("password", self.NATS_PASSWORD),
                    ("user_credentials", self.NATS_CREDENTIALS),
                    ("inbox_prefix", self.NATS_INBOX_PREFIX),
                )
                if (value := self.env.get(name))
            }
            self._connection = Connection.open(self._servers, **options)
            if strtobool(self.env.get(self.CREATE_STREAM, "no")):
                create_stream(self._connection, self._stream, f"{self._prefix}.>")
        return self._connection

    def aggregate_recorder(self, purpose: str = EVENTS) -> JetStreamAggregateRecorder:
        return JetStreamAggregateRecorder(
            self.connection, self._stream, prefix_of(self._prefix, purpose), self._id_type
        )

    def application_recorder(self) -> JetStreamApplicationRecorder:
        recorder: type[JetStreamApplicationRecorder] = self._class(
            self.APPLICATION_RECORDER_TOPIC, JetStreamApplicationRecorder
        )
        return recorder(self.connection, self._stream, prefix_of(self._prefix), self._id_type)

    def tracking_recorder(
        self, tracking_recorder_class: type[JetStreamTrackingRecorder] | None = None
    ) -> JetStreamTrackingRecorder:
        recorder: type[JetStreamTrackingRecorder] = tracking_recorder_class or self._class(
            self.TRACKING_RECORDER_TOPIC, JetStreamTrackingRecorder
        )
        return recorder(self.connection, self._stream, prefix_of(self._prefix, TRACKING))

    def process_recorder(self) -> JetStreamProcessRecorder:
        recorder: type[JetStreamProcessRecorder] = self._class(self.PROCESS_RECORDER_TOPIC, JetStreamProcessRecorder)
        return recorder(
            self.connection,
            self._stream,
            prefix_of(self._prefix),
            prefix_of(self._prefix, TRACKING),
            self._id_type,
        )

    def _class(self, setting: str, default: type[Any]) -> type[Any]:
        topic = self.env.get(setting)
        found = resolve_topic(topic) if topic else default
        if not isinstance(found, type) or not issubclass(found, default):
            raise InfrastructureFactoryError(f"{setting} names no {default.__name__}")
        return found

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
