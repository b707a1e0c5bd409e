"""The log, sealed payloads and deliveries in memory, for the unit tests of handlers: real digests and the real fold."""

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast

from callgate.delivery import Delivery
from callgate.errors import BrokerAway, LostRace, Rejected, TooLarge
from callgate.ids import mint_session, uuid7
from callgate.log import Alien, Chain, Draft, Origin
from callgate.sealing import Place, Sealer
from callgate.signing import digest_of
from contracts.events import (
    Allowed,
    ApprovalRequired,
    Approved,
    ArgumentsMasked,
    DataClass,
    EventData,
    InputProblem,
    Proof,
    Recorded,
    Requested,
    Requirement,
    Sealed,
    VoteCast,
    encode_event,
    make_event,
)
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
GENESIS = "9" * 64
AGENT = Principal(id="bot", issuer="https://issuer.test", groups=("bots",))
RITA = Principal(id="rita", issuer="https://issuer.test", groups=("finance",))

Fault = Literal["away", "stored", "too_large"]
"""What an append meets: nothing was written; it was, but the acknowledgement got lost; the event is too large."""


def new_ref() -> CallRef:
    return CallRef(Partition(1, 0), mint_session(AGENT.session_owner), uuid7())


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class MemoryLog:
    """`callgate.log.Log`. `faults` holds, by event name, what the next appends meet; `rivals`, what happens before."""

    clock: Clock = field(default_factory=Clock)
    events: dict[CallRef, list[Recorded]] = field(default_factory=lambda: defaultdict(list))
    journal: list[str] = field(default_factory=list)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    rivals: dict[str, Callable[[], Any]] = field(default_factory=dict)
    unreadable: int = 0
    """So many reads to come find the broker away."""
    strangers: set[str] = field(default_factory=set)
    """Digests of events whose key this reader's ring does not know."""
    behind: int = 0
    """So many reads to come do not have the last event of their call yet."""

    def origin(self, ref: CallRef) -> Origin:
        return Origin(ref, GENESIS)

    async def append(self, draft: Draft, answers: Recorded | Origin, *, traceparent: str | None = None) -> Recorded:
        name = draft.data.NAME
        if name in self.rivals:
            self.rivals.pop(name)()
        fault = self.faults[name].pop(0) if self.faults.get(name) else None
        if fault == "too_large":
            raise TooLarge
        if fault == "away":
            raise BrokerAway
        chain = self.call(answers.ref).chain
        mine = next((r for r in chain if r.event.event_id == draft.event_id), None)
        if mine is None:
            if self.call(answers.ref).head_digest != answers.digest:
                raise LostRace
            mine = self.write(
                make_event(draft.event_id, answers.ref, draft.at, answers.digest, draft.data), answers.ref
            )
        if fault == "stored":
            raise BrokerAway
        self.journal.append(name)
        return mine

    async def read(self, ref: CallRef) -> Chain:
        if self.unreadable:
            self.unreadable -= 1
            raise BrokerAway
        self.journal.append("read")
        return self._seen(ref, len(self.events[ref]))

    async def read_upto(self, seen: Recorded) -> Chain:
        if self.unreadable:
            self.unreadable -= 1
            raise BrokerAway
        return self._seen(seen.ref, seen.sequence)

    def _seen(self, ref: CallRef, last: int) -> Chain:
        if self.behind:
            self.behind -= 1
            last -= 1
        there = self.events[ref][:last]
        call = Call.replay(ref, GENESIS, [one for one in there if one.digest not in self.strangers])
        strange = [one for one in there if one.digest in self.strangers]
        aliens = [Alien(ref.subject(one.name), one.sequence, "unknown_key", one.recorded_at) for one in strange]
        return Chain(call, tuple(aliens), last)

    async def read_session(self, partition: Partition, session_id: str) -> list[Chain]:
        raise NotImplementedError

    async def read_begun(self, partition: Partition, session_id: str, after: int, limit: int) -> list[Chain]:
        raise NotImplementedError

    def follow(self, partition: Partition, after: int = 0, event: str = "*") -> AsyncIterator[Recorded | Alien]:
        raise NotImplementedError

    def put(self, ref: CallRef, *data: EventData) -> Recorded:
        """What others append, each event answering the head."""
        for one in data:
            written = self.write(make_event(uuid7(), ref, self.clock(), self.call(ref).head_digest, one), ref)
            assert self.call(ref).head == written, f"{one.NAME} does not continue the chain"
        return written

    def write(self, event: Any, ref: CallRef) -> Recorded:
        digest = digest_of(event.data.TYPE, encode_event(event))
        recorded = Recorded(ref, len(self.events[ref]) + 1, self.clock(), digest, "key", event)
        self.events[ref].append(recorded)
        return recorded

    def call(self, ref: CallRef) -> Call:
        return Call.replay(ref, GENESIS, self.events[ref])

    def names(self, ref: CallRef) -> list[str]:
        return [recorded.name for recorded in self.call(ref).chain]


