"""The aggregate is the fold: over any legal chain it says what `contracts.lifecycle.Call` says, and no more."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from approval_calls import AGENT, GENESIS, SEALED, START, Story, asked, person, requirement
from eventsourcing.application import AggregateNotFoundError
from eventsourcing.domain import OriginatorIDError
from eventsourcing.persistence import NotSupportedError, ProgrammingError, StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from callgate.errors import LostRace
from callgate.eventstore.chains import ChainRecorder, Link, append, links
from callgate.ids import uuid7
from callgate.log import Chain, Draft, Origin
from contracts.events import (
    Allowed,
    ApprovalExpired,
    ApprovalRequired,
    Approved,
    ArgumentsAmended,
    ArgumentsMasked,
    Cancelled,
    Denied,
    EventData,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    OutcomeSettled,
    OutcomeUnknown,
    Proof,
    Recorded,
    Rejected,
    Requested,
    ResultMasked,
    VoteCast,
)
from contracts.lifecycle import TRANSITIONS, Call, IllegalTransition
from contracts.subjects import CallRef
from services.approval.aggregate import UNSIGNED, Approval, NotStanding
from services.approval.repository import Approvals, CallMapper

REVIEWERS = tuple(person(f"f{number}", "finance") for number in range(4))
JUDGED = {"policy_set": "a" * 64, "function_digest": "b" * 64}
FUNCTION = "payments.refund"


def _proof(call: Call) -> Proof:
    digest = call.open_question if call.last(ApprovalRequired) else GENESIS
    return Proof(issuer="https://issuer.example", subject="f", digest=digest)


def _rejection(call: Call) -> EventData:
    rejecting = [v for v in call.votes if isinstance(v.data, VoteCast) and v.data.decision == "reject"]
    vote = rejecting[-1] if rejecting else None
    by = vote.data.reviewer.id if vote and isinstance(vote.data, VoteCast) else "nobody"
    return Rejected(by=by, vote=vote.event.event_id if vote else uuid7())


def _masked(call: Call, arguments: bool) -> EventData:
    sealed = SEALED if arguments else None
    amended = call.state == "arguments_amended"
    return ArgumentsMasked(function=FUNCTION, principal=AGENT, arguments=sealed, view=sealed, amended=amended)


def _settled(call: Call, number: int) -> EventData:
    outcome = ("done", "not_done", "run_again")[number % 3]
    proof = Proof(issuer="https://issuer.example", subject="f", digest=call.head_digest)
    return OutcomeSettled(by=REVIEWERS[0], outcome=outcome, reason=SEALED, proof=proof)


def _vote(call: Call, number: int) -> EventData:
    return VoteCast(
        reviewer=REVIEWERS[number % 4], decision="reject" if number % 5 == 4 else "approve", proof=_proof(call)
    )


MAKE: dict[str, Callable[[Call, int], EventData]] = {
    "requested": lambda _, __: Requested(function=FUNCTION, principal=AGENT, arguments=SEALED),
    "arguments_masked": lambda call, number: _masked(call, number % 7 != 6),
    "allowed": lambda _, __: Allowed(**JUDGED),
    "denied": lambda _, __: Denied(**JUDGED, code="no"),
    "approval_required": lambda _, number: ApprovalRequired(
        **JUDGED, requirements=(requirement("finance", quorum=1 + number % 2),)
    ),
    "vote_cast": _vote,
    "approved": lambda call, _: Approved(votes=call.tally().votes or (uuid7(),)),
    "rejected": lambda call, _: _rejection(call),
    "approval_expired": lambda _, __: ApprovalExpired(expired_at=START),
    "arguments_amended": lambda call, _: ArgumentsAmended(author=REVIEWERS[0], patch=SEALED, proof=_proof(call)),
    "execution_started": lambda call, number: ExecutionStarted(
        instance="e", attempt=call.attempts + 1 + (number % 6 == 5), deadline=START
    ),
    "execution_completed": lambda _, __: ExecutionCompleted(
        function=FUNCTION, status=200, result=SEALED, size=1, duration_ms=1.0
    ),
    "execution_failed": lambda _, __: ExecutionFailed(code="refused"),
    "outcome_unknown": lambda _, __: OutcomeUnknown(code="timeout"),
    "outcome_settled": _settled,
    "result_masked": lambda _, __: ResultMasked(status=200, view=SEALED),
    "cancelled": lambda _, __: Cancelled(by="bot", code="withdrawn"),
}


@st.composite
def chains(draw: st.DrawFn) -> Story:
    """A call after up to 24 tries of what the table lets follow; what the fold refuses is left out."""
    story, now = Story(), START
    for _ in range(draw(st.integers(1, 24))):
        following = sorted(TRANSITIONS[story.call.state])
        if not following:
            break
        now += timedelta(seconds=draw(st.integers(0, 120)))
        data = MAKE[draw(st.sampled_from(following))](story.call, draw(st.integers(0, 59)))
        story.call = story.call.accept(story.recorded(data, now))
    return story


class MemoryLog:
    """The log's rule over one chain, without a log: an append stands where it answers the head."""

    def __init__(self, story: Story) -> None:
        self.story = story

    def origin(self, ref: CallRef) -> Origin:
        return Origin(ref, GENESIS)

    async def read(self, ref: CallRef) -> Chain:
        call = self.story.call if ref == self.story.ref else Call(ref, GENESIS)
        return Chain(call, (), self.story.sequence)

    async def append(self, draft: Draft, answers: Recorded | Origin, *, traceparent: str | None = None) -> Recorded:
        if answers.digest != self.story.call.head_digest:
            raise LostRace
        recorded = self.story.recorded(draft.data, draft.at)
        self.story.call = self.story.call.accept(recorded)
        return recorded

    def __getattr__(self, name: str) -> object:
        raise AssertionError(name)


