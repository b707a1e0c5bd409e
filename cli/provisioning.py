"""`callgate provision`: brings the broker to the table of streams and gives each partition its genesis record."""

from datetime import UTC, datetime

from nats.aio.client import Client
from nats.errors import Error as NatsError

from callgate import keys
from callgate.errors import ConfigurationError, LostRace
from callgate.provision import ProvisionReport, provision
from callgate.records import Records
from callgate.rights import inbox_prefix
from callgate.settings import Settings
from callgate.streams import APPROVAL_TIMERS, CONSUMED, partitions
from contracts.identity import Role
from contracts.records import Genesis
from contracts.subjects import genesis_subject


async def provision_deployment(settings: Settings, *, upgrade: bool = False) -> ProvisionReport:
    """Creates what is missing; changes nothing that stands unless `upgrade`. ConfigurationError, ProvisionError."""
    layout, url = settings.broker, settings.broker.url
    if url is None:
        raise ConfigurationError("no_broker", "set broker.url, or use `callgate up`, which provisions its own broker")
    held = keys.load(settings.keys_folder, Role.PROVISIONER)
    client = Client()
    try:
        try:
            await client.connect(
                url,
                user=Role.PROVISIONER.value,
                password=held.password,
                inbox_prefix=inbox_prefix(Role.PROVISIONER).encode(),
                allow_reconnect=False,
            )
        except (NatsError, OSError, TimeoutError):
            raise ConfigurationError(
                "broker_unreachable", f"no broker at {url} lets the provisioner in; does it run with these keys?"
            ) from None
        report = await provision(
            client,
            epoch=layout.epoch,
            shards=layout.shards,
            replicas=layout.replicas,
            ack_wait=layout.ack_wait,
            max_ack_pending=dict.fromkeys((*CONSUMED, APPROVAL_TIMERS), layout.max_ack_pending),
            upgrade=upgrade,
        )
        records = Records(client, held.signer, held.ring)
        for partition in partitions(layout.epoch, layout.shards):
            birth = Genesis(epoch=partition.epoch, shard=partition.shard, shards=layout.shards)
            try:
                await records.publish(genesis_subject(partition), birth, datetime.now(UTC), expected_last=0)
            except LostRace:
                continue  # born before
    finally:
        await client.close()
    return report
