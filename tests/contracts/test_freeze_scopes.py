"""Which calls a freeze stops, and until when: the fold over CONTROL, and its scopes."""

from datetime import UTC, datetime, timedelta

from contract_samples import INLINE, REVIEWER, SESSION
from hypothesis import given
from hypothesis import strategies as st

from contracts.freezes import Freeze, Freezes
from contracts.identity import Principal
from contracts.records import Frozen, FrozenV1, Record, RecordData, Unfrozen, make_record
from contracts.subjects import freeze_subject

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
ISSUER = "https://issuer.test"
OTHER = "s_" + "b" * 32


def frozen(freeze_id: str = "f1", **changed: object) -> Frozen:
    data = {"freeze_id": freeze_id, "scope": "everything", "by": REVIEWER, "reason": INLINE} | changed
    return Frozen.model_validate(data)


def record(data: RecordData, freeze_id: str = "f1", at: datetime = AT) -> "Record[Frozen | FrozenV1 | Unfrozen]":
    return make_record("r", "test", freeze_subject(freeze_id), at, data)


def freezes(*data: RecordData) -> Freezes:
    book = Freezes()
    for one in data:
        book = book.apply(record(one, one.freeze_id))  # type: ignore[attr-defined]
    return book


def stopped(
    data: Frozen | FrozenV1, principal: Principal, session: str = SESSION, function: str = "pay.refund"
) -> bool:
    return freezes(data).stopping(principal, session, function, AT) is not None


def bot(name: str = "bot", issuer: str = ISSUER, user: str | None = None, actors: tuple[str, ...] = ()) -> Principal:
    return Principal(id=name, issuer=issuer, on_behalf_of=user, actors=actors)


def test_an_agents_freeze_stops_all_that_it_stands_behind() -> None:
    freeze = frozen(scope="agent", target="bot")
    assert stopped(freeze, bot())
    assert stopped(freeze, bot(issuer="https://elsewhere.test"))
    assert stopped(freeze, bot("other", actors=("other", "bot")))
    assert not stopped(freeze, bot("bots"))
    assert stopped(frozen(scope="agent", target="ursula"), bot(user="ursula"))


def test_an_agent_of_one_issuer_is_not_its_namesake() -> None:
    freeze = frozen(scope="agent", target="bot", issuer=ISSUER)
    assert stopped(freeze, bot())
    assert not stopped(freeze, bot(issuer="https://elsewhere.test"))


def test_sessions_functions_and_connections() -> None:
    assert stopped(frozen(scope="session", target=SESSION), bot())
    assert not stopped(frozen(scope="session", target=OTHER), bot())
    assert stopped(frozen(scope="function", target="pay.refund"), bot())
    assert not stopped(frozen(scope="function", target="pay.ref"), bot())
    assert stopped(frozen(scope="connection", target="pay"), bot())
    assert not stopped(frozen(scope="connection", target="payments"), bot())


def test_a_freeze_of_the_first_version_counts() -> None:
    old = FrozenV1(freeze_id="f1", scope="agent", target="bot", by=REVIEWER, reason="odd")
    assert stopped(old, bot())
    assert freezes(old).in_force(AT + timedelta(days=4000))


def test_it_ends_when_it_is_lifted_and_not_before() -> None:
    lifted = Unfrozen(freeze_id="f1", by=REVIEWER)
    assert not freezes(frozen(), lifted).in_force(AT)
    assert freezes(frozen(), Unfrozen(freeze_id="f2", by=REVIEWER)).in_force(AT)
    assert freezes(lifted, frozen()).in_force(AT), "what lifted nothing lifts nothing later"
    assert not freezes(frozen(), lifted, frozen()).in_force(AT), "an id freezes once"


def test_what_stands_in_another_place_is_none() -> None:
    book = Freezes().apply(record(frozen(), "f1"))
    assert book.apply(record(Unfrozen(freeze_id="f1", by=REVIEWER), "f2")).in_force(AT)
    assert not Freezes().apply(record(frozen(), "f2")).in_force(AT)


def test_it_is_over_exactly_when_its_time_is() -> None:
    book = freezes(frozen(expires_at=AT + timedelta(hours=1)))
    assert book.in_force(AT + timedelta(minutes=59, seconds=59))
    assert not book.in_force(AT + timedelta(hours=1))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12))
def test_in_force_is_what_was_frozen_and_not_lifted_since(steps: list[tuple[str, bool]]) -> None:
    book, begun, ended = Freezes(), set[str](), set[str]()
    for name, freezing in steps:
        data: RecordData = frozen(name) if freezing else Unfrozen(freeze_id=name, by=REVIEWER)
        book = book.apply(record(data, name))
        if freezing:
            begun.add(name)
        elif name in begun:
            ended.add(name)
    assert {freeze.freeze_id for freeze in book.in_force(AT)} == begun - ended


_NAMES = st.sampled_from(["bot", "ursula", "rita", "pay", "pay.refund", "pay.charge", "crm.read", SESSION, OTHER])


@given(
    scope=st.sampled_from(["agent", "session", "function", "connection"]),
    target=_NAMES,
    issuer=st.sampled_from([None, ISSUER]),
    principal=st.builds(bot, _NAMES, st.sampled_from([ISSUER, "https://b.test"]), st.none() | _NAMES),
    session=st.sampled_from([SESSION, OTHER]),
    function=st.sampled_from(["pay.refund", "pay.charge", "crm.read"]),
)
def test_nothing_outside_its_scope_is_stopped(
    scope: str, target: str, issuer: str | None, principal: Principal, session: str, function: str
) -> None:
    freeze = Freeze("f", scope, target, issuer, REVIEWER, AT, None, None)  # type: ignore[arg-type]
    inside = {
        "agent": target in {principal.id, principal.on_behalf_of} and issuer in (None, principal.issuer),
        "session": target == session,
        "function": target == function,
        "connection": function.startswith(f"{target}."),
    }
    assert freeze.stops(principal, session, function) is inside[scope]
