"""What operators run once: provisioning, and the broker's configuration."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from callgate import keys
from callgate.addresses import host_and_port, listen_address
from callgate.broker_config import nats_config
from callgate.errors import ConfigurationError
from callgate.settings import Settings
from cli import output
from cli.provisioning import provision_deployment
from contracts.identity import Role


async def provision_broker(settings: Settings, upgrade: bool) -> int:
    """Exit code 0 when the broker stands as the table says, 1 when safe changes wait for --upgrade."""
    report = await provision_deployment(settings, upgrade=upgrade)
    for word, names in (("created", report.created), ("updated", report.updated), ("unchanged", report.unchanged)):
        for name in names:
            output.say(f"{word:10} {name}")
    for difference in report.differs:
        output.say(f"{'differs':10} {difference}")
    if not report.complete:
        output.error("nothing of that was changed; run `callgate provision --upgrade` to change it")
        return 1
    return 0


_SIZE = re.compile(r"([1-9]\d{0,14}) ?([kMGT]?)(i?)B?")
_POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """Bytes of `50GB` (powers of 1000) or `50GiB` (of 1024). ConfigurationError for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ConfigurationError("bad_size", "--max-store takes a size such as 50GB or 500MiB")
    size: int = int(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2]]
    return size


@dataclass(frozen=True, slots=True)
class Server:
    """What `--nats-config` is told of the nats-server: `listen` and `monitor` are host:port, `max_store` is bytes."""

    store: str
    listen: str
    monitor: str | None = None
    max_store: int | None = None


def _check_address(option: str, address: str | None) -> None:
    try:
        listen_address(address or "127.0.0.1:0")
    except ValueError as wrong:
        raise ConfigurationError("bad_address", f"{option} {wrong}") from None


def write_nats_config(settings: Settings, path: Path, server: Server) -> None:
    """The file holds every service's password: it is the broker's alone (mode 0600)."""
    for option, address in (("--listen", server.listen), ("--monitor", server.monitor)):
        _check_address(option, address)
    host, port = host_and_port(server.listen)
    passwords = {role: keys.read_password(settings.keys_folder, role) for role in Role}
    text = nats_config(
        passwords,
        port=port,
        host=host,
        store_dir=server.store,
        max_store=server.max_store,
        replicas=settings.broker.replicas,
    )
    if server.monitor is not None:
        text += f"http: {json.dumps(server.monitor)}\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    output.say(f"wrote {path}; start the broker with `nats-server -c {path}`")
    if server.max_store is None:
        output.error(
            "without --max-store nobody sees the broker's disk fill up, and calls are admitted until it is full"
        )
