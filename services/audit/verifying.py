"""Verification straight from the streams: every message of every partition and of CONTROL, never the projection."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from callgate.errors import BrokerAway
from callgate.grant_proofs import GrantProof
from callgate.keyring import BadSignature
from callgate.log import Alien, Message, reading
from callgate.platform import Platform
from callgate.provision import stream_differences
from callgate.records import Standing
from callgate.streams import StreamSpec, streams
from contracts.events import Allowed, Recorded
from contracts.lifecycle import Call
from contracts.records import Genesis
from contracts.subjects import CONTROL, Partition
from services.audit.domain import Report, Verification

Progress = Callable[[str, int, int], None]
"""Stream, sequence reached, last sequence."""

_UNIMPORTANT = frozenset({"num_replicas", "sealed"})
"""Settings of a stream that lose nothing: a stream is sealed when its epoch is over."""
_STEP = 500
_BATCH = 256


@dataclass(frozen=True, slots=True)
class _Extent:
    first: int
    last: int


async def verify_log(platform: Platform, progress: Progress = lambda *_: None) -> Report:
    """What stands on the log now; what is appended meanwhile is left to the next time. BrokerAway.

    Streams are read one after the other, so memory is bounded by the open calls (and 16 bytes a finished one).
    """
    verification = Verification(platform.genesis)
    if not platform.genesis:
        verification.fails(CONTROL, "no_genesis")
    layout = await _control(platform, verification, progress)
    for partition in platform.partitions:
        shards = layout.get(partition, platform.settings.broker.shards)
        specs = streams(partition.epoch, shards, platform.settings.broker.replicas)
        spec = next((spec for spec in specs if spec.name == partition.stream), None)
        extent = await _look(platform, verification, partition.stream, spec)
        async for message in _messages(platform, verification, partition.stream, extent, progress):
            verified = platform.verifier.verify(message)
            if isinstance(verified, Alien):
                verification.alien(partition.stream, verified.sequence, verified.subject, verified.code)
                continue
            call = verification.event(verified)
            if call is not None and not await _grant_holds(platform, call, verified):
                verification.unproven(verified, "grant_invalid")
    return verification.report()


async def _grant_holds(platform: Platform, call: Call, recorded: Recorded) -> bool:
    """False for an `allowed` by a grant whose records do not prove it, by what the executor checks before it acts. The
    grant's text is checked where the function is still defined as it was then."""
    data = recorded.data
    if not isinstance(data, Allowed) or data.grant is None:
        return True
    proof = await GrantProof.read(platform.records, data.grant, call.ref)
    function = platform.catalog.get(call.requested.function)
    if function is not None and platform.catalog.digest_of(function.name) != data.function_digest:
        function = None
    return proof is not None and proof.holds(call, recorded, function)


async def _control(platform: Platform, verification: Verification, progress: Progress) -> Mapping[Partition, int]:
    """Verifies CONTROL; the shards of each partition's epoch, by its genesis record."""
    spec = next(spec for spec in streams() if spec.name == CONTROL)
    extent = await _look(platform, verification, CONTROL, spec)
    shards: dict[Partition, int] = {}
    async for message in _messages(platform, verification, CONTROL, extent, progress):
        try:
            standing: Standing = platform.records.verify(message)
        except BadSignature as bad:
            verification.alien(CONTROL, message.sequence, message.subject, bad.code)
            continue
        if isinstance(standing.data, Genesis):
            partition = Partition(standing.data.epoch, standing.data.shard)
            if standing.digest != platform.genesis.get(partition):
                verification.alien(CONTROL, message.sequence, message.subject, "second_genesis")
            shards.setdefault(partition, standing.data.shards)
    for partition in platform.genesis:
        if partition not in shards:
            verification.fails(partition.stream, "no_genesis")
    return shards


async def _look(platform: Platform, verification: Verification, stream: str, spec: StreamSpec | None) -> _Extent:
    """The stream's extent, its settings compared with the table."""
    answer = await reading.request_json(platform.client, f"$JS.API.STREAM.INFO.{stream}", {})
    if "error" in answer:
        if answer["error"].get("code") != 404:
            raise BrokerAway("the stream's state cannot be read now")
        verification.fails(stream, "no_stream")
        return _Extent(1, 0)
    if spec is None:
        verification.deviates(stream, "not_in_the_table")
    else:
        for difference in stream_differences(spec, answer["config"]):
            if difference.field not in _UNIMPORTANT:
                verification.deviates(stream, difference.field)
    state: dict[str, Any] = answer["state"]
    return _Extent(int(state["first_seq"]), int(state["last_seq"]))


async def _messages(
    platform: Platform, verification: Verification, stream: str, extent: _Extent, progress: Progress
) -> AsyncIterator[Message]:
    """Everything from sequence 1 to the extent's last, in order; what is not there is reported as missing."""
    after = 0
    async for message in _read(platform, stream, extent.last):
        if message.sequence > after + 1:
            verification.missing(stream, after + 1, message.sequence - 1)
        after = message.sequence
        yield message
        if after % _STEP == 0:
            progress(stream, after, extent.last)
    if after < extent.last:
        verification.missing(stream, after + 1, extent.last)
    progress(stream, extent.last, extent.last)


async def _read(platform: Platform, stream: str, last: int) -> AsyncIterator[Message]:
    """By Direct Get as far as the replica goes, the rest from the leader."""
    client, start = platform.client, 1
    while start <= last:
        messages, done = await reading.direct_batch(client, stream, ">", start, _BATCH)
        for message in messages:
            if message.sequence > last:
                return
            yield message
            start = message.sequence + 1
        if done or not messages:
            break
    while start <= last:
        rest = await reading.leader_next(client, stream, ">", start)
        if rest is None or rest.sequence > last:
            return
        yield rest
        start = rest.sequence + 1
