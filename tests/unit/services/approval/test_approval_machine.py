"""Votes, changed votes, amendments, expiry, escalation, freezes and replicas in any order.

Never approved without its quorum, never by the requester or an author alone, never concluded twice. What is right is
said here once more, in other words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, combinations
from typing import Any

from approval_calls import SEALED, START, amend, asked, person, requirement
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts.events import (
    ApprovalExpired,
    Approved,
    Cancelled,
    Escalation,
    EventData,
    Recorded,
    Rejected,
    Requirement,
)
from contracts.freezes import FROZEN
from contracts.identity import Principal
from contracts.lifecycle import Call
from services.approval.domain import (
    Decision,
    DecisionRefused,
    Intent,
    check_amendment,
    check_vote,
    conclusion,
    question_of,
    vote_of,
)

PEOPLE = (
    *(person(f"f{i}", "finance") for i in range(3)),
    *(person(f"s{i}", "sre") for i in range(2)),
    person("both", "finance", "sre"),
    *(person(f"l{i}", "leads") for i in range(2)),
    person("commander", "commanders"),
    person("captain", "commanders", "finance"),
    person("rosa", "finance", "sre", "leads", "commanders"),  # on whose behalf the call is
    person("guest"),
)
REPLICAS = 3

needed = st.builds(
    lambda approvers, quorum, each, rejections, expires, reason, escalate, glass: requirement(
        *approvers,
        quorum=quorum,
        each=each,
        rejections=rejections,
        expires=timedelta(minutes=expires),
        reason_required=reason,
        escalation=Escalation(approvers=("leads",), at=START + timedelta(minutes=escalate)) if escalate else None,
        break_glass=("commanders",) if glass else (),
    ),
    st.sampled_from([("finance",), ("sre",), ("finance", "sre")]),
    st.integers(1, 2),
    st.booleans(),
    st.integers(1, 3),
    st.integers(5, 20),
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
)

ballots = st.tuples(
    st.integers(0, REPLICAS - 1),
    st.sampled_from([True, True, True, False]),  # the replica looks first
    st.sampled_from(PEOPLE),
    st.sampled_from(["approve", "approve", "approve", "reject"]),
    st.sampled_from([False, False, False, True]),  # alone
    st.sampled_from([True, True, False]),  # with a reason
)

happenings = st.one_of(
    *[st.tuples(st.just("vote"), ballots)] * 16,
    *[st.tuples(st.just("conclude"), st.tuples(st.integers(0, REPLICAS - 1)))] * 3,
    st.tuples(st.just("wait"), st.tuples(st.sampled_from([1, 10, 60, 240]))),
    st.tuples(st.just("amend"), st.tuples(st.sampled_from(PEOPLE))),
    st.tuples(st.just("freeze"), st.tuples(st.integers(0, REPLICAS - 1))),
)


@dataclass(frozen=True)
class Said:
    who: Principal
    decision: Decision
    alone: bool
    why: bool
    at: datetime


def approving(one: Requirement, said: Said) -> bool:
    """Whether this approval may count for the requirement."""
    groups = set(said.who.groups)
    if said.alone and said.why and groups & set(one.break_glass):
        return True
    late = one.escalation is not None and said.at >= one.escalation.at and bool(groups & set(one.escalation.approvers))
    return (bool(groups & set(one.approvers)) or late) and (said.why or not one.reason_required)


def met(one: Requirement, standing: Sequence[Said], authors: Sequence[Principal]) -> bool:
    """Hall's theorem where there is a quorum of each group; else a count."""
    yes = [said for said in standing if said.decision == "approve" and approving(one, said)]
    if not all(any(said.who.id != author.id for said in yes) for author in authors):
        return False
    if any(said.alone and set(said.who.groups) & set(one.break_glass) for said in yes):
        return True
    if not one.each:
        return len(yes) >= one.quorum
    subsets = chain.from_iterable(combinations(one.approvers, size) for size in range(1, len(one.approvers) + 1))
    return all(
        sum(bool(set(said.who.groups) & {*subset, "leads"}) for said in yes) >= one.quorum * len(subset)
        for subset in subsets
    )


def refused(one: Requirement, standing: Sequence[Said]) -> bool:
    def asks(said: Said) -> bool:
        late = one.escalation.approvers if one.escalation is not None and said.at >= one.escalation.at else ()
        return bool(set(said.who.groups) & {*one.approvers, *late, *one.break_glass})

    return sum(said.decision == "reject" and asks(said) for said in standing) >= one.rejections


