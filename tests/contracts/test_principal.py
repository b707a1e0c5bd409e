"""Who owns a session."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.identity import Principal

names = st.text('a",[]\\\0 ', max_size=4)
people = st.builds(Principal, id=names, issuer=names, on_behalf_of=st.none() | names, groups=st.lists(names).map(tuple))


@given(people, people)
def test_sessions_have_one_owner_for_each_agent_user_and_issuer(one: Principal, other: Principal) -> None:
    same = (one.id, one.on_behalf_of, one.issuer) == (other.id, other.on_behalf_of, other.issuer)
    assert (one.session_owner == other.session_owner) == same
