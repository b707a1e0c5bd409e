"""`callgate provision`: every stream and consumer of the table, created once and never changed silently.

It looks at everything before it writes anything, never deletes, and is idempotent. Only the changes named in
`SAFE_STREAM` and `SAFE_CONSUMER`, and new partitions beside existing ones, can be made later, and only with `upgrade`.
"""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import nats.errors
from nats.aio.client import Client

from callgate.errors import BrokerAway, Fatal
from callgate.streams import DEFAULT_ACK_WAIT, ConsumerSpec, StreamSpec, consumers, partitions, streams

SAFE_STREAM = frozenset({"num_replicas"})
SAFE_CONSUMER = frozenset({"ack_wait", "max_ack_pending", "filter_subjects"})
_CONSUMER_NOT_FOUND = 10014
_TIMEOUT = 30.0
"""Seconds for one request: in a cluster, creating a stream elects its leader first."""

# What nats-server 2.15 fills in where a request leaves a field out; any other value left out means off.
_STREAM_DEFAULTS: Mapping[str, Any] = {
    "max_consumers": -1,
    "max_msgs": -1,
    "max_bytes": -1,
    "max_msgs_per_subject": -1,
    "max_msg_size": -1,
    "duplicate_window": 120_000_000_000,
    "compression": "none",
}
_CONSUMER_DEFAULTS: Mapping[str, Any] = {"max_deliver": -1}


class ProvisionError(Fatal):
    """The broker holds something else than the table says, and no safe change leads there; nothing was written."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One field (`field` "" when the whole stream is meant) that stands otherwise on the broker."""

    asset: str
    field: str
    found: Any
    wanted: Any

    def __str__(self) -> str:
        if not self.field:
            return f"{self.asset}: {'missing' if self.found is None else 'not in the table'}"
        return f"{self.asset}: {self.field} is {json.dumps(self.found)}, the table says {json.dumps(self.wanted)}"


@dataclass(slots=True)
class ProvisionReport:
    """What happened to each stream (`CALLS_1_0`) and consumer (`CALLS_1_0/policy`)."""

    created: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    differs: list[Difference] = field(default_factory=list)
    """Safe changes that wait for `upgrade=True`."""

    @property
    def complete(self) -> bool:
        """Whether the broker now stands as the table says."""
        return not self.differs


async def provision(
    nc: Client,
    *,
    epoch: int = 1,
    shards: int = 1,
    replicas: int = 1,
    ack_wait: float = DEFAULT_ACK_WAIT,
    max_ack_pending: Mapping[str, int] | None = None,
    upgrade: bool = False,
) -> ProvisionReport:
    """Bring the broker to the table, as the provisioner's user `nc`.

    ProvisionError names every difference that no safe change removes; BrokerAway when the broker does not answer.
    """
    wanted_streams = streams(epoch, shards, replicas)
    wanted_consumers = consumers(epoch, shards, ack_wait=ack_wait, max_ack_pending=max_ack_pending)
    found_streams = await _streams_found(nc)
    found_consumers = {
        _asset(spec): await _info(nc, f"CONSUMER.INFO.{spec.stream}.{spec.durable}", _CONSUMER_NOT_FOUND)
        for spec in wanted_consumers
        if spec.stream in found_streams
    }
    unsafe = [
        *_too_many_shards(found_streams, epoch, shards),
        *_unsafe(
            ((spec.name, stream_differences(spec, found_streams.get(spec.name))) for spec in wanted_streams),
            SAFE_STREAM,
        ),
        *_unsafe(
            (
                (_asset(spec), consumer_differences(spec, found_consumers.get(_asset(spec))))
                for spec in wanted_consumers
            ),
            SAFE_CONSUMER,
        ),
    ]
    if unsafe:
        raise ProvisionError("broker_differs", "; ".join(map(str, unsafe)))
    report = ProvisionReport()
    provisioned_before = any(name.startswith("CALLS_") for name in found_streams)
    for spec in wanted_streams:
        await _settle_stream(nc, spec, found_streams.get(spec.name), report, upgrade, provisioned_before)
    absent = {difference.asset for difference in report.differs if not difference.field}
    for consumer in wanted_consumers:
        if consumer.stream not in absent:
            await _settle_consumer(nc, consumer, found_consumers.get(_asset(consumer)), report, upgrade)
    return report


def stream_differences(spec: StreamSpec, found: Mapping[str, Any] | None) -> list[Difference]:
    """How the stream found (a STREAM.INFO `config`) differs from the table; none for one that is not there."""
    return _differences(spec.name, spec.request(), found, _STREAM_DEFAULTS)


def consumer_differences(spec: ConsumerSpec, found: Mapping[str, Any] | None) -> list[Difference]:
    """The same for a consumer (a CONSUMER.INFO `config`)."""
    return _differences(_asset(spec), spec.request(), found, _CONSUMER_DEFAULTS)


