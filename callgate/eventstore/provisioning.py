"""The stream of an event store, and the least rights of who uses it."""

from dataclasses import dataclass
from typing import Any

from eventsourcing.persistence import OperationalError, ProgrammingError

from callgate.errors import BrokerAway
from callgate.eventstore.connection import Connection
from callgate.log.reading import request_json

EVENTS = "events"
SNAPSHOTS = "snapshots"
TRACKING = "tracking"
_IN_USE = 10058


def prefix_of(name: str, purpose: str = EVENTS) -> str:
    """Where the factory puts one purpose's events: `<name>.<purpose>`."""
    return f"{name}.{purpose}"


def stream_config(stream: str, subjects: tuple[str, ...], replicas: int = 1) -> dict[str, Any]:
    """No limits, nothing deleted or purged, atomic batches and Direct Get: what the recorders' promises rest on."""
    return {
        "name": stream,
        "subjects": list(subjects),
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "num_replicas": replicas,
        "deny_delete": True,
        "deny_purge": True,
        "allow_direct": True,
        "allow_atomic": True,
        "max_age": 0,
        "max_bytes": -1,
        "max_msgs": -1,
    }


def create_stream(connection: Connection, stream: str, *subjects: str, replicas: int = 1) -> None:
    """Creates it; the same once more changes nothing. ProgrammingError where it stands differently.

    `subjects` are filters over the recorders' prefixes, e.g. `bank.>`. Needs `$JS.API.STREAM.CREATE.<stream>`, which
    no recorder does.
    """
    config = stream_config(stream, subjects, replicas)
    try:
        answer = connection.run(request_json(connection.client, f"$JS.API.STREAM.CREATE.{stream}", config))
    except BrokerAway:
        raise OperationalError("the broker does not answer, or allows no such request") from None
    error = answer.get("error")
    if error is not None:
        code = error.get("err_code")
        raise ProgrammingError(
            "the stream stands with another configuration" if code == _IN_USE else f"no stream was made (error {code})"
        )


@dataclass(frozen=True, slots=True)
class Rights:
    """Subjects, as nats-server's `permissions` takes them."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def rights(
    stream: str, *prefixes: str, inbox_prefix: str = "_INBOX", write: bool = True, subscribe: bool = True
) -> Rights:
    """The least rights to use recorders with these prefixes on a stream; `subscribe` for subscriptions.

    Whoever may create consumers may read the whole stream, and have it delivered to any subject: give such a user an
    account or a stream of its own where that matters.
    """
    reading = (f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}")
    consuming = (
        f"$JS.API.CONSUMER.CREATE.{stream}.*.>",
        f"$JS.API.CONSUMER.DELETE.{stream}.*",
        f"$JS.FC.{stream}.>",
    )
    return Rights(
        publish=(
            *(f"{prefix}.*" for prefix in prefixes if write),
            *reading,
            *(consuming if subscribe else ()),
        ),
        subscribe=(f"{inbox_prefix}.>",),
    )
