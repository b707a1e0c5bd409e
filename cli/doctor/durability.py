"""Whether the broker syncs each write before it acknowledges it: NATS' own default does not, and loses events.

The setting cannot be asked for over a service's connection. An embedded broker's configuration lies here; a server
elsewhere tells it by its monitoring port alone.
"""

import json
import re
from pathlib import Path
from typing import Any

from cli.doctor.findings import Finding


def durability_of_file(config: Path) -> Finding:
    """Whether a nats-server that runs by this configuration file syncs each write."""
    try:
        text = config.read_text()
    except OSError:
        return Finding("warn", "durability", f"{config} cannot be read, so whether the broker syncs is unknown")
    found = re.findall(r"^\s*sync(?:_interval)?\s*[:=\s]\s*\"?([A-Za-z0-9]+)", text, re.MULTILINE)
    if found and all(value == "always" for value in found):
        return Finding("ok", "durability", "sync_interval: always; what the broker acknowledged is on disk")
    return Finding(
        "FAIL", "durability", f"THE BROKER DOES NOT SYNC: set `jetstream {{ sync_interval: always }}` in {config}"
    )


def durability_of_monitoring(url: str, body: bytes) -> Finding:
    """The same from what the server's monitoring answers at /jsz."""
    try:
        config: dict[str, Any] = json.loads(body)["config"]
        always = config.get("sync_always") is True
    except (ValueError, KeyError, TypeError, AttributeError):
        return Finding("FAIL", "durability", f"{url} does not answer like nats-server's monitoring; check --monitor")
    if always:
        return Finding("ok", "durability", f"{url}: sync always; what the broker acknowledged is on disk")
    interval = config.get("sync_interval", 0) / 1e9
    return Finding(
        "FAIL",
        "durability",
        f"THE BROKER AT {url} DOES NOT SYNC (every {interval:g} s only): acknowledged events are lost with its power; "
        "set `jetstream { sync_interval: always }` and restart it",
    )


def durability_unseen() -> Finding:
    """Said where nobody can tell: no silence on what everything rests on."""
    return Finding(
        "warn",
        "durability",
        "WHETHER THE BROKER SYNCS CANNOT BE SEEN FROM HERE: give `--monitor http://server:8222` for each server, "
        "or make sure that its configuration says `jetstream { sync_interval: always }`",
    )
