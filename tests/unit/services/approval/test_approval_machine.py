"""Votes, expiry and replicas in any order: never approved without its quorum, never concluded twice."""

from datetime import datetime, timedelta

from approval_calls import START, asked, person, requirement
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from contracts.events import ApprovalExpired, Approved, EventData, Recorded, Rejected
from contracts.identity import Principal
from contracts.lifecycle import Call
from services.approval.domain import Decision, VoteRefused, check_vote, conclusion, question_of, vote_of

PEOPLE = (
    *(person(f"f{i}", "finance") for i in range(4)),
    *(person(f"s{i}", "sre") for i in range(3)),
    person("both", "finance", "sre"),
    person("rosa", "finance", "sre"),  # on whose behalf the call is
    person("guest"),
)
REPLICAS = 3


class Reviewing(RuleBasedStateMachine):
    """The log is one chain, which takes an event only where it answers the head; replicas know what they last saw."""

    @initialize(finance=st.integers(1, 3), sre=st.integers(0, 2), minutes=st.integers(1, 20))
    def ask(self, finance: int, sre: int, minutes: int) -> None:
        expires = timedelta(minutes=minutes)
        wanted = [requirement("finance", quorum=finance, expires=expires)]
        if sre:
            wanted.append(requirement("sre", quorum=sre))
        self.wanted = wanted
        self.story = asked(*wanted)
        self.now = START
        self.seen: list[Call] = [self.story.call] * REPLICAS
        self.ended: list[Recorded] = []
        self.cast: list[tuple[Principal, Decision, datetime]] = []

    @rule(replica=st.integers(0, REPLICAS - 1))
    def look(self, replica: int) -> None:
        self.seen[replica] = self.story.call

    @rule(seconds=st.integers(1, 400))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(
        replica=st.integers(0, REPLICAS - 1),
        who=st.sampled_from(PEOPLE),
        decision=st.sampled_from(["approve", "reject"]),
    )
    def vote(self, replica: int, who: Principal, decision: Decision) -> None:
        question = question_of(self.seen[replica])
        assert question is not None
        try:
            check_vote(question, who, True, question.digest, self.now)
        except VoteRefused:
            return
        if self._append(replica, vote_of(question, who, decision, None, ())):
            self.cast.append((who, decision, self.now))

    @rule(replica=st.integers(0, REPLICAS - 1))
    def conclude(self, replica: int) -> None:
        end = conclusion(self.seen[replica], self.now)
        if end is not None and self._append(replica, end):
            self.ended.append(self.story.call.chain[-1])

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
    def ends_once_and_rightly(self) -> None:
        if not hasattr(self, "ended"):
            return
        assert len(self.ended) <= 1
        people = [who.id for who, _, _ in self.cast]
        assert len(set(people)) == len(people)
        assert "rosa" not in people
        assert "guest" not in people
        for end in (recorded.data for recorded in self.ended):
            rejections = [who for who, decision, _ in self.cast if decision == "reject"]
            if isinstance(end, Approved):
                assert not rejections
                for one in self.wanted:
                    given = {who.id for who, decision, _ in self.cast if set(who.groups) & set(one.approvers)}
                    assert len(given) >= one.quorum
                assert all(at < min(one.expires_at for one in self.wanted) for _, _, at in self.cast)
            elif isinstance(end, Rejected):
                assert end.by in {who.id for who in rejections}
            else:
                assert isinstance(end, ApprovalExpired)
                assert self.now >= end.expired_at


TestReviewing = Reviewing.TestCase
TestReviewing.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
