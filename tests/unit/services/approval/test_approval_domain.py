"""Who may vote, what votes come to, and when time is up."""

from datetime import timedelta

import pytest
from approval_calls import AGENT, SEALED, START, Story, ask, asked, person, requirement

from contracts.events import (
    ApprovalExpired,
    ApprovalRequired,
    Approved,
    ArgumentsAmended,
    ArgumentsMasked,
    Cancelled,
    Proof,
    Recorded,
    Rejected,
)
from contracts.identity import Principal
from services.approval.domain import (
    Decision,
    Refusal,
    VoteRefused,
    authority,
    check_vote,
    conclusion,
    question_of,
    vote_of,
)

FINA, FINN, SAM = person("fina", "finance"), person("finn", "finance"), person("sam", "sre")


def cast(story: Story, who: Principal, decision: Decision = "approve") -> Recorded:
    question = question_of(story.call)
    assert question is not None
    check_vote(question, who, True, question.digest, START)
    return story.add(vote_of(question, who, decision, None, ("p",)))


def refusal(story: Story, who: Principal, *, permitted: bool = True, digest: str | None = None, late: int = 0) -> str:
    question = question_of(story.call)
    assert question is not None
    with pytest.raises(VoteRefused) as refused:
        check_vote(question, who, permitted, digest or question.digest, START + timedelta(minutes=late))
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
    assert authority(question, person("rosa"), False) == Refusal.OWN_CALL


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
    proof = Proof(issuer="i", subject="fina", digest=before)
    story.add(ArgumentsAmended(author=FINA, patch=SEALED, proof=proof))
    question = question_of(story.call)
    assert question is not None
    assert not question.waiting
    story.add(ArgumentsMasked(function="payments.refund", principal=AGENT, arguments=SEALED, view=SEALED))
    ask(story)
    assert refusal(story, FINN, digest=before) == Refusal.CALL_CHANGED
    cast(story, FINA)
    assert conclusion(story.call, START) is None  # the author of the amendment, alone
    cast(story, FINN)
    assert isinstance(conclusion(story.call, START), Approved)


def test_a_vote_names_the_person_and_what_they_saw() -> None:
    story = asked()
    question = question_of(story.call)
    assert question is not None
    vote = vote_of(question, FINA, "approve", SEALED, ("finance-approves",))
    assert (vote.proof.issuer, vote.proof.subject, vote.proof.digest) == (FINA.issuer, "fina", question.digest)
    assert (vote.reason, vote.policies) == (SEALED, ("finance-approves",))
    assert isinstance(story.call.last(ApprovalRequired), ApprovalRequired)
