"""No model is told of headers and addresses, which are for the program that sends its calls."""

import re
from datetime import UTC, datetime

import pytest

from callgate.errors import TooLarge
from callgate.http import Problem
from contracts.freezes import Freeze
from contracts.identity import Principal
from contracts.subjects import CallRef, Partition
from services.ingress.calls import Frozen, NotBound, PerhapsRecorded, UnknownCall
from services.ingress.domain import BadRequest, session_of
from services.ingress.doors import problem_of
from services.ingress.explanations import CANCELLED, DENIED, FAILED
from services.ingress.intake import key_among
from services.ingress.limiting import OverLimit
from services.ingress.refusals import call_in_doubt, detail_of, doubt_of, refusal_of
from services.ingress.reservations import KeyReused
from services.ingress.room import TooManyHeld

BOT = Principal(id="bot", issuer="i")
REF = CallRef(Partition(1, 0), "s_" + "a" * 32, "0199f0a0-0000-7000-8000-000000000000")
OF_HTTP = re.compile(r"Location|Prefer|Idempotency-Key|\b(GET|POST|DELETE)\b|/v1/|[Hh]eader")
FROZEN = Freeze("f1", "everything", None, None, BOT, datetime(2026, 3, 1, tzinfo=UTC), None, None)


def of(error: Exception) -> Problem:
    problem = problem_of(error)
    assert problem is not None
    return problem


def foreign() -> Problem:
    with pytest.raises(BadRequest) as raised:
        session_of(BOT, "s_" + "a" * 32)
    return of(raised.value)


def bad_key() -> Problem:
    with pytest.raises(Problem) as raised:
        key_among(["a", "b"])
    return raised.value


PROBLEMS = [
    foreign(),
    bad_key(),
    of(KeyReused()),
    of(NotBound()),
    of(TooManyHeld()),
    of(TooLarge()),
    of(UnknownCall()),
    of(Frozen(FROZEN)),
    of(OverLimit("calls", "rate_limited", 2.5)),
    of(PerhapsRecorded(REF)),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.code)
def test_nothing_that_a_model_is_told_is_about_http(problem: Problem) -> None:
    text = refusal_of(problem) if call_in_doubt(problem) is None else doubt_of(problem)
    assert problem.code in text
    assert not OF_HTTP.search(text)
    assert not OF_HTTP.search(detail_of(problem))


@pytest.mark.parametrize("text", [*DENIED.values(), *FAILED.values(), *CANCELLED.values()])
def test_no_outcome_is_told_in_terms_of_http(text: str) -> None:
    assert not OF_HTTP.search(text)


def test_what_passes_may_be_tried_again_and_what_does_not_is_for_people() -> None:
    assert refusal_of(of(TooManyHeld())).endswith("You may make the same call again in a moment.")
    assert refusal_of(of(Frozen(FROZEN))).endswith("You may make the same call again once that is lifted.")
    for problem in (of(KeyReused()), of(NotBound()), foreign(), bad_key()):
        assert refusal_of(problem).endswith("Tell the person you work for.")
    assert "Do not make it again" in refusal_of(of(KeyReused()))
    assert call_in_doubt(of(PerhapsRecorded(REF))) == str(REF)
