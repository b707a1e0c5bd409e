"""Streams of events as a log would hold them, without a log."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from callgate.ids import mint_session, uuid7
from callgate.signing import digest_of
from contracts.events import (
    Allowed,
    ArgumentsMasked,
    EventData,
    ExecutionCompleted,
    ExecutionStarted,
    Recorded,
    Requested,
    ResultMasked,
    Sealed,
    encode_event,
    make_event,
)
from contracts.identity import Principal
from contracts.subjects import CallRef, Partition

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
PARTITION = Partition(1, 0)
GENESIS = "0" * 64
SEALED = Sealed(key_id="k", nonce="AAAAAAAAAAAAAAAA", ciphertext="SECRETBYTES" * 200)
AGENT = Principal(id="bot", issuer="https://issuer.example", on_behalf_of="rosa")
JUDGED = {"policy_set": "a" * 64, "policies": ("p-1",), "function_digest": "b" * 64}

STEPS: tuple[EventData, ...] = (
    Requested(function="crm.read", principal=AGENT, arguments=SEALED),
    ArgumentsMasked(function="crm.read", principal=AGENT, arguments=SEALED, view=SEALED),
    Allowed(**JUDGED),
    ExecutionStarted(instance="e1", attempt=1, deadline=START + timedelta(hours=1)),
    ExecutionCompleted(function="crm.read", status=200, result=SEALED, size=3, duration_ms=1.0),
    ResultMasked(status=200, view=SEALED),
)


@dataclass
class Stream:
    """Gives sequences and times; `messages` is what stands on it."""

    partition: Partition = PARTITION
    genesis: str = GENESIS
    messages: list[Recorded] = field(default_factory=list)

    def write(self, ref: CallRef, data: EventData, follows: str) -> Recorded:
        at = START + timedelta(seconds=len(self.messages))
        event = make_event(uuid7(), ref, at, follows, data)
        digest = digest_of(data.TYPE, encode_event(event))
        recorded = Recorded(ref, len(self.messages) + 1, at, digest, "key", event)
        self.messages.append(recorded)
        return recorded

    def repeat(self, recorded: Recorded) -> Recorded:
        """The same bytes once more."""
        again = dataclasses.replace(recorded, sequence=len(self.messages) + 1)
        self.messages.append(again)
        return again

    def call(self, steps: Sequence[EventData] = STEPS, ref: CallRef | None = None) -> list[Recorded]:
        """A chain of these steps."""
        ref = ref or CallRef(self.partition, mint_session(AGENT.session_owner), uuid7())
        chain: list[Recorded] = []
        for data in steps:
            chain.append(self.write(ref, data, chain[-1].digest if chain else self.genesis))
        return chain


def elsewhere(digest: str) -> str:
    """The digest of something that is not there."""
    return hashlib.sha256(digest.encode()).hexdigest()
