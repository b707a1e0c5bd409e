"""What each service's NATS user may publish, read and receive: pure data, rendered by `callgate.broker_config`.

Nobody but the provisioner may create, change, purge or delete anything. The events that a user may publish are those
that its role may sign (`ROLES` of contracts.events), so the two can never differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from callgate.streams import APPROVAL_NOTICES, APPROVAL_SENDS, APPROVAL_TIMERS, CONSUMED
from contracts.events import EVENTS
from contracts.identity import Role
from contracts.subjects import (
    ACCESS,
    ADMISSION,
    ALL_LIMITS,
    ALL_PROOFS,
    ALL_RESERVATIONS,
    CHECKPOINTS,
    CONTROL,
    LIVE,
    NOTICES,
    PAYLOADS,
    POLICY_SET_SUBJECT,
    SESSION_KEYS,
    TIMERS,
    access_filter,
    deliver_subject,
    event_filter,
)

FIXED_STREAMS = (CONTROL, SESSION_KEYS, PAYLOADS, TIMERS, ACCESS, CHECKPOINTS, NOTICES, ADMISSION)
_SEALED = ("keys.>", "payloads.>")
_LIVE = f"{LIVE}calls.>"

_PUBLISHES: Mapping[Role, tuple[str, ...]] = MappingProxyType(
    {
        Role.INGRESS: (*_SEALED, access_filter(Role.INGRESS), ALL_PROOFS, ALL_LIMITS, ALL_RESERVATIONS),
        Role.MASKING: (*_SEALED, access_filter(Role.MASKING)),
        Role.POLICY: (POLICY_SET_SUBJECT, "control.connection.*", "control.grant.*.used.*"),
        Role.APPROVAL: (
            *_SEALED,
            access_filter(Role.APPROVAL),
            "control.grant.*.made",
            "control.grant.*.revoked",
            "control.freeze.*",
            "control.revocation.*",
            "control.tool.*.*.accepted",
            "timers.set.>",
            "notices.>",
            ALL_PROOFS,
        ),
        Role.EXECUTOR: (*_SEALED, "control.tool.*.*.found"),
        Role.AUDIT: ("checkpoints.*", access_filter(Role.AUDIT), ALL_PROOFS),
    }
)
_LISTENS: Mapping[Role, tuple[str, ...]] = MappingProxyType(
    {Role.INGRESS: (_LIVE,), Role.APPROVAL: (_LIVE,), Role.AUDIT: (_LIVE,)}
)
_WORKING_SET = frozenset({CONTROL, SESSION_KEYS, PAYLOADS})
_READS: Mapping[Role, frozenset[str]] = MappingProxyType(
    {
        Role.INGRESS: _WORKING_SET | {ADMISSION},
        Role.MASKING: _WORKING_SET | {ACCESS},
        Role.POLICY: _WORKING_SET,
        Role.APPROVAL: _WORKING_SET | {TIMERS, ACCESS, NOTICES},
        Role.EXECUTOR: _WORKING_SET,
        Role.AUDIT: frozenset(FIXED_STREAMS) - {NOTICES, ADMISSION},
    }
)
"""Beside the streams of calls, whose names grow with every epoch and which every service reads."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Subjects, as nats-server takes them; `deny_publish` wins over `publish`."""

    publish: tuple[str, ...]
    deny_publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def inbox_prefix(role: Role) -> str:
    """What a service's connection must set as `inbox_prefix`: a shared `_INBOX.>` would show others' replies."""
    return f"_INBOX_{role}"


def durables(role: Role) -> tuple[str, ...]:
    """The names of the role's durables."""
    own = (str(role),) if role in CONSUMED else ()
    return (*own, APPROVAL_TIMERS, APPROVAL_NOTICES, APPROVAL_SENDS) if role is Role.APPROVAL else own


def rights(role: Role) -> Rights:
    """The least rights of one role's user."""
    inbox = f"{inbox_prefix(role)}.>"
    if role is Role.PROVISIONER:
        return Rights(("$JS.API.>", "control.genesis.*"), (), (inbox,))
    events = tuple(event_filter(event.NAME) for event in EVENTS if role in event.ROLES)
    # Acknowledgements are `$JS.ACK.<stream>.<durable>.<5 numbers>`; a durable's name is its owner's on every stream.
    acks = tuple(f"$JS.ACK.*.{durable}.>" for durable in durables(role))
    lookups = tuple(f"$JS.API.CONSUMER.INFO.*.{durable}" for durable in durables(role))
    # CALLS_* is no wildcard that NATS knows: allow the reads of every stream, deny those of the streams not needed.
    unread = tuple(stream for stream in FIXED_STREAMS if stream not in _READS[role])
    return Rights(
        publish=(*events, *_PUBLISHES[role], *acks, *lookups, *_READ_API),
        deny_publish=tuple(subject for stream in unread for subject in _read_api(stream)),
        subscribe=(inbox, *(deliver_subject(durable) for durable in durables(role)), *_LISTENS.get(role, ())),
    )


_READ_API = (
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.MSG.GET.*",
    "$JS.API.DIRECT.GET.>",
)


def _read_api(stream: str) -> tuple[str, ...]:
    return (f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}.>")
