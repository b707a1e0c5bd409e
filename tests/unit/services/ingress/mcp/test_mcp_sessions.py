"""Sessions: whose they are, how many there may be, and when they end."""

import pytest

from contracts.subjects import CallRef, Partition
from services.ingress.mcp.sessions import Session, Sessions, TooManySessions


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def opened(sessions: Sessions, owner: str = "bot") -> Session:
    session = sessions.new(owner)
    sessions.open(session)
    return session


def test_a_session_is_its_owners_until_it_ends() -> None:
    sessions = Sessions(8, 60)
    session = opened(sessions)
    assert sessions.get(session.id, "bot") is session
    assert sessions.get(session.id, "another") is None
    assert sessions.get("unknown", "bot") is None
    sessions.end(session)
    sessions.end(session)
    assert sessions.get(session.id, "bot") is None
    assert len(sessions) == 0


def test_a_session_before_its_handshake_is_none() -> None:
    sessions = Sessions(8, 60)
    assert sessions.get(sessions.new("bot").id, "bot") is None


def test_one_principal_takes_the_place_of_its_own_alone() -> None:
    sessions = Sessions(8, 60)
    first, second, theirs = opened(sessions), opened(sessions), opened(sessions, "another")
    sessions.get(first.id, "bot")
    third = opened(sessions)
    assert sessions.get(second.id, "bot") is None, "the longest unused of its own"
    for session, owner in ((first, "bot"), (third, "bot"), (theirs, "another")):
        assert sessions.get(session.id, owner) is session


def test_there_are_no_more_than_the_limit() -> None:
    sessions = Sessions(4, 60)
    for owner in "abcd":
        opened(sessions, owner)
    with pytest.raises(TooManySessions):
        opened(sessions, "e")
    opened(sessions, "a")
    assert len(sessions) == 4


def test_an_idle_session_ends_but_not_while_it_waits() -> None:
    clock = Clock()
    sessions = Sessions(8, 60, clock)
    waits, idle, used = opened(sessions, "a"), opened(sessions, "b"), opened(sessions, "c")
    clock.now = 50
    sessions.get(used.id, "c")
    waits.calls["7"] = CallRef(Partition(1, 0), "s_" + "a" * 32, "x")
    clock.now = 70
    assert sessions.get(waits.id, "a") is waits
    assert sessions.get(idle.id, "b") is None
    assert sessions.get(used.id, "c") is used
    waits.calls.clear()
    clock.now = 200
    assert sessions.get(used.id, "c") is None
    assert len(sessions) == 0
