"""What somebody may write who got at the broker or at one key: it is never executed on, and never in the way."""

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from deployment import Deployment
from doors import serving
from governed_scene import PAY, PAY_ROUTE, Governed, alarms, eventually, governed

from callgate import keys
from callgate.ids import uuid7
from callgate.keyring import sign_ring
from callgate.log import Message, reading
from callgate.log.messages import CE_TYPE
from callgate.platform import Platform
from callgate.records import publish_acknowledged
from callgate.signing import SIGNATURE_HEADER, Signer
from cli.composition import SERVICES, builder
from contracts.events import (
    Allowed,
    Approved,
    Cancelled,
    EventData,
    ExecutionCompleted,
    Sealed,
    encode_event,
    make_event,
)
from contracts.identity import Role
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition, parse_call_subject

EXECUTED = ["requested", "arguments_masked", "allowed", "execution_started", "execution_completed", "result_masked"]
ALL_BUT_EXECUTOR = tuple(role for role in SERVICES if role is not Role.EXECUTOR)
PUBLISHERS = {
    "requested": Role.INGRESS,
    "arguments_masked": Role.MASKING,
    "allowed": Role.POLICY,
    "approved": Role.APPROVAL,
    "execution_completed": Role.EXECUTOR,
}
ALLOWED = Allowed(policy_set="a" * 64, function_digest="b" * 64)


async def put(client: Any, subject: str, ce_type: str, body: bytes, signature: str) -> int:
    """Written straight to the broker, without the header by which honest services wait for each other."""
    return await publish_acknowledged(client, subject, body, {CE_TYPE: ce_type, SIGNATURE_HEADER: signature})


async def put_event(platform: Platform, ref: CallRef, follows: str, data: EventData, signer: Signer) -> int:
    """An event signed by `signer`, published by the platform's user."""
    body = encode_event(make_event(uuid7(), ref, platform.clock(), follows, data))
    return await put(platform.client, ref.subject(data.NAME), data.TYPE, body, signer.sign(data.TYPE, body))


async def messages(platform: Platform, subject_filter: str) -> list[Message]:
    stream = platform.partitions[0].stream
    return [message async for message in reading.direct_all(platform.client, stream, subject_filter)]


async def copied(platform: Platform, message: Message, subject: str) -> int:
    """The same bytes under the same signature, elsewhere."""
    return await put(
        platform.client, subject, message.headers[CE_TYPE], message.body, message.headers[SIGNATURE_HEADER]
    )


@dataclass
class Attack:
    """What an attacker holds: a call that waits for people, one that ran, and each service's user and key."""

    scene: Governed
    waiting: CallRef
    question: Call
    done: CallRef
    by: dict[Role, Platform]

    async def original(self, ref: CallRef, name: str) -> Message:
        (message,) = await messages(self.by[Role.AUDIT], ref.subject(name))
        return message


async def _right_user_wrong_key(attack: Attack) -> None:
    policy = attack.by[Role.POLICY]
    stranger = Signer(Role.POLICY, "policy-000000000000", Ed25519PrivateKey.generate())
    await put_event(policy, attack.waiting, attack.question.head_digest, ALLOWED, stranger)


async def _right_key_id_wrong_key(attack: Attack) -> None:
    policy = attack.by[Role.POLICY]
    stranger = Signer(Role.POLICY, policy.signer.key_id, Ed25519PrivateKey.generate())
    await put_event(policy, attack.waiting, attack.question.head_digest, ALLOWED, stranger)


async def _right_key_wrong_role(attack: Attack) -> None:
    masking = attack.by[Role.MASKING].signer
    await put_event(attack.by[Role.POLICY], attack.waiting, attack.question.head_digest, ALLOWED, masking)


async def _policy_itself_but_out_of_turn(attack: Attack) -> None:
    """A stolen policy key, skipping the people: the fold knows that `allowed` cannot follow the question."""
    policy = attack.by[Role.POLICY]
    await put_event(policy, attack.waiting, attack.question.head_digest, ALLOWED, policy.signer)


async def _allowed_of_another_call(attack: Attack) -> None:
    await copied(
        attack.by[Role.POLICY], await attack.original(attack.done, "allowed"), attack.waiting.subject("allowed")
    )


