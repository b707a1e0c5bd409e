"""The bytes of every version, as they stand on logs already: a change that breaks one breaks old deployments."""

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from contract_samples import AT, EVENT, EVENT_SAMPLES, FORMER_SAMPLES, RECORD_SAMPLES, REF, event_of, record_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.events import (
    EVENT_BY_TYPE,
    EVENT_NAMES,
    EVENTS,
    FORMER_EVENTS,
    Allowed,
    ApprovalRequired,
    Cancelled,
    Denied,
    EventData,
    ExecutionCompleted,
    ExecutionFailed,
    GrantUse,
    OutcomeUnknown,
    ResultMasked,
    Sealed,
    UnknownEventType,
    VoteCast,
    encode_event,
    make_event,
    parse_event,
)
from contracts.model import rfc3339
from contracts.records import RECORD_BY_TYPE, RECORDS, RecordData, UnknownRecordType, encode_record, parse_record
from contracts.subjects import CALL_ID

GOLDEN = Path(__file__).parent / "golden"


def golden(ce_type: str) -> bytes:
    return (GOLDEN / f"{ce_type}.json").read_bytes()


def test_every_version_has_golden_bytes_and_nothing_else_has() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {
        f"{ce_type}.json" for ce_type in (*EVENT_BY_TYPE, *RECORD_BY_TYPE)
    }
    assert [type(sample) for sample in EVENT_SAMPLES] == list(EVENTS)
    assert [type(sample) for sample in FORMER_SAMPLES] == list(FORMER_EVENTS)
    assert [type(sample) for _, sample in RECORD_SAMPLES] == list(RECORDS)


@pytest.mark.parametrize("data", [*EVENT_SAMPLES, *FORMER_SAMPLES], ids=lambda data: data.TYPE)
def test_an_event_reads_and_writes_its_golden_bytes(data: EventData) -> None:
    body = golden(data.TYPE)
    parsed = parse_event(data.TYPE, body)
    assert parsed == event_of(data)
    assert encode_event(parsed) == body


@pytest.mark.parametrize(("subject", "data"), RECORD_SAMPLES, ids=lambda value: getattr(value, "TYPE", ""))
def test_a_record_reads_and_writes_its_golden_bytes(subject: str, data: RecordData) -> None:
    body = golden(data.TYPE)
    parsed = parse_record(data.TYPE, body)
    assert parsed == record_of(subject, data)
    assert encode_record(parsed) == body


def test_the_samples_leave_no_field_out() -> None:
    samples: list[Any] = [*EVENT_SAMPLES, *FORMER_SAMPLES, *(sample for _, sample in RECORD_SAMPLES)]
    for data in samples:
        assert data.model_fields_set == set(type(data).model_fields), data.TYPE


def test_an_allowed_by_a_grant_names_it_and_no_other_event_has_the_field() -> None:
    plain = golden(Allowed.TYPE)
    grant = b'"grant":{"grant_id":"g1","granted":"%b","number":2}' % (b"0" * 64)
    body = plain.replace(b'"}}', b'",%b}}' % grant)
    assert body != plain
    parsed = parse_event(Allowed.TYPE, body)
    assert parsed.data.grant == GrantUse(grant_id="g1", granted="0" * 64, number=2)
    assert encode_event(parsed) == body
    assert b"grant" not in encode_event(parse_event(Allowed.TYPE, plain))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (EVENT_SAMPLES[0], "request"),
        (EVENT_SAMPLES[1], "request"),
        *((sample, "headers") for sample in EVENT_SAMPLES if isinstance(sample, (ExecutionCompleted, ResultMasked))),
    ],
    ids=lambda value: getattr(value, "TYPE", value),
)
def test_what_came_through_the_proxy_is_more_of_an_event_and_no_other_has_the_field(data: EventData, name: str) -> None:
    plain = golden(data.TYPE)
    assert plain.endswith(b"}}")
    sealed = b',"%b":{"key_id":"k","nonce":"n","ciphertext":"c","payload":null}}}' % name.encode()
    body = plain[:-2] + sealed
    parsed = parse_event(data.TYPE, body)
    assert getattr(parsed.data, name) == Sealed(key_id="k", nonce="n", ciphertext="c")
    assert encode_event(parsed) == body
    assert f'"{name}"'.encode() not in encode_event(parse_event(data.TYPE, plain))


@pytest.mark.parametrize(
    "data",
    [sample for sample in EVENT_SAMPLES if isinstance(sample, (Denied, ExecutionFailed, OutcomeUnknown, Cancelled))],
    ids=lambda data: data.TYPE,
)
def test_what_a_freeze_stopped_names_it_and_no_other_has_the_field(data: EventData) -> None:
    named = make_event(EVENT, REF, AT, "2" * 64, data.model_copy(update={"freeze": "f1"}))
    body = encode_event(named)
    assert b'"freeze":"f1"' in body
    assert parse_event(data.TYPE, body) == named
    assert b"freeze" not in encode_event(parse_event(data.TYPE, golden(data.TYPE)))


