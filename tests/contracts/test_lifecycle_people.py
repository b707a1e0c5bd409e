"""The fold: what people do to a call counts where it is theirs, on what stands, and in time."""

from datetime import datetime, timedelta

import pytest
from call_chains import (
    ALLOWED,
    AMENDED,
    EXPIRES,
    MASKED,
    REQUESTED,
    RESULT,
    RITA,
    SAM,
    START,
    Chain,
    asked,
    person,
    refusal,
    requirement,
    started,
    unknown,
    waiting,
)
from contract_samples import DIGEST, INLINE

from contracts.events import (
    Approved,
    EventData,
    OutcomeUnknown,
    Rejected,
)
from contracts.identity import Principal

MINUTE = timedelta(minutes=1)
UNKNOWN = OutcomeUnknown(code="timed_out")


# Amendments


def test_an_amendment_starts_over_and_forgets_the_votes() -> None:
    chain = waiting().voted(RITA)
    chain.add(chain.amendment(SAM), AMENDED, asked())
    assert chain.call.votes == ()
    assert refusal(chain, chain.recorded(Approved(votes=("019c1234-0000-7000-8000-000000000004",)))) == "quorum_not_met"


@pytest.mark.parametrize(
    "author",
    [person("agent-7", "finance"), person("ursula", "finance"), person("assistant", "finance", behind="ursula")],
    ids=["the agent", "its user", "an agent of its user"],
)
def test_nobody_behind_a_call_amends_it(author: Principal) -> None:
    chain = waiting()
    assert refusal(chain, chain.recorded(chain.amendment(author))) == "own_call"


def test_an_amendment_is_of_the_question_that_is_open() -> None:
    chain = waiting()
    first = chain.amendment(SAM)
    chain.add(first, AMENDED, asked())
    assert refusal(chain, chain.recorded(first)) == "stale_amendment"
    chain.add(chain.amendment(RITA))
    assert chain.call.amenders == (SAM, RITA)


@pytest.mark.parametrize(("at", "recorded_at"), [(EXPIRES, START), (START, EXPIRES)])
def test_amendments_end_at_the_expiry_by_either_clock(at: datetime, recorded_at: datetime) -> None:
    chain = waiting()
    assert refusal(chain, chain.recorded(chain.amendment(SAM), at=at, recorded_at=recorded_at)) == "expired"


def test_masking_says_whether_arguments_were_amended() -> None:
    chain = Chain().add(REQUESTED)
    assert refusal(chain, chain.recorded(AMENDED)) == "not_as_amended"
    chain = waiting()
    chain.add(chain.amendment(SAM))
    assert refusal(chain, chain.recorded(MASKED)) == "not_as_amended"


def test_what_was_amended_is_not_allowed_before_others_approved() -> None:
    chain = waiting().voted(RITA)
    chain.add(chain.amendment(SAM), AMENDED)
    assert refusal(chain, chain.recorded(ALLOWED)) == "amendment_not_approved"
    chain.add(asked()).voted(RITA)
    chain.add(chain.approved(), ALLOWED)
    assert chain.call.state == "allowed"


def test_an_approval_before_an_amendment_approves_nothing_of_it() -> None:
    """Nobody can amend what is approved; should the table ever let them, the votes are those of the last question."""
    chain = waiting().voted(RITA)
    chain.add(chain.approved())
    assert refusal(chain, chain.recorded(chain.amendment(SAM))) == "illegal_transition"


# Votes


@pytest.mark.parametrize(
    "reviewer",
    [
        person("agent-7", "finance"),
        person("ursula", "finance"),
        person("broker-1", "finance"),
        person("assistant", "finance", behind="ursula"),
    ],
    ids=["the agent", "its user", "its actor", "an agent of its user"],
)
def test_nobody_behind_a_call_votes_on_it(reviewer: object) -> None:
    chain = waiting()
    assert refusal(chain, chain.recorded(chain.vote(reviewer))) == "own_call"  # type: ignore[arg-type]