async def _one_byte_changed(attack: Attack) -> None:
    message = await attack.original(attack.done, "allowed")
    changed = message.body.replace(attack.done.call_id.encode(), attack.waiting.call_id.encode())
    signature = message.headers[SIGNATURE_HEADER]
    await put(
        attack.by[Role.POLICY].client, attack.waiting.subject("allowed"), message.headers[CE_TYPE], changed, signature
    )


async def _approved_of_another_call(attack: Attack) -> None:
    message = await attack.original(attack.done, "approved")
    await copied(attack.by[Role.APPROVAL], message, attack.waiting.subject("approved"))


async def _approved_without_votes(attack: Attack) -> None:
    approval = attack.by[Role.APPROVAL]
    nobody = Approved(votes=(uuid7(),))
    await put_event(approval, attack.waiting, attack.question.head_digest, nobody, approval.signer)


FORGERIES: list[tuple[Callable[[Attack], Any], Role, str]] = [
    (_right_user_wrong_key, Role.EXECUTOR, "unknown_key"),
    (_right_key_id_wrong_key, Role.EXECUTOR, "bad_signature"),
    (_right_key_wrong_role, Role.EXECUTOR, "wrong_role"),
    (_policy_itself_but_out_of_turn, Role.EXECUTOR, "illegal_transition"),
    (_allowed_of_another_call, Role.EXECUTOR, "ids_differ"),
    (_one_byte_changed, Role.EXECUTOR, "bad_signature"),
    (_approved_of_another_call, Role.POLICY, "ids_differ"),
    (_approved_without_votes, Role.POLICY, "quorum_not_met"),
]


async def approved_call(scene: Governed) -> CallRef:
    waiting = await scene.call("shop.pay", wait=0, amount=250, **PAY)
    ref = CallRef.parse(waiting["id"])
    await scene.vote(ref, "fay")
    assert (await scene.outcome(ref))["status"] == "completed"
    return ref


async def test_no_forgery_is_executed_on_and_none_is_in_the_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with governed(tmp_path) as scene, scene.here.platforms() as by:
        done = await approved_call(scene)
        for forge, role, code in FORGERIES:
            answer = await scene.call("shop.pay", wait=0, amount=250, **PAY)
            ref = CallRef.parse(answer["id"])
            await scene.until(ref, "approval_required")
            executed, before = scene.ledger.executed[PAY_ROUTE], alarms(role, code)
            caplog.clear()

            await forge(Attack(scene, ref, await scene.chain(ref), done, by))

            async def alarmed(role: Role = role, code: str = code, before: float = before) -> bool | None:
                return alarms(role, code) > before or None

            await eventually(alarmed)
            assert any(r.message.startswith("alien message") and r.code == code for r in caplog.records)  # type: ignore[attr-defined]
            chain = await scene.audit.log.read(ref)
            assert (len(chain.aliens), chain.call.state) == (1, "approval_required"), forge.__name__
            assert scene.ledger.executed[PAY_ROUTE] == executed, forge.__name__
            # The honest way goes on, around what is alien.
            await scene.vote(ref, "fay")
            assert (await scene.outcome(ref))["status"] == "completed", forge.__name__
            assert scene.ledger.executed[PAY_ROUTE] == executed + 1
            assert scene.ledger.keys_executed[ref.call_id] == 1
        assert 'callgate_alien_messages_total{code="wrong_role",service="executor"}' in await scene.metrics()


# Aliens in the middle of a running call


