"""A bare nats-server for the event store alone: an administrator, and a user with just the documented rights."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import bare_server
from callgate.eventstore import Connection, create_stream, rights
from callgate.log.reading import request_json
from cli.embedded import new_password

STREAM = "STORE"
PREFIX = "store.events"
TRACKING = "store.tracking"


@dataclass(frozen=True, slots=True)
class Server:
    """`admin` may do anything; `writer` what `rights` says of STREAM; `reader` the same without writing."""

    url: str
    password: str

    def connect(self, user: str = "writer") -> Connection:
        return Connection.open(self.url, user=user, password=self.password, inbox_prefix=f"_INBOX_{user}")


@contextlib.contextmanager
def running_server(folder: Path, port: int = -1, password: str | None = None) -> Iterator[Server]:
    """Ends with the block. Its store lies in `folder`, and is found again by the next."""
    password = password or new_password()
    with bare_server.running(folder, users_config(password), port=port) as url:
        yield Server(url, password)


def empty_stream(server: Server) -> None:
    """STREAM with nothing on it."""
    with server.connect("admin") as admin:
        admin.run(request_json(admin.client, f"$JS.API.STREAM.DELETE.{STREAM}", {}))
        create_stream(admin, STREAM, "store.>")


def users_config(password: str) -> str:
    """The lines of a server's configuration that let `admin`, `writer` and `reader` in."""

    def user(name: str, publish: tuple[str, ...], subscribe: tuple[str, ...]) -> str:
        permissions = f"publish: {{ allow: {json.dumps(publish)} }}, subscribe: {{ allow: {json.dumps(subscribe)} }}"
        return f'{{ user: {name}, password: "{password}", permissions: {{ {permissions} }} }}'

    writer = rights(STREAM, PREFIX, TRACKING, "store.snapshots", inbox_prefix="_INBOX_writer")
    reader = rights(STREAM, PREFIX, inbox_prefix="_INBOX_reader", write=False, subscribe=False)
    users = (
        user("admin", (">",), ("_INBOX_admin.>",)),
        user("writer", writer.publish, writer.subscribe),
        user("reader", reader.publish, reader.subscribe),
    )
    return f"authorization {{ users: [ {', '.join(users)} ] }}"