def test_a_person_votes_once_however_they_sign_in() -> None:
    chain = waiting(requirement("finance", quorum=2)).voted(RITA)
    for again in (RITA, person("rita", "sre"), person("assistant", "finance", behind="rita")):
        assert refusal(chain, chain.recorded(chain.vote(again))) == "voted_already"
    assert not chain.call.tally().met


def test_a_vote_changes_just_the_one_that_stands() -> None:
    chain = waiting(requirement("finance", quorum=2, rejections=2)).voted(RITA, SAM)
    first, other = (vote.event.event_id for vote in chain.call.votes)
    for stale in (other, "019c1234-0000-7000-8000-0000000000ff"):
        assert refusal(chain, chain.recorded(chain.vote(RITA, "reject", replaces=stale))) == "voted_already"
    assert refusal(chain, chain.recorded(chain.vote(person("otto"), replaces=first))) == "voted_already"
    chain.add(chain.vote(RITA, "reject", replaces=first))
    changed = chain.call.votes[-1].event.event_id
    assert refusal(chain, chain.recorded(chain.vote(RITA, replaces=first))) == "voted_already"
    assert refusal(chain, chain.recorded(chain.rejected(RITA))) == "no_such_rejection"
    assert refusal(chain, chain.recorded(Approved(votes=(first, other)))) == "quorum_not_met"
    chain.add(chain.vote(RITA, replaces=changed))
    last = chain.call.votes[-1].event.event_id
    assert refusal(chain, chain.recorded(Approved(votes=(first, other)))) == "quorum_not_met"
    chain.add(Approved(votes=(other, last)))
    assert chain.call.state == "approved"


def test_whoever_amended_is_not_enough_alone() -> None:
    chain = waiting()
    chain.add(chain.amendment(RITA), AMENDED, asked()).voted(RITA)
    assert chain.call.amenders == (RITA,)
    assert refusal(chain, chain.recorded(chain.approved())) == "quorum_not_met"
    chain.voted(SAM)
    assert chain.add(chain.approved()).call.state == "approved"


def test_glass_is_broken_as_the_question_says_and_not_otherwise() -> None:
    ida = person("ida", "commanders")
    for named, state in ((("commanders",), "approved"), ((), "quorum_not_met")):
        chain = waiting(requirement("finance", quorum=2, break_glass=named))
        chain.add(chain.vote(ida, break_glass=True, reason=INLINE))
        approved = chain.recorded(chain.approved())
        assert chain.call.apply(approved).state == state if named else refusal(chain, approved) == state


def test_a_vote_on_another_question_does_not_count() -> None:
    chain = waiting()
    stale = chain.vote(RITA)
    stale = stale.model_copy(update={"proof": stale.proof.model_copy(update={"digest": DIGEST})})
    assert refusal(chain, chain.recorded(stale)) == "stale_vote"


@pytest.mark.parametrize(
    ("at", "recorded_at"), [(EXPIRES, START), (START, EXPIRES), (EXPIRES + MINUTE, EXPIRES + MINUTE)]
)
def test_votes_and_approvals_end_at_the_expiry_by_either_clock(at: object, recorded_at: object) -> None:
    times = {"at": at, "recorded_at": recorded_at}
    chain = waiting()
    assert refusal(chain, chain.recorded(chain.vote(RITA), **times)) == "expired"  # type: ignore[arg-type]
    chain.voted(RITA)
    assert refusal(chain, chain.recorded(chain.approved(), **times)) == "expired"  # type: ignore[arg-type]


def test_the_earliest_expiry_counts() -> None:
    chain = waiting(requirement("finance"), requirement("sre", expires_at=EXPIRES - MINUTE))
    assert refusal(chain, chain.recorded(chain.vote(SAM), at=EXPIRES - MINUTE)) == "expired"


