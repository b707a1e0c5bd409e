"""Form codes, and the subjects of timers."""

import pytest
from approval_calls import asked

from callgate.http import Problem
from contracts.subjects import timer_due_subject, timer_subject
from services.approval.frame import safe_next
from services.approval.sessions import check_form_code, form_code
from services.approval.timers import call_due


def test_a_form_code_is_of_its_session_and_form() -> None:
    code = form_code("token", "vote x")
    check_form_code("token", "vote x", code)
    for session, form, given in (
        ("other", "vote x", code),
        ("token", "vote y", code),
        ("token", "vote x", None),
        ("token", "vote x", "ü"),
    ):
        with pytest.raises(Problem):
            check_form_code(session, form, given)


@pytest.mark.parametrize(
    "path",
    [
        *("https://evil.example", "//evil.example", "/approvals//evil", "/approvals/../x", "/approvals/a/.."),
        *("/approvals/sign-in", "/approvals/sign-in/oidc", "/approvals/sign-out", "/approvals/sign-out/issuer"),
        *("/v1", "", "/approvals/x\n", "/approvals/a/b/c", "/approvals/%2e%2e/x", "/approvals\\evil.example"),
    ],
)
def test_signing_in_leads_to_our_own_pages_only(path: str) -> None:
    assert safe_next(path) == "/approvals"


def test_the_call_of_a_timer() -> None:
    ref = asked().ref
    for page in (f"/approvals/{ref}", f"/approvals/{ref}/amend", "/approvals/sign-ins", "/approvals/in-force"):
        assert safe_next(page) == page
    for kind in ("expiry", "reminder", "escalation"):
        assert call_due(timer_due_subject(ref, kind)) == (kind, ref)
    for other in (timer_due_subject(ref, "other"), timer_subject(ref, "expiry"), "timers.due.expiry.x", ""):
        assert call_due(other) is None
