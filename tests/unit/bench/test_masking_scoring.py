"""What the benchmark counts as found and as flagged."""

from pathlib import Path

import pytest

from bench.masking import presidio, speed
from bench.masking.corpora import ordinary, telling
from bench.masking.scoring import (
    Case,
    Share,
    Span,
    alarms,
    covered,
    read_cases,
    read_sentences,
    score_cases,
    score_sentences,
    together,
)
from services.masking.composition import tools_of

TEXT = "card 4111 1111 now"
CARD = Span("CREDIT_CARD", 5, 14)


@pytest.mark.parametrize(
    ("found", "whole"),
    [
        ([], False),
        ([Span("CREDIT_CARD", 5, 14)], True),
        ([Span("PHONE_NUMBER", 0, 18)], True),
        ([Span("A", 5, 9), Span("B", 10, 14)], True),  # the blank between them tells nothing
        ([Span("CREDIT_CARD", 5, 13)], False),
        ([Span("CREDIT_CARD", 14, 18)], False),
    ],
)
def test_a_span_is_found_where_nothing_of_it_is_left(found: list[Span], whole: bool) -> None:
    assert covered(TEXT, CARD, found) is whole


def test_cases_are_scored_by_any_and_by_their_own_entity() -> None:
    cases = [
        (Case(TEXT, (CARD,), "CREDIT_CARD"), [CARD]),
        (Case(TEXT, (CARD,), "CREDIT_CARD"), [CARD._replace(entity="PHONE_NUMBER")]),
        (Case(TEXT, (CARD,), "CREDIT_CARD"), []),
        (Case(TEXT, (), "CREDIT_CARD"), [CARD]),
        (Case(TEXT, (), "CREDIT_CARD"), [CARD._replace(entity="PHONE_NUMBER")]),
        (Case(TEXT, (), "CREDIT_CARD"), []),
    ]
    score = score_cases(cases)
    assert (score.recall, score.own_recall) == (Share(2, 3), Share(1, 3))
    assert (score.flagged, score.own_flagged) == (Share(2, 3), Share(1, 3))
    assert str(score.recall) == "0.667 (2/3)"
    assert str(Share()) == "-"


def test_sentences_by_entity() -> None:
    case = Case(TEXT, (CARD, Span("PERSON", 0, 4)))
    shares = score_sentences([(case, [CARD]), (case, [])])
    assert shares == {"CREDIT_CARD": Share(1, 2), "PERSON": Share(0, 2)}
    assert together(shares, ["CREDIT_CARD", "US_SSN"]) == Share(1, 2)


def test_an_alarm_touches_nothing_labelled_and_counts_once() -> None:
    found = [CARD, Span("PHONE_NUMBER", 0, 4), Span("US_SSN", 0, 4), Span("DATE_TIME", 15, 18)]
    assert alarms([(Case(TEXT, (CARD,)), found)]) == {"PHONE_NUMBER": 1}


def test_files_as_the_options_describe_them(tmp_path: Path) -> None:
    cases, sentences = tmp_path / "cases", tmp_path / "sentences"
    cases.write_text(
        '{"entity": "US_SSN", "text": "é 1", "spans": [[0, 3]]}\n\n{"entity": "A", "text": "", "spans": []}\n'
    )
    sentences.write_text('{"text": "Jane", "spans": [{"entity": "PERSON", "start": 0, "end": 4}]}\n')
    assert read_cases(cases) == [Case("é 1", (Span("US_SSN", 0, 3),), "US_SSN"), Case("", (), "A")]
    assert read_sentences(sentences) == [Case("Jane", (Span("PERSON", 0, 4),))]


def test_corpora_follow_from_their_seed() -> None:
    assert list(ordinary(5, 5000)) == list(ordinary(5, 5000))
    assert list(telling(5, 1)) == list(telling(5, 1))
    assert list(ordinary(5, 5000)) != list(ordinary(6, 5000))
    for told in telling(5, 1):
        value = told.document
        for step in told.path:
            value = value[step]
        assert not isinstance(value, (dict, list))


def test_hostile_documents_are_measured() -> None:
    measured = speed.hostile_speed(tools_of(None), size=2000, seconds=0.0001)
    assert len(measured) > 60
    assert len({one.name for one in measured}) == len(measured)
    assert measured == sorted(measured, key=lambda one: -one.cost)
    assert all(one.cost > 0 and one.growth > 0 for one in measured)


def test_without_presidio_there_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(presidio.UnavailableError, match="no such module"):
        presidio.ask(broken, {}, [])
    monkeypatch.setattr(presidio, "ROOT", tmp_path)
    monkeypatch.setattr(presidio, "ENVIRONMENT", tmp_path / "there")
    monkeypatch.setattr("sys.executable", str(broken))
    with pytest.raises(presidio.UnavailableError, match="cannot be installed"):
        presidio.environment()