def _differences(
    asset: str, wanted: Mapping[str, Any], found: Mapping[str, Any] | None, defaults: Mapping[str, Any]
) -> list[Difference]:
    if found is None:
        return []
    left, right = _normal(found, defaults), _normal(wanted, defaults)
    return [
        Difference(asset, key, left.get(key), right.get(key))
        for key in sorted(left.keys() | right.keys())
        if left.get(key) != right.get(key)
    ]


def _normal(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    set_fields = {key: value for key, value in config.items() if key != "metadata" and value}
    # Through JSON, so that enumerations and plain strings compare.
    normal: dict[str, Any] = json.loads(json.dumps({**defaults, **set_fields}))
    if "filter_subjects" in normal:
        normal["filter_subjects"].sort()
    elif "filter_subject" in normal:
        normal["filter_subjects"] = [normal.pop("filter_subject")]
    return normal


def _unsafe(assets: Iterable[tuple[str, list[Difference]]], safe: frozenset[str]) -> list[Difference]:
    return [difference for _, found in assets for difference in found if difference.field not in safe]


def _too_many_shards(found: Mapping[str, Any], epoch: int, shards: int) -> list[Difference]:
    """Streams of this epoch beyond its shards: sessions would change their partition, and calls there be orphaned."""
    known = {partition.stream for partition in partitions(epoch, shards)}
    return [
        Difference(name, "", "present", None)
        for name in sorted(found)
        if name.startswith(f"CALLS_{epoch}_") and name not in known
    ]


async def _settle_stream(
    nc: Client,
    spec: StreamSpec,
    found: Mapping[str, Any] | None,
    report: ProvisionReport,
    upgrade: bool,
    provisioned_before: bool,
) -> None:
    differences = stream_differences(spec, found)
    if found is None:
        # On a deployment in use a missing stream is a new shard or epoch, or a loss; neither is mended in silence.
        if provisioned_before and not upgrade:
            report.differs.append(Difference(spec.name, "", None, "present"))
            return
        await _request(nc, f"STREAM.CREATE.{spec.name}", spec.request())
        report.created.append(spec.name)
    elif not differences:
        report.unchanged.append(spec.name)
    elif upgrade:
        await _request(nc, f"STREAM.UPDATE.{spec.name}", spec.request())
        report.updated.append(spec.name)
    else:
        report.differs.extend(differences)


async def _settle_consumer(
    nc: Client, spec: ConsumerSpec, found: Mapping[str, Any] | None, report: ProvisionReport, upgrade: bool
) -> None:
    name = _asset(spec)
    differences = consumer_differences(spec, found)
    if found is not None and not differences:
        report.unchanged.append(name)
        return
    if found is not None and not upgrade:
        report.differs.extend(differences)
        return
    # The action guards against a race: another provisioner's durable is not overwritten, one that vanished not remade.
    action = "create" if found is None else "update"
    body = {"stream_name": spec.stream, "config": spec.request(), "action": action}
    await _request(nc, f"CONSUMER.CREATE.{spec.stream}.{spec.durable}", body)
    (report.created if found is None else report.updated).append(name)


def _asset(spec: ConsumerSpec) -> str:
    return f"{spec.stream}/{spec.durable}"


async def _streams_found(nc: Client) -> dict[str, dict[str, Any]]:
    """Every stream on the broker by name, with its `config`."""
    found: dict[str, dict[str, Any]] = {}
    while True:
        page = await _request(nc, "STREAM.LIST", {"offset": len(found)})
        entries = page.get("streams") or []
        found.update({entry["config"]["name"]: entry["config"] for entry in entries})
        if not entries or len(found) >= page["total"]:
            return found


async def _info(nc: Client, subject: str, not_found: int) -> dict[str, Any] | None:
    try:
        config: dict[str, Any] = (await _request(nc, subject, None))["config"]
    except _ApiRefused as refused:
        if refused.err_code == not_found:
            return None
        raise
    return config


_NO_PEERS = 10005
_PEERS_WITHIN = 15.0
"""Seconds for the nodes of a cluster to find each other."""


class _ApiRefused(ProvisionError):
    def __init__(self, subject: str, error: Mapping[str, Any]) -> None:
        super().__init__("broker_refused", f"{subject}: {error.get('description', '')} ({error.get('err_code', 0)})")
        self.err_code = int(error.get("err_code", 0))


async def _request(nc: Client, subject: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
    """One request to the API, repeated while a cluster that has just started does not know all its nodes yet."""
    payload = b"" if body is None else json.dumps(body).encode()
    delay, waited = 0.1, 0.0
    while True:
        try:
            answer = await nc.request(f"$JS.API.{subject}", payload, timeout=_TIMEOUT)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BrokerAway(f"no answer to {subject}") from error
        decoded: dict[str, Any] = json.loads(answer.data)
        if "error" not in decoded:
            return decoded
        refused = _ApiRefused(subject, decoded["error"])
        if refused.err_code != _NO_PEERS or waited > _PEERS_WITHIN:
            raise refused
        await asyncio.sleep(delay)
        waited, delay = waited + delay, min(delay * 2, 1.0)
