"""A bare nats-server for the event store alone: an administrator, and a user with just the documented rights."""

import contextlib
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from callgate.eventstore import Connection, create_stream, rights
from callgate.log.reading import request_json
from cli.children import tied
from cli.embedded import find_nats_server, new_password

READY_TIMEOUT = 60.0
STREAM = "STORE"
PREFIX = "store.events"
TRACKING = "store.tracking"
_LISTENING = re.compile(rb"Listening for client connections on 127\.0\.0\.1:(\d+)")


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
    configuration = folder / "nats.conf"
    folder.mkdir(exist_ok=True)
    configuration.write_text(_configuration(folder, port, password))
    process = subprocess.Popen(tied(str(find_nats_server()), "-c", str(configuration)), stderr=subprocess.PIPE)
    try:
        yield Server(f"nats://127.0.0.1:{_port(process)}", password)
    finally:
        process.terminate()
        process.wait(READY_TIMEOUT)


def empty_stream(server: Server) -> None:
    """STREAM with nothing on it."""
    with server.connect("admin") as admin:
        admin.run(request_json(admin.client, f"$JS.API.STREAM.DELETE.{STREAM}", {}))
        create_stream(admin, STREAM, "store.>")


def _configuration(folder: Path, port: int, password: str) -> str:
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
    return "\n".join(
        (
            'host: "127.0.0.1"',
            f"port: {port}",
            f'jetstream {{ store_dir: "{folder}", sync_interval: always, strict: true }}',
            f"authorization {{ users: [ {', '.join(users)} ] }}",
        )
    )


def _port(process: "subprocess.Popen[bytes]") -> int:
    """From what the server says; a thread reads on, so that it never waits for a reader."""
    ports: list[int] = []
    ready = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                if found := _LISTENING.search(line):
                    ports.append(int(found[1]))
                if b"Server is ready" in line:
                    ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    if not ready.wait(READY_TIMEOUT) or not ports:
        raise AssertionError("nats-server did not become ready")
    return ports[0]
