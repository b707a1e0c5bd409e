"""From a message on CALLS to a verified event, or to an alien.

A reader checks that subject, ids, shard and event name agree with body and ce-type, trusts no other header,
verifies the bytes that it received, then parses those bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from callgate.keyring import BadSignature, Ring
from callgate.signing import SIGNATURE_HEADER, digest_of
from contracts.events import EVENT_BY_TYPE, Recorded, UnknownEventType, parse_event
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


class Verifier:
    """Verifies messages of one deployment's partitions. `shards` says for each epoch how many it has."""

    def __init__(self, ring: Ring, shards: Mapping[int, int]) -> None:
        self._ring = ring
        self._shards = dict(shards)

    def made(self, ce_type: str, body: bytes, header: str) -> None:
        """Notes what this process has just signed: see `Ring.made`."""
        self._ring.made(ce_type, body, header)

    def verify(self, message: Message) -> Recorded | Alien:
        """The event, its signature, role, subject and ids verified; its place in the chain is the fold's to check."""
        try:
            return self._verified(message)
        except BadSignature as bad:
            return Alien(message.subject, message.sequence, bad.code, message.recorded_at)

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
        key = self._ring.verify(ce_type, message.body, message.headers.get(SIGNATURE_HEADER), kind.ROLES)
        try:
            event = parse_event(ce_type, message.body)
        except (ValidationError, UnknownEventType):
            raise BadSignature("malformed") from None
        key.require_valid(event.at, message.recorded_at)
        if (event.session_id, event.call_id) != (ref.session_id, ref.call_id):
            raise BadSignature("ids_differ")
        return Recorded(
            ref=ref,
            sequence=message.sequence,
            recorded_at=message.recorded_at,
            digest=digest_of(ce_type, message.body),
            key_id=key.id,
            event=event,
            traceparent=trace_context(message.headers.get(TRACEPARENT)),
        )
