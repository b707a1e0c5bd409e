"""Grants and freezes as the projection keeps them: what counts, when and by whom, and what a freeze stopped."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from chains import AGENT, JUDGED, PARTITION, SEALED, START, Stream

from callgate.ids import uuid7
from callgate.records import Standing
from contracts.events import ArgumentsMasked, Cancelled, Denied, EventData, Recorded, Requested
from contracts.identity import Principal, Role
from contracts.lifecycle import Call
from contracts.records import (
    Frozen,
    Granted,
    GrantedV1,
    GrantRevoked,
    GrantUsed,
    RecordData,
    Unfrozen,
    make_record,
)
from contracts.subjects import (
    CONTROL,
    CallRef,
    freeze_subject,
    grant_revoked_subject,
    grant_subject,
    grant_use_subject,
)
from services.audit.control_queries import FreezeFilter, GrantFilter, find_freezes, find_grants
from services.audit.control_rows import FreezeStory, GrantStory
from services.audit.rows import Placed, Rows, rows_of
from services.audit.store import Store

FAY = Principal(id="fay", issuer="https://issuer.example", groups=("finance",))
FINN = FAY.model_copy(update={"id": "finn"})
HOUR = START + timedelta(hours=1)


def granted(grant_id: str = "g1", uses: int = 2) -> Granted:
    return Granted(
        grant_id=grant_id,
        by=FAY,
        agent=AGENT.id,
        issuer=AGENT.issuer,
        function="crm.read",
        conditions={"amount": {"lte": 40}},
        policy="permit(principal, action, resource);",
        uses=uses,
        expires_at=HOUR,
        reason=SEALED,
    )


def frozen(
    freeze_id: str = "f1", scope: str = "agent", target: str | None = "bot", minutes: int | None = None
) -> Frozen:
    ends = None if minutes is None else START + timedelta(minutes=minutes)
    return Frozen.model_validate(
        {"freeze_id": freeze_id, "scope": scope, "target": target, "by": FAY, "reason": SEALED, "expires_at": ends}
    )


def ref() -> CallRef:
    return CallRef(PARTITION, f"s_{'a' * 32}", uuid7())


def standing(subject: str, data: RecordData, sequence: int) -> Standing:
    record = make_record(uuid7(), "test", subject, START + timedelta(minutes=sequence), data)
    return Standing(record, Role.APPROVAL, f"{sequence:064x}", sequence)


def use(call: CallRef, number: int, sequence: int) -> Standing:
    data = GrantUsed(grant_id="g1", call=str(call), number=number)
    return standing(grant_use_subject("g1", call.call_id), data, sequence)


def rows(*stories: Sequence[Standing]) -> Rows:
    """The rows of the stories that these records tell."""
    found = Rows()
    for records in stories:
        is_freeze = isinstance(records[0].data, Frozen | Unfrozen)
        story: GrantStory | FreezeStory = FreezeStory() if is_freeze else GrantStory()
        for record in records:
            story.apply(record)
        story.add_to(found)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.in_file(tmp_path / "audit.db")
    store.prepare([str(PARTITION)])
    yield store
    store.close()


def control(store: Store, *stories: Sequence[Standing]) -> None:
    seen = store.cursor(CONTROL)
    assert store.write(CONTROL, seen, seen + 1, rows(*stories))


def calls(store: Store, *chains: Sequence[Recorded]) -> None:
    """Projects whole calls."""
    placed = []
    for chain in chains:
        call = Call(chain[0].ref, "0" * 64)
        for recorded in chain:
            call = call.apply(recorded)
            placed.append(Placed(recorded.sequence, "", recorded.recorded_at, None, recorded, call))
    seen = store.cursor(str(PARTITION))
    assert store.write(str(PARTITION), seen, placed[-1].sequence, rows_of(str(PARTITION), placed))


def made(grant_id: str = "g1", sequence: int = 1) -> Standing:
    return standing(grant_subject(grant_id), granted(grant_id), sequence)


def test_a_grant_tells_who_gave_it_what_went_by_it_and_who_ended_it(store: Store) -> None:
    first, second, third = ref(), ref(), ref()
    revoked = standing(grant_revoked_subject("g1"), GrantRevoked(grant_id="g1", by=FINN), 5)
    again = standing(grant_revoked_subject("g1"), GrantRevoked(grant_id="g1", by=FAY), 6)
    twice = use(first, 2, 3)
    control(store, [made(), use(first, 1, 2), twice, use(second, 2, 4), revoked, again, use(third, 3, 7)])
    (grant,) = find_grants(store, GrantFilter(START), None, 9)
    assert (grant["by"], grant["agent"], grant["function"], grant["conditions"]) == (
        "fay",
        "bot",
        "crm.read",
        {"amount": {"lte": 40}},
    )
    assert [(one["number"], one["call"], one["at"][:19]) for one in grant["calls"]] == [
        (1, str(first), "2026-01-31T12:02:00"),
        (2, str(second), "2026-01-31T12:04:00"),
    ]
    assert (grant["state"], grant["revoked_by"], grant["revoked_at"][:19]) == ("revoked", "finn", "2026-01-31T12:05:00")
    assert grant["record"] == {"sequence": 1, "digest": f"{1:064x}"}


def test_what_is_no_grant_makes_no_row() -> None:
    misplaced = standing(grant_subject("g2"), granted("g1"), 1)
    old = GrantedV1(grant_id="g1", by=FAY, policy="permit(principal, action, resource);", expires_at=HOUR, reason="x")
    assert rows([misplaced], [standing(grant_subject("g1"), old, 1)], [use(ref(), 1, 1)]) == Rows()
    assert rows([standing(freeze_subject("f1"), Unfrozen(freeze_id="f1", by=FAY), 1)]) == Rows()


def test_grants_in_force_and_ended(store: Store) -> None:
    spent = [made("g1", 1), use(ref(), 1, 2), use(ref(), 2, 3)]
    control(store, spent, [made("g2", 4)])

    def ids(**wanted: object) -> list[str]:
        return [row["id"] for row in find_grants(store, GrantFilter(**{"now": START, **wanted}), None, 9)]  # type: ignore[arg-type]

    assert ids() == ["g2", "g1"]
    assert (ids(standing="in_force"), ids(standing="ended")) == (["g2"], ["g1"])
    assert (ids(now=HOUR, standing="in_force"), ids(now=HOUR, standing="ended")) == ([], ["g2", "g1"])
    assert (ids(agent="another"), ids(function="crm.write"), ids(agent="bot", function="crm.read")) == (
        [],
        [],
        ["g2", "g1"],
    )
    assert [row["id"] for row in find_grants(store, GrantFilter(START), 4, 9)] == ["g1"], "the next page"
    assert [row["state"] for row in find_grants(store, GrantFilter(START), None, 9)] == ["in_force", "used_up"]


def test_writing_a_story_again_changes_nothing(store: Store) -> None:
    story = [made(), use(ref(), 1, 2)]
    control(store, story)
    before = find_grants(store, GrantFilter(START), None, 9)
    control(store, story)
    assert find_grants(store, GrantFilter(START), None, 9) == before


def ended(stream: Stream, data: EventData, minutes: int, agent: Principal = AGENT) -> list[Recorded]:
    """A call of that agent that ended so, that long after the start."""
    masked = (
        Requested(function="crm.read", principal=agent, arguments=SEALED),
        ArgumentsMasked(function="crm.read", principal=agent, arguments=SEALED, view=SEALED),
    )
    chain = stream.call((*masked, data))
    return [*chain[:-1], replace(chain[-1], recorded_at=START + timedelta(minutes=minutes))]


def test_a_freeze_tells_which_calls_it_stopped(store: Store) -> None:
    stream = Stream()
    stopped = Cancelled(by="fay", code="frozen")
    elsewhere = AGENT.model_copy(update={"id": "other"})
    through = AGENT.model_copy(update={"id": "other", "actors": ("bot",)})
    before = ended(stream, stopped, 0)
    waiting = ended(stream, stopped, 2)
    judged = ended(stream, Denied(**JUDGED, code="frozen"), 3, through)
    others = [ended(stream, stopped, 4, elsewhere), ended(stream, Cancelled(by="bot", code="withdrawn"), 5)]
    after = ended(stream, stopped, 30)
    calls(store, before, waiting, judged, *others, after)
    lifted = standing(freeze_subject("f1"), Unfrozen(freeze_id="f1", by=FINN), 10)
    control(store, [standing(freeze_subject("f1"), frozen(), 1), lifted])
    (freeze,) = find_freezes(store, FreezeFilter(HOUR), None, 9)
    assert (freeze["by"], freeze["lifted_by"], freeze["state"]) == ("fay", "finn", "lifted")
    assert freeze["lifted_at"].startswith("2026-01-31T12:10:00")
    assert freeze["stopped"]["count"] == 2
    assert [(one["id"], one["state"]) for one in freeze["stopped"]["calls"]] == [
        (str(waiting[0].ref), "cancelled"),
        (str(judged[0].ref), "denied"),
    ]


def test_a_call_that_names_its_freeze_counts_for_no_other(store: Store) -> None:
    stream = Stream()
    named = ended(stream, Cancelled(by="fay", code="frozen", freeze="f1"), 2)
    unnamed = ended(stream, Cancelled(by="fay", code="frozen"), 4)
    calls(store, named, unnamed)
    everything = frozen("f2", "everything", None)
    control(store, [standing(freeze_subject("f1"), frozen(), 0)], [standing(freeze_subject("f2"), everything, 1)])
    found = {row["id"]: row["stopped"] for row in find_freezes(store, FreezeFilter(HOUR), None, 9)}
    assert [one["id"] for one in found["f1"]["calls"]] == [str(named[0].ref), str(unnamed[0].ref)]
    assert [one["id"] for one in found["f2"]["calls"]] == [str(unnamed[0].ref)]


def test_freezes_in_force_and_ended(store: Store) -> None:
    scopes = [frozen("f1", "function", "crm.read"), frozen("f2", "everything", None, minutes=20)]
    control(store, *([standing(freeze_subject(one.freeze_id), one, at)] for at, one in enumerate(scopes, start=1)))

    def ids(minutes: int, **wanted: object) -> list[str]:
        filtered = FreezeFilter(START + timedelta(minutes=minutes), **wanted)  # type: ignore[arg-type]
        return [row["id"] for row in find_freezes(store, filtered, None, 9)]

    assert ids(5, standing="in_force") == ["f2", "f1"]
    assert (ids(20, standing="in_force"), ids(20, standing="ended")) == (["f1"], ["f2"])
    assert (ids(5, target="crm.read"), ids(5, standing="ended")) == (["f1"], [])
    assert [row["state"] for row in find_freezes(store, FreezeFilter(HOUR), None, 9)] == ["expired", "in_force"]
