"""What a model is told of each outcome."""

from typing import Any

import orjson
import pytest

from services.ingress.answers import answer_of, standing
from services.ingress.explanations import CANCELLED, DENIED, FAILED, explain


def outcome(status: str, **more: Any) -> dict[str, Any]:
    detail = explain(status, more.get("code"))
    known = {"id": "1-0.s.c", "status": status, "event": "x"} | ({"detail": detail} if detail else {})
    return known | more


def completed(body: Any, status: int = 200, **more: Any) -> dict[str, Any]:
    return outcome("completed", result={"status": status, "content_type": "application/json", "body": body}, **more)


@pytest.mark.parametrize(("status", "codes"), [("denied", DENIED), ("failed", FAILED), ("cancelled", CANCELLED)])
def test_every_refusal_says_that_it_is_one_and_what_next(status: str, codes: dict[str, str]) -> None:
    for code in codes:
        answer = answer_of(outcome(status, code=code))
        assert answer.is_error
        assert code in answer.text
        assert "Call id: 1-0.s.c." in answer.text
        if status == "denied":
            again = [words for words in ("same call", "Change the arguments") if words in answer.text]
            assert again, code


@pytest.mark.parametrize("status", ["rejected", "expired", "unknown"])
def test_what_people_or_time_decided(status: str) -> None:
    answer = answer_of(outcome(status, reason="not today"))
    assert answer.is_error
    assert "not today" in answer.text
    assert answer.text.startswith({"rejected": "Rejected", "expired": "Expired", "unknown": "Outcome unknown"}[status])


def test_an_unknown_outcome_must_not_be_repeated() -> None:
    assert "Do not make the same call again: it may have happened" in answer_of(outcome("unknown")).text


@pytest.mark.parametrize(
    ("body", "text", "value", "has_value"),
    [
        (orjson.Fragment(b'{"a":1.50}'), '{"a":1.50}', {"a": 1.5}, True),
        (orjson.Fragment(b"[1]"), "[1]", [1], True),
        (orjson.Fragment(b'{"n":1e999}'), '{"n":1e999}', {"n": "1e999"}, True),
        (
            orjson.Fragment(b'{"n":123456789012345678901}'),
            '{"n":123456789012345678901}',
            {"n": 123456789012345678901},
            True,
        ),
        ("plain", "plain", None, False),
        (None, "(no content)", None, False),
    ],
)
def test_a_functions_answer(body: Any, text: str, value: Any, has_value: bool) -> None:
    answer = answer_of(completed(body))
    assert (answer.text, answer.body, answer.has_body, answer.is_error) == (text, value, has_value, False)
    assert answer.notes is None


def test_an_error_of_the_function_and_what_was_masked() -> None:
    findings = [{"path": "/card", "entity": "CREDIT_CARD"}] * 2 + [{"path": "", "entity": "PERSON"}]
    answer = answer_of(completed(orjson.Fragment(b"{}"), 422, findings=findings))
    assert answer.is_error
    assert answer.notes == (
        "The function answered with an error, status 422. "
        "Callgate masked part of this answer: CREDIT_CARD at /card, PERSON at /."
    )
    many = [{"path": f"/{n}", "entity": "PERSON"} for n in range(50)]
    told = answer_of(completed("x", findings=many)).notes
    assert told is not None
    assert told.endswith("and 30 more.")


def test_a_withheld_result_says_that_it_was_run() -> None:
    document = outcome("completed", result={"status": 200}, withheld="response_cut_off")
    answer = answer_of(document)
    assert not answer.is_error
    assert "was run" in answer.text
    assert "response_cut_off" in answer.text


def requirement(groups: list[str], quorum: int, missing: int, *, each: bool = False) -> dict[str, Any]:
    at = "2026-03-01T10:15:00.000000Z"
    return {"groups": groups, "quorum": quorum, "missing": missing, "each": each, "expires_at": at}


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        ([requirement(["finance"], 2, 2)], " by finance, 0 of 2, until 10:15 UTC on 2026-03-01"),
        (
            [requirement(["sre", "security"], 1, 1, each=True)],
            " by sre and security, 1 of 2, until 10:15 UTC on 2026-03-01",
        ),
        (
            [requirement(["a", "b"], 1, 1), requirement(["c"], 1, 0)],
            " by a or b, 0 of 1, until 10:15 UTC on 2026-03-01",
        ),
        ([], ""),
    ],
)
def test_who_is_waited_for(requirements: list[dict[str, Any]], words: str) -> None:
    document = outcome("waiting_for_approval", approvals={"requirements": requirements})
    assert standing(document) == f"waiting for approval{words}"


def test_how_else_a_call_stands() -> None:
    assert standing(outcome("pending", event="arguments_masked")) == "being judged by policy"
    assert standing(outcome("running", event="execution_started")) == "being run"
    assert standing(outcome("pending", event="something_new")) == "on its way"


def amended(changes: bytes, **more: Any) -> dict[str, Any]:
    return {"by": "fina", "at": "2026-01-31T12:00:00Z", "changes": orjson.Fragment(changes)} | more


def test_a_model_is_told_what_a_reviewer_changed_before_its_call_ran() -> None:
    changes = b"""[{"path":"/amount","before":400.00,"after":40},{"path":"/note","before":"[PERSON]"},
        {"path":"/to","after":{"iban":"[IBAN_CODE]","n":123456789012345678901.50}}]"""
    answer = answer_of(completed(orjson.Fragment(b"{}"), amendments=[amended(changes, reason="too much")]))
    assert answer.notes == (
        'A reviewer changed the arguments before this was run (/amount: 400.00 → 40; /note: "[PERSON]" → nothing; '
        '/to: nothing → {"iban":"[IBAN_CODE]","n":123456789012345678901.50}); the answer is to those. '
        "They said: too much"
    )
    assert answer.text == "{}"


def test_changes_that_do_not_open_or_are_many_stay_short() -> None:
    closed = {"by": "fina", "at": "2026-01-31T12:00:00Z"}
    assert answer_of(completed(None, amendments=[closed])).notes == (
        "A reviewer changed the arguments before this was run; the answer is to those."
    )
    many = orjson.dumps([{"path": f"/{n}", "before": "x" * 1000, "after": n} for n in range(100)])
    notes = answer_of(completed(None, amendments=[amended(many, more=True, reason="y" * 9000)])).notes
    assert notes is not None
    assert len(notes) < 20 * 250 + 1200
    assert "/19: " in notes
    assert "/20: " not in notes
    assert "; and more);" in notes


def test_a_model_is_told_that_a_person_settled_it_also_where_the_answer_is_withheld() -> None:
    settled: dict[str, Any] = {
        "settlement": {"outcome": "done", "at": "2026-01-31T12:00:00Z"},
        "detail": "A person looked into it.",
    }
    answer = answer_of(completed({}, status=500, findings=[{"path": "/a", "entity": "PERSON"}], **settled))
    assert answer.notes == (
        "The function answered with an error, status 500. A person looked into it. "
        "Callgate masked part of this answer: PERSON at /a."
    )
    answer = answer_of(completed(None, withheld="too_large", amendments=[amended(b"[]")], **settled))
    assert answer.notes is not None
    assert answer.notes.startswith("A reviewer changed the arguments")
    assert answer.notes.endswith("A person looked into it.")


def test_of_what_expired_it_is_said_who_did_not_decide() -> None:
    missing = {"requirements": [requirement(["finance"], 2, 1), requirement(["c"], 1, 0)]}
    text = answer_of(outcome("expired", approvals=missing)).text
    assert "Had approved: finance, 1 of 2. Call id" in text
    assert "make the same call anew" in text
