"""`callgate provision`: brings the broker to the table of streams and gives each partition its genesis record."""

from datetime import UTC, datetime

from callgate import keys
from callgate.errors import BrokerAway, ConfigurationError, LostRace
from callgate.provision import ProvisionReport, provision
from callgate.records import Records
from callgate.settings import Settings
from callgate.streams import APPROVAL_TIMERS, CONSUMED, partitions
from cli.broker_client import connect
from contracts.identity import Role
from contracts.records import Genesis
from contracts.subjects import genesis_subject


async def provision_deployment(settings: Settings, *, upgrade: bool = False) -> ProvisionReport:
    """Creates what is missing; changes nothing that stands unless `upgrade`. ConfigurationError, ProvisionError."""
    layout, url = settings.broker, settings.broker.url
    if url is None:
        own = "`callgate up --upgrade` changes" if upgrade else "`callgate up` provisions"
        raise ConfigurationError("no_broker", f"set broker.url; where there is none, {own} the broker that it runs")
    held = keys.load(settings.keys_folder, Role.PROVISIONER)
    try:
        client = await connect(settings, url, Role.PROVISIONER, held.password)
    except BrokerAway as away:
        raise ConfigurationError("broker_unreachable", f"{away.detail}; does it run with these keys?") from None
    try:
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
