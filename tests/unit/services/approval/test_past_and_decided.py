"""What is told of earlier calls and decisions, from their chains alone."""

from datetime import timedelta

from approval_calls import AGENT, GENESIS, SEALED, START, Story, amend, asked, person, requirement

from contracts.events import (
    Allowed,
    ApprovalExpired,
    Approved,
    Denied,
    ExecutionStarted,
    OutcomeSettled,
    OutcomeUnknown,
    Proof,
    Recorded,
    Rejected,
    VoteCast,
)
from contracts.lifecycle import Call
from services.approval.history import decided_in, past_of

FINA, FINN = person("fina", "finance"), person("finn", "finance")
JUDGED = {"policy_set": "a" * 64, "function_digest": "b" * 64}


def voted(story: Story, decision: str, reviewer: object = FINA) -> Recorded:
    proof = Proof(issuer=FINA.issuer, subject=reviewer.id, digest=story.call.open_question)  # type: ignore[attr-defined]
    vote = VoteCast.model_validate({"reviewer": reviewer, "decision": decision, "proof": proof})
    return story.add(vote, START + timedelta(minutes=1))


def approved(story: Story, *votes: Recorded) -> Recorded:
    return story.add(Approved(votes=tuple(one.event.event_id for one in votes)), START + timedelta(minutes=2))


def test_an_approval_names_whose_votes_decided_and_stays_one_whatever_came_of_it() -> None:
    story = asked(requirement("finance", quorum=2))
    ending = approved(story, voted(story, "approve"), voted(story, "approve", FINN))
    story.add(Denied(**JUDGED, code="policy_denied"), START + timedelta(minutes=3))
    decided = decided_in(story.call, ending.digest)
    assert decided is not None
    assert (decided.outcome, decided.by, decided.at) == ("approved", ("fina", "finn"), ending.event.at)
    assert (decided.function, decided.requester, decided.ref) == ("payments.refund", AGENT, story.ref)


def test_a_rejection_and_an_expiry() -> None:
    story = asked()
    vote = voted(story, "reject")
    ending = story.add(Rejected(by="fina", vote=vote.event.event_id), START + timedelta(minutes=1))
    decided = decided_in(story.call, ending.digest)
    assert decided is not None
    assert (decided.outcome, decided.by) == ("rejected", ("fina",))

    story = asked()
    ending = story.add(ApprovalExpired(expired_at=START), START + timedelta(minutes=15))
    decided = decided_in(story.call, ending.digest)
    assert decided is not None
    assert (decided.outcome, decided.by) == ("expired", ())


def test_what_is_no_part_of_the_chain_or_concludes_nothing_decided_nothing() -> None:
    story = asked()
    vote = voted(story, "approve")
    stray = story.recorded(Rejected(by="fina", vote=vote.event.event_id), START)
    assert decided_in(story.call, stray.digest) is None
    assert decided_in(story.call, vote.digest) is None


def test_only_votes_on_the_question_that_was_decided_count() -> None:
    story = asked()
    voted(story, "approve", FINN)
    amend(story, person("otto", "finance"), START + timedelta(minutes=1))
    ending = approved(story, voted(story, "approve"))
    decided = decided_in(story.call, ending.digest)
    assert decided is not None
    assert decided.by == ("fina",)


def test_an_earlier_call_is_told_of_in_the_agents_words() -> None:
    story = asked()
    assert past_of(Call(story.ref, GENESIS)) is None
    past = past_of(story.call)
    assert past is not None
    assert (past.function, past.state, past.at) == ("payments.refund", "waiting_for_approval", START)
    approved(story, voted(story, "approve"))
    for data in (
        Allowed(**JUDGED),
        ExecutionStarted(instance="e", attempt=1, deadline=START),
        OutcomeUnknown(code="upstream_timeout"),
    ):
        story.add(data, START + timedelta(minutes=3))
    assert [past.state for past in [past_of(story.call)] if past] == ["unknown"]
    proof = Proof(issuer=FINA.issuer, subject="fina", digest=story.call.head_digest)
    story.add(OutcomeSettled(by=FINA, outcome="not_done", reason=SEALED, proof=proof), START + timedelta(minutes=4))
    assert [past.state for past in [past_of(story.call)] if past] == ["failed"]
