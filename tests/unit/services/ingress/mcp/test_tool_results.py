"""What a model is told of a call that was not taken, and of one that it only asked about."""

from typing import Any

import pytest
from mcp_types import CallToolResult, TextContent

from callgate.http import Problem
from services.ingress.mcp.results import CANCEL_TOOL, OUTCOME_TOOL, pending_of, refused, refused_about

CALL = "1-0.s.c"
AWAY = Problem(503, "broker_away", "The event log is out of reach.")
BUSY = Problem(503, "too_many_waiting", "Too many requests wait here; try again, or send `Prefer: respond-async`.")
TOO_LATE = Problem(409, "too_late", "The call has begun or is over.", extra={"state": "execution_started"})
UNKNOWN = Problem(404, "unknown_call", "There is no such call of yours.")


def said(result: CallToolResult) -> str:
    assert isinstance(result.content[0], TextContent)
    return result.content[0].text


def told(result: CallToolResult) -> Any:
    assert result.is_error
    return result.structured_content["callgate"] if result.structured_content else None


def test_a_call_that_was_not_taken_may_be_made_again_where_that_helps() -> None:
    assert said(refused(UNKNOWN)) == "Not run (unknown_call). There is no such call of yours."
    assert said(refused(AWAY)).endswith("You may make the same call again in a moment.")


def test_a_call_in_doubt_is_asked_for_first() -> None:
    perhaps = Problem(503, "broker_away", "Ask at Location whether it stands.", extra={"id": CALL})
    assert said(refused(perhaps)) == (
        "It is not known what became of this call (broker_away). The event log is out of reach. It may be recorded, "
        f'and go on. Call {OUTCOME_TOOL} with {{"call_id": "{CALL}"}} before you call again.'
    )
    assert "Location" not in told(refused(perhaps))["detail"]


@pytest.mark.parametrize("tool", [OUTCOME_TOOL, CANCEL_TOOL])
@pytest.mark.parametrize("problem", [AWAY, BUSY, TOO_LATE, UNKNOWN])
def test_of_a_call_that_stands_nobody_is_told_that_it_did_not_run(tool: str, problem: Problem) -> None:
    """The call may be running, and a model that takes it for not run makes it twice."""
    refused = refused_about(tool, problem, CALL)
    assert told(refused)["code"] == problem.code
    assert "ot run" not in said(refused)
    assert "You may make the same call again" not in said(refused)


@pytest.mark.parametrize("problem", [AWAY, BUSY])
def test_whoever_could_not_ask_asks_again_with_the_same_tool(problem: Problem) -> None:
    outcome, cancel = (said(refused_about(tool, problem, CALL)) for tool in (OUTCOME_TOOL, CANCEL_TOOL))
    assert outcome.startswith(f"The answer cannot be told now ({problem.code}).")
    assert cancel.startswith(f"It is not known whether the call was withdrawn ({problem.code}).")
    for tool, text in ((OUTCOME_TOOL, outcome), (CANCEL_TOOL, cancel)):
        assert text.endswith(f'Do not make the call again; call {tool} with {{"call_id": "{CALL}"}} in a moment.')


def test_what_can_no_longer_be_withdrawn_has_an_outcome() -> None:
    refused = refused_about(CANCEL_TOOL, TOO_LATE, CALL)
    assert said(refused) == (
        "Not withdrawn (too_late). The call has begun or is over. Do not make the call again; "
        f'call {OUTCOME_TOOL} with {{"call_id": "{CALL}"}} for its answer.'
    )
    assert told(refused)["state"] == "execution_started"
    assert said(refused_about(CANCEL_TOOL, UNKNOWN, "x")) == (
        "Not withdrawn (unknown_call). There is no such call of yours."
    )
    assert (
        said(refused_about(OUTCOME_TOOL, UNKNOWN, None)) == "No answer (unknown_call). There is no such call of yours."
    )


def test_who_asks_for_the_outcome_is_not_told_to_leave_that() -> None:
    document = {"id": CALL, "status": "waiting_for_approval", "function": "shop.pay"}
    assert "do not call shop-pay again for it" in said(pending_of(document, "shop-pay", 50))
    again = said(pending_of(document, OUTCOME_TOOL, 50))
    assert f"do not call {OUTCOME_TOOL} again" not in again
    assert "do not make the call again" in again
