"""The fold: what continues a chain, what never does, and that whatever is written it only ever takes legal steps."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from call_chains import (
    ALLOWED,
    AMENDED,
    COMPLETED,
    EXPIRES,
    GENESIS,
    MASKED,
    REQUESTED,
    RESULT,
    RITA,
    SAM,
    START,
    Chain,
    asked,
    names,
    person,
    requirement,
    running,
    started,
    unknown,
    waiting,
)
from contract_samples import AGENT, DIGEST, EVENT_SAMPLES, INLINE, REF
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.events import (
    EVENT_NAMES,
    Approved,
    Cancelled,
    EventData,
    ExecutionFailed,
    ExecutionStarted,
    OutcomeSettled,
    OutcomeUnknown,
    Recorded,
    Rejected,
    VoteCast,
)
from contracts.identity import Principal
from contracts.lifecycle import ANSWERING, NOTHING, TERMINAL, TRANSITIONS, WAITING_FOR_PEOPLE, Call, IllegalTransition
from contracts.subjects import CallRef, Partition

MINUTE = timedelta(minutes=1)
UNKNOWN = OutcomeUnknown(code="timed_out")


def refusal(chain: Chain, recorded: Recorded) -> str:
    """The code with which the fold sets the event aside; the chain stays as it was."""
    with pytest.raises(IllegalTransition) as refused:
        chain.call.apply(recorded)
    after = chain.call.accept(recorded)
    assert after.chain == chain.call.chain
    assert after.aliens[-1] == (recorded, refused.value.code)
    return refused.value.code


def test_the_table_speaks_of_every_event_and_of_nothing_else() -> None:
    assert set(TRANSITIONS) == EVENT_NAMES | {NOTHING}
    assert set().union(*TRANSITIONS.values()) == EVENT_NAMES
    assert {"denied", "rejected", "approval_expired", "execution_failed", "result_masked", "cancelled"} == TERMINAL
    assert ANSWERING > TERMINAL


def test_only_allowed_leads_to_an_execution() -> None:
    before = {state for state, following in TRANSITIONS.items() if "execution_started" in following}
    assert before == {"allowed", "execution_started", "outcome_settled"}
    for state in ("outcome_settled", "outcome_unknown", "execution_completed"):
        assert {s for s, following in TRANSITIONS.items() if state in following} <= {
            "execution_started",
            "outcome_unknown",
            "outcome_settled",
        }


def test_the_plain_way() -> None:
    chain = running().add(COMPLETED, RESULT)
    assert chain.call.is_terminal
    assert chain.call.attempts == 1
    assert chain.call.requested == REQUESTED
    assert names(chain.call) == [
        "requested",
        "arguments_masked",
        "allowed",
        "execution_started",
        "execution_completed",
        "result_masked",
    ]


def test_the_way_through_people() -> None:
    chain = waiting(requirement("finance", quorum=2)).voted(RITA, SAM)
    assert chain.call.tally().met
    chain.add(chain.approved(), ALLOWED, started(), COMPLETED, RESULT)
    assert chain.call.state == "result_masked"


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


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_follows_the_end(state: str) -> None:
    last = next(sample for sample in EVENT_SAMPLES if state == sample.NAME)
    chain = Chain()
    ended = Call(REF, GENESIS, (chain.recorded(REQUESTED), chain.recorded(last)))
    chain.call = ended
    for data in EVENT_SAMPLES:
        assert refusal(chain, chain.recorded(data)) == "illegal_transition"


@pytest.mark.parametrize("data", EVENT_SAMPLES[1:], ids=lambda data: data.NAME)
def test_nothing_but_requested_begins_a_call(data: EventData) -> None:
    chain = Chain()
    assert refusal(chain, chain.recorded(data)) == "illegal_transition"


def test_what_follows_something_else_is_alien_and_no_obstacle() -> None:
    chain = Chain().add(REQUESTED)
    forged = chain.recorded(MASKED, follows="0" * 64)
    assert refusal(chain, forged) == "does_not_follow"
    chain.call = chain.call.accept(forged)
    chain.add(MASKED)
    assert chain.call.state == "arguments_masked"
    # What follows the alien is alien too.
    assert refusal(chain, chain.recorded(ALLOWED, follows=forged.digest)) == "does_not_follow"


def test_a_first_event_follows_the_genesis_of_its_partition() -> None:
    chain = Chain()
    assert refusal(chain, chain.recorded(REQUESTED, follows="8" * 64)) == "does_not_follow"


def test_an_event_of_another_call_is_alien() -> None:
    chain = Chain().add(REQUESTED)
    for other in (
        CallRef(Partition(2, 0), REF.session_id, REF.call_id),
        CallRef(REF.partition, "s_" + "c" * 32, REF.call_id),
        CallRef(REF.partition, REF.session_id, "019c1234-5678-7abc-8def-0123456789ff"),
    ):
        assert refusal(chain, chain.recorded(MASKED, ref=other)) == "another_call"


def test_the_order_of_the_log_is_the_order_of_the_chain() -> None:
    chain = Chain().add(REQUESTED)
    assert refusal(chain, chain.recorded(MASKED, sequence=1)) == "out_of_order"


def test_a_second_answer_to_the_same_event_is_alien() -> None:
    chain = Chain().add(REQUESTED)
    first, second = chain.recorded(MASKED), chain.recorded(MASKED)
    chain.call = chain.call.apply(first)
    assert refusal(chain, second) == "does_not_follow"


def test_masking_may_not_change_who_asks_for_what() -> None:
    for changed in ({"function": "payments.pay"}, {"principal": person("mallory", "admins")}):
        chain = Chain().add(REQUESTED)
        assert refusal(chain, chain.recorded(MASKED.model_copy(update=changed))) == "differs_from_requested"


def test_a_result_is_of_the_function_that_was_asked_for() -> None:
    chain = running()
    other = COMPLETED.model_copy(update={"function": "crm.read"})
    assert refusal(chain, chain.recorded(other)) == "differs_from_requested"


def test_what_could_not_be_inspected_is_never_allowed() -> None:
    chain = Chain().add(REQUESTED, MASKED.model_copy(update={"arguments": None, "view": None}))
    assert refusal(chain, chain.recorded(ALLOWED)) == "nothing_to_run"
    chain.add(asked()).voted(RITA)
    chain.add(chain.approved())
    assert refusal(chain, chain.recorded(ALLOWED)) == "nothing_to_run"


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


def test_cancelled_names_who() -> None:
    chain = Chain().add(REQUESTED)
    assert refusal(chain, chain.recorded(Cancelled(by="", code="withdrawn"))) == "nobody_cancelled"


# Executions


@pytest.mark.parametrize("attempt", [2, 3])
def test_attempts_count_up(attempt: int) -> None:
    chain = Chain().add(REQUESTED, MASKED, ALLOWED)
    assert refusal(chain, chain.recorded(started(attempt))) == "wrong_attempt"
    chain.add(started())
    assert refusal(chain, chain.recorded(started(1))) == "wrong_attempt"
    chain.add(started(2))
    assert chain.call.attempts == 2


def test_late_evidence_follows_an_unknown_outcome() -> None:
    for evidence in (COMPLETED, ExecutionFailed(code="x")):
        assert running().add(OutcomeUnknown(code="timed_out"), evidence).call.state == evidence.NAME


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


def test_an_empty_call_answers_what_it_can() -> None:
    call = Call(REF, GENESIS)
    assert (call.state, call.head, call.head_digest, call.votes) == (NOTHING, None, GENESIS, ())
    assert not call.is_terminal
    for missing in (lambda: call.requested, lambda: call.open_question):
        with pytest.raises(LookupError):
            missing()


def test_replay_is_the_fold_of_everything_in_order() -> None:
    chain = Chain()
    written = []
    for data in (REQUESTED, MASKED, ALLOWED):
        written.append(chain.recorded(data, follows="7" * 64))
        written.append(chain.recorded(data))
        chain.call = chain.call.accept(written[-1])
    call = Call.replay(REF, GENESIS, written)
    assert call.chain == chain.call.chain
    assert len(call.aliens) == 3


class Writers(RuleBasedStateMachine):
    """Honest and dishonest services write whatever they like; the fold keeps what it promises."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = Chain()
        self.executed = 0

    people = st.sampled_from([RITA, SAM, AGENT, person("otto"), person("bot", "finance", behind="rita")])
    samples = st.sampled_from(
        [*EVENT_SAMPLES, REQUESTED, MASKED, AMENDED, ALLOWED, COMPLETED, RESULT, asked(), started(1), started(2)]
    )

    def write(self, recorded: Recorded) -> None:
        before = self.chain.call
        after = before.accept(recorded)
        if len(after.chain) > len(before.chain):
            assert recorded.event.follows == before.head_digest
            assert recorded.name in TRANSITIONS[before.state]
            assert after.aliens == before.aliens
            if isinstance(recorded.data, ExecutionStarted):
                assert before.state in {"allowed", "execution_started", "outcome_settled"}
                assert any(r.name == "allowed" for r in before.chain)
        else:
            assert after.chain == before.chain
            assert len(after.aliens) == len(before.aliens) + 1
        self.chain.call = after

    @rule(data=samples)
    def answer_the_head(self, data: EventData) -> None:
        self.write(self.chain.recorded(data))

    @precondition(lambda self: self.chain.call.state != NOTHING)
    @rule(data=st.sampled_from([MASKED, AMENDED, ALLOWED, asked(), started(1), started(2), UNKNOWN, COMPLETED, RESULT]))
    def go_on(self, data: EventData) -> None:
        self.write(self.chain.recorded(data))

    @rule(data=samples, follows=st.sampled_from(["0" * 64, GENESIS]))
    def forge(self, data: EventData, follows: str) -> None:
        self.write(self.chain.recorded(data, follows=follows))

    @precondition(lambda self: self.chain.call.chain)
    @rule(data=samples)
    def answer_what_was_answered(self, data: EventData) -> None:
        self.write(self.chain.recorded(data, follows=self.chain.call.chain[0].digest))

    @precondition(lambda self: self.chain.call.last_recorded(type(asked())) is not None)
    @rule(who=people, decision=st.sampled_from(["approve", "approve", "reject"]), late=st.booleans())
    def vote(self, who: object, decision: str, late: bool) -> None:
        vote = self.chain.vote(who, decision)  # type: ignore[arg-type]
        self.write(self.chain.recorded(vote, recorded_at=EXPIRES if late else START))

    @precondition(lambda self: self.chain.call.votes)
    @rule()
    def approve(self) -> None:
        self.write(self.chain.recorded(self.chain.approved()))

    @precondition(lambda self: self.chain.call.state in WAITING_FOR_PEOPLE)
    @rule(who=people, late=st.booleans())
    def amend(self, who: Principal, late: bool) -> None:
        self.write(self.chain.recorded(self.chain.amendment(who), recorded_at=EXPIRES if late else START))

    @precondition(lambda self: self.chain.call.state == "outcome_unknown")
    @rule(who=people, outcome=st.sampled_from(["done", "not_done", "run_again", "run_again"]))
    def settle(self, who: Principal, outcome: str) -> None:
        self.write(self.chain.recorded(self.chain.settlement(who, outcome)))

    @precondition(lambda self: self.chain.call.chain)
    @rule()
    def repeat_the_head(self) -> None:
        head = self.chain.call.head
        assert head is not None
        self.chain.number += 1
        self.write(replace(head, sequence=self.chain.number))

    @invariant()
    def the_chain_is_a_chain(self) -> None:
        call, follows, sequence = self.chain.call, GENESIS, 0
        for recorded in call.chain:
            assert recorded.event.follows == follows
            assert recorded.sequence > sequence
            follows, sequence = recorded.digest, recorded.sequence

    @invariant()
    def what_was_amended_is_allowed_by_somebody_else_at_least(self) -> None:
        call = self.chain.call
        if call.amenders and "allowed" in names(call):
            names_so_far = names(call)
            assert "approved" in names_so_far[len(names_so_far) - names_so_far[::-1].index("arguments_amended") :]
            voters = [vote.data.reviewer.people for vote in call.votes if isinstance(vote.data, VoteCast)]
            assert all(any(not voter & author.people for voter in voters) for author in call.amenders)
            assert not any(author.people & call.requested.principal.people for author in call.amenders)

    @invariant()
    def it_runs_again_after_an_unknown_outcome_only_as_somebody_else_settled(self) -> None:
        chain = self.chain.call.chain
        for before, after in pairwise(chain):
            if after.name == "execution_started":
                assert before.name in {"allowed", "execution_started", "outcome_settled"}
            if isinstance(before.data, OutcomeSettled):
                assert after.name in {"done": {"result_masked"}, "not_done": set()}.get(
                    before.data.outcome, {"execution_started", "outcome_unknown"}
                )
                assert not before.data.by.people & self.chain.call.requested.principal.people

    @invariant()
    def an_approval_had_its_quorum_by_others_in_time(self) -> None:
        call = self.chain.call
        if call.state == "approved":
            count = call.tally()
            assert count.met
            voters = [vote.data.reviewer for vote in call.votes if isinstance(vote.data, VoteCast)]
            assert not any(voter.people & call.requested.principal.people for voter in voters)
            assert all(vote.recorded_at < EXPIRES for vote in call.votes)


Writers.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestWriters = Writers.TestCase
