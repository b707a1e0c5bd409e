"""Counting votes: pure, and the same whoever counts."""

from datetime import datetime, timedelta
from itertools import combinations, count
from typing import Any, Literal

from call_chains import START, Chain, person, requirement
from contract_samples import AGENT, INLINE, PROOF
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Escalation, Recorded, VoteCast
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
    return [voted(who, how, number=number) for number, (who, how) in enumerate(cast)]


_numbers = count(1000)


def voted(
    who: Principal, how: str = "approve", *, at: datetime = START, number: int | None = None, **more: Any
) -> Recorded:
    decision: Literal["approve", "reject"] = "approve" if how == "approve" else "reject"
    chain = Chain(number=next(_numbers) if number is None else number)
    return chain.recorded(VoteCast(reviewer=who, decision=decision, proof=PROOF, **more), at=at)


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
def test_voting_again_without_saying_what_it_changes_changes_nothing(cast: list, needed: list) -> None:  # type: ignore[type-arg]
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


@given(distinct, requirements)
def test_a_vote_that_names_the_one_it_changes_counts_instead(cast: list, needed: list) -> None:  # type: ignore[type-arg]
    turned = [(who, "reject" if how == "approve" else "approve") for who, how in cast]
    first = votes(*turned)
    changed = [voted(who, how, replaces=one.event.event_id) for one, (who, how) in zip(first, cast, strict=True)]
    one, other = tally(needed, [*first, *changed], AGENT), tally(needed, votes(*cast), AGENT)
    assert (one.met, one.missing, one.rejected_by) == (other.met, other.missing, other.rejected_by)
    assert not {vote.event.event_id for vote in first} & {*one.votes, one.rejection}


def test_nobody_changes_the_vote_of_another() -> None:
    rita, sam = voted(person("rita", "finance"), "reject"), person("sam", "finance")
    count = tally([requirement("finance")], [rita, voted(sam, replaces=rita.event.event_id)], AGENT)
    assert (count.met, count.rejected_by, count.votes) == (False, "rita", ())


def test_a_quorum_of_each_group_by_distinct_people() -> None:
    needed = [requirement("finance", "sre", each=True)]
    fay, sid, both = person("fay", "finance"), person("sid", "sre"), person("both", "finance", "sre")

    def missing(*people: Principal) -> tuple[int, ...]:
        return tally(needed, [voted(who) for who in people], AGENT).missing

    assert (missing(fay), missing(both), missing(fay, person("flo", "finance"))) == ((1,), (1,), (1,))
    # Whoever is in both groups sits where they are needed, in whatever order people came.
    for pair in ((fay, sid), (fay, both), (both, fay), (sid, both), (both, sid)):
        assert missing(*pair) == (0,), pair


def test_everybody_may_be_in_every_group() -> None:
    names = [f"g{number}" for number in range(6)]
    people = [voted(person(f"p{number}", *names[: number // 5 + 1])) for number in reversed(range(30))]
    assert tally([requirement(*names, quorum=5, each=True)], people, AGENT).met
    assert not tally([requirement(*names, quorum=5, each=True)], people[1:], AGENT).met


def test_so_many_of_those_asked_reject() -> None:
    needed = [requirement("finance", rejections=2), requirement("sre")]
    fay, flo = voted(person("fay", "finance"), "reject"), voted(person("flo", "finance"), "reject")
    assert tally(needed, [fay], AGENT).rejected_by is None
    assert not tally(needed, [fay, voted(person("sid", "sre"))], AGENT).met
    assert (tally(needed, [fay, flo], AGENT).rejected_by, tally(needed, [fay, flo], AGENT).rejection) == (
        "flo",
        flo.event.event_id,
    )
    assert tally(needed, [voted(person("sid", "sre"), "reject")], AGENT).rejected_by == "sid"
    # Whom nobody asked can stop it, and not help it on.
    assert tally(needed, [fay, voted(person("guest"), "reject")], AGENT).rejected_by == "guest"


def test_a_second_group_counts_from_its_time_on() -> None:
    later = START + timedelta(minutes=5)
    needed = [requirement("finance", quorum=2, escalation=Escalation(approvers=("leads",), at=later))]
    fay, lea = voted(person("fay", "finance")), person("lea", "leads")
    assert not tally(needed, [fay, voted(lea, at=later - timedelta(microseconds=1))], AGENT).met
    assert tally(needed, [fay, voted(lea, at=later)], AGENT).met
    each = [requirement("finance", "sre", each=True, escalation=needed[0].escalation)]
    assert tally(each, [fay, voted(lea, at=later)], AGENT).met


def test_an_approval_without_a_reason_does_not_count_where_one_is_required() -> None:
    needed = [requirement("finance", reason_required=True)]
    assert tally(needed, [voted(person("fay", "finance"))], AGENT).votes == ()
    assert tally(needed, [voted(person("fay", "finance"), reason=INLINE)], AGENT).met


def test_glass_is_broken_by_a_member_with_a_reason_where_the_requirement_names_the_group() -> None:
    named, ida = requirement("finance", quorum=3, break_glass=("commanders",)), person("ida", "commanders")
    alone = voted(ida, break_glass=True, reason=INLINE)
    assert tally([named], [alone], AGENT).met
    for needed, vote in (
        ([requirement("finance", quorum=3)], alone),
        ([named, requirement("sre")], alone),
        ([named], voted(ida, break_glass=True)),
        ([named], voted(ida, reason=INLINE)),
        ([named], voted(person("fay", "finance"), break_glass=True, reason=INLINE)),
        ([named], voted(person("ursula", "commanders"), break_glass=True, reason=INLINE)),
    ):
        assert not tally(needed, [vote], AGENT).met


def test_an_author_counts_and_never_alone() -> None:
    fay, flo = person("fay", "finance"), person("flo", "finance")
    needed = [requirement("finance", break_glass=("finance",))]
    for own in (voted(fay), voted(fay, break_glass=True, reason=INLINE)):
        assert tally(needed, [own], AGENT).met
        assert tally(needed, [own], AGENT, [fay]).missing == (1,)
        assert tally(needed, [own, voted(flo)], AGENT, [fay]).met
    assert tally([requirement("finance", quorum=2)], [voted(fay), voted(flo)], AGENT, [fay, flo]).met
    assert not tally(needed, [voted(person("bot", "finance", behind="fay"))], AGENT, [fay]).met
