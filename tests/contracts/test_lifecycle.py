"""The fold: what continues a chain, and what never does."""

import pytest
from call_chains import (
    ALLOWED,
    COMPLETED,
    GENESIS,
    MASKED,
    REQUESTED,
    RESULT,
    RITA,
    SAM,
    Chain,
    asked,
    names,
    person,
    refusal,
    requirement,
    running,
    started,
    waiting,
)
from contract_samples import EVENT_SAMPLES, REF

from contracts.events import (
    EVENT_NAMES,
    Cancelled,
    EventData,
    ExecutionFailed,
    OutcomeUnknown,
    Sealed,
)
from contracts.lifecycle import ANSWERING, NOTHING, TERMINAL, TRANSITIONS, Call
from contracts.subjects import CallRef, Partition


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


def test_masking_may_not_bring_a_request_of_its_own() -> None:
    """Else it could have another one sent under the arguments that were asked for."""
    request = Sealed(key_id="k", nonce="n", ciphertext="c")
    brought = MASKED.model_copy(update={"request": request})
    chain = Chain().add(REQUESTED)
    assert refusal(chain, chain.recorded(brought)) == "differs_from_requested"
    chain = Chain().add(REQUESTED.model_copy(update={"request": request}))
    assert chain.add(brought).call.state == "arguments_masked"
    chain = Chain().add(REQUESTED.model_copy(update={"request": request}))
    assert chain.add(MASKED).call.state == "arguments_masked"


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


def test_cancelled_names_who() -> None:
    chain = Chain().add(REQUESTED)
    assert refusal(chain, chain.recorded(Cancelled(by="", code="withdrawn"))) == "nobody_cancelled"


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
