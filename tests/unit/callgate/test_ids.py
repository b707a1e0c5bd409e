"""Ids: well-formed, ordered in time, and sessions bound to who opened them."""

from hypothesis import given
from hypothesis import strategies as st

from callgate.ids import mint_session, name_session, owns_session, token, uuid7
from contracts.subjects import CALL_ID, SESSION_ID

names = st.text(min_size=1, max_size=40)


@given(st.integers(0, 2**48 - 2))
def test_ids_are_uuids_of_version_7_in_the_order_of_time(milliseconds: int) -> None:
    earlier, later = uuid7(milliseconds), uuid7(milliseconds + 1)
    assert CALL_ID.fullmatch(earlier)
    assert CALL_ID.fullmatch(later)
    assert earlier < later


def test_ids_do_not_repeat() -> None:
    assert len({uuid7(0) for _ in range(1000)} | {token() for _ in range(1000)}) == 2000
    assert token(16).isalnum()


@given(names, names, names)
def test_a_session_is_its_owners_alone(owner: str, other: str, name: str) -> None:
    minted, named = mint_session(owner), name_session(owner, name)
    for session in (minted, named):
        assert SESSION_ID.fullmatch(session)
        assert owns_session(owner, session)
        assert owns_session(other, session) == (other == owner)
    assert name_session(owner, name) == named
    assert mint_session(owner) != minted
    assert (name_session(other, name) == named) == (other == owner)


@given(names, st.text())
def test_what_is_no_session_is_nobodys(owner: str, text: str) -> None:
    assert not owns_session(owner, text)


@given(names, st.integers(2, 33), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_changed_session_is_nobodys(owner: str, at: int, character: str) -> None:
    session = mint_session(owner)
    changed = session[:at] + character + session[at + 1 :]
    assert owns_session(owner, changed) == (changed == session)
