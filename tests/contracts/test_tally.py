"""Counting votes: pure, and the same whoever counts."""

from itertools import combinations

from call_chains import Chain, person, requirement
from contract_samples import AGENT, PROOF
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Recorded, VoteCast
from contracts.identity import Principal
from contracts.tally import may_vote, tally

GROUPS = ["finance", "sre", "legal"]
groups = st.lists(st.sampled_from(GROUPS), unique=True, max_size=3)
people = st.builds(lambda name, member: person(name, *member), st.sampled_from("abcdefg"), groups)
distinct = st.lists(st.tuples(people, st.sampled_from(["approve", "reject"])), max_size=7, unique_by=lambda v: v[0].id)
requirements = st.lists(
    st.builds(
        lambda approvers, quorum: requirement(*approvers, quorum=quorum),
        st.lists(st.sampled_from(GROUPS), unique=True, min_size=1),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=3,
)


def votes(*cast: tuple[Principal, str]) -> list[Recorded]:
    chain = Chain()
    return [
        chain.recorded(VoteCast(reviewer=who, decision="approve" if how == "approve" else "reject", proof=PROOF))
        for who, how in cast
    ]


@given(distinct, requirements, st.randoms())
def test_the_order_of_different_people_changes_nothing(cast: list, needed: list, random: object) -> None:  # type: ignore[type-arg]
    first = votes(*cast)
    shuffled = list(first)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = tally(needed, first, AGENT), tally(needed, shuffled, AGENT)
    assert (one.met, one.missing, set(one.votes)) == (other.met, other.missing, set(other.votes))
    assert (one.rejected_by is None) == (other.rejected_by is None)


@given(distinct, requirements)
def test_met_means_that_every_requirement_has_its_quorum_and_nobody_said_no(cast: list, needed: list) -> None:  # type: ignore[type-arg]
    count = tally(needed, votes(*cast), AGENT)
    for missing, one in zip(count.missing, needed, strict=True):
        approvals = {who.id for who, how in cast if how == "approve" and set(who.groups) & set(one.approvers)}
        assert missing == max(0, one.quorum - len(approvals))
    assert count.met == (not any(count.missing) and not any(how == "reject" for _, how in cast))


@given(distinct, requirements)
def test_voting_again_changes_nothing(cast: list, needed: list) -> None:  # type: ignore[type-arg]
    turned = [(who, "reject" if how == "approve" else "approve") for who, how in cast]
    once, twice = tally(needed, votes(*cast), AGENT), tally(needed, votes(*cast, *cast, *turned), AGENT)
    assert once == twice


@given(distinct, requirements)
def test_an_own_vote_changes_nothing_in_either_direction(cast: list, needed: list) -> None:  # type: ignore[type-arg]
    own = [(person(name, *GROUPS), how) for name in ("agent-7", "ursula", "broker-1") for how in ("approve", "reject")]
    alone, with_own = tally(needed, votes(*cast), AGENT), tally(needed, votes(*cast, *own), AGENT)
    assert alone == with_own


def test_nothing_required_is_never_met() -> None:
    assert not tally((), votes((person("a", "finance"), "approve")), AGENT).met


def test_a_person_in_two_groups_counts_for_both_requirements() -> None:
    needed = [requirement("finance"), requirement("sre")]
    count = tally(needed, votes((person("a", "finance", "sre"), "approve")), AGENT)
    assert count.met
    assert len(count.votes) == 1


def test_one_persons_two_ways_in_are_one_vote() -> None:
    ways = [
        person("rita", "finance"),
        person("bot-1", "finance", behind="rita"),
        person("bot-2", "finance", behind="rita"),
    ]
    for pair in combinations(ways, 2):
        count = tally([requirement("finance", quorum=2)], votes(*((way, "approve") for way in pair)), AGENT)
        assert not count.met


def test_four_eyes() -> None:
    assert may_vote(AGENT, person("rita"))
    for own in ("agent-7", "ursula", "broker-1"):
        assert not may_vote(AGENT, person(own))
        assert not may_vote(AGENT, person("bot", behind=own))