async def test_aliens_in_the_middle_of_a_running_call(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with governed(tmp_path) as scene, scene.here.platforms() as by:
        scene.misbehave(PAY_ROUTE, "slow", seconds=1.0)
        asked = await scene.call("shop.pay", wait=0, amount=1, **PAY)
        ref = CallRef.parse(asked["id"])
        started = await scene.until(ref, "execution_started")
        before = alarms(Role.EXECUTOR, "bad_signature")

        executor, ingress, policy = by[Role.EXECUTOR], by[Role.INGRESS], by[Role.POLICY]
        fake = Sealed(key_id="k", nonce="AAAA", ciphertext="AAAA")
        result = ExecutionCompleted(function="shop.pay", status=200, result=fake, size=1, duration_ms=1)
        stranger = Signer(Role.EXECUTOR, executor.signer.key_id, Ed25519PrivateKey.generate())
        await put_event(executor, ref, started.digest, result, stranger)  # right user, wrong key
        allowed = (await scene.chain(ref)).last_recorded(Allowed)
        assert allowed is not None
        cancelled = Cancelled(by="bot", code="withdrawn")
        await put_event(ingress, ref, allowed.digest, cancelled, ingress.signer)  # genuine, but it lost the race
        await put(ingress.client, ref.subject("cancelled"), "callgate.call.exploded.v9", b"{}", "x:y")  # unknown event
        await put(policy.client, ref.subject("allowed"), "", b"\xff\xfe", "")  # no event at all
        await copied(policy, (await messages(policy, ref.subject("allowed")))[0], ref.subject("allowed"))  # a replay

        answer = await scene.outcome(ref)
        assert answer["status"] == "completed"
        assert answer["result"]["body"]["status"] == "accepted"
        chain = await scene.audit.log.read(ref)
        assert [recorded.name for recorded in chain.call.chain] == EXECUTED
        assert sorted(alien.code for alien in chain.aliens) == [
            *("bad_signature", "does_not_follow", "does_not_follow", "unknown_event", "unknown_event"),
        ]
        assert scene.ledger.executed == {PAY_ROUTE: 1}
        assert alarms(Role.EXECUTOR, "bad_signature") > before
        assert "alien message on the log" in caplog.text
        # Nothing is stuck behind them.
        assert (await scene.call("shop.look", id="c1"))["status"] == "completed"


# Genuine events of a call that is over, written again where they stand already

REPLAYS: list[tuple[str, list[str], Role]] = [
    # what is written again, what services append to it who do not read the whole chain, who then alarms
    ("requested", ["arguments_masked", "approval_required"], Role.APPROVAL),
    ("arguments_masked", ["approval_required"], Role.APPROVAL),
    ("approved", [], Role.POLICY),
    ("allowed", [], Role.EXECUTOR),
    ("execution_completed", ["result_masked"], Role.AUDIT),
]


async def test_a_replayed_event_is_answered_once_by_each_service_at_most(tmp_path: Path) -> None:
    """Each answer is alien like what it answers: it leads no further than the first service that folds the chain."""
    async with governed(tmp_path) as scene, scene.here.platforms() as by:
        done = await approved_call(scene)
        before = await scene.chain(done)
        executed = dict(scene.ledger.executed)
        expected = [recorded.name for recorded in before.chain]
        for name, answers, alarming in REPLAYS:
            stands = await messages(scene.audit, done.subject(name))
            sounded = alarms(alarming, "does_not_follow")
            await copied(by[PUBLISHERS[name]], stands[0], done.subject(name))
            expected += [name, *answers]

            async def answered(alarming: Role = alarming, sounded: float = sounded, last: str = expected[-1]) -> Any:
                found = await messages(scene.audit, done.all_events)
                return (alarms(alarming, "does_not_follow") > sounded and found[-1].subject.endswith(last)) or None

            await eventually(answered)
        # A whole call passes every service: whatever those events could lead to has had its turn.
        await approved_call(scene)
        found = await messages(scene.audit, done.all_events)
        assert [parse_call_subject(message.subject)[1] for message in found] == expected
        chain = await scene.audit.log.read(done)
        assert chain.call.chain == before.chain
        assert {alien.code for alien in chain.aliens} == {"does_not_follow"}
        assert scene.ledger.executed == {route: 2 * times for route, times in executed.items()}
        assert scene.ledger.keys_executed[done.call_id] == 1
        status, waiting = await scene.request("GET", "/v1/approvals", "fay")
        assert (status, waiting["approvals"]) == (200, [])


# Whole chains, copied


async def allowed_but_not_run(scene: Governed, session: str | None = None) -> tuple[CallRef, list[Message]]:
    """A genuine chain up to `allowed`, in a deployment whose executor is away."""
    body = {"function": "shop.look", "arguments": {"id": "c1"}, **({"session": session} if session else {})}
    status, answer = await scene.request("POST", "/v1/calls", json=body, headers={"Prefer": "wait=0"})
    assert status == 202
    ref = CallRef.parse(answer["id"])
    await scene.until(ref, "allowed")
    found = reading.direct_all(scene.audit.client, ref.partition.stream, ref.all_events)
    return ref, [message async for message in found]


async def copy_chain(
    by: dict[Role, Platform], chain: list[Message], subject: Callable[[CallRef, str], str] = CallRef.subject
) -> None:
    for message in chain:
        ref, name = parse_call_subject(message.subject)
        await copied(by[PUBLISHERS[name]], message, subject(ref, name))


async def refused(code: str, before: float) -> None:
    async def alarmed() -> bool | None:
        return alarms(Role.EXECUTOR, code) > before or None

    await eventually(alarmed)


async def still_works(scene: Governed) -> None:
    """A call of its own runs, so what was copied is behind us; and it is the only one that ever ran."""
    answer = await scene.call("shop.look", id="c2")
    assert answer["status"] == "completed"
    assert scene.ledger.keys_arrived == {CallRef.parse(answer["id"]).call_id: 1}


async def test_a_chain_copied_to_another_partition(tmp_path: Path) -> None:
    async with (
        governed(tmp_path, broker={"shards": 2}) as scene,
        scene.here.platforms(Role.INGRESS, Role.MASKING, Role.POLICY) as by,
    ):
        done = CallRef.parse((await scene.call("shop.look", id="c1"))["id"])
        scene.ledger.clear()
        found = reading.direct_all(scene.audit.client, done.partition.stream, done.all_events)
        chain = [message async for message in found][:3]
        other = Partition(1, 1 - done.partition.shard)
        before = alarms(Role.EXECUTOR, "wrong_shard")
        await copy_chain(by, chain, lambda ref, name: CallRef(other, ref.session_id, ref.call_id).subject(name))
        await refused("wrong_shard", before)
        await still_works(scene)


@contextlib.asynccontextmanager
async def original_chain(folder: Path) -> AsyncIterator[tuple[Governed, list[Message]]]:
    async with governed(folder, roles=ALL_BUT_EXECUTOR) as scene:
        _, chain = await allowed_but_not_run(scene)
        assert [parse_call_subject(message.subject)[1] for message in chain] == EXECUTED[:3]
        yield scene, chain


async def test_a_chain_copied_to_a_deployment_with_other_keys(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with (
        original_chain(tmp_path / "a") as (_, chain),
        governed(tmp_path / "b") as copy,
        copy.here.platforms(Role.INGRESS, Role.MASKING, Role.POLICY) as by,
    ):
        before = alarms(Role.EXECUTOR, "unknown_key")
        await copy_chain(by, chain)
        await refused("unknown_key", before)
        await still_works(copy)


@pytest.mark.parametrize("name", ["test", "other"])
async def test_a_chain_copied_to_a_deployment_with_the_same_keys(tmp_path: Path, name: str) -> None:
    """Every signature verifies there; but the chain hangs on the genesis of another partition."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    async with original_chain(tmp_path / "a") as (scene, chain):
        same_keys(scene.here, tmp_path / "b" / "keys", name)
        async with (
            governed(tmp_path / "b", name=name) as copy,
            copy.here.platforms(Role.INGRESS, Role.MASKING, Role.POLICY) as by,
        ):
            before = alarms(Role.EXECUTOR, "does_not_follow")
            await copy_chain(by, chain)
            await refused("does_not_follow", before)
            await still_works(copy)
            (ref, _) = parse_call_subject(chain[0].subject)
            assert (await copy.chain(ref)).chain == ()
        # Where it belongs, it does run.
        assert not scene.ledger.arrived
        async with serving(scene.here, (Role.EXECUTOR, builder(Role.EXECUTOR))):
            assert (await scene.outcome(ref))["status"] == "completed"
        assert scene.ledger.keys_executed == {ref.call_id: 1}


def same_keys(here: Deployment, folder: Path, name: str) -> None:
    """The keys of a deployment for one of another name, by whoever holds its root."""
    shutil.copytree(here.settings.keys_folder, folder)
    root = load_pem_private_key((folder / "root" / "root.key").read_bytes(), None)
    assert isinstance(root, Ed25519PrivateKey)
    ring = keys.read_ring(folder).model_copy(update={"deployment": name})
    (folder / "ring.json").write_text(sign_ring(ring, root))
