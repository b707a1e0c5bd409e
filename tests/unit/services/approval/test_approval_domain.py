"""Who may vote, what votes come to, and when time is up."""

from datetime import timedelta

import pytest
from approval_calls import AGENT, SEALED, START, Story, amend, asked, person, requirement

from contracts.events import (
    ApprovalExpired,
    ApprovalRequired,
    Approved,
    Cancelled,
    Escalation,
    Recorded,
    Rejected,
    VoteCast,
)
from contracts.identity import Principal
from services.approval.domain import (
    Decision,
    DecisionRefused,
    Intent,
    Refusal,
    authority,
    check_vote,
    conclusion,
    question_of,
    vote_of,
)

FINA, FINN, SAM = person("fina", "finance"), person("finn", "finance"), person("sam", "sre")


def cast(
    story: Story,
    who: Principal,
    decision: Decision = "approve",
    *,
    reason: str | None = None,
    alone: bool = False,
    late: int = 0,
) -> Recorded:
    """A vote so many minutes after the question."""
    question, at = question_of(story.call), START + timedelta(minutes=late)
    assert question is not None
    intent = Intent(decision, question.digest, reason, alone)
    check_vote(question, who, True, intent, at)
    return story.add(vote_of(question, who, intent, SEALED if reason else None, ("p",)), at)


def refusal(
    story: Story,
    who: Principal,
    decision: Decision = "approve",
    *,
    permitted: bool = True,
    digest: str | None = None,
    reason: str | None = None,
    alone: bool = False,
    late: int = 0,
) -> str:
    question = question_of(story.call)
    assert question is not None
    intent = Intent(decision, digest or question.digest, reason, alone)
    with pytest.raises(DecisionRefused) as refused:
        check_vote(question, who, permitted, intent, START + timedelta(minutes=late))
    assert refused.value.state == story.call.state
    return refused.value.code


def test_a_question_tells_facts_and_no_payload() -> None:
    story = asked(requirement("finance", quorum=2), requirement("sre"))
    cast(story, FINA)
    question = question_of(story.call)
    assert question is not None
    assert (question.function, question.requester, question.entities) == (
        "payments.refund",
        AGENT,
        frozenset({"CREDIT_CARD"}),
    )
    assert question.digest == story.call.open_question
    assert [progress.missing for progress in question.progress] == [1, 1]
    assert [(ballot.reviewer, ballot.decision) for ballot in question.ballots] == [("fina", "approve")]
    assert SEALED.ciphertext is not None
    assert SEALED.ciphertext not in repr(question)


def test_nobody_was_asked() -> None:
    assert question_of(Story().call) is None
    assert conclusion(Story().call, START) is None


def test_each_refusal() -> None:
    story = asked()
    assert refusal(story, person("bot", "finance")) == Refusal.OWN_CALL
    assert refusal(story, person("rosa", "finance")) == Refusal.OWN_CALL
    assert refusal(story, FINA, permitted=False) == Refusal.NOT_PERMITTED
    assert refusal(story, SAM) == Refusal.NOT_AN_APPROVER
    assert refusal(story, FINA, digest="c" * 64) == Refusal.CALL_CHANGED
    assert refusal(story, FINA, late=15) == Refusal.EXPIRED
    delegated = Principal(id="helper", issuer="i", groups=("finance",), on_behalf_of="fina", actors=("helper",))
    assert refusal(story, delegated) == Refusal.DELEGATED
    cast(asked(requirement("finance", quorum=2)), FINA)
    twice = asked(requirement("finance", quorum=2))
    cast(twice, FINA)
    assert refusal(twice, FINA) == Refusal.VOTED_ALREADY
    story.add(Cancelled(by="bot", code="withdrawn"))
    assert refusal(story, FINA) == Refusal.NOT_WAITING


def test_four_eyes_come_before_any_policy() -> None:
    question = question_of(asked().call)
    assert question is not None
    assert authority(question, person("rosa"), False, START) == Refusal.OWN_CALL


