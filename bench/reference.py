"""What this machine allows at this moment, so that figures of different days can be compared.

The bare broker, configured as Callgate's, takes synced writes of an event's size with the same expected-sequence
headers; a call makes six. Shared machines differ fivefold from hour to hour: read the figures of a run beside these.
"""

import asyncio
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client

from callgate import keys
from callgate.ids import mint_session, uuid7
from callgate.settings import BrokerSettings, Settings
from cli.broker_client import connect
from cli.embedded import EmbeddedBroker
from cli.provisioning import provision_deployment
from contracts.identity import Role
from contracts.subjects import CallRef, Partition

_BODY = b"x" * 1500


@dataclass(frozen=True, slots=True)
class Reference:
    """`writes` a second at 64 in flight, milliseconds of one alone (p50), and Python's million additions a second."""

    writes: float
    alone_ms: float
    additions: float


async def measure(writes: int = 1500, shards: int = 1) -> Reference:
    """On a broker of its own in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="callgate-reference-") as name:
        folder = Path(name)
        keys.init(folder / "keys", "reference")
        passwords = {role: keys.read_password(folder / "keys", role) for role in Role}
        async with EmbeddedBroker(folder / "broker", passwords=passwords) as broker:
            layout = BrokerSettings(url=broker.url, shards=shards)
            settings = Settings(deployment="reference", state=folder, broker=layout)
            await provision_deployment(settings)
            client = await connect(settings, broker.url, Role.INGRESS, passwords[Role.INGRESS])
            try:
                await _write(client, 100, 1, shards)
                alone = sorted(await _write(client, 200, 1, shards))
                started = time.perf_counter()
                await _write(client, writes, 64, shards)
                seconds = time.perf_counter() - started
            finally:
                await client.close()
    return Reference(writes / seconds, alone[len(alone) // 2] * 1000, _additions())


async def _write(client: Client, writes: int, at_once: int, shards: int) -> list[float]:
    """Seconds of each write."""
    numbers = iter(range(writes))
    seconds: list[float] = []

    async def writer() -> None:
        for _ in numbers:
            session = mint_session("reference")
            ref = CallRef(Partition.of_session(session, 1, shards), session, uuid7())
            headers = {
                "Nats-Expected-Last-Subject-Sequence": "0",
                "Nats-Expected-Last-Subject-Sequence-Subject": ref.all_events,
            }
            started = time.perf_counter()
            reply = await client.request(ref.subject("requested"), _BODY, timeout=30, headers=headers)
            seconds.append(time.perf_counter() - started)
            assert "seq" in json.loads(reply.data)

    await asyncio.gather(*(writer() for _ in range(at_once)))
    return seconds


def _additions(count: int = 3_000_000) -> float:
    started = time.perf_counter()
    total = 0
    for number in range(count):
        total += number
    return count / (time.perf_counter() - started) / 1e6
