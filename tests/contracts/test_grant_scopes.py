"""What a grant speaks of, and that no more calls are counted on it than it says."""

from datetime import UTC, datetime, timedelta
from typing import Any

from contract_samples import INLINE, REVIEWER, SESSION
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Requirement
from contracts.grants import Grant, Grants, in_scope, meets_alone
from contracts.identity import Principal
from contracts.records import Granted, GrantRevoked, GrantUsed, make_record
from contracts.subjects import CallRef, Partition, grant_revoked_subject, grant_subject, grant_use_subject

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ISSUER = "https://issuer.test"
OTHER = "s_" + "b" * 32


def ref(number: int, session: str = SESSION) -> CallRef:
    return CallRef(Partition(1, 0), session, f"019c1234-5678-7abc-8def-{number:012x}")


def granted(**changed: Any) -> Granted:
    data = {
        "grant_id": "g1",
        "by": REVIEWER,
        "agent": "bot",
        "issuer": ISSUER,
        "function": "pay.refund",
        "policy": "…",
        "uses": 2,
        "expires_at": AT + timedelta(minutes=30),
        "reason": INLINE,
    }
    return Granted.model_validate(data | changed)


def used(book: Grants, call: CallRef, number: int, at: datetime = AT) -> Grants:
    data = GrantUsed(grant_id="g1", call=str(call), number=number)
    return book.apply(make_record("r", "test", grant_use_subject("g1", call.call_id), at, data), "d")


def book(**changed: Any) -> Grants:
    return Grants().apply(make_record("r", "test", grant_subject("g1"), AT, granted(**changed)), "d" * 64)


def revoked(grants: Grants) -> Grants:
    data = GrantRevoked(grant_id="g1", by=REVIEWER)
    return grants.apply(make_record("r", "test", grant_revoked_subject("g1"), AT, data), "d")


def bot(name: str = "bot", issuer: str = ISSUER, user: str | None = None) -> Principal:
    return Principal(id=name, issuer=issuer, on_behalf_of=user)


def test_what_becomes_of_a_further_call() -> None:
    open_, spent = book(), used(used(book(), ref(1), 1), ref(2), 2)
    late = AT + timedelta(minutes=30)
    states = [(grants.all["g1"].state(AT), grants.all["g1"].state(late)) for grants in (open_, spent, revoked(spent))]
    assert states == [("in_force", "expired"), ("used_up", "expired"), ("revoked", "revoked")]
    assert spent.all["g1"].stands(AT), "the calls that are counted still go"


def test_it_is_used_up_and_not_beyond() -> None:
    grants = used(used(used(book(), ref(1), 1), ref(2), 2), ref(3), 3)
    grant = grants.all["g1"]
    assert (set(grant.uses), grant.left) == ({str(ref(1)), str(ref(2))}, 0)
    assert grant.usable_for(ref(1), bot(), "pay.refund", AT), "a call that is counted needs no other use"
    assert not grant.usable_for(ref(3), bot(), "pay.refund", AT)
    use = grant.use_of(ref(2))
    assert use is not None
    assert (use.grant_id, use.granted, use.number) == ("g1", "d" * 64, 2)
    assert grant.use_of(ref(3)) is None


def test_it_ends_with_its_time_or_when_it_is_revoked() -> None:
    grant = book().all["g1"]
    assert grant.usable_for(ref(1), bot(), "pay.refund", AT + timedelta(minutes=29))
    assert not grant.usable_for(ref(1), bot(), "pay.refund", AT + timedelta(minutes=30))
    assert not revoked(book()).all["g1"].usable_for(ref(1), bot(), "pay.refund", AT)
    assert used(revoked(book()), ref(1), 1).all["g1"].uses == {}
    assert used(book(), ref(1), 1, AT + timedelta(hours=1)).all["g1"].uses == {}


def test_what_stands_elsewhere_is_none() -> None:
    assert Grants().apply(make_record("r", "test", grant_subject("g2"), AT, granted()), "d").all == {}
    data = GrantUsed(grant_id="g1", call=str(ref(1)), number=1)
    elsewhere = make_record("r", "test", grant_use_subject("g1", ref(2).call_id), AT, data)
    assert book().apply(elsewhere, "d").all["g1"].uses == {}
    again = make_record("r", "test", grant_subject("g1"), AT, granted(uses=100))
    assert book().apply(again, "e").all["g1"].data.uses == 2


@given(
    limit=st.integers(1, 4),
    steps=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)) | st.just("revoke"), max_size=20),
)
def test_no_more_are_counted_than_were_granted(limit: int, steps: list[Any]) -> None:
    grants, ended = book(uses=limit), False
    before: dict[str, int] = {}
    for step in steps:
        if step == "revoke":
            grants, ended = revoked(grants), True
        else:
            grants = used(grants, ref(step[0]), step[1])
        uses = grants.all["g1"].uses
        assert len(uses) <= limit
        assert sorted(uses.values()) == list(range(1, len(uses) + 1))
        assert not ended or uses == before
        before = uses


_PEOPLE = st.sampled_from(["bot", "rosa", REVIEWER.id])


@given(
    data=st.builds(
        granted,
        agent=_PEOPLE,
        issuer=st.sampled_from([ISSUER, "https://b.test"]),
        on_behalf_of=st.none() | _PEOPLE,
        session_id=st.sampled_from([None, SESSION, OTHER]),
        function=st.sampled_from(["pay.refund", "pay.charge"]),
    ),
    principal=st.builds(bot, _PEOPLE, st.sampled_from([ISSUER, "https://b.test"]), st.none() | _PEOPLE),
    session=st.sampled_from([SESSION, OTHER]),
    function=st.sampled_from(["pay.refund", "pay.charge"]),
)
def test_nothing_outside_its_scope_is_in_it(data: Granted, principal: Principal, session: str, function: str) -> None:
    same = (data.agent, data.issuer, data.on_behalf_of) == (principal.id, principal.issuer, principal.on_behalf_of)
    expected = (
        same
        and data.session_id in (None, session)
        and data.function == function
        and REVIEWER.id not in (principal.id, principal.on_behalf_of)
    )
    assert in_scope(data, ref(1, session), principal, function) is expected
    assert Grant(data, "d", AT).usable_for(ref(1, session), principal, function, AT) is expected


def requirement(**changed: Any) -> Requirement:
    wanted = {"policies": ("p",), "approvers": ("finance",), "quorum": 1, "expires_at": AT} | changed
    return Requirement.model_validate(wanted)


def test_a_grant_is_one_persons_approval() -> None:
    assert meets_alone([requirement()], REVIEWER)
    assert meets_alone([requirement(), requirement(approvers=("sre", "legal"))], REVIEWER)
    assert not meets_alone([requirement(quorum=2)], REVIEWER)
    assert not meets_alone([requirement(), requirement(approvers=("legal",))], REVIEWER)
    assert not meets_alone([requirement(approvers=("finance", "sre"), each=True)], REVIEWER)
    assert not meets_alone([requirement(approvers=("legal",), break_glass=("finance",))], REVIEWER)
    assert not meets_alone([], REVIEWER)
