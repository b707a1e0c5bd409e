"""What operators run once: provisioning, and the broker's configuration."""

import json
import os
from pathlib import Path

from callgate import keys
from callgate.broker_config import nats_config
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


def write_nats_config(settings: Settings, path: Path, store: str, listen: str, monitor: str | None = None) -> None:
    """The file holds every service's password: it is the broker's alone (mode 0600)."""
    passwords = {role: keys.read_password(settings.keys_folder, role) for role in Role}
    host, _, port = listen.rpartition(":")
    text = nats_config(passwords, port=int(port), host=host, store_dir=store)
    if monitor is not None:
        text += f"http: {json.dumps(monitor)}\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    output.say(f"wrote {path}; start the broker with `nats-server -c {path}`")