@dataclass
class MemorySealer:
    """What a service sees of `Sealer`: a payload opens in its place and class only. `errors` meet the next uses."""

    held: dict[str, tuple[bytes, Place, DataClass]] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)
    erased: bool = False
    """Whether the keys of all sessions are gone, though this process remembers what it made of them."""

    def put(self, plaintext: bytes, place: Place, data_class: DataClass) -> Sealed:
        key = f"k{len(self.held)}"
        self.held[key] = (plaintext, place, data_class)
        return Sealed(key_id=key, nonce="AAAA", ciphertext="AAAA")

    async def seal(self, plaintext: bytes, place: Place, data_class: DataClass, now: datetime) -> Sealed:
        if self.errors:
            raise self.errors.pop(0)
        return self.put(plaintext, place, data_class)

    async def open(self, sealed: Sealed, place: Place, data_class: DataClass) -> bytes:
        if self.errors:
            raise self.errors.pop(0)
        plaintext, where, kind = self.held[sealed.key_id]
        if (where, kind) != (place, data_class):
            raise Rejected("seal_broken")
        return plaintext

    async def session_secret(self, session_id: str, purpose: str, now: datetime, *, remembered: bool = True) -> bytes:
        if self.erased and not remembered:
            raise Rejected("key_missing")
        return hashlib.sha512(f"{session_id} {purpose}".encode()).digest()

    @property
    def as_sealer(self) -> Sealer:
        return cast(Sealer, self)


def delivery(number: int = 1) -> Delivery:
    return Delivery(cast(Any, None), number, None)


@dataclass
class Calls:
    """Calls as far as other services bring them."""

    log: MemoryLog
    sealer: MemorySealer
    function: str = "shop.pay"
    arguments: bytes = b'{"amount":40}'
    request: bytes | None = None
    """As it came through the proxy."""

    def _request(self, ref: CallRef, event_id: str) -> Sealed | None:
        return None if self.request is None else self.sealer.put(self.request, Place(ref, event_id, "request"), "raw")

    def requested(self) -> Recorded:
        ref, event_id = new_ref(), uuid7()
        payload = self.sealer.put(self.arguments, Place(ref, event_id, "arguments"), "raw")
        request = self._request(ref, event_id)
        data = Requested(function=self.function, principal=AGENT, arguments=payload, request=request)
        return self.log.write(make_event(event_id, ref, self.log.clock(), GENESIS, data), ref)

    def masked(
        self,
        view: bytes | None = None,
        uninspectable: Iterable[str] = (),
        refused_tokens: Iterable[InputProblem] = (),
    ) -> Recorded:
        before, event_id = self.requested(), uuid7()
        ref = before.ref
        data = ArgumentsMasked(
            function=self.function,
            principal=AGENT,
            arguments=self.sealer.put(self.arguments, Place(ref, event_id, "arguments"), "raw"),
            view=self.sealer.put(view or self.arguments, Place(ref, event_id, "view"), "view"),
            uninspectable=tuple(uninspectable),
            refused_tokens=tuple(refused_tokens),
            request=self._request(ref, event_id),
        )
        return self.log.write(make_event(event_id, ref, self.log.clock(), before.digest, data), ref)

    def allowed(self, function_digest: str) -> Recorded:
        return self.log.put(self.masked().ref, Allowed(policy_set="a" * 64, function_digest=function_digest))

    def approved(self, requirement: Requirement | None = None) -> Recorded:
        """One reviewer, of the group finance, has approved it."""
        wanted = requirement or Requirement(
            policies=("large",), approvers=("finance",), quorum=1, expires_at=NOW + timedelta(minutes=15)
        )
        question = ApprovalRequired(policy_set="a" * 64, function_digest="b" * 64, requirements=(wanted,))
        asked = self.log.put(self.masked().ref, question)
        proof = Proof(issuer=RITA.issuer, subject=RITA.id, digest=asked.digest)
        vote = self.log.put(asked.ref, VoteCast(reviewer=RITA, decision="approve", proof=proof))
        return self.log.put(asked.ref, Approved(votes=(vote.event.event_id,)))