def test_the_fold_accepts_every_conclusion() -> None:
    approved = asked(requirement("finance", quorum=2), requirement("sre"))
    votes = []
    for who in (FINA, SAM, FINN):
        assert conclusion(approved.call, START) is None
        votes.append(cast(approved, who).event.event_id)
    end = conclusion(approved.call, START)
    assert end == Approved(votes=tuple(votes))
    approved.add(end)
    assert conclusion(approved.call, START) is None

    rejected = asked(requirement("finance", quorum=2))
    cast(rejected, FINA)
    vote = cast(rejected, FINN, "reject")
    end = conclusion(rejected.call, START)
    assert end == Rejected(by="finn", vote=vote.event.event_id)
    rejected.add(end)

    expired = asked()
    over = START + timedelta(minutes=15)
    assert conclusion(expired.call, over - timedelta(microseconds=1)) is None
    end = conclusion(expired.call, over)
    assert end == ApprovalExpired(expired_at=over)
    expired.add(end, over)


def test_the_earliest_expiry_counts() -> None:
    story = asked(requirement("finance"), requirement("sre", expires=timedelta(minutes=5)))
    assert conclusion(story.call, START + timedelta(minutes=5)) is not None


def test_approvals_count_in_time_only_and_a_rejection_always() -> None:
    approved = asked()
    cast(approved, FINA)
    assert isinstance(conclusion(approved.call, START + timedelta(hours=1)), ApprovalExpired)
    rejected = asked()
    cast(rejected, FINA, "reject")
    assert isinstance(conclusion(rejected.call, START + timedelta(hours=1)), Rejected)


def test_an_amended_call_starts_over() -> None:
    story = asked(requirement("finance", quorum=2))
    cast(story, FINA)
    before = story.call.open_question
    amend(story, FINA)
    assert refusal(story, FINN, digest=before) == Refusal.CALL_CHANGED
    cast(story, FINA)
    assert conclusion(story.call, START) is None  # the author of the amendment, alone
    cast(story, FINN)
    assert isinstance(conclusion(story.call, START), Approved)


def test_a_vote_names_the_person_and_what_they_saw() -> None:
    story = asked()
    question = question_of(story.call)
    assert question is not None
    vote = vote_of(question, FINA, Intent("approve", question.digest), SEALED, ("finance-approves",))
    assert (vote.proof.issuer, vote.proof.subject, vote.proof.digest) == (FINA.issuer, "fina", question.digest)
    assert (vote.reason, vote.policies) == (SEALED, ("finance-approves",))
    assert isinstance(story.call.last(ApprovalRequired), ApprovalRequired)


# Changed votes


def test_a_vote_may_be_changed_while_it_is_open() -> None:
    story = asked(requirement("finance", quorum=2, rejections=2))
    first = cast(story, FINA, "reject")
    assert refusal(story, FINA, "reject") == Refusal.VOTED_ALREADY
    changed = cast(story, FINA)
    assert isinstance(changed.data, VoteCast)
    assert changed.data.replaces == first.event.event_id
    question = question_of(story.call)
    assert question is not None
    assert [(one.event_id, one.decision) for one in question.ballots] == [(changed.event.event_id, "approve")]
    second = cast(story, FINN)
    end = conclusion(story.call, START)
    assert end == Approved(votes=(changed.event.event_id, second.event.event_id))
    story.add(end)
    assert refusal(story, FINA, "reject") == Refusal.NOT_WAITING


def test_so_many_rejections_end_it_as_the_policy_says() -> None:
    story = asked(requirement("finance", quorum=3, rejections=2))
    cast(story, FINA, "reject")
    assert conclusion(story.call, START) is None
    last = cast(story, FINN, "reject")
    end = conclusion(story.call, START)
    assert end == Rejected(by="finn", vote=last.event.event_id)
    story.add(end)


# Reasons, escalation, breaking the glass


