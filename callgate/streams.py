"""The table of streams and durable consumers: pure data, which only `callgate.provision` ever writes to a broker.

Consumers are push consumers on `deliver.<service>` with the service as queue group, made here and nowhere else: a
right to create consumers is a right to redirect another service's deliveries.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from nats.js import api

from contracts.events import (
    Allowed,
    ApprovalExpired,
    ApprovalRequired,
    Approved,
    ArgumentsAmended,
    ArgumentsMasked,
    Cancelled,
    EventData,
    ExecutionCompleted,
    OutcomeSettled,
    OutcomeUnknown,
    Rejected,
    Requested,
    VoteCast,
)
from contracts.identity import Role
from contracts.subjects import (
    ACCESS,
    ADMISSION,
    CHECKPOINTS,
    CONTROL,
    LIVE,
    NOTICES,
    NOTICES_DUE,
    PAYLOADS,
    SESSION_KEYS,
    TIMERS,
    Partition,
    deliver_subject,
    event_filter,
)

APPROVAL_TIMERS = "approval-timers"
TIMERS_DUE = "timers.due.>"
APPROVAL_NOTICES = "approval-notices"
"""On every stream of calls: what people may have to be told of."""
APPROVAL_SENDS = "approval-sends"
"""On NOTICES: what is to be sent."""
DEFAULT_ACK_WAIT = 30.0
"""Seconds until an unacknowledged delivery is made again; handlers send `in_progress` from receipt on."""
DEFAULT_MAX_ACK_PENDING = 64
"""Deliveries under way per durable; at most the workers of all replicas, or they expire in a client's buffer."""

CONSUMED: Mapping[Role, tuple[type[EventData], ...]] = MappingProxyType(
    {
        Role.MASKING: (Requested, ArgumentsAmended, ExecutionCompleted, OutcomeSettled),
        Role.POLICY: (ArgumentsMasked, Approved),
        Role.APPROVAL: (ApprovalRequired, VoteCast),
        Role.EXECUTOR: (Allowed, OutcomeSettled),
    }
)
"""Which events each service is given to answer, by its durable of the same name on every stream of calls."""

NOTICED: tuple[type[EventData], ...] = (
    ApprovalRequired,
    VoteCast,
    Approved,
    Rejected,
    ApprovalExpired,
    ArgumentsAmended,
    Cancelled,
    OutcomeUnknown,
    OutcomeSettled,
)
"""What notices tell of. How an approved call ended is told after `approved`: most calls need nobody's approval."""
_WAITING_NOTICES = 4096
"""Notices that may wait for their next attempt at the same time; beyond that even working endpoints wait."""
_WAITING_ENDS = 1024
"""Approved calls whose end is waited for, to be told, at the same time; beyond that new questions wait to be told."""
_NOTICES_KEPT = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """One stream as it must stand on the broker."""

    config: api.StreamConfig

    @property
    def name(self) -> str:
        return str(self.config.name)

    def request(self) -> dict[str, Any]:
        """The body of STREAM.CREATE and STREAM.UPDATE."""
        return _present(self.config.as_dict())


@dataclass(frozen=True, slots=True)
class ConsumerSpec:
    """One durable push consumer as it must stand on the broker."""

    stream: str
    config: api.ConsumerConfig

    @property
    def durable(self) -> str:
        return str(self.config.durable_name)

    def request(self) -> dict[str, Any]:
        """The `config` in the body of CONSUMER.CREATE."""
        return _present(self.config.as_dict())


def partitions(epoch: int, shards: int) -> tuple[Partition, ...]:
    return tuple(Partition(epoch, shard) for shard in range(shards))