def loaded(story: Story) -> Approval:
    approval = Approval.of(story.call)
    assert approval is not None
    return approval


@settings(max_examples=150, deadline=None)
@given(chains())
def test_the_rebuilt_approval_is_the_fold(story: Story) -> None:
    approval = loaded(story)
    assert approval.call == Call.replay(story.ref, GENESIS, story.call.chain)
    assert (approval.id, approval.version) == (str(story.ref), len(story.call.chain))
    assert not approval.pending_events
    mapper = CallMapper()
    rebuilt: Approval | None = None
    for version, link in enumerate(links(story.call), 1):
        recorded = story.call.chain[version - 1]
        assert (link.originator_version, link.topic, link.recorded) == (version, recorded.data.TYPE, recorded)
        rebuilt = mapper.to_domain_event(link).mutate(rebuilt)
        assert rebuilt is not None
        assert rebuilt.call.chain == story.call.chain[:version]
    assert rebuilt is not None
    assert rebuilt.call.chain == approval.call.chain


@settings(max_examples=150, deadline=None)
@given(chains(), st.sampled_from(sorted(MAKE)), st.integers(0, 59), st.integers(0, 2000))
def test_it_refuses_exactly_what_the_fold_refuses(story: Story, name: str, number: int, seconds: int) -> None:
    approval, at = loaded(story), START + timedelta(seconds=seconds)
    data = MAKE[name](story.call, number)

    def outcome(act: Callable[[], object]) -> str | None:
        try:
            act()
        except IllegalTransition as refused:
            return refused.code
        return None

    expected = outcome(lambda: story.call.apply(story.recorded(data, at)))
    assert outcome(lambda: approval.record(uuid7(), at, data)) == expected
    assert approval.version == len(story.call.chain) + (expected is None)
    assert len(approval.pending_events) == (expected is None)


@settings(max_examples=60, deadline=None)
@given(chains(), st.integers(0, 59), st.lists(st.integers(0, 59), min_size=1, max_size=12))
def test_what_is_saved_is_what_is_loaded(story: Story, first: int, numbers: list[int]) -> None:
    async def scenario() -> None:
        approvals = Approvals(MemoryLog(story))  # type: ignore[arg-type]
        approval = loaded(story)
        for number in (first, *numbers):
            following = sorted(TRANSITIONS[approval.call.state])
            if not following:
                return
            name = following[number % len(following)]
            try:
                approval.record(uuid7(), START, MAKE[name](approval.call, number))
            except IllegalTransition:
                continue
            assert approval.call.head is not None
            assert approval.call.head.digest == UNSIGNED
            saved = await approvals.save(approval)
            assert saved == await approvals.get(story.ref)
            assert saved.version == approval.version
            approval = saved

    asyncio.run(scenario())


