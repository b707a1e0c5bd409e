"""A nats-server by itself, with JetStream that syncs every write: no deployment, no services."""

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from cli.children import tied
from cli.embedded import find_nats_server

READY_TIMEOUT = 60.0
_LISTENING = re.compile(rb"Listening for client connections on 127\.0\.0\.1:(\d+)")


@contextlib.contextmanager
def running(folder: Path, *more: str, port: int = -1) -> Iterator[str]:
    """Its URL. `more` are lines of its configuration. Its store lies in `folder`, and is found again by the next."""
    folder.mkdir(exist_ok=True)
    configuration = folder / "nats.conf"
    store = f'jetstream {{ store_dir: "{folder}", sync_interval: always, strict: true }}'
    configuration.write_text("\n".join(('host: "127.0.0.1"', f"port: {port}", store, *more)))
    configuration.chmod(0o600)
    process = subprocess.Popen(tied(str(find_nats_server()), "-c", str(configuration)), stderr=subprocess.PIPE)
    try:
        yield f"nats://127.0.0.1:{_port(process)}"
    finally:
        process.terminate()
        process.wait(READY_TIMEOUT)


def _port(process: "subprocess.Popen[bytes]") -> int:
    """From what the server says; a thread reads on, so that it never waits for a reader."""
    ports: list[int] = []
    ready = threading.Event()

    def read() -> None:
        if process.stderr is not None:
            with process.stderr:
                for line in process.stderr:
                    if found := _LISTENING.search(line):
                        ports.append(int(found[1]))
                    if b"Server is ready" in line:
                        ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    if not ready.wait(READY_TIMEOUT) or not ports:
        raise RuntimeError("nats-server did not become ready")
    return ports[0]
