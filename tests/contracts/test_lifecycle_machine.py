"""The fold: whatever is written, it only ever takes legal steps."""

from dataclasses import replace
from itertools import pairwise

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
    started,
)
from contract_samples import AGENT, EVENT_SAMPLES
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from contracts.events import (
    EventData,
    ExecutionStarted,
    OutcomeSettled,
    OutcomeUnknown,
    Recorded,
    VoteCast,
)
from contracts.identity import Principal
from contracts.lifecycle import NOTHING, TRANSITIONS, WAITING_FOR_PEOPLE

UNKNOWN = OutcomeUnknown(code="timed_out")


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
