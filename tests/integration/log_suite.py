"""The contract of `callgate.log` as tests, for every broker layout: subclass `LogSuite` with a fixture `scene`."""

import asyncio
import contextlib
import functools
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import nats
import nats.errors
import pytest
from calls import AGENT, FUNCTION_DIGEST, POLICY_SET, Calls
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from deployment import append, new_call, sealed
from nats.aio.msg import Msg

from callgate import keys
from callgate.errors import BrokerAway, LostRace, Rejected, TooLarge
from callgate.ids import mint_session, uuid7
from callgate.log import Alien, Chain, Draft, JetStreamLog, following, jetstream, reading
from callgate.log.messages import CE_TYPE, Message
from callgate.platform import Platform, open_platform
from callgate.rights import inbox_prefix
from callgate.sealing import INLINE_LIMIT, Place
from callgate.settings import Settings
from callgate.signing import SIGNATURE_HEADER, Signer
from contracts.events import (
    EVENTS,
    Allowed,
    ArgumentsMasked,
    Cancelled,
    Denied,
    EventData,
    Recorded,
    Requested,
    Sealed,
    encode_event,
    make_event,
)
from contracts.identity import Role
from contracts.records import SessionKey, WrappedKey
from contracts.subjects import SESSION_KEYS, CallRef, Partition, session_key_subject

ALLOWED = Allowed(policy_set=POLICY_SET, function_digest=FUNCTION_DIGEST)
PATIENCE = 30.0
SIGNING = (Role.INGRESS, Role.MASKING, Role.POLICY, Role.APPROVAL, Role.EXECUTOR, Role.AUDIT)


Item = Recorded | Alien


@dataclass
class Scene:
    """A deployment with two shards, and a platform for each service."""

    platforms: dict[Role, Platform]
    provisioner: Any
    calls: Calls = field(init=False)

    def __post_init__(self) -> None:
        self.calls = Calls(self.platforms)

    def __getitem__(self, role: Role) -> Platform:
        return self.platforms[role]

    def log(self, role: Role, client: Any = None) -> tuple[JetStreamLog, list[Alien]]:
        """A log of the role's own, and the aliens that it raised alarm for."""
        platform, alarms = self[role], list[Alien]()
        log = JetStreamLog(
            client or platform.client, platform.signer, platform.verifier, platform.genesis, alarms.append
        )
        return log, alarms

    async def on_subjects(self, ref: CallRef) -> list[Message]:
        """Everything that stands on a call's subjects, from the leader."""
        found, start = [], 1
        client = self[Role.AUDIT].client
        while (message := await reading.leader_next(client, ref.partition.stream, ref.all_events, start)) is not None:
            found.append(message)
            start = message.sequence + 1
        return found

    def session_in(self, shard: int) -> str:
        for _ in itertools.count():
            session = mint_session(AGENT.session_owner)
            if self[Role.INGRESS].partition_of(session).shard == shard:
                return session
        raise AssertionError


@contextlib.asynccontextmanager
async def scene_of(settings: Settings) -> AsyncIterator[Scene]:
    """A scene on a provisioned broker."""
    async with contextlib.AsyncExitStack() as stack:
        held = keys.load(settings.keys_folder, Role.PROVISIONER)
        assert settings.broker.url is not None
        provisioner = await nats.connect(
            settings.broker.url.split(","),
            user=Role.PROVISIONER.value,
            password=held.password,
            inbox_prefix=inbox_prefix(Role.PROVISIONER).encode(),
        )
        stack.push_async_callback(provisioner.close)
        yield Scene(
            {role: await stack.enter_async_context(open_platform(settings, role)) for role in SIGNING}, provisioner
        )