def test_an_approval_says_why_where_the_policy_wants_it() -> None:
    story = asked(requirement("finance", reason_required=True), requirement("sre"))
    assert refusal(story, FINA) == Refusal.REASON_REQUIRED
    cast(story, SAM)  # who is asked by the other one alone
    cast(story, FINA, reason="checked")
    assert isinstance(conclusion(story.call, START), Approved)
    silent = asked(requirement("finance", reason_required=True))
    cast(silent, FINA, "reject")  # saying no is never made harder
    assert isinstance(conclusion(silent.call, START), Rejected)


def test_a_second_group_is_asked_after_its_time() -> None:
    leads = Escalation(approvers=("leads",), at=START + timedelta(minutes=5))
    story, lea = asked(requirement("finance", quorum=2, escalation=leads)), person("lea", "leads")
    question = question_of(story.call)
    assert question is not None
    assert question.escalations == (leads,)
    assert question.asked_groups(START) == {"finance"}
    assert question.asked_groups(leads.at) == {"finance", "leads"}
    assert question.concerned == {"finance", "leads"}
    assert refusal(story, lea, late=4) == Refusal.NOT_AN_APPROVER
    cast(story, FINA)
    cast(story, lea, late=5)
    assert isinstance(conclusion(story.call, leads.at), Approved)


def test_what_comes_after_the_expiry_is_no_reminder_and_no_escalation() -> None:
    late = START + timedelta(minutes=10)
    slow = requirement("finance", remind_at=late, escalation=Escalation(approvers=("leads",), at=late))
    question = question_of(asked(slow, requirement("sre", expires=timedelta(minutes=10))).call)
    assert question is not None
    assert (question.remind_at, question.escalations) == (None, ())


def test_breaking_the_glass() -> None:
    story, ida = asked(requirement("finance", quorum=3, break_glass=("commanders",))), person("ida", "commanders")
    assert refusal(story, ida) == Refusal.ONLY_BY_BREAKING_GLASS
    assert refusal(story, ida, alone=True) == Refusal.REASON_REQUIRED
    assert refusal(story, ida, "reject", reason="no", alone=True) == Refusal.NO_GLASS_TO_BREAK
    assert refusal(story, FINA, reason="I am in a hurry", alone=True) == Refusal.NO_GLASS_TO_BREAK
    assert refusal(story, person("rosa", "commanders"), reason="mine", alone=True) == Refusal.OWN_CALL
    vote = cast(story, ida, reason="the site is down", alone=True)
    question = question_of(story.call)
    assert question is not None
    assert question.broken_glass is not None
    assert question.broken_glass.reviewer == "ida"
    assert question.concerned == {"finance", "commanders"}
    end = conclusion(story.call, START)
    assert end == Approved(votes=(vote.event.event_id,))
    story.add(end)


def test_a_commander_who_also_is_an_approver_may_approve_either_way() -> None:
    story, ida = (
        asked(requirement("finance", quorum=2, break_glass=("commanders",))),
        person("ida", "finance", "commanders"),
    )
    cast(story, ida)
    assert conclusion(story.call, START) is None
    cast(story, ida, reason="the site is down", alone=True)
    assert isinstance(conclusion(story.call, START), Approved)


def test_glass_is_broken_for_those_requirements_alone_that_name_the_group() -> None:
    story = asked(requirement("finance", quorum=2, break_glass=("commanders",)), requirement("sre"))
    cast(story, person("ida", "commanders"), reason="the site is down", alone=True)
    assert conclusion(story.call, START) is None
    cast(story, SAM)
    assert isinstance(conclusion(story.call, START), Approved)


def test_whoever_amended_does_not_break_the_glass_alone() -> None:
    story, ida = asked(requirement("finance", break_glass=("commanders",))), person("ida", "commanders")
    amend(story, ida)
    question = question_of(story.call)
    assert question is not None
    assert question.amenders == ("ida",)
    cast(story, ida, reason="the site is down", alone=True)
    assert conclusion(story.call, START) is None
    cast(story, FINA)
    assert isinstance(conclusion(story.call, START), Approved)
