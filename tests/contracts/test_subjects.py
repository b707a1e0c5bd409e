"""Subjects and public ids: what is written is read back, and nothing else is read at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.subjects import (
    CALL_ID,
    SESSION_ID,
    CallRef,
    Partition,
    event_filter,
    homes,
    parse_call_subject,
    session_filter,
)

SESSION = "s_aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb"
CALL = "019c1234-5678-7abc-8def-0123456789ab"

partitions = st.builds(Partition, st.integers(1, 999_999_999), st.integers(0, 99_999))
refs = st.builds(CallRef, partitions, st.from_regex(SESSION_ID, fullmatch=True), st.from_regex(CALL_ID, fullmatch=True))


@given(partitions)
def test_a_partition_reads_back(partition: Partition) -> None:
    assert Partition.parse(str(partition)) == partition
    assert partition.stream == f"CALLS_{partition.epoch}_{partition.shard}"


@given(refs, st.sampled_from(["requested", "allowed", "result_masked"]))
def test_a_call_reads_back_from_its_id_and_its_subjects(ref: CallRef, event: str) -> None:
    assert CallRef.parse(str(ref)) == ref
    subject = ref.subject(event)
    assert parse_call_subject(subject) == (ref, event)
    assert len(subject.split(".")) == 5
    assert subject.startswith(session_filter(ref.partition, ref.session_id).removesuffix(">"))
    assert subject.startswith(ref.all_events.removesuffix(">"))
    assert ref.live == f"live.{ref.subject('*')}"


@given(st.from_regex(SESSION_ID, fullmatch=True), st.integers(1, 9), st.integers(1, 64))
def test_a_session_has_one_partition_of_its_epoch(session_id: str, epoch: int, shards: int) -> None:
    partition = Partition.of_session(session_id, epoch, shards)
    assert partition == Partition.of_session(session_id, epoch, shards)
    assert partition.epoch == epoch
    assert 0 <= partition.shard < shards


@given(st.from_regex(SESSION_ID, fullmatch=True), st.dictionaries(st.integers(1, 9), st.integers(1, 64), max_size=4))
def test_a_session_has_one_home_in_each_epoch_by_its_own_number_of_shards(
    session_id: str, layout: dict[int, int]
) -> None:
    provisioned = {Partition(epoch, shard) for epoch, shards in layout.items() for shard in range(shards)}
    wanted = tuple(Partition.of_session(session_id, epoch, shards) for epoch, shards in sorted(layout.items()))
    assert homes(session_id, provisioned) == wanted


def test_sessions_spread_over_the_shards() -> None:
    found = {Partition.of_session(f"s_{number:032d}", 1, 4).shard for number in range(100)}
    assert found == {0, 1, 2, 3}


@given(st.text())
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (CallRef.parse, Partition.parse, parse_call_subject):
        try:
            parse(text)
        except ValueError:
            continue


@pytest.mark.parametrize(
    "text", ["", "1", "0-0", "01-0", "1-00", "1-", "-1-0", "1-0 ", "1-0\n", "1-0.x", "¹-0", "१-0", "9" * 10 + "-0"]
)
def test_hostile_partitions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a partition"):
        Partition.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"1-0.{SESSION}",
        f"1-0.{SESSION}.{CALL}.allowed",
        f"1-0.{SESSION}.*",
        f"1-0.>.{CALL}",
        f"*.{SESSION}.{CALL}",
        f"1-0.{SESSION.upper()}.{CALL}",
        f"1-0.{SESSION}.{CALL.upper()}",
        f"1-0.{SESSION}.{CALL}\n",
        f"1-0.{SESSION}.{CALL}\x00",
        f"1-0.{SESSION[:-1]}1.{CALL}",
        f"1-0.{SESSION}.019c1234-5678-4abc-8def-0123456789ab",
    ],
)
def test_hostile_call_ids_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        CallRef.parse(text)


@pytest.mark.parametrize(
    "subject",
    [
        "",
        ".",
        "calls",
        "calls.",
        f"calls.1-0.{SESSION}.{CALL}",
        f"calls.1-0.{SESSION}.{CALL}.",
        f"live.calls.1-0.{SESSION}.{CALL}.allowed",
        f"xcalls.1-0.{SESSION}.{CALL}.allowed",
    ],
)
def test_other_subjects_are_no_subjects_of_calls(subject: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        parse_call_subject(subject)


def test_filters_cover_every_partition_or_one() -> None:
    assert event_filter("allowed") == "calls.*.*.*.allowed"
    assert event_filter("allowed", "1-0") == "calls.1-0.*.*.allowed"
