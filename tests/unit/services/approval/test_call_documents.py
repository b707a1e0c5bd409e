"""What the API tells of a call: numbers as they stand, no argument where none was asked for, times in RFC 3339."""

import json
from typing import Any

from approval_calls import asked, lost, requirement

from services.approval.call_documents import OutcomeDocument, outcome_members, requirements_of, voted
from services.approval.domain import question_of
from services.approval.outcomes import unsettled_of
from services.approval.routes import told
from services.approval.views import View


def sent(document: Any) -> Any:
    return json.loads(bytes(told(document).body))


def test_arguments_are_told_as_they_stand_and_only_where_they_are_to_be_shown() -> None:
    outcome = unsettled_of(lost().call)
    assert outcome is not None
    arguments = {"amount": 2**80, "rate": 0.1, "none": None, "list": [True, "x"]}
    whole = sent(OutcomeDocument(**outcome_members(outcome, View(arguments))))
    assert whole["arguments"] == arguments
    assert (whole["findings"], whole["since"]) == ([], "2026-01-31T12:00:00.000000Z")
    assert "withheld" not in whole
    brief = sent(OutcomeDocument(**outcome_members(outcome, None)))
    assert whole.keys() - brief.keys() == {"arguments", "findings"}
    erased = sent(OutcomeDocument(**outcome_members(outcome, View(withheld="session_erased"))))
    assert (erased["arguments"], erased["withheld"]) == (None, "session_erased")


def test_every_member_of_a_requirement_is_told() -> None:
    question = question_of(asked(requirement("finance", quorum=2)).call)
    assert question is not None
    (one,) = sent(voted(question))["requirements"]
    assert (one["approvers"], one["quorum"], one["missing"], one["escalation"]) == (["finance"], 2, 2, None)
    assert one.keys() == set(type(requirements_of(question)[0]).model_fields)
