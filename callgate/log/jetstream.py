"""The log on JetStream. The contract is the docstring of `callgate.log`."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime

import orjson
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError

from callgate.errors import BrokerAway, LostRace, TooLarge
from callgate.log import reading
from callgate.log.following import follow
from callgate.log.messages import CE_TYPE, TRACEPARENT, Alien, Message, Verifier, trace_context
from callgate.log.protocol import Chain, Draft, Origin
from callgate.signing import SIGNATURE_HEADER, Signer
from callgate.telemetry import events_appended
from contracts.events import ApprovalRequired, Recorded, Requested, encode_event, make_event
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition, parse_call_subject, session_filter

ACK_TIMEOUT = 2.0
"""Seconds to wait for one acknowledgement before looking whether the event stands."""
APPEND_TIMEOUT = 8.0
"""Seconds after which an append gives up with BrokerAway."""

WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
"""Somebody answered, or (mostly in a cluster) is answering at this moment."""
_TOO_LARGE = frozenset({10054, 10193})
_BACKOFF = 0.005, 0.25
_BATCH = 256
_READS = 16
"""Calls that are read at once for a page."""
_ALARMED = 4096
"""How many aliens a log remembers that it alarmed."""


class JetStreamLog:
    """Appends as one service and reads for it.

    `genesis` maps each partition to the digest of its verified genesis record.
    """

    def __init__(
        self,
        client: Client,
        signer: Signer,
        verifier: Verifier,
        genesis: Mapping[Partition, str],
        on_alien: Callable[[Alien], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._signer = signer
        self._verifier = verifier
        self._genesis = genesis
        self._on_alien = on_alien
        self._alarmed: dict[tuple[str, int], None] = {}

    def origin(self, ref: CallRef) -> Origin:
        """What the first event of a new call answers. BrokerAway for a partition that was not provisioned."""
        digest = self._genesis.get(ref.partition)
        if digest is None:
            raise BrokerAway("the partition has no genesis record; run `callgate provision`")
        return Origin(ref, digest)

    async def append(self, draft: Draft, answers: Recorded | Origin, *, traceparent: str | None = None) -> Recorded:
        self._signer, key = self._verifier.ring.signing(self._signer, datetime.now(UTC))
        event = make_event(draft.event_id, answers.ref, key.stamped(draft.at), answers.digest, draft.data)
        body = encode_event(event)
        ce_type = draft.data.TYPE
        signature = self._signer.sign(ce_type, body)
        subject = answers.ref.subject(draft.data.NAME)
        digest = self._verifier.made(answers.ref, body, signature, key, event)
        headers = {
            "ce-specversion": "1.0",
            "ce-id": draft.event_id,
            CE_TYPE: ce_type,
            "ce-source": f"/callgate/{self._signer.role}",
            "content-type": "application/json",
            SIGNATURE_HEADER: signature,
            "Nats-Expected-Last-Subject-Sequence-Subject": answers.ref.all_events,
        }
        traceparent = trace_context(traceparent)
        if traceparent is not None:
            headers[TRACEPARENT] = traceparent
        standing = await self._publish(answers, draft, subject, headers, body)
        events_appended(self._signer.role, draft.data.NAME).inc()
        if isinstance(standing, Recorded):
            return standing
        now = datetime.now(UTC)
        self._verifier.ring.require_standing(key.id, event.at, now)
        recorded = Recorded(
            ref=answers.ref,
            sequence=standing,
            recorded_at=now,
            digest=digest,
            key_id=key.id,
            event=event,
            traceparent=traceparent,
        )
        self._verifier.appended(recorded, answers if isinstance(answers, Recorded) else None)
        return recorded

    async def _publish(
        self, answers: Recorded | Origin, draft: Draft, subject: str, headers: dict[str, str], body: bytes
    ) -> int | Recorded:
        """The event as the log was found to hold it, or its acknowledged sequence; the same bytes on every try."""
        expected = answers.sequence
        until = time.monotonic() + APPEND_TIMEOUT
        attempt = 0
        while True:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
            sequence = await self._try(subject, headers, body)
            if sequence is not None:
                return sequence
            # Refused, or the acknowledgement was lost: the log says which.
            attempt += 1
            await asyncio.sleep(random.uniform(0, min(_BACKOFF[0] * 2**attempt, _BACKOFF[1])))  # noqa: S311
            try:
                async with asyncio.timeout(max(0.1, until - time.monotonic())):
                    chain = await self.read(answers.ref)
            except (BrokerAway, TimeoutError):
                if time.monotonic() > until:
                    raise BrokerAway("the append was not acknowledged in time") from None
                continue
            mine = next((r for r in chain.call.chain if r.event.event_id == draft.event_id), None)
            if mine is not None:
                return mine
            if chain.call.head_digest != answers.digest:
                raise LostRace
            if time.monotonic() > until:
                raise BrokerAway("the append was not acknowledged in time")
            expected = chain.last_sequence

    async def _try(self, subject: str, headers: dict[str, str], body: bytes) -> int | None:
        """One publication: its sequence, or None where it must be looked up."""
        try:
            reply = await self._client.request(subject, body, timeout=ACK_TIMEOUT, headers=headers)
            answer = orjson.loads(reply.data)
        except MaxPayloadError:
            raise TooLarge from None
        except (NatsError, ConnectionError, ValueError):
            return None
        error = answer.get("error")
        if error is None:
            return int(answer["seq"])
        if error.get("err_code") in _TOO_LARGE:
            raise TooLarge
        return None

    async def read(self, ref: CallRef) -> Chain:
        # A replica's messages are the beginning of the leader's: what it lacks are the last ones, and the leader's last
        # one tells whether it lacks any. Both are asked at the same time, so a whole chain takes one round trip.
        stream, everything = ref.partition.stream, ref.all_events
        last, (messages, _) = await asyncio.gather(
            reading.leader_last(self._client, stream, everything),
            reading.direct_batch(self._client, stream, everything, 1),
        )
        upto = last.sequence if last is not None else 0
        while (messages[-1].sequence if messages else 0) < upto:
            start = messages[-1].sequence + 1 if messages else 1
            message = await reading.leader_next(self._client, stream, everything, start)
            if message is None:
                raise BrokerAway("the leader changed within a reading")
            messages.append(message)
        return self._chain(ref, messages)

    async def read_upto(self, seen: Recorded) -> Chain:
        known = self._known(seen)
        if known is not None:
            return known
        stream, everything = seen.ref.partition.stream, seen.ref.all_events
        messages, _ = await reading.direct_batch(self._client, stream, everything, 1)
        if not any(message.sequence == seen.sequence for message in messages):
            return await self.read(seen.ref)  # this replica is behind: ask the leader
        return self._chain(seen.ref, [message for message in messages if message.sequence <= seen.sequence])

    def _known(self, seen: Recorded) -> Chain | None:
        """The chain up to an event as this process itself made it; None where it has to be read.

        What times decide is read: where people were asked, the broker's times count, and not those of our clock.
        """
        genesis = self.origin(seen.ref).digest
        chain = self._verifier.known_chain(seen, genesis)
        if chain is None or any(isinstance(recorded.data, ApprovalRequired) for recorded in chain):
            return None
        call = Call.replay(seen.ref, genesis, chain)
        return Chain(call, (), seen.sequence) if len(call.chain) == len(chain) else None

    async def read_session(self, partition: Partition, session_id: str) -> list[Chain]:
        calls: dict[CallRef, list[Message]] = {}
        everything = session_filter(partition, session_id)
        async for message in reading.direct_all(self._client, partition.stream, everything):
            try:
                ref, _ = parse_call_subject(message.subject)
            except ValueError:
                strange = Alien(message.subject, message.sequence, "strange_subject", message.recorded_at)
                self._alarm(partition, strange)
            else:
                calls.setdefault(ref, []).append(message)
        chains = (self._chain(ref, messages) for ref, messages in calls.items())
        # Subjects on which nothing but aliens stand are no calls; a call begins where its own first event stands.
        begun = [(chain.call.chain[0].sequence, chain) for chain in chains if chain.call.chain]
        return [chain for _, chain in sorted(begun, key=lambda pair: pair[0])]

    async def read_begun(self, partition: Partition, session_id: str, after: int, limit: int) -> list[Chain]:
        found: list[Chain] = []
        wanted = session_filter(partition, session_id, Requested.NAME)
        while len(found) < limit:
            lacking = min(limit - len(found), _BATCH)
            messages, done = await reading.direct_batch(self._client, partition.stream, wanted, after + 1, lacking)
            for start in range(0, len(messages), _READS):
                begun = (self._begun(partition, message) for message in messages[start : start + _READS])
                found += [chain for chain in await asyncio.gather(*begun) if chain is not None]
            if done or not messages:
                break
            after = messages[-1].sequence
        return found

    async def _begun(self, partition: Partition, message: Message) -> Chain | None:
        """The call that begins with that message; None where it is no call's first event."""
        first = self._verifier.verify(message)
        if isinstance(first, Alien):
            self._alarm(partition, first)
            return None
        stream, everything = partition.stream, first.ref.all_events
        messages = [message async for message in reading.direct_all(self._client, stream, everything)]
        if any(message.sequence == first.sequence for message in messages):
            chain = self._chain(first.ref, messages)
        else:
            chain = await self.read(first.ref)  # this replica is behind: ask the leader
        began = chain.call.chain[0].sequence if chain.call.chain else 0
        return chain if began == first.sequence else None

    def follow(self, partition: Partition, after: int = 0, event: str = "*") -> AsyncIterator[Recorded | Alien]:
        return follow(self._client, self._verifier, partition, after, event)

    def _alarm(self, partition: Partition, alien: Alien) -> None:
        """Once for each message, however often it is read; what is forgotten is alarmed again."""
        place = partition.stream, alien.sequence
        if place in self._alarmed:
            return
        self._alarmed[place] = None
        if len(self._alarmed) > _ALARMED:
            del self._alarmed[next(iter(self._alarmed))]
        self._on_alien(alien)

    def _chain(self, ref: CallRef, messages: list[Message]) -> Chain:
        recorded: list[Recorded] = []
        aliens: list[Alien] = []
        for message in messages:
            verified = self._verifier.verify(message)
            if isinstance(verified, Recorded):
                recorded.append(verified)
            else:
                aliens.append(verified)
        call = Call.replay(ref, self.origin(ref).digest, recorded)
        aliens += [Alien(r.ref.subject(r.name), r.sequence, code, r.recorded_at) for r, code in call.aliens]
        for alien in aliens:
            self._alarm(ref.partition, alien)
        return Chain(call, tuple(aliens), messages[-1].sequence if messages else 0)
