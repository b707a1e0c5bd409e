"""From a message on CALLS to a verified event, or to an alien.

A reader checks that subject, ids, shard and event name agree with body and ce-type, trusts no other header,
verifies the bytes that it received, then parses those bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from callgate.keyring import BadSignature, Ring, RingKey
from callgate.signing import SIGNATURE_HEADER, Signature, digest_of
from contracts.events import EVENT_BY_TYPE, Event, EventData, Recorded, UnknownEventType, parse_event
from contracts.subjects import Partition, parse_call_subject

CE_TYPE = "ce-type"
TRACEPARENT = "traceparent"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True)
class Message:
    """A message as it came from the broker, from whichever door: delivery, republication or reading."""

    subject: str
    headers: Mapping[str, str]
    body: bytes
    sequence: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Alien:
    """A message on CALLS that is no event of ours; `code` says why."""

    subject: str
    sequence: int
    code: str
    recorded_at: datetime


def trace_context(text: str | None) -> str | None:
    """A W3C `traceparent`, or None: agents choose the text, and only its form keeps raw values off the log."""
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None


_REMEMBERED = 2048
_REMEMBERED_SIZE = 16 * 1024
"""Bytes of a body, beyond which an event is not remembered: 32 MiB in all."""

_Seen = tuple[str, str, str, bytes]
"""Subject, ce-type, signature header and body: all that a verdict on a message rests on, beside the ring."""


class Verifier:
    """Verifies messages of one deployment's partitions. `shards` says for each epoch how many it has.

    It remembers what it verified lately: the services of one process, which share a verifier, meet each event several
    times, and so need neither check the same signature nor parse the same bytes again. Who may sign what, and
    when, is looked up in the ring each time.
    """

    def __init__(self, ring: Ring, shards: Mapping[int, int]) -> None:
        self.ring = ring
        self._shards = dict(shards)
        self._remembered: dict[_Seen, tuple[str, Event[Any], str]] = {}

    def verify(self, message: Message) -> Recorded | Alien:
        """The event, its signature, role, subject and ids verified; its place in the chain is the fold's to check."""
        try:
            return self._verified(message)
        except BadSignature as bad:
            return Alien(message.subject, message.sequence, bad.code, message.recorded_at)

    def made(self, subject: str, body: bytes, header: str, event: Event[Any]) -> str:
        """Notes what this process has just signed and minted itself; gives its digest."""
        ce_type = event.data.TYPE
        self.ring.made(ce_type, body, header)
        digest = digest_of(ce_type, body)
        signature = Signature.parse(header)
        if signature is not None:
            self._remember((subject, ce_type, header, body), (signature.key_id, event, digest))
        return digest

    def _verified(self, message: Message) -> Recorded:
        try:
            ref, name = parse_call_subject(message.subject)
        except ValueError:
            raise BadSignature("strange_subject") from None
        epoch = ref.partition.epoch
        shards = self._shards.get(epoch)
        if shards is None:
            raise BadSignature("unknown_epoch")
        if ref.partition != Partition.of_session(ref.session_id, epoch, shards):
            raise BadSignature("wrong_shard")
        ce_type = message.headers.get(CE_TYPE, "")
        kind = EVENT_BY_TYPE.get(ce_type)
        if kind is None:
            raise BadSignature("unknown_event")
        if name != kind.NAME:
            raise BadSignature("subject_differs")
        key, event, digest = self._event(message, kind, ce_type)
        key.require_valid(event.at, message.recorded_at)
        if (event.session_id, event.call_id) != (ref.session_id, ref.call_id):
            raise BadSignature("ids_differ")
        return Recorded(
            ref=ref,
            sequence=message.sequence,
            recorded_at=message.recorded_at,
            digest=digest,
            key_id=key.id,
            event=event,
            traceparent=trace_context(message.headers.get(TRACEPARENT)),
        )

    def _event(self, message: Message, kind: type[EventData], ce_type: str) -> tuple[RingKey, Event[Any], str]:
        header = message.headers.get(SIGNATURE_HEADER, "")
        seen = (message.subject, ce_type, header, message.body)
        remembered = self._remembered.get(seen)
        if remembered is not None:
            key_id, event, digest = remembered
            known = self.ring.key(key_id)
            if known is not None and known.use == "sign" and known.role in kind.ROLES:
                return known, event, digest
        key = self.ring.verify(ce_type, message.body, header, kind.ROLES)
        try:
            event = parse_event(ce_type, message.body)
        except (ValidationError, UnknownEventType):
            raise BadSignature("malformed") from None
        digest = digest_of(ce_type, message.body)
        self._remember(seen, (key.id, event, digest))
        return key, event, digest

    def _remember(self, seen: _Seen, verdict: tuple[str, Event[Any], str]) -> None:
        if len(seen[3]) > _REMEMBERED_SIZE:
            return
        if len(self._remembered) >= _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[seen] = verdict
