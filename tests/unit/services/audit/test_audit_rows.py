"""The projection's rows: the same however the log is cut into batches, and never with a sealed payload."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from chains import GENESIS, JUDGED, PARTITION, START, STEPS, Stream
from hypothesis import given
from hypothesis import strategies as st

from callgate.ids import mint_session, uuid7
from callgate.log import Alien, Chain
from contracts.events import ApprovalRequired, Proof, Recorded, Requirement, VoteCast
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.subjects import CallRef
from services.audit.folding import Folding
from services.audit.rows import Placed, Row, approvers_of, rows_of, text
from services.audit.slim import SEALED_FIELDS, public_facts, without_payloads

NOISE = "calls.1-0.nonsense"


class ReadOnlyLog:
    """What folding asks of the log: a call up to one of its messages."""

    def __init__(self, messages: Iterable[Recorded]) -> None:
        self._messages = list(messages)
        self.reads = 0

    async def read_upto(self, seen: Recorded) -> Chain:
        self.reads += 1
        mine = [m for m in self._messages if m.ref == seen.ref and m.sequence <= seen.sequence]
        return Chain(Call.replay(seen.ref, GENESIS, mine), (), seen.sequence)


async def place_all(stream: Stream, cuts: Sequence[int], forget: bool = False) -> tuple[list[list[Placed]], int]:
    """The messages placed in batches that end at these cuts; `forget` starts anew with each, as after a crash."""
    log = ReadOnlyLog(stream.messages)
    projected: set[CallRef] = set()

    async def known(refs: Sequence[CallRef]) -> set[CallRef]:
        return projected & set(refs)

    folding = Folding(log, known, GENESIS)  # type: ignore[arg-type]
    batches = []
    begin = 0
    for cut in [*sorted(set(cuts)), len(stream.messages)]:
        if forget:
            folding = Folding(log, known, GENESIS)  # type: ignore[arg-type]
        placed = await folding.place(stream.messages[begin:cut])
        projected |= {item.call.ref for item in placed if item.call is not None and item.call.chain}
        batches.append(placed)
        begin = cut
    return batches, log.reads


def merged(batches: Iterable[list[Placed]]) -> dict[str, Any]:
    """What a database would hold."""
    calls: dict[str, Row] = {}
    sessions: dict[str, Row] = {}
    events: list[Row] = []
    aliens: list[Row] = []
    for batch in batches:
        rows = rows_of(str(PARTITION), batch)
        events += rows.events
        aliens += rows.aliens
        calls |= {row["call_id"]: row for row in rows.calls}
        for row in rows.sessions:
            before = sessions.get(row["session_id"])
            sessions[row["session_id"]] = (
                row
                if before is None
                else {**before, "last_at": row["last_at"]} | {"calls": before["calls"] + row["calls"]}
            )
    return {"events": events, "aliens": aliens, "calls": calls, "sessions": sessions}


def polluted() -> Stream:
    stream = Stream()
    first = stream.call()
    second = stream.call(STEPS[:3], CallRef(PARTITION, first[0].ref.session_id, first[0].ref.call_id[:-1] + "0"))
    stream.repeat(first[0])
    stream.repeat(first[4])
    stream.repeat(second[0])
    stream.write(second[0].ref, STEPS[3], second[2].digest)
    return stream


@given(st.lists(st.integers(0, 13), max_size=6), st.booleans())
async def test_batches_and_crashes_do_not_change_the_rows(cuts: list[int], forget: bool) -> None:
    stream = polluted()
    whole, _ = await place_all(stream, [])
    cut, _ = await place_all(stream, cuts, forget)
    assert merged(cut) == merged(whole)


async def test_rows_of_a_call_and_its_aliens() -> None:
    batches, _ = await place_all(polluted(), [])
    held = merged(batches)
    assert [row["place"] for row in held["events"]] == [*["chain"] * 9, *["alien"] * 3, "chain"]
    assert [row["sequence"] for row in held["aliens"]] == [10, 11, 12]
    assert {row["code"] for row in held["aliens"]} == {"does_not_follow"}
    states = sorted(row["state"] for row in held["calls"].values())
    assert states == ["execution_started", "result_masked"]
    (session,) = held["sessions"].values()
    assert (session["calls"], session["principal"], session["on_behalf_of"]) == (2, "bot", "rosa")
    finished = next(row for row in held["calls"].values() if row["state"] == "result_masked")
    assert finished["ended_at"] == "2026-01-31T12:00:05.000000Z"
    assert json.loads(finished["policies"]) == ["p-1"]


async def test_new_calls_are_placed_without_reading_the_log() -> None:
    stream = Stream()
    for _ in range(20):
        stream.call()
    _, reads = await place_all(stream, [7, 50])
    assert reads == 0


async def test_what_does_not_verify_is_an_alien_row() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)

    async def known(_: Sequence[CallRef]) -> set[CallRef]:
        return set()

    folding = Folding(ReadOnlyLog([]), known, GENESIS)  # type: ignore[arg-type]
    placed = await folding.place([Alien(NOISE, 7, "strange_subject", at)])
    rows = rows_of(str(PARTITION), placed)
    assert rows.aliens == [
        {
            "partition": "1-0",
            "sequence": 7,
            "subject": NOISE,
            "code": "strange_subject",
            "recorded_at": "2026-01-01T00:00:00.000000Z",
        }
    ]
    assert (rows.events, rows.calls, rows.sessions) == ([], [], [])


def test_no_sealed_payload_leaves_the_log() -> None:
    for recorded in Stream().call():
        assert "SECRETBYTES" not in public_facts(recorded.data)
        slim = without_payloads(recorded)
        assert "SECRETBYTES" not in slim.event.model_dump_json()
        assert (slim.digest, slim.sequence, slim.name) == (recorded.digest, recorded.sequence, recorded.name)


def test_every_sealed_field_of_every_event_is_known() -> None:
    named = {kind.NAME: fields for kind, fields in SEALED_FIELDS.items() if fields}
    assert named == {
        "requested": ("arguments", "request"),
        "arguments_masked": ("arguments", "view", "request"),
        "vote_cast": ("reason",),
        "arguments_amended": ("patch", "reason"),
        "execution_completed": ("result", "headers"),
        "outcome_settled": ("result", "evidence", "reason"),
        "result_masked": ("view", "headers"),
    }


def test_names_that_postgresql_cannot_hold_do_not_stop_the_projection() -> None:
    assert text("a\0b") == "a\ufffdb"


def test_who_approved_are_those_whose_vote_stands() -> None:
    rita, sam = (Principal(id=name, issuer="https://issuer.example", groups=("sre",)) for name in ("rita", "sam"))
    needed = Requirement(policies=("p",), approvers=("sre",), quorum=2, rejections=2, expires_at=START.replace(hour=13))
    question = ApprovalRequired(**JUDGED, requirements=(needed,))
    stream = Stream()
    ref = CallRef(PARTITION, mint_session("bot"), uuid7())
    last = None
    for data in (*STEPS[:2], question):
        last = stream.write(ref, data, last.digest if last else stream.genesis)
    assert last is not None
    asked, standing = last.digest, None
    for who in (rita, sam, rita):
        proof = Proof(issuer=who.issuer, subject=who.id, digest=asked)
        changes = standing if who is rita else None
        vote = VoteCast(reviewer=who, decision="reject" if changes else "approve", proof=proof, replaces=changes)
        last = stream.write(ref, vote, last.digest)
        standing = standing or last.event.event_id
    call = Call.replay(ref, stream.genesis, stream.messages)
    assert not call.aliens
    assert approvers_of(call) == ["sam"]
