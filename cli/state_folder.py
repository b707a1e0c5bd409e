"""The folder of one embedded broker: who owns it, which version wrote it, and the server that a killed owner left.

lock              flock of the owner; holds its pid
format.json       {"format": 1, "nats_server": "2.15.1"}
nats-server.conf  the configuration, with the passwords (0600)
nats-server.pid   written by the server itself
nats-server.log   the server's log
ports/            the server's own note of the ports that it took
jetstream/        the streams
"""

import fcntl
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from callgate.errors import Fatal

FORMAT = 1
UPGRADE_COMMAND = "callgate up --upgrade"
Version = tuple[int, int, int]


class StateFolderError(Fatal):
    """This folder cannot be used as it stands; `detail` says why and what to do."""


@dataclass(frozen=True, slots=True)
class StateFolder:
    root: Path

    @property
    def config(self) -> Path:
        return self.root / "nats-server.conf"

    @property
    def pid(self) -> Path:
        return self.root / "nats-server.pid"

    @property
    def log(self) -> Path:
        return self.root / "nats-server.log"

    @property
    def ports(self) -> Path:
        return self.root / "ports"

    def create(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.ports.mkdir(mode=0o700, exist_ok=True)

    def lock(self) -> int:
        """Own the folder until the descriptor is closed, or this process ends in whatever way."""
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise StateFolderError(
                "state_folder_in_use",
                f"{self.root} is in use by process {owner}; stop that one, or give this one another `state:`",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    def write_config(self, text: str) -> None:
        """Whole or not at all, and never readable by others."""
        fresh = self.config.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        fresh.replace(self.config)

    def forget_run(self) -> None:
        """Remove what a former run noted of itself."""
        self.pid.unlink(missing_ok=True)
        for note in self.ports.glob("*.ports"):
            note.unlink()

    def noted_port(self) -> int | None:
        """The client port that the running server noted, once it did."""
        for note in self.ports.glob("*.ports"):
            try:
                urls = json.loads(note.read_text())["nats"]
            except (ValueError, KeyError):
                return None  # half-written: the caller asks again
            return int(urls[0].rpartition(":")[2])
        return None

    def orphan(self) -> int | None:
        """The pid of a server that still runs on this folder's configuration, left by an owner that was killed.

        Asked only while holding the lock. The pid file alone proves nothing: its number may be another process' by now.
        """
        try:
            pid = int(self.pid.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if _serves(pid, self.config) else None

    def last_words(self) -> str:
        """The server's last error line without time and pid, for people; our configuration keeps payloads out of it."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        errors = [line for line in lines[-50:] if "[FTL]" in line or "[ERR]" in line]
        return errors[-1].partition("] ")[2].partition("] ")[2] if errors else ""

    def check_format(self, server: Version, *, upgrade: bool) -> None:
        """Refuse what another version wrote, unless it is older and `upgrade` was asked for; then note this version."""
        note = self.root / "format.json"
        try:
            noted = json.loads(note.read_text())
            found, wrote = int(noted["format"]), parse_version(noted["nats_server"])
        except FileNotFoundError:
            if (self.root / "jetstream").exists():
                raise StateFolderError(
                    "state_folder_unknown", f"{self.root} holds streams but no format.json"
                ) from None
            found, wrote = FORMAT, server
        except (ValueError, KeyError, TypeError):
            raise StateFolderError("state_folder_unknown", f"{note} is not readable as Callgate's") from None
        if found > FORMAT or wrote > server:
            raise StateFolderError(
                "state_folder_newer",
                f"{self.root} was written by a newer version (format {found}, nats-server {_text(wrote)}); this one is "
                f"format {FORMAT}, nats-server {_text(server)}: use the newer Callgate, an older one could damage it",
            )
        # A patch release of nats-server keeps its files' format; anything above may not, and there is no way back.
        if (found < FORMAT or wrote[:2] != server[:2]) and not upgrade:
            raise StateFolderError(
                "state_folder_older",
                f"{self.root} was written by format {found}, nats-server {_text(wrote)}; this is format {FORMAT}, "
                f"nats-server {_text(server)}. Back the folder up, then run `{UPGRADE_COMMAND}`",
            )
        fresh = note.with_suffix(".new")
        fresh.write_text(json.dumps({"format": FORMAT, "nats_server": _text(server)}) + "\n")
        fresh.replace(note)


def parse_version(text: str) -> Version:
    """`2.15.1` or `nats-server: v2.15.1` → (2, 15, 1); a pre-release counts as its release. ValueError else."""
    major, minor, patch = text.strip().rpartition(" ")[2].removeprefix("v").partition("-")[0].split(".")
    return int(major), int(minor), int(patch)


def _text(version: Version) -> str:
    return ".".join(map(str, version))


def _serves(pid: int, config: Path) -> bool:
    """Whether this process is a nats-server started on this configuration."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        words = []
    if words or Path("/proc/self/cmdline").exists():
        return words[1:3] == ["-c", str(config)]
    command = ["ps", "-ww", "-o", "command=", "-p", str(pid)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return f" -c {config} " in listed.stdout