def vote(story: Story, number: int = 0) -> EventData:
    return _vote(story.call, number)


class TestOneAtATime:
    def test_an_event_that_does_not_stand_is_not_continued(self) -> None:
        story = asked()
        approval = loaded(story)
        approval.record(uuid7(), START, vote(story))
        with pytest.raises(NotStanding):
            approval.record(uuid7(), START, vote(story, 1))
        with pytest.raises(NotStanding):
            approval.conclude(uuid7(), START)
        approval.collect_events()
        with pytest.raises(NotStanding):
            approval.record(uuid7(), START, vote(story, 1))

    async def test_the_vote_then_its_conclusion(self) -> None:
        story = asked()
        approvals = Approvals(MemoryLog(story))  # type: ignore[arg-type]
        approval = await approvals.get(story.ref)
        assert not approval.conclude(uuid7(), START)
        approval.record(uuid7(), START, vote(story))
        approval = await approvals.save(approval)
        assert approval.conclude(uuid7(), START)
        approval = await approvals.save(approval)
        assert (approval.call.state, approval.version) == ("approved", 5)
        assert await approvals.save(approval) is approval  # nothing to save

    async def test_who_saw_less_loses(self) -> None:
        story = asked()
        approvals = Approvals(MemoryLog(story))  # type: ignore[arg-type]
        one, other = await approvals.get(story.ref), await approvals.get(story.ref)
        one.record(uuid7(), START, vote(story))
        other.record(uuid7(), START, vote(story, 1))
        await approvals.save(one)
        with pytest.raises(LostRace):
            await approvals.save(other)

    async def test_nobody_began_it(self) -> None:
        approvals = Approvals(MemoryLog(Story()))  # type: ignore[arg-type]
        with pytest.raises(AggregateNotFoundError):
            await approvals.get(asked().ref)


class TestFailClosed:
    async def test_a_version_that_is_not_the_position(self) -> None:
        story = asked()
        approval = loaded(story)
        approval.record(uuid7(), START, vote(story))
        (event,) = approval.pending_events
        link = CallMapper().to_stored_event(event)
        moved = Link(link.originator_id, 9, link.topic, link.state, link.recorded, link.before)
        for wrong in (moved, links(story.call)[-1]):
            with pytest.raises(ProgrammingError):
                await append(MemoryLog(story), wrong)  # type: ignore[arg-type]

    def test_what_is_no_event_of_a_call_is_not_mapped(self) -> None:
        stranger = StoredEvent("x", 1, Requested.TYPE, b"{}")
        with pytest.raises(ProgrammingError):
            CallMapper().to_domain_event(stranger)
        with pytest.raises(ProgrammingError):
            CallMapper().to_stored_event(stranger)  # type: ignore[arg-type]

    async def test_a_recorder_on_its_own_loop_or_with_more_than_it_can_do(self) -> None:
        story = asked()
        recorder = ChainRecorder(MemoryLog(story), asyncio.get_running_loop())  # type: ignore[arg-type]
        one = links(story.call)
        with pytest.raises(ProgrammingError):
            recorder.select_events(str(story.ref))
        with pytest.raises(NotSupportedError):
            recorder.insert_events(one[:2])
        with pytest.raises(NotSupportedError):
            recorder.insert_events(one[:1], tracking=1)
        with pytest.raises(ProgrammingError):
            recorder.insert_events([StoredEvent(str(story.ref), 4, "t", b"")])
        recorder.insert_events([])

    def test_a_call_is_not_begun_here(self) -> None:
        recorded = asked().call.chain[0]
        with pytest.raises(NotImplementedError):
            Approval(recorded)

    def test_a_chain_of_another_call_is_not_taken(self) -> None:
        mine, others = asked().call.chain, asked().call.chain
        approval = Approval.event_of(1, mine[0]).mutate(None)
        with pytest.raises(OriginatorIDError):
            Approval.event_of(2, others[1]).mutate(approval)