def test_approved_needs_the_quorum_and_names_exactly_its_votes() -> None:
    chain = waiting(requirement("finance", quorum=2)).voted(RITA)
    assert refusal(chain, chain.recorded(chain.approved())) == "quorum_not_met"
    chain.voted(person("otto", "marketing"))  # may say so, and counts for nothing
    assert refusal(chain, chain.recorded(chain.approved())) == "quorum_not_met"
    chain.voted(SAM)
    assert refusal(chain, chain.recorded(chain.approved())) == "quorum_not_met"  # names otto's too
    assert refusal(chain, chain.recorded(Approved(votes=chain.call.tally().votes[::-1]))) == "quorum_not_met"
    chain.add(Approved(votes=chain.call.tally().votes))
    assert chain.call.state == "approved"


def test_a_rejection_stops_an_approval_that_had_its_quorum() -> None:
    chain = waiting().voted(RITA)
    chain.add(chain.vote(SAM, "reject"))
    assert refusal(chain, chain.recorded(Approved(votes=(chain.call.votes[0].event.event_id,)))) == "quorum_not_met"
    chain.add(chain.rejected(SAM))
    assert chain.call.is_terminal


def test_rejected_names_the_rejecting_vote() -> None:
    chain = waiting().voted(RITA)
    approving = chain.call.votes[0].event.event_id
    assert refusal(chain, chain.recorded(Rejected(by="rita", vote=approving))) == "no_such_rejection"
    chain.add(chain.vote(SAM, "reject"))
    rejecting = chain.call.votes[1].event.event_id
    for by, vote in (("sam", approving), ("rita", rejecting), ("sam", "019c1234-0000-7000-8000-0000000000ff")):
        assert refusal(chain, chain.recorded(Rejected(by=by, vote=vote))) == "no_such_rejection"


# Settlements


@pytest.mark.parametrize(
    ("outcome", "follows"), [("done", [RESULT]), ("run_again", [started(2), UNKNOWN]), ("not_done", [])]
)
def test_what_follows_a_settled_outcome_is_what_was_settled(outcome: str, follows: list[EventData]) -> None:
    chain = unknown()
    chain.add(chain.settlement(RITA, outcome))
    for data in (RESULT, started(2), UNKNOWN):
        if data in follows:
            assert chain.call.apply(chain.recorded(data)).state == data.NAME
        else:
            assert refusal(chain, chain.recorded(data)) == "illegal_transition"


def test_what_cannot_be_run_again_is_settled_anew() -> None:
    chain = unknown()
    chain.add(chain.settlement(RITA, "run_again"), UNKNOWN)
    chain.add(chain.settlement(RITA, "not_done"))
    assert chain.call.settled_as_not_done


def test_a_settlement_is_of_the_outcome_that_stands() -> None:
    chain = unknown()
    first = chain.settlement(RITA, "run_again")
    chain.add(first, started(2), UNKNOWN)
    assert refusal(chain, chain.recorded(first)) == "stale_settlement"
    chain.add(chain.settlement(RITA, "done"))
    assert refusal(chain, chain.recorded(chain.settlement(SAM, "not_done"))) == "illegal_transition"


@pytest.mark.parametrize(
    "by", [person("agent-7"), person("broker-1"), person("ursula"), person("assistant", behind="ursula")]
)
def test_nobody_behind_a_call_settles_it(by: Principal) -> None:
    chain = unknown()
    assert refusal(chain, chain.recorded(chain.settlement(by, "done"))) == "own_call"


def test_only_what_is_done_has_a_result() -> None:
    for outcome in ("not_done", "run_again"):
        chain = unknown()
        settled = chain.settlement(RITA, outcome, result=INLINE)
        assert refusal(chain, chain.recorded(settled)) == "result_of_what_is_not_done"
    chain = unknown()
    chain.add(chain.settlement(RITA, "done", result=INLINE))
