"""What the aggregate records of people's decisions, and how it is saved where others are quicker, or it is too late."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest
from approval_calls import SEALED, START, Story, asked, lost, person, requirement

from callgate.errors import BrokerAway, LostRace
from callgate.ids import uuid7
from callgate.log import Chain, Draft, Origin
from contracts.events import (
    ArgumentsAmended,
    Cancelled,
    ExecutionFailed,
    OutcomeSettled,
    Recorded,
    VoteCast,
)
from contracts.subjects import CallRef
from services.approval.aggregate import Approval, Decider, NobodyAsked, NotStanding
from services.approval.domain import DecisionRefused, Intent, Refusal
from services.approval.outcomes import Outcome, SealedSettlement, Settlement, unsettled_of
from services.approval.repository import Approvals, TooLate

FINA = Decider(person("fina", "finance"), permitted=True, policies=("finance-approves",))
NOT_SEALED = SealedSettlement(reason=SEALED, evidence=None, result=None)


def of(story: Story) -> Approval:
    approval = Approval.of(story.call)
    assert approval is not None
    return approval


def said(story: Story, outcome: Outcome = "done", **changed: object) -> Settlement:
    unsettled = unsettled_of(story.call)
    assert unsettled is not None
    values = {"outcome": outcome, "digest": unsettled.digest, "reason": "seen", **changed}
    return Settlement(**values)  # type: ignore[arg-type]


class TestDeciding:
    def test_a_vote(self) -> None:
        story = asked()
        approval = of(story)
        approval.cast_vote(uuid7(), START, FINA, Intent("approve", story.call.open_question), None)
        vote = approval.call.chain[-1].data
        assert isinstance(vote, VoteCast)
        assert (vote.reviewer, vote.policies, vote.proof.digest) == (
            FINA.person,
            ("finance-approves",),
            story.call.open_question,
        )
        with pytest.raises(NotStanding):
            approval.amend(uuid7(), START, FINA, story.call.open_question, SEALED, None)

    @pytest.mark.parametrize(
        ("author", "digest", "at", "code"),
        [
            (Decider(FINA.person, permitted=False), None, START, Refusal.NOT_PERMITTED),
            (Decider(person("rosa", "finance"), permitted=True), None, START, Refusal.OWN_CALL),
            (Decider(person("otto", "sales"), permitted=True), None, START, Refusal.NOT_AN_APPROVER),
            (FINA, "0" * 64, START, Refusal.CALL_CHANGED),
            (FINA, None, START + timedelta(hours=1), Refusal.EXPIRED),
        ],
    )
    def test_who_may_not_amend(self, author: Decider, digest: str | None, at: datetime, code: Refusal) -> None:
        approval = of(asked())
        with pytest.raises(DecisionRefused) as refused:
            approval.amend(uuid7(), at, author, digest or approval.call.open_question, SEALED, None)
        assert refused.value.code is code
        assert not approval.pending_events

    def test_an_amendment_ends_the_question(self) -> None:
        approval = of(asked())
        approval.amend(uuid7(), START, FINA, approval.call.open_question, SEALED, SEALED)
        amended = approval.call.chain[-1].data
        assert isinstance(amended, ArgumentsAmended)
        assert (amended.author, amended.patch, amended.reason) == (FINA.person, SEALED, SEALED)
        question = approval.must_question
        assert (question.waiting, question.amenders, question.status) == (False, ("fina",), "pending")

    def test_only_what_waits_is_cancelled(self) -> None:
        waiting, over = of(asked()), of(lost())
        assert waiting.cancel(uuid7(), START, "sid", "f1")
        assert waiting.call.chain[-1].data == Cancelled(by="sid", code="frozen", freeze="f1")
        assert not over.cancel(uuid7(), START, "sid", "f1")
        assert not over.pending_events


class TestSettling:
    @pytest.mark.parametrize("outcome", ["done", "not_done", "run_again"])
    def test_it_is_recorded(self, outcome: Outcome) -> None:
        story = lost()
        approval = of(story)
        assert (approval.must_unsettled.code, approval.must_unsettled.attempts) == ("timeout", 1)
        approval.settle(uuid7(), START, FINA, said(story, outcome), NOT_SEALED)
        settled = approval.call.chain[-1].data
        assert isinstance(settled, OutcomeSettled)
        assert (settled.by, settled.outcome, settled.proof.digest) == (FINA.person, outcome, story.call.head_digest)
        assert not approval.must_unsettled.waiting

    @pytest.mark.parametrize(
        ("who", "changed", "code"),
        [
            (Decider(FINA.person, permitted=False), {}, Refusal.NOT_PERMITTED),
            (Decider(person("rosa", "finance"), permitted=True), {}, Refusal.OWN_CALL),
            (FINA, {"digest": "0" * 64}, Refusal.CALL_CHANGED),
            (FINA, {"reason": None}, Refusal.REASON_REQUIRED),
            (FINA, {"outcome": "not_done", "result": b"{}"}, Refusal.RESULT_OF_NOTHING),
        ],
    )
    def test_who_may_not_and_what_makes_no_sense(self, who: Decider, changed: dict[str, object], code: Refusal) -> None:
        story = lost()
        approval = of(story)
        with pytest.raises(DecisionRefused) as refused:
            approval.settle(uuid7(), START, who, said(story, **changed), NOT_SEALED)  # type: ignore[arg-type]
        assert refused.value.code is code
        assert not approval.pending_events

    def test_what_is_known_is_not_settled(self) -> None:
        story = lost()
        settlement = said(story)
        story.add(ExecutionFailed(code="connect_failed"))
        approval = of(story)
        with pytest.raises(DecisionRefused) as refused:
            approval.settle(uuid7(), START, FINA, settlement, NOT_SEALED)
        assert (refused.value.code, refused.value.status) == (Refusal.OUTCOME_KNOWN, "failed")

    def test_whoever_approved_is_named(self) -> None:
        story = asked()
        approval = of(story)
        with pytest.raises(NobodyAsked):
            _ = approval.must_unsettled


class Race:
    """A log on which others are quicker `often` times, and whose clock may be `late`."""

    def __init__(self, story: Story, often: int = 0, late: timedelta = timedelta()) -> None:
        self.story = story
        self.often = often
        self.late = late
        self.tried: list[str] = []

    def origin(self, ref: CallRef) -> Origin:
        return Origin(ref, self.story.call.genesis)

    async def read(self, _: CallRef) -> Chain:
        return Chain(self.story.call, (), self.story.sequence)

    async def append(self, draft: Draft, _: Recorded | Origin, *, traceparent: str | None = None) -> Recorded:
        self.tried.append(draft.event_id)
        if len(self.tried) <= self.often:
            raise LostRace
        recorded = self.story.recorded(draft.data, draft.at + self.late, event_id=draft.event_id)
        self.story.call = self.story.call.accept(recorded)
        return recorded


def voting(story: Story) -> Callable[[Approval], Awaitable[None]]:
    async def vote(approval: Approval) -> None:
        approval.cast_vote(uuid7(), START, FINA, Intent("approve", story.call.open_question), None)

    return vote


class TestContinuing:
    async def test_who_lost_decides_anew_on_what_stands(self) -> None:
        story = asked(requirement("finance", quorum=2))
        race = Race(story, often=3)
        approvals = Approvals(race)  # type: ignore[arg-type]
        saved = await approvals.continued(await approvals.get(story.ref), voting(story))
        assert saved.call.state == "vote_cast"
        assert len(set(race.tried)) == 4  # each attempt is an event of its own

    async def test_it_gives_up_where_nobody_lets_it_in(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def at_once(_: float) -> None:
            """No pause between the attempts."""

        monkeypatch.setattr(asyncio, "sleep", at_once)
        story = asked()
        approvals = Approvals(Race(story, often=1000))  # type: ignore[arg-type]
        with pytest.raises(BrokerAway):
            await approvals.continued(await approvals.get(story.ref), voting(story))

    async def test_what_the_brokers_clock_found_too_late_is_said(self) -> None:
        story = asked(requirement("finance", expires=timedelta(seconds=1)))
        approvals = Approvals(Race(story, late=timedelta(seconds=2)))  # type: ignore[arg-type]
        with pytest.raises(TooLate) as late:
            await approvals.continued(await approvals.get(story.ref), voting(story))
        assert late.value.approval.call.state == "approval_required"
