"""Who may hold how much open."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.identity import Principal
from services.ingress.doors import problem_of
from services.ingress.room import Room, TooManyHeld

ONE, OTHER = (Principal(id=name, issuer="https://id.example") for name in ("one", "other"))


def test_one_principal_has_its_share_and_others_the_rest() -> None:
    room = Room(8, 0.25)
    for _ in range(2):
        room.enter(ONE)
    for ask in (room.enter, room.require):
        with pytest.raises(TooManyHeld) as refused:
            ask(ONE)
        assert refused.value.own
    room.require(OTHER)
    room.leave(ONE)
    room.enter(ONE)


def test_a_share_is_an_agents_for_whomever_it_acts() -> None:
    room = Room(8, 0.25)
    for user in ("ursula", "kim"):
        room.enter(ONE.model_copy(update={"on_behalf_of": user, "groups": (user,), "token_id": user}))
    with pytest.raises(TooManyHeld):
        room.enter(ONE)
    room.enter(ONE.model_copy(update={"issuer": "https://another.example"}))


def test_what_all_hold_is_bounded_too() -> None:
    room = Room(2, 1)
    room.enter(ONE)
    room.enter(OTHER)
    with pytest.raises(TooManyHeld) as refused:
        room.require(Principal(id="third", issuer="https://id.example"))
    assert not refused.value.own


def test_a_share_is_one_at_least() -> None:
    room = Room(3, 0.01)
    room.enter(ONE)
    with pytest.raises(TooManyHeld):
        room.enter(ONE)
    room.enter(OTHER)


def test_whoever_is_refused_is_told_whose_limit_it_is() -> None:
    own, everybody = problem_of(TooManyHeld(own=True)), problem_of(TooManyHeld())
    assert own is not None
    assert everybody is not None
    assert own.code == everybody.code == "too_many_waiting"
    assert (own.extra, everybody.extra) == ({"limit": "ingress.held_share"}, {"limit": "ingress.held"})
    assert "Too many requests of yours wait here" in own.detail
    assert "Too many requests wait here" in everybody.detail


@given(st.integers(1, 12), st.floats(0.01, 1), st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=80))
def test_nobody_ever_holds_more_than_may_be(limit: int, share: float, steps: list[tuple[bool, int]]) -> None:
    room, held = Room(limit, share), Counter[int]()
    people = [Principal(id=str(number), issuer="https://id.example") for number in range(4)]
    most = max(1, int(limit * share))
    for comes, who in steps:
        if not comes:
            if held[who]:
                room.leave(people[who])
                held[who] -= 1
            continue
        own = held[who] >= most
        if own or held.total() >= limit:
            with pytest.raises(TooManyHeld) as refused:
                room.enter(people[who])
            assert refused.value.own is own
        else:
            room.enter(people[who])
            held[who] += 1
