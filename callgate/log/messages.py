"""From a message on CALLS to a verified event, or to an alien.

A reader checks that subject, ids, shard and event name agree with body and ce-type, trusts no other header,
verifies the bytes that it received, then parses those bytes.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from callgate.keyring import UNKNOWN_KEY, BadSignature, Ring, RingKey
from callgate.signing import SIGNATURE_HEADER, digest_of
from contracts.events import EVENT_BY_TYPE, Event, EventData, Recorded, UnknownEventType, parse_event
from contracts.subjects import CallRef, Partition, parse_call_subject

CE_TYPE = "ce-type"
TRACEPARENT = "traceparent"
VERIFIED_HEADERS = (CE_TYPE, SIGNATURE_HEADER, TRACEPARENT)
"""All that a verifier looks at."""
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


@dataclass(slots=True)
class _Verdict:
    """What was found of some bytes once, and where they stand, as far as this process knows for certain."""

    ref: CallRef
    key: RingKey
    event: Event[Any]
    digest: str
    stands: Recorded | None = None


class Verifier:
    """Verifies messages of one deployment's partitions. `shards` says for each epoch how many it has.

    It remembers what it verified lately: the services of one process, which share a verifier, meet each event several
    times, and so need neither check the same signature nor parse the same bytes again. Who may sign what, and
    when, is looked up in the ring each time.
    """

    def __init__(self, ring: Ring, shards: Mapping[int, int]) -> None:
        self.ring = ring
        self._shards = dict(shards)
        self._remembered: OrderedDict[_Seen, _Verdict] = OrderedDict()
        self._by_digest: dict[str, _Verdict] = {}

    def verify(self, message: Message) -> Recorded | Alien:
        """The event, its signature, role, subject and ids verified; its place in the chain is the fold's to check."""
        try:
            return self._verified(message)
        except BadSignature as bad:
            return Alien(message.subject, message.sequence, bad.code, message.recorded_at)

    def made(self, ref: CallRef, body: bytes, header: str, key: RingKey, event: Event[Any]) -> str:
        """Notes what this process has just minted and signed with that key itself; gives its digest."""
        ce_type = event.data.TYPE
        digest = digest_of(ce_type, body)
        seen = ref.subject(event.data.NAME), ce_type, header, body
        self._remember(seen, _Verdict(ref, key, event, digest))
        return digest

    def appended(self, recorded: Recorded, answers: Recorded | None) -> None:
        """Notes that an event of ours was acknowledged: it stands, and so does what it answers, since the broker took
        it only right after that."""
        for standing in (recorded, answers):
            verdict = self._by_digest.get(standing.digest) if standing is not None else None
            if verdict is not None:
                verdict.stands = standing

    def known_chain(self, seen: Recorded, genesis: str) -> list[Recorded] | None:
        """The chain up to an event, first to last, where this process appended or answered all of it itself.

        Each event names the digest of the one before it, so there is no other chain that ends in this one. None where
        a part is not known, or a key no longer counts.
        """
        chain: list[Recorded] = []
        digest, before = seen.digest, seen.sequence + 1
        while digest != genesis:
            verdict = self._by_digest.get(digest)
            standing = verdict.stands if verdict is not None else None
            if standing is None or standing.ref != seen.ref or not standing.sequence < before:
                return None
            try:
                self._key(standing.key_id, type(standing.data)).require_valid(standing.event.at, standing.recorded_at)
            except BadSignature:
                return None
            chain.append(standing)
            digest, before = standing.event.follows, standing.sequence
        chain.reverse()
        return chain if chain and chain[-1].sequence == seen.sequence else None

    def _verified(self, message: Message) -> Recorded:
        headers = message.headers
        seen = message.subject, headers.get(CE_TYPE, ""), headers.get(SIGNATURE_HEADER, ""), message.body
        verdict = self._remembered.get(seen)
        if verdict is not None:
            kind = type(verdict.event.data)
            key = self._key(verdict.key.id, kind)
            if key.public != verdict.key.public:
                verdict = None
        if verdict is None:
            verdict = self._examined(seen)
            key = verdict.key
            self._remember(seen, verdict)
        key.require_valid(verdict.event.at, message.recorded_at)
        return Recorded(
            ref=verdict.ref,
            sequence=message.sequence,
            recorded_at=message.recorded_at,
            digest=verdict.digest,
            key_id=key.id,
            event=verdict.event,
            traceparent=trace_context(headers.get(TRACEPARENT)),
        )

    def _examined(self, seen: _Seen) -> _Verdict:
        """The verdict on bytes that were not met before, whenever they were recorded."""
        subject, ce_type, header, body = seen
        try:
            ref, name = parse_call_subject(subject)
        except ValueError:
            raise BadSignature("strange_subject") from None
        epoch = ref.partition.epoch
        shards = self._shards.get(epoch)
        if shards is None:
            raise BadSignature("unknown_epoch")
        if ref.partition != Partition.of_session(ref.session_id, epoch, shards):
            raise BadSignature("wrong_shard")
        kind = EVENT_BY_TYPE.get(ce_type)
        if kind is None:
            raise BadSignature("unknown_event")
        if name != kind.NAME:
            raise BadSignature("subject_differs")
        key = self.ring.verify(ce_type, body, header, kind.ROLES)
        try:
            event = parse_event(ce_type, body)
        except (ValidationError, UnknownEventType):
            raise BadSignature("malformed") from None
        if (event.session_id, event.call_id) != (ref.session_id, ref.call_id):
            raise BadSignature("ids_differ")
        return _Verdict(ref, key, event, digest_of(ce_type, body))

    def _key(self, key_id: str, kind: type[EventData]) -> RingKey:
        """The key as the ring has it now. BadSignature unless it may sign such events."""
        key = self.ring.key(key_id)
        if key is None or key.use != "sign":
            raise BadSignature(UNKNOWN_KEY)
        if key.role not in kind.ROLES:
            raise BadSignature("wrong_role")
        return key

    def _remember(self, seen: _Seen, verdict: _Verdict) -> None:
        if len(seen[3]) > _REMEMBERED_SIZE:
            return
        self._remembered[seen] = verdict
        self._by_digest[verdict.digest] = verdict
        if len(self._remembered) > _REMEMBERED:
            _, forgotten = self._remembered.popitem(last=False)
            if self._by_digest.get(forgotten.digest) is forgotten:
                del self._by_digest[forgotten.digest]
