"""The contract adapter on a real log: approvals rebuilt from signed chains, saved by the log's one rule."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from calls import AGENT, FUNCTION_DIGEST, POLICY_SET, REVIEWER
from deployment import append, new_call, running_deployment
from eventsourcing.application import AggregateNotFoundError, Repository
from eventsourcing.persistence import (
    DataError,
    EventStore,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
)
from log_suite import Scene, envelope, publish, scene_of

from callgate.errors import LostRace
from callgate.eventstore import chains
from callgate.ids import uuid7
from callgate.log import JetStreamLog
from contracts.events import (
    Allowed,
    ApprovalRequired,
    Approved,
    Cancelled,
    EventData,
    Proof,
    Recorded,
    Requirement,
    VoteCast,
)
from contracts.identity import Role
from contracts.lifecycle import Call
from contracts.subjects import CallRef
from services.approval.aggregate import Approval
from services.approval.repository import Approvals, event_store, repository

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with (
        running_deployment(tmp_path_factory.mktemp("chains")) as deployment,
        scene_of(deployment.settings) as scene,
    ):
        yield scene


def approvals(scene: Scene) -> Approvals:
    return Approvals(scene[Role.APPROVAL].log)


def library(scene: Scene) -> tuple[Repository[str], EventStore[str]]:
    log, loop = scene[Role.APPROVAL].log, asyncio.get_running_loop()
    return repository(log, loop), event_store(log, loop)


async def in_thread(repositories: Repository[str], ref: CallRef, version: int | None = None) -> Approval:
    approval: Approval = await asyncio.to_thread(lambda: repositories.get(str(ref), version=version))
    return approval


async def asked(scene: Scene) -> Recorded:
    return await scene.calls.approval_required(await scene.calls.masked(await scene.calls.requested()))


def vote(approval: Approval) -> VoteCast:
    proof = Proof(issuer=REVIEWER.issuer, subject=REVIEWER.id, digest=approval.call.open_question)
    return VoteCast(reviewer=REVIEWER, decision="approve", proof=proof)


def cast(scene: Scene, approval: Approval, data: EventData | None = None) -> Approval:
    """With a vote to be saved."""
    approval.record(uuid7(), scene[Role.APPROVAL].clock(), data or vote(approval))
    return approval


async def fold(scene: Scene, ref: CallRef) -> Call:
    """As a service reads it that has no part in it."""
    return (await scene[Role.AUDIT].log.read(ref)).call


async def test_the_librarys_repository_rebuilds_the_call_at_every_version(scene: Scene) -> None:
    ref = await scene.calls.approved_and_executed()
    call, (repositories, store) = await fold(scene, ref), library(scene)
    approval = await in_thread(repositories, ref)
    assert (approval.call.chain, approval.version, approval.id) == (call.chain, 9, str(ref))
    for version in range(1, 10):
        earlier = await in_thread(repositories, ref, version)
        assert earlier.call.chain == call.chain[:version]
    events = await asyncio.to_thread(lambda: list(store.get(str(ref), gt=3, lte=8, desc=True, limit=2)))
    assert [event.originator_version for event in events] == [8, 7]


async def test_what_the_library_saves_is_a_signed_event_that_answers_the_head(scene: Scene) -> None:
    question = await asked(scene)
    repositories, store = library(scene)
    approval = cast(scene, await in_thread(repositories, question.ref))
    await asyncio.to_thread(store.put, approval.collect_events())
    head = (await fold(scene, question.ref)).head
    assert head is not None
    assert (head.name, head.event.follows) == ("vote_cast", question.digest)
    assert scene[Role.AUDIT].ring.key(head.key_id).role is Role.APPROVAL  # type: ignore[union-attr]
    assert (await in_thread(repositories, question.ref)).call.head == head


async def test_on_the_loop_a_vote_and_what_it_comes_to(scene: Scene) -> None:
    question = await asked(scene)
    approval = await approvals(scene).save(cast(scene, await approvals(scene).get(question.ref)))
    assert approval.conclude(uuid7(), scene[Role.APPROVAL].clock())
    approval = await approvals(scene).save(approval)
    assert isinstance(approval.call.last(Approved), Approved)
    assert (approval.version, approval.call.state) == (5, "approved")
    read = await approvals(scene).get(question.ref)
    assert [r.digest for r in read.call.chain] == [r.digest for r in approval.call.chain]


async def test_of_two_writers_one_wins(scene: Scene) -> None:
    question = await asked(scene)
    repositories, store = library(scene)
    loaded = [cast(scene, await in_thread(repositories, question.ref)) for _ in range(8)]
    attempts = (asyncio.to_thread(store.put, approval.collect_events()) for approval in loaded)
    outcomes = await asyncio.gather(*attempts, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["IntegrityError"] * 7 + ["list"]
    assert len((await fold(scene, question.ref)).chain) == 4
    ref = (await asked(scene)).ref
    one, other = await approvals(scene).get(ref), await approvals(scene).get(ref)
    both = await asyncio.gather(
        *(approvals(scene).save(cast(scene, approval)) for approval in (one, other)), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in both) == ["Approval", "LostRace"]


async def test_another_service_that_was_faster_wins_too(scene: Scene) -> None:
    masked = await scene.calls.masked(await scene.calls.requested())
    approval = await approvals(scene).get(masked.ref)
    await scene.calls.denied(masked)
    approval.record(uuid7(), scene[Role.APPROVAL].clock(), Cancelled(by=REVIEWER.id, code="frozen"))
    with pytest.raises(LostRace):
        await approvals(scene).save(approval)


async def test_an_alien_is_no_part_and_no_obstacle(scene: Scene) -> None:
    question = await asked(scene)
    policy = scene[Role.POLICY]
    await publish(policy, question.ref.subject("allowed"), b"{}")
    allowed = Allowed(policy_set=POLICY_SET, function_digest=FUNCTION_DIGEST)
    body, headers = envelope(policy.signer, question.ref, question.digest, allowed, policy)  # signed, out of turn
    await publish(policy, question.ref.subject("allowed"), body, headers)
    repositories, store = library(scene)
    approval = cast(scene, await in_thread(repositories, question.ref))
    assert approval.version == 4
    await asyncio.to_thread(store.put, approval.collect_events())
    await publish(policy, question.ref.subject("allowed"), b"{}")
    call = await fold(scene, question.ref)
    assert [r.name for r in call.chain] == ["requested", "arguments_masked", "approval_required", "vote_cast"]
    approval = await in_thread(repositories, question.ref)
    assert (approval.version, approval.call.chain) == (4, call.chain)
    assert len(await scene.on_subjects(question.ref)) == 7


async def test_a_vote_that_the_broker_takes_too_late_changes_nothing(scene: Scene) -> None:
    masked = await scene.calls.masked(await scene.calls.requested())
    expired = scene[Role.POLICY].clock() - timedelta(seconds=1)
    requirement = Requirement(policies=("p",), approvers=("sre",), quorum=1, expires_at=expired)
    required = ApprovalRequired(
        policy_set=POLICY_SET, function_digest=FUNCTION_DIGEST, policies=("p",), requirements=(requirement,)
    )
    question = await append(scene[Role.POLICY], masked, required)
    approval = await approvals(scene).get(question.ref)
    approval.record(uuid7(), expired - timedelta(seconds=1), vote(approval))  # in time, by a clock that is behind
    assert approval.version == 4
    saved = await approvals(scene).save(approval)
    assert (saved.version, saved.call.state) == (3, "approval_required")
    assert saved.conclude(uuid7(), scene[Role.APPROVAL].clock())
    assert (await approvals(scene).save(saved)).call.state == "approval_expired"


async def test_one_event_a_save(scene: Scene) -> None:
    question = await asked(scene)
    repositories, store = library(scene)
    one, other = [cast(scene, await in_thread(repositories, question.ref)) for _ in range(2)]
    with pytest.raises(NotSupportedError):
        await asyncio.to_thread(store.put, [*one.collect_events(), *other.collect_events()])
    assert len(await scene.on_subjects(question.ref)) == 3


async def test_what_stands_is_not_stored_again(scene: Scene) -> None:
    question = await asked(scene)
    _, store = library(scene)
    events = await asyncio.to_thread(lambda: list(store.get(str(question.ref))))
    with pytest.raises(ProgrammingError):
        await asyncio.to_thread(store.put, events[-1:])
    assert len(await scene.on_subjects(question.ref)) == 3


async def test_calls_that_are_not_there(scene: Scene) -> None:
    repositories, _ = library(scene)
    nobody = new_call(scene[Role.INGRESS], AGENT.session_owner)
    with pytest.raises(AggregateNotFoundError):
        await in_thread(repositories, nobody)
    with pytest.raises(AggregateNotFoundError):
        await approvals(scene).get(nobody)
    with pytest.raises(DataError):
        await asyncio.to_thread(repositories.get, "no call")


async def test_a_call_may_begin_through_the_store(scene: Scene) -> None:
    """As ingress would."""
    ref = (await scene.calls.requested()).ref
    requested = (await fold(scene, ref)).chain[0]
    empty = new_call(scene[Role.INGRESS], AGENT.session_owner)
    ingress = scene[Role.INGRESS]
    begun = chains.Link.of(1, _moved(requested, empty, ingress.log.origin(empty).digest), Call(empty, ""))
    recorder = chains.ChainRecorder(ingress.log, asyncio.get_running_loop())
    await asyncio.to_thread(recorder.insert_events, [begun])
    assert (await fold(scene, empty)).state == "requested"
    with pytest.raises(IntegrityError):
        await asyncio.to_thread(
            recorder.insert_events,
            [chains.Link.of(1, _moved(requested, empty, requested.digest), Call(empty, ""))],
        )


async def test_a_log_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callgate.log.jetstream.APPEND_TIMEOUT", 0.5)
    async with running_deployment(tmp_path) as deployment, scene_of(deployment.settings) as scene:
        repositories, _ = library(scene)
        question = await asked(scene)
        client = scene[Role.APPROVAL].client
        platform = scene[Role.APPROVAL]
        log = JetStreamLog(client, platform.signer, platform.verifier, platform.genesis)
        store = event_store(log, asyncio.get_running_loop())
        approval = cast(scene, await in_thread(repositories, question.ref))
        await client.close()
        with pytest.raises(OperationalError):
            await asyncio.to_thread(store.put, approval.collect_events())
        with pytest.raises(OperationalError):
            await in_thread(repositories, question.ref)


def _moved(requested: Recorded, ref: CallRef, follows: str) -> Recorded:
    """The same request as another call's, not yet appended."""
    event = requested.event.model_copy(
        update={"event_id": uuid7(), "call_id": ref.call_id, "session_id": ref.session_id, "follows": follows}
    )
    return Recorded(ref, 0, requested.recorded_at, "", "", event)