class Reviewing(RuleBasedStateMachine):
    """The log is one chain, which takes an event only where it answers the head; replicas know what they last saw."""

    @initialize(wanted=st.one_of(st.tuples(needed), st.tuples(needed), st.tuples(needed, needed)).map(list))
    def ask(self, wanted: list[Requirement]) -> None:
        self.wanted = wanted
        self.expires_at = min(one.expires_at for one in wanted)
        self.story = asked(*wanted)
        self.now = START
        self.seen: list[Call] = [self.story.call] * REPLICAS
        self.ended: list[Recorded] = []
        self.standing: dict[str, Said] = {}
        self.authors: list[Principal] = []

    @rule(what=happenings)
    def happen(self, what: tuple[str, tuple[Any, ...]]) -> None:
        """One rule for all, so that none is left out of a story: the interesting ones need several kinds."""
        kind, details = what
        if not self.ended:
            getattr(self, f"_{kind}")(*details)

    def _wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    def _vote(self, replica: int, looks: bool, who: Principal, decision: Decision, alone: bool, why: bool) -> None:
        if looks:
            self.seen[replica] = self.story.call
        question = question_of(self.seen[replica])
        assert question is not None
        intent = Intent(decision, question.digest, "because" if why else None, alone)
        try:
            check_vote(question, who, True, intent, self.now)
        except DecisionRefused:
            return
        if self._append(replica, vote_of(question, who, intent, SEALED if why else None, ())):
            self.standing[who.id] = Said(who, decision, alone, why, self.now)

    def _amend(self, author: Principal) -> None:
        question = question_of(self.story.call)
        assert question is not None
        try:
            check_amendment(question, author, True, question.digest, self.now)
        except DecisionRefused:
            return
        if len(self.authors) < 2 and self.now < self.expires_at:
            amend(self.story, author, self.now)
            self.authors.append(author)
            self.standing = {}

    def _conclude(self, replica: int) -> None:
        end = conclusion(self.seen[replica], self.now)
        if end is not None and self._append(replica, end):
            self.ended.append(self.story.call.chain[-1])

    def _freeze(self, replica: int) -> None:
        """Whoever looks at the call while it is frozen cancels it; a replica that votes or concludes may be quicker."""
        if self._append(replica, Cancelled(by="fay", code=FROZEN)):
            self.ended.append(self.story.call.chain[-1])

    def _due(self) -> type[EventData] | type[None]:
        standing = list(self.standing.values())
        if any(refused(one, standing) for one in self.wanted):
            return Rejected
        if self.now >= self.expires_at:
            return ApprovalExpired
        return Approved if all(met(one, standing, self.authors) for one in self.wanted) else type(None)

    def _append(self, replica: int, data: EventData) -> bool:
        """By compare-and-set, as the log does; whoever lost looks again."""
        head = self.seen[replica].head_digest
        if head != self.story.call.head_digest:
            self.seen[replica] = self.story.call
            return False
        self.story.add(data, self.now)  # IllegalTransition here would be the domain's fault
        self.seen[replica] = self.story.call
        return True

    @invariant()
    def whoever_looks_concludes_what_is_due(self) -> None:
        if hasattr(self, "ended") and not self.ended:
            assert type(conclusion(self.story.call, self.now)) is self._due()

    @invariant()
    def ends_once_and_rightly(self) -> None:
        if not hasattr(self, "ended"):
            return
        assert len(self.ended) <= 1
        assert not {"rosa", "guest"} & {*self.standing, *(author.id for author in self.authors)}
        standing = list(self.standing.values())
        for recorded in self.ended:
            if isinstance(recorded.data, Approved):
                assert all(met(one, standing, self.authors) for one in self.wanted)
                assert not any(refused(one, standing) for one in self.wanted)
                assert recorded.event.at < self.expires_at
                assert {said.who.id for said in standing if said.decision == "approve"} - {
                    author.id for author in self.authors[-1:]
                }
                # The executor folds the chain by itself, and policy recounts its votes.
                again = Call.replay(self.story.ref, self.story.call.genesis, self.story.call.chain)
                assert not again.aliens
                assert again.tally(self.wanted).met
            elif isinstance(recorded.data, Rejected):
                by = self.standing[recorded.data.by]
                assert by.decision == "reject"
                assert any(refused(one, standing) for one in self.wanted)
            elif isinstance(recorded.data, Cancelled):
                assert self.story.call.is_terminal
                assert all(conclusion(seen, self.now) is None for seen in self.seen if seen.is_terminal)
            else:
                assert isinstance(recorded.data, ApprovalExpired)
                assert self.now >= recorded.data.expired_at == self.expires_at


TestReviewing = Reviewing.TestCase
TestReviewing.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