def test_wire_names_are_unique_and_versioned() -> None:
    kinds: list[Any] = [*EVENTS, *RECORDS]
    assert len({kind.TYPE for kind in kinds}) == len(kinds)
    assert len(EVENT_NAMES) == len(EVENTS)
    for event in EVENTS:
        versions = [kind.TYPE for kind in (*FORMER_EVENTS, event) if event.NAME == kind.NAME]
        assert versions == [f"callgate.call.{event.NAME}.v{number}" for number in range(1, len(versions) + 1)]
        assert event.ROLES
    for former in FORMER_EVENTS:
        (newest,) = (event for event in EVENTS if event.NAME == former.NAME)
        assert former.ROLES == newest.ROLES


def test_what_stands_on_older_logs_means_what_it_meant() -> None:
    question, vote = (parse_event(sample.TYPE, golden(sample.TYPE)).data.upcast() for sample in FORMER_SAMPLES)
    assert isinstance(question, ApprovalRequired)
    (asked,) = question.requirements
    assert (asked.approvers, asked.quorum, asked.each, asked.rejections) == (("finance",), 2, False, 1)
    assert (asked.reason_required, asked.remind_at, asked.escalation, asked.break_glass) == (False, None, None, ())
    assert isinstance(vote, VoteCast)
    assert (vote.decision, vote.replaces, vote.break_glass) == ("approve", None, False)
    for sample in EVENT_SAMPLES:
        assert sample.upcast() is sample


@pytest.mark.parametrize("data", [*EVENT_SAMPLES, *FORMER_SAMPLES], ids=lambda data: data.TYPE)
def test_an_unknown_field_or_a_missing_one_is_refused(data: EventData) -> None:
    body = json.loads(golden(data.TYPE))
    for changed in (
        {**body, "extra": 1},
        {**body, "data": {**body["data"], "extra": 1}},
        *({k: v for k, v in body.items() if k != left_out} for left_out in body),
    ):
        with pytest.raises(ValidationError):
            parse_event(data.TYPE, json.dumps(changed).encode())


@pytest.mark.parametrize(
    "ce_type", ["", "callgate.call.allowed.v2", "callgate.call.allowed", "callgate.control.genesis.v1"]
)
def test_an_unknown_event_type_raises(ce_type: str) -> None:
    with pytest.raises(UnknownEventType):
        parse_event(ce_type, golden("callgate.call.allowed.v1"))


def test_an_unknown_record_type_raises() -> None:
    with pytest.raises(UnknownRecordType):
        parse_record("callgate.call.allowed.v1", golden("callgate.call.allowed.v1"))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", "not-an-id"),
        ("event_id", EVENT + "\n"),
        ("call_id", EVENT.upper()),
        ("call_id", "019c1234-5678-4abc-8def-0123456789ab"),
        ("session_id", "s_"),
        ("follows", "A" * 64),
        ("at", "2026-01-31T12:00:00"),
        ("at", "0001-01-01T00:00:00+14:00"),
        ("at", "9999-12-31T23:59:59-14:00"),
    ],
)
def test_hostile_envelopes_are_refused_as_malformed(field: str, value: str) -> None:
    body = json.loads(golden("callgate.call.allowed.v1"))
    with pytest.raises(ValidationError):
        parse_event("callgate.call.allowed.v1", json.dumps({**body, field: value}).encode())


def test_a_payload_stands_in_exactly_one_place() -> None:
    with pytest.raises(ValidationError):
        Sealed(key_id="k", nonce="n")
    both = Sealed(key_id="k", nonce="n", ciphertext="c").model_dump() | {
        "payload": {"payload_id": "p", "chunks": 1, "size": 1, "sha256": "0" * 64}
    }
    with pytest.raises(ValidationError):
        Sealed.model_validate(both)


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
_JSON = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))


@settings(max_examples=25)
@given(st.dictionaries(st.text(), _JSON, max_size=4))
def test_facts_survive_the_wire_unchanged(facts: dict[str, object]) -> None:
    data = Allowed(policy_set="0" * 64, facts=facts, function_digest="1" * 64)
    body = encode_event(make_event(EVENT, REF, AT, "2" * 64, data))
    parsed = parse_event(data.TYPE, body)
    assert parsed.data.facts == facts
    assert encode_event(parsed) == body


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))])))
def test_times_sort_as_text(moment: datetime) -> None:
    try:
        text = rfc3339(moment)
        later = rfc3339(moment + timedelta(microseconds=1))
    except OverflowError:
        return
    assert len(text) == 27
    assert text < later


def test_ids_of_the_samples_are_well_formed() -> None:
    assert CALL_ID.fullmatch(EVENT)