def streams(epoch: int = 1, shards: int = 1, replicas: int = 1) -> tuple[StreamSpec, ...]:
    """Every stream, those of calls last: their presence tells that a deployment was provisioned before."""
    return (
        _stream(CONTROL, "control.>", replicas, immutable=True),
        # A session is erased by a secure delete of its wrapped keys and of its large payloads.
        _stream(SESSION_KEYS, "keys.>", replicas, immutable=False),
        _stream(PAYLOADS, "payloads.>", replicas, immutable=False),
        _timers(replicas),
        # The last word on each subject; events older than a week are told to nobody, so none is told twice.
        _stream(NOTICES, "notices.>", replicas, immutable=False, max_msgs_per_subject=1, max_age=_NOTICES_KEPT),
        # Counters and used proofs: the last word on each subject, and each with the time after which it says nothing.
        _stream(ADMISSION, "admission.>", replicas, immutable=False, max_msgs_per_subject=1, allow_msg_ttl=True),
        _stream(ACCESS, "access.>", replicas, immutable=True),
        _stream(CHECKPOINTS, "checkpoints.>", replicas, immutable=True),
        *(_calls(partition, replicas) for partition in partitions(epoch, shards)),
    )


def consumers(
    epoch: int = 1,
    shards: int = 1,
    *,
    ack_wait: float = DEFAULT_ACK_WAIT,
    max_ack_pending: Mapping[str, int] | None = None,
) -> tuple[ConsumerSpec, ...]:
    """Every durable. `max_ack_pending` by durable name: the workers of a replica times the replicas; default 64."""
    pending = max_ack_pending or {}

    def durable(stream: str, name: str, group: str, filters: list[str]) -> ConsumerSpec:
        limit = pending.get(name, DEFAULT_MAX_ACK_PENDING)
        return _durable(stream, name, group, filters, ack_wait, limit)

    of_calls = (
        durable(partition.stream, role, role, _filters(events, partition))
        for partition in partitions(epoch, shards)
        for role, events in CONSUMED.items()
    )
    of_notices = (
        _durable(
            partition.stream, APPROVAL_NOTICES, Role.APPROVAL, _filters(NOTICED, partition), ack_wait, _WAITING_ENDS
        )
        for partition in partitions(epoch, shards)
    )
    sends = _durable(NOTICES, APPROVAL_SENDS, Role.APPROVAL, [NOTICES_DUE], ack_wait, _WAITING_NOTICES)
    return (durable(TIMERS, APPROVAL_TIMERS, Role.APPROVAL, [TIMERS_DUE]), sends, *of_notices, *of_calls)


def _filters(events: Iterable[type[EventData]], partition: Partition) -> list[str]:
    return [event_filter(event.NAME, str(partition)) for event in events]


def _stream(name: str, subject: str, replicas: int, *, immutable: bool, **more: Any) -> StreamSpec:
    config = api.StreamConfig(
        name=name,
        subjects=[subject],
        retention=api.RetentionPolicy.LIMITS,
        storage=api.StorageType.FILE,
        discard=api.DiscardPolicy.NEW if immutable else api.DiscardPolicy.OLD,
        num_replicas=replicas,
        deny_delete=immutable,
        deny_purge=immutable,
        allow_direct=True,
        **more,
    )
    return StreamSpec(config)


def _calls(partition: Partition, replicas: int) -> StreamSpec:
    return _stream(
        partition.stream,
        partition.all_calls,
        replicas,
        immutable=True,
        allow_atomic=True,
        republish=api.RePublish(src=partition.all_calls, dest=LIVE + partition.all_calls),
    )


def _timers(replicas: int) -> StreamSpec:
    # Schedules replace each other per subject, so the broker insists on roll-ups here; the TTL (Nats-Schedule-TTL) lets
    # fired timers go. Neither goes with deny_purge or discard=new, which a stream of mere hints can do without.
    return _stream(
        TIMERS,
        "timers.>",
        replicas,
        immutable=False,
        allow_msg_schedules=True,
        allow_rollup_hdrs=True,
        allow_msg_ttl=True,
    )


def _durable(stream: str, name: str, group: str, filters: list[str], ack_wait: float, pending: int) -> ConsumerSpec:
    config = api.ConsumerConfig(
        name=name,
        durable_name=name,
        deliver_policy=api.DeliverPolicy.ALL,
        deliver_subject=deliver_subject(name),
        deliver_group=str(group),
        ack_policy=api.AckPolicy.EXPLICIT,
        ack_wait=ack_wait,
        max_deliver=-1,  # nothing ever drops a call; the delay between deliveries is the handler's (nak with delay)
        max_ack_pending=pending,
        filter_subjects=filters,
    )
    return ConsumerSpec(stream, config)


def _present(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if value is not None}
