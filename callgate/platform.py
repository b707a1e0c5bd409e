"""What a service stands on: one connection, its keys, the log, and the ways to seal and sign. Opened at the top."""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from faststream.nats import NatsBroker
from faststream.security import SASLPlaintext
from nats.aio.client import Client
from nats.errors import Error as NatsError

from callgate import keys
from callgate.catalog import LiveCatalog
from callgate.delivery import now
from callgate.errors import BrokerAway, ConfigurationError, Fatal
from callgate.keyring import BadSignature, Ring
from callgate.log import Alien, JetStreamLog
from callgate.log.messages import Verifier
from callgate.nats_client import LeanBroker
from callgate.records import JetStreamPayloads, JetStreamSessionKeys, Records, Standing
from callgate.sealing import Sealer
from callgate.settings import Settings
from callgate.signing import Signer
from callgate.telemetry import ALIENS, Tracer
from callgate.tracing import tracer_for
from contracts.identity import Role
from contracts.records import Genesis
from contracts.subjects import CONTROL, Partition

logger = logging.getLogger("callgate.platform")

CONNECT_TIMEOUT = 30.0
CLOSE_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Platform:
    """Everything a service's `app.py` may build on."""

    settings: Settings
    role: Role
    catalog: LiveCatalog
    broker: NatsBroker
    client: Client
    ring: Ring
    signer: Signer
    sealer: Sealer
    log: JetStreamLog
    records: Records
    verifier: Verifier
    genesis: Mapping[Partition, str]
    tracer: Tracer
    clock: Callable[[], datetime]

    def partition_of(self, session_id: str) -> Partition:
        """Where a session's new calls go: the current epoch."""
        return Partition.of_session(session_id, self.settings.broker.epoch, self.settings.broker.shards)

    @property
    def partitions(self) -> tuple[Partition, ...]:
        """Every provisioned partition, earlier epochs included."""
        return tuple(sorted(self.genesis))


def connect(url: str, role: Role, password: str, settings: Settings) -> NatsBroker:
    """A FastStream broker that is not yet connected: lean, since pydantic injection halves the rate."""
    ca = settings.broker.tls_ca
    tls = ssl.create_default_context(cafile=str(ca)) if ca is not None else None
    return LeanBroker(
        [server.strip() for server in url.split(",")],
        security=SASLPlaintext(role.value, password, ssl_context=tls),
        name=f"callgate-{role}",
        inbox_prefix=f"_INBOX_{role}",
        apply_types=False,
        logger=None,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,  # type: ignore[arg-type]  # seconds; a fraction works and is wanted
        connect_timeout=2,
        drain_timeout=5,
    )


@contextlib.asynccontextmanager
async def open_platform(settings: Settings, role: Role, shared: Verifier | None = None) -> AsyncIterator[Platform]:
    """Connects as one service. ConfigurationError where the broker is not provisioned or does not let us in.

    Services of one process may share the verifier of the first, and with it what it has verified already.
    """
    if settings.broker.url is None:
        raise ConfigurationError("no_broker", "broker.url is not set; `callgate up` starts an embedded broker instead")
    held = keys.load(settings.keys_folder, role)
    if held.ring.deployment != settings.deployment:
        raise ConfigurationError(
            "wrong_deployment",
            f"the keys are of deployment {held.ring.deployment!r}, the configuration says {settings.deployment!r}",
        )
    ring = shared.ring if shared else held.ring
    broker = connect(settings.broker.url, role, held.password, settings)
    client: Client | None = None
    try:
        client = await _connected(broker, settings.broker.url)
        records = Records(client, held.signer, ring)
        born = await _born(records, settings)
        genesis = {partition: standing.digest for partition, standing in born.items()}
        shards = {p.epoch: s.data.shards for p, s in born.items() if isinstance(s.data, Genesis)}
        verifier = shared or Verifier(ring, shards)
        catalog = LiveCatalog(settings.connections, client, records)
        await catalog.refresh()
        yield Platform(
            settings=settings,
            role=role,
            catalog=catalog,
            broker=broker,
            client=client,
            ring=ring,
            signer=held.signer,
            sealer=Sealer(
                role,
                ring,
                held.seal,
                JetStreamSessionKeys(client, records, now),
                JetStreamPayloads(client),
                lambda: keys.sealing_keys(settings.keys_folder, role),
            ),
            log=JetStreamLog(client, held.signer, verifier, genesis, _alarm(role)),
            records=records,
            verifier=verifier,
            genesis=genesis,
            tracer=tracer_for(role, settings.telemetry.otlp_endpoint),
            clock=now,
        )
    finally:
        with contextlib.suppress(NatsError, ConnectionError, TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await broker.stop()
        # While it looks for a broker that is away a client refuses to drain, and goes on looking until it is closed.
        if client is not None and not client.is_closed:
            with contextlib.suppress(NatsError, OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await client.close()


async def _connected(broker: NatsBroker, url: str) -> Client:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await broker.connect()
    except (TimeoutError, NatsError, OSError):
        raise ConfigurationError(
            "broker_unreachable", f"no broker that lets us in at {url}; is it running, and provisioned with these keys?"
        ) from None
    return broker.connection


async def _born(records: Records, settings: Settings) -> dict[Partition, Standing]:
    """The verified genesis records on CONTROL. Fatal where the layout differs from the configuration's."""
    found: dict[Partition, Standing] = {}
    try:
        async for standing in records.all(CONTROL, "control.genesis.>"):
            if isinstance(standing, BadSignature):
                logger.error("a genesis record that does not verify is ignored", extra={"code": standing.code})
                continue
            if isinstance(standing.data, Genesis):
                if standing.data.shards != settings.broker.shards and standing.data.epoch == settings.broker.epoch:
                    raise Fatal("wrong_shards", f"the broker was provisioned with {standing.data.shards} shards")
                # The first one counts: a second birth of the same partition is somebody's attempt.
                found.setdefault(Partition(standing.data.epoch, standing.data.shard), standing)
    except BrokerAway:
        raise ConfigurationError("not_provisioned", "the broker has no CONTROL; run `callgate provision`") from None
    missing = [s for s in range(settings.broker.shards) if Partition(settings.broker.epoch, s) not in found]
    if missing:
        raise ConfigurationError(
            "not_provisioned", f"epoch {settings.broker.epoch} lacks shard {missing[0]}; run `callgate provision`"
        )
    return found


def _alarm(role: Role) -> Callable[[Alien], None]:
    def alarm(alien: Alien) -> None:
        ALIENS.labels(role, alien.code).inc()
        logger.error("alien message on the log", extra={"sequence": alien.sequence, "code": alien.code})

    return alarm