class Lossy:
    """A client whose appends fail as told, one after the other: `unsent`, `unacknowledged`, then as usual."""

    def __init__(self, client: Any, *failures: str, before_failing: Callable[[], Awaitable[Any]] | None = None) -> None:
        self._client = client
        self._failures = list(failures)
        self._before_failing = before_failing
        self.sent: list[tuple[str, bytes, dict[str, str]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def request(self, subject: str, *args: Any, **more: Any) -> Msg:
        if not subject.startswith("calls."):
            return await self._client.request(subject, *args, **more)  # type: ignore[no-any-return]
        self.sent.append((subject, args[0], dict(more["headers"])))
        failure = self._failures.pop(0) if self._failures else None
        if failure != "unsent":
            reply: Msg = await self._client.request(subject, *args, **more)
            if failure is None:
                return reply
        if self._before_failing is not None:
            await self._before_failing()
        raise nats.errors.TimeoutError


class Deaf:
    """A client that hears no cue, and notes from where each look at a stream begins."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.looks: asyncio.Queue[int] = asyncio.Queue()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def subscribe(self, subject: str, **more: Any) -> Any:
        return await self._client.subscribe("_INBOX_audit.deaf" if subject.startswith("live.") else subject, **more)

    async def publish(self, subject: str, body: bytes, **more: Any) -> None:
        if subject.startswith("$JS.API.DIRECT.GET."):
            self.looks.put_nowait(json.loads(body)["seq"])
        await self._client.publish(subject, body, **more)


def draft(platform: Platform, data: EventData) -> Draft:
    return Draft(uuid7(), platform.clock(), data)


def masked_of(requested: Recorded) -> ArgumentsMasked:
    assert isinstance(requested.data, Requested)
    return ArgumentsMasked(function=requested.data.function, principal=AGENT, arguments=None, view=None)


async def publish(platform: Platform, subject: str, body: bytes, headers: dict[str, str] | None = None) -> int:
    """Past every rule of ours, as somebody would who holds the service's NATS user."""
    reply = await platform.client.request(subject, body, timeout=PATIENCE, headers=headers)
    return int(json.loads(reply.data)["seq"])


def envelope(
    signer: Signer, ref: CallRef, follows: str, data: EventData, platform: Platform
) -> tuple[bytes, dict[str, str]]:
    body = encode_event(make_event(uuid7(), ref, platform.clock(), follows, data))
    return body, {CE_TYPE: data.TYPE, SIGNATURE_HEADER: signer.sign(data.TYPE, body)}


def owner_of(name: str) -> Role:
    """Who may publish an event of that name."""
    return min(next(event.ROLES for event in EVENTS if name == event.NAME))


def without_conditions(message: Message) -> dict[str, str]:
    """A stored message's headers, to be published elsewhere."""
    return {name: value for name, value in message.headers.items() if not name.startswith("Nats-")}


async def take(
    stream: AsyncIterator[Recorded | Alien], until: Callable[[list[Recorded | Alien]], bool]
) -> list[Recorded | Alien]:
    found: list[Item] = []
    async with asyncio.timeout(PATIENCE), contextlib.aclosing(stream) as messages:  # type: ignore[type-var]
        async for message in messages:
            found.append(message)
            if until(found):
                return found
    raise AssertionError("following ended by itself")


class LogSuite:
    async def test_what_is_appended_is_read(self, scene: Scene) -> None:
        ref = await scene.calls.approved_and_executed()
        chain = await scene[Role.AUDIT].log.read(ref)
        assert chain.call.state == "result_masked"
        assert (len(chain.call.chain), chain.aliens) == (9, ())
        stored = await scene.on_subjects(ref)
        assert [r.sequence for r in chain.call.chain] == [m.sequence for m in stored]
        assert chain.last_sequence == stored[-1].sequence

    async def test_append_returns_the_event_as_it_stands(self, scene: Scene) -> None:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        requested = await scene.calls.requested()
        masking = scene[Role.MASKING]
        appended = await masking.log.append(draft(masking, masked_of(requested)), requested, traceparent=trace)
        (_, read) = (await masking.log.read(requested.ref)).call.chain
        for name in ("ref", "sequence", "digest", "key_id", "event", "traceparent"):
            assert getattr(read, name) == getattr(appended, name)

    @pytest.mark.parametrize("lacking", [1, 4, 9])
    async def test_what_a_replica_lacks_is_read_from_the_leader(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch, lacking: int
    ) -> None:
        ref = await scene.calls.approved_and_executed()
        true_batch = reading.direct_batch

        async def behind(*args: Any, **more: Any) -> tuple[list[Message], bool]:
            messages, done = await true_batch(*args, **more)
            return messages[: len(messages) - lacking], done

        monkeypatch.setattr(reading, "direct_batch", behind)
        chain = await scene[Role.AUDIT].log.read(ref)
        assert (chain.call.state, len(chain.call.chain)) == ("result_masked", 9)

    async def test_a_chain_of_more_than_one_batch_is_whole(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        ref = await scene.calls.approved_and_executed()
        monkeypatch.setattr(reading, "direct_batch", functools.partial(reading.direct_batch, batch=2))
        assert len((await scene[Role.AUDIT].log.read(ref)).call.chain) == 9

    async def test_what_an_agent_calls_a_trace_reaches_the_log_only_in_its_form(self, scene: Scene) -> None:
        requested = await scene.calls.requested()
        masking = scene[Role.MASKING]
        appended = await masking.log.append(
            draft(masking, masked_of(requested)), requested, traceparent="4111111111111111"
        )
        assert appended.traceparent is None
        messages = await scene.on_subjects(requested.ref)
        assert not any("4111111111111111" in value for message in messages for value in message.headers.values())

    async def test_a_call_that_nobody_began_is_empty(self, scene: Scene) -> None:
        chain = await scene[Role.AUDIT].log.read(new_call(scene[Role.AUDIT], "nobody"))
        assert (chain.call.state, chain.last_sequence, chain.aliens) == ("nothing", 0, ())

    async def test_a_partition_that_was_not_provisioned_is_away_and_no_empty_one(self, scene: Scene) -> None:
        ref = new_call(scene[Role.INGRESS], "nobody")._replace(partition=Partition(7, 0))
        with pytest.raises(BrokerAway):
            scene[Role.INGRESS].log.origin(ref)
        with pytest.raises(BrokerAway):
            await reading.leader_next(scene[Role.INGRESS].client, "CALLS_7_0", "calls.>", 1)

    # One answer

    @pytest.mark.parametrize("racers", [2, 16])
    async def test_one_of_many_answers_wins(self, scene: Scene, racers: int) -> None:
        requested = await scene.calls.requested()
        masking, ingress = scene[Role.MASKING], scene[Role.INGRESS]
        attempts = [
            masking.log.append(draft(masking, masked_of(requested)), requested)
            if number % 2
            else ingress.log.append(draft(ingress, Cancelled(by=AGENT.id, code="withdrawn")), requested)
            for number in range(racers)
        ]
        outcomes = await asyncio.gather(*attempts, return_exceptions=True)
        (winner,) = [outcome for outcome in outcomes if isinstance(outcome, Recorded)]
        assert [type(outcome) for outcome in outcomes if outcome is not winner] == [LostRace] * (racers - 1)
        chain = await masking.log.read(requested.ref)
        assert [r.digest for r in chain.call.chain] == [requested.digest, winner.digest]
        assert len(await scene.on_subjects(requested.ref)) == 2

    async def test_one_of_many_beginnings_wins(self, scene: Scene) -> None:
        ingress = scene[Role.INGRESS]
        ref = new_call(ingress, AGENT.session_owner)
        nothing = Sealed(key_id="k", nonce="n", ciphertext="c")
        data = Requested(function="deploys.start", principal=AGENT, arguments=nothing)
        begun = (ingress.log.append(draft(ingress, data), ingress.log.origin(ref)) for _ in range(8))
        outcomes = await asyncio.gather(*begun, return_exceptions=True)
        assert sum(isinstance(outcome, Recorded) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, LostRace) for outcome in outcomes) == 7

    async def test_an_event_answered_long_ago_is_lost(self, scene: Scene) -> None:
        requested = await scene.calls.requested()
        await scene.calls.allowed(await scene.calls.masked(requested))
        masking = scene[Role.MASKING]
        with pytest.raises(LostRace):
            await masking.log.append(draft(masking, masked_of(requested)), requested)

    async def test_finding_ones_own_event_is_success(self, scene: Scene) -> None:
        requested = await scene.calls.requested()
        masking = scene[Role.MASKING]
        mine = draft(masking, masked_of(requested))
        first = await masking.log.append(mine, requested)
        second = await masking.log.append(mine, requested)
        assert (first.sequence, first.digest) == (second.sequence, second.digest)
        assert len(await scene.on_subjects(requested.ref)) == 2

    # Lost acknowledgements: not persisted, and persisted

    @pytest.mark.parametrize(
        "failures",
        [("unsent",), ("unacknowledged",), ("unsent", "unsent", "unacknowledged"), ("unacknowledged", "unsent")],
        ids="-".join,
    )
    async def test_a_retry_never_doubles(self, scene: Scene, failures: tuple[str, ...]) -> None:
        requested = await scene.calls.requested()
        client = Lossy(scene[Role.MASKING].client, *failures)
        log, _ = scene.log(Role.MASKING, client)
        appended = await log.append(draft(scene[Role.MASKING], masked_of(requested)), requested)
        stored = await scene.on_subjects(requested.ref)
        assert [m.sequence for m in stored] == [requested.sequence, appended.sequence]
        assert (await log.read(requested.ref)).call.head_digest == appended.digest
        assert len({body for _, body, _ in client.sent}) == 1  # the same bytes each time

    async def test_a_first_try_that_arrives_after_the_second_is_refused(self, scene: Scene) -> None:
        requested = await scene.calls.requested()
        client = Lossy(scene[Role.MASKING].client, "unsent")
        log, _ = scene.log(Role.MASKING, client)
        await log.append(draft(scene[Role.MASKING], masked_of(requested)), requested)
        subject, body, headers = client.sent[0]
        late = await scene[Role.MASKING].client.request(subject, body, timeout=PATIENCE, headers=headers)
        assert json.loads(late.data)["error"]["err_code"] in jetstream.WRONG_LAST_SEQUENCE
        assert len(await scene.on_subjects(requested.ref)) == 2

    async def test_an_unacknowledged_event_that_was_answered_meanwhile_is_success(self, scene: Scene) -> None:
        requested = await scene.calls.requested()
        policy = scene[Role.POLICY]

        async def answer() -> None:
            head = (await policy.log.read(requested.ref)).call.head
            assert head is not None
            denied = Denied(policy_set=POLICY_SET, function_digest=FUNCTION_DIGEST, code="uninspectable")
            await append(policy, head, denied)

        log, _ = scene.log(Role.MASKING, Lossy(scene[Role.MASKING].client, "unacknowledged", before_failing=answer))
        appended = await log.append(draft(scene[Role.MASKING], masked_of(requested)), requested)
        call = (await log.read(requested.ref)).call
        assert [r.name for r in call.chain] == ["requested", "arguments_masked", "denied"]
        assert call.chain[1].sequence == appended.sequence

    async def test_an_unsent_event_whose_place_was_taken_is_lost(self, scene: Scene) -> None:
        requested = await scene.calls.requested()
        ingress = scene[Role.INGRESS]

        async def withdraw() -> None:
            await append(ingress, requested, Cancelled(by=AGENT.id, code="withdrawn"))

        log, _ = scene.log(Role.MASKING, Lossy(scene[Role.MASKING].client, "unsent", before_failing=withdraw))
        with pytest.raises(LostRace):
            await log.append(draft(scene[Role.MASKING], masked_of(requested)), requested)

    async def test_when_nothing_gets_through_it_says_so(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(jetstream, "APPEND_TIMEOUT", 0.3)
        requested = await scene.calls.requested()
        log, _ = scene.log(Role.MASKING, Lossy(scene[Role.MASKING].client, *["unsent"] * 1000))
        with pytest.raises(BrokerAway):
            await log.append(draft(scene[Role.MASKING], masked_of(requested)), requested)
        assert len(await scene.on_subjects(requested.ref)) == 1

    async def test_what_the_broker_does_not_take_is_too_large(self, scene: Scene) -> None:
        requested = await scene.calls.requested()
        masking = scene[Role.MASKING]
        huge = Sealed(key_id="k", nonce="n", ciphertext="A" * 9 * 1024 * 1024)
        with pytest.raises(TooLarge):
            await masking.log.append(draft(masking, masked_of(requested).model_copy(update={"view": huge})), requested)
        assert len(await scene.on_subjects(requested.ref)) == 1

    # Aliens

    async def test_aliens_are_alarmed_and_no_obstacle(self, scene: Scene) -> None:
        requested = await scene.calls.requested()
        masked = await scene.calls.masked(requested)
        ref, head = requested.ref, masked.digest
        policy, masking = scene[Role.POLICY], scene[Role.MASKING]
        subject = ref.subject("allowed")
        stranger = Signer(Role.POLICY, policy.signer.key_id, Ed25519PrivateKey.generate())
        nobody = Signer(Role.POLICY, "policy-unknown", Ed25519PrivateKey.generate())
        good, headers = envelope(policy.signer, ref, head, ALLOWED, policy)
        malformed = {CE_TYPE: ALLOWED.TYPE, SIGNATURE_HEADER: policy.signer.sign(ALLOWED.TYPE, b"{")}
        elsewhere = new_call(policy, AGENT.session_owner, ref.session_id)
        denied = Denied(policy_set=POLICY_SET, function_digest=FUNCTION_DIGEST, code="x")
        wanted = {
            await publish(policy, subject, b"hello"): "unknown_event",
            await publish(policy, subject, good, {CE_TYPE: ALLOWED.TYPE}): "unsigned",
            await publish(policy, subject, *envelope(stranger, ref, head, ALLOWED, policy)): "bad_signature",
            await publish(policy, subject, *envelope(nobody, ref, head, ALLOWED, policy)): "unknown_key",
            await publish(policy, subject, *envelope(masking.signer, ref, head, ALLOWED, policy)): "wrong_role",
            await publish(policy, subject, *envelope(policy.signer, ref, head, denied, policy)): "subject_differs",
            await publish(policy, subject, *envelope(policy.signer, elsewhere, head, ALLOWED, policy)): "ids_differ",
            await publish(policy, subject, good + b" ", headers): "bad_signature",
            await publish(policy, subject, b"{", malformed): "malformed",
            await publish(policy, subject, good, {**headers, CE_TYPE: "callgate.call.nonsense.v1"}): "unknown_event",
            await publish(policy, subject, *envelope(policy.signer, ref, "0" * 64, ALLOWED, policy)): "does_not_follow",
            await publish(
                policy, subject, *envelope(policy.signer, ref, requested.digest, ALLOWED, policy)
            ): "does_not_follow",
        }
        log, alarms = scene.log(Role.POLICY)
        allowed = await log.append(draft(policy, ALLOWED), masked)
        after = await publish(policy, subject, *envelope(policy.signer, ref, allowed.digest, ALLOWED, policy))
        wanted[after] = "illegal_transition"
        chain = await log.read(ref)
        assert [r.digest for r in chain.call.chain] == [requested.digest, masked.digest, allowed.digest]
        assert {alien.sequence: alien.code for alien in chain.aliens} == wanted
        await log.read(ref)
        assert {alien.sequence: alien.code for alien in alarms} == wanted
        assert len(alarms) == len(wanted)  # each once, however often it is read
        assert chain.last_sequence == after
        # Everyone else goes on too: what follows is the head, what is expected counts the aliens.
        started = await scene.calls.started(allowed)
        assert started.event.follows == allowed.digest
        assert (await scene[Role.AUDIT].log.read(ref)).call.state == "execution_started"

    async def test_an_alien_before_the_beginning_stops_no_call(self, scene: Scene) -> None:
        ingress = scene[Role.INGRESS]
        ref = new_call(ingress, AGENT.session_owner)
        await publish(ingress, ref.subject("cancelled"), b"garbage")
        nothing = Sealed(key_id="k", nonce="n", ciphertext="c")
        begun = await append(
            ingress, ingress.log.origin(ref), Requested(function="f", principal=AGENT, arguments=nothing)
        )
        assert (await ingress.log.read(ref)).call.head_digest == begun.digest

    @pytest.mark.parametrize("status", ["204", "404", "408", "503", "100"])
    async def test_an_alien_that_looks_like_the_brokers_answer_hides_nothing(self, scene: Scene, status: str) -> None:
        requested = await scene.calls.requested()
        ref, ingress = requested.ref, scene[Role.INGRESS]
        hostile = {"Status": status, "Nats-Num-Pending": "0", "Nats-Sequence": "999999", "Nats-Subject": "x"}
        hostile |= {"Nats-Time-Stamp": "never", "Description": "x"}
        alien = await publish(ingress, ref.subject("cancelled"), b"", hostile)
        masked = await scene.calls.masked(requested)
        wanted = ["requested", "arguments_masked"]
        (chain,) = await self.session_upto(scene, ref, masked.sequence)
        assert [r.name for r in chain.call.chain] == wanted
        assert [r.name for r in (await ingress.log.read_upto(masked)).call.chain] == wanted
        stream = scene[Role.AUDIT].log.follow(ref.partition, requested.sequence - 1)
        seen = await take(stream, lambda found: found[-1].sequence >= masked.sequence)
        assert {requested.sequence, alien, masked.sequence} <= {message.sequence for message in seen}

    async def test_a_call_copied_to_another_partition_never_verifies(self, scene: Scene) -> None:
        session = scene.session_in(0)
        ref = await scene.calls.executed(session_id=session)
        copy = ref._replace(partition=Partition(1, 1))
        for message in await scene.on_subjects(ref):
            name = message.subject.rpartition(".")[2]
            await publish(scene[owner_of(name)], copy.subject(name), message.body, without_conditions(message))
        chain = await scene[Role.EXECUTOR].log.read(copy)
        assert chain.call.chain == ()
        assert {alien.code for alien in chain.aliens} == {"wrong_shard"}
        assert len(chain.aliens) == 6

    # Reading

    async def test_reading_up_to_an_event_leaves_out_what_came_later(self, scene: Scene) -> None:
        requested = await scene.calls.requested()
        masked = await scene.calls.masked(requested)
        allowed = await scene.calls.allowed(masked)
        log = scene[Role.EXECUTOR].log
        chain = await log.read_upto(masked)
        assert chain.call.head_digest == masked.digest
        assert chain.last_sequence == masked.sequence
        assert (await log.read_upto(allowed)).call.head_digest == allowed.digest

    async def test_a_replica_that_is_behind_makes_it_ask_the_leader(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        requested = await scene.calls.requested()
        masked = await scene.calls.masked(requested)
        true_batch = reading.direct_batch

        async def behind(*args: Any, **more: Any) -> tuple[list[Message], bool]:
            messages, done = await true_batch(*args, **more)
            return [message for message in messages if message.sequence < masked.sequence], done

        monkeypatch.setattr(reading, "direct_batch", behind)
        assert (await scene[Role.EXECUTOR].log.read_upto(masked)).call.head_digest == masked.digest

    @staticmethod
    async def session_upto(scene: Scene, ref: CallRef, sequence: int) -> list[Chain]:
        """The session as soon as the nearest replica, which may lag behind, has what stands at that sequence."""
        async with asyncio.timeout(PATIENCE):
            while True:
                chains = await scene[Role.AUDIT].log.read_session(ref.partition, ref.session_id)
                if any(chain.last_sequence >= sequence for chain in chains):
                    return chains

    async def test_a_session_is_its_calls_in_the_order_of_their_beginning(self, scene: Scene) -> None:
        session = mint_session(AGENT.session_owner)
        begun = [await scene.calls.requested(session_id=session) for _ in range(3)]
        for requested in reversed(begun):
            await scene.calls.masked(requested)
        await scene.calls.requested()  # another's
        alien = await publish(scene[Role.INGRESS], begun[0].ref.subject("cancelled"), b"x")
        chains = await self.session_upto(scene, begun[0].ref, alien)
        assert [chain.call.ref for chain in chains] == [requested.ref for requested in begun]
        assert all(chain.call.state == "arguments_masked" for chain in chains)
        assert chains[0].last_sequence == alien
        assert [a.sequence for a in chains[0].aliens] == [alien]

    async def test_a_session_of_more_than_one_batch_is_whole(self, scene: Scene) -> None:
        session = mint_session(AGENT.session_owner)
        nothing = Sealed(key_id="k", nonce="n", ciphertext="c" * 4096)
        ingress = scene[Role.INGRESS]
        data = Requested(function="f", principal=AGENT, arguments=nothing)
        refs = [new_call(ingress, AGENT.session_owner, session) for _ in range(300)]
        begun = await asyncio.gather(*(append(ingress, ingress.log.origin(ref), data) for ref in refs))
        chains = await self.session_upto(scene, refs[0], max(requested.sequence for requested in begun))
        assert {chain.call.ref for chain in chains} == set(refs)

    # Following

    async def test_following_gives_the_past_and_then_what_comes(self, scene: Scene) -> None:
        first = await scene.calls.requested()
        log = scene[Role.AUDIT].log
        stream = log.follow(first.ref.partition, first.sequence - 1)
        seen: list[Recorded | Alien] = []
        async with asyncio.timeout(PATIENCE), contextlib.aclosing(stream) as messages:  # type: ignore[type-var]
            seen.append(await anext(messages))
            second = await scene.calls.masked(first)
            seen.append(await anext(messages))
            third = await scene.calls.allowed(second)
            seen.append(await anext(messages))
        digests = [message.digest for message in seen if isinstance(message, Recorded)]
        assert digests == [first.digest, second.digest, third.digest]

    async def test_following_one_event_gives_that_event_alone(self, scene: Scene) -> None:
        session = scene.session_in(0)
        before = await scene.calls.refused(session_id=session)
        stream = scene[Role.AUDIT].log.follow(before.partition, 0, "denied")
        writing = asyncio.create_task(self.write(scene, session, 5))
        seen = await take(stream, lambda found: sum(self.of_session(m, session) for m in found) == 6)
        await writing
        assert {message.name for message in seen if isinstance(message, Recorded)} == {"denied"}
        sequences = [message.sequence for message in seen]
        assert sequences == sorted(set(sequences))

    @staticmethod
    def has_denied(calls: int) -> Callable[[list[Item]], bool]:
        return lambda found: sum(isinstance(m, Recorded) and m.name == "denied" for m in found) == calls

    @staticmethod
    def of_session(message: Recorded | Alien, session: str) -> bool:
        return isinstance(message, Recorded) and message.ref.session_id == session

    @staticmethod
    async def write(scene: Scene, session: str, calls: int) -> None:
        for _ in range(calls):
            await scene.calls.refused(session_id=session)

    async def test_who_follows_what_is_rare_does_not_look_at_the_past_again(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "LOOK_EVERY", 0.02)
        client: Any = Deaf(scene[Role.AUDIT].client)
        log, _ = scene.log(Role.AUDIT, client)
        partition = Partition(1, 0)
        begun = await reading.last_sequence(client, partition.stream)
        stream = log.follow(partition, begun, "cancelled")
        following_it = asyncio.create_task(take(stream, lambda found: True))
        for _ in range(3):
            last = (await scene.calls.requested(session_id=scene.session_in(0))).sequence
        async with asyncio.timeout(PATIENCE):
            while await client.looks.get() <= last:
                pass
        requested = await scene.calls.requested(session_id=scene.session_in(0))
        cancelled = await append(scene[Role.INGRESS], requested, Cancelled(by=AGENT.id, code="withdrawn"))
        (found,) = await following_it
        assert found.sequence == cancelled.sequence

    async def test_looks_alone_miss_nothing_that_is_written_meanwhile(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(following, "LOOK_EVERY", 0.001)
        client: Any = Deaf(scene[Role.AUDIT].client)
        log, _ = scene.log(Role.AUDIT, client)
        partition = Partition(1, 0)
        stream = log.follow(partition, await reading.last_sequence(client, partition.stream), "cancelled")
        count = 40
        following_it = asyncio.create_task(take(stream, lambda found: len(found) == count))

        async def write() -> list[int]:
            written = []
            for _ in range(count // 4):
                requested = await scene.calls.requested(session_id=scene.session_in(0))
                cancelled = Cancelled(by=AGENT.id, code="withdrawn")
                written.append((await append(scene[Role.INGRESS], requested, cancelled)).sequence)
            return written

        written = await asyncio.gather(*(write() for _ in range(4)))
        assert [found.sequence for found in await following_it] == sorted(itertools.chain(*written))

    async def test_following_under_load_has_no_gap_and_no_repetition(self, scene: Scene) -> None:
        sessions = [scene.session_in(0) for _ in range(6)]
        first = await scene.calls.requested(session_id=sessions[0])
        stream = scene[Role.AUDIT].log.follow(first.ref.partition, first.sequence - 1)
        writing = asyncio.gather(*(self.write(scene, session, 5) for session in sessions))
        ended = asyncio.create_task(
            take(stream, lambda found: sum(m.name == "denied" for m in found if isinstance(m, Recorded)) == 30)
        )
        await writing
        sequences = [message.sequence for message in await ended]
        assert sequences == list(range(first.sequence, first.sequence + len(sequences)))

    @pytest.mark.parametrize("event", ["*", "arguments_masked"])
    async def test_a_cue_that_is_ahead_of_the_replica_is_waited_for(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch, event: str
    ) -> None:
        first = await scene.calls.requested()
        true_batch, hidden = reading.direct_batch, 3

        async def behind(*args: Any, **more: Any) -> tuple[list[Message], bool]:
            nonlocal hidden
            messages, _ = await true_batch(*args, **more)
            fresh = [message for message in messages if message.sequence > first.sequence]
            if fresh and hidden:
                hidden -= 1
                messages = [message for message in messages if message.sequence <= first.sequence]
            return messages, True

        monkeypatch.setattr(reading, "direct_batch", behind)
        stream = scene[Role.AUDIT].log.follow(first.ref.partition, first.sequence, event)
        waiting = asyncio.create_task(take(stream, lambda found: bool(found)))
        masked = await scene.calls.masked(first)
        (seen,) = await waiting
        assert seen.sequence == masked.sequence

    # Payloads and keys beside the log

    @pytest.mark.parametrize("size", [10, INLINE_LIMIT, 1024 * 1024])
    async def test_payloads_of_any_size_reach_their_reader(self, scene: Scene, size: int) -> None:
        ref, event_id = new_call(scene[Role.INGRESS], AGENT.session_owner), uuid7()
        payload = bytes(size)
        stored = await sealed(scene[Role.INGRESS], ref, event_id, "arguments", payload, "raw")
        assert (stored.payload is not None) == (size >= INLINE_LIMIT)
        place = Place(ref, event_id, "arguments")
        assert await scene[Role.MASKING].sealer.open(stored, place, "raw") == payload
        with pytest.raises(Rejected, match="not_a_reader"):
            await scene[Role.APPROVAL].sealer.open(stored, place, "raw")

    async def test_what_others_write_to_a_keys_subject_neither_replaces_nor_hides_it(self, scene: Scene) -> None:
        ref, event_id = new_call(scene[Role.MASKING], AGENT.session_owner), uuid7()
        stored = await sealed(scene[Role.MASKING], ref, event_id, "view", b"seen", "view")
        subject = session_key_subject(ref.session_id, stored.key_id)
        executor = scene[Role.EXECUTOR]
        await publish(executor, subject, b"garbage", {"Status": "503"})
        wrap = WrappedKey(reader_key_id="x", wrapped="eA==")
        record = SessionKey(key_id=stored.key_id, session_id=ref.session_id, data_class="view", wraps=(wrap,))
        await executor.records.publish(subject, record, executor.clock())
        assert await scene[Role.AUDIT].sealer.open(stored, Place(ref, event_id, "view"), "view") == b"seen"

    async def test_an_erased_session_opens_no_more(self, scene: Scene) -> None:
        ref, event_id = new_call(scene[Role.MASKING], AGENT.session_owner), uuid7()
        stored = await sealed(scene[Role.MASKING], ref, event_id, "view", b"seen", "view")
        subject = session_key_subject(ref.session_id, stored.key_id)
        key = await reading.leader_last(scene[Role.AUDIT].client, SESSION_KEYS, subject)
        assert key is not None
        await scene.provisioner.jetstream().delete_msg(SESSION_KEYS, key.sequence)
        with pytest.raises(Rejected, match="key_missing"):
            await scene[Role.AUDIT].sealer.open(stored, Place(ref, event_id, "view"), "view")
