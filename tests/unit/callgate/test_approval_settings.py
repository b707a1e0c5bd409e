"""Where nobody would hear of an outcome that nobody knows, the settings can tell."""

from pathlib import Path
from typing import Any

import pytest

from callgate.approval_settings import ApprovalSettings

SLACK = {
    "token_file": "token",
    "signing_secret_file": "secret",
    "channels": {"finance": "C024BE91L", "sre": "C0G9QF9GZ"},
}
TEAMS = {"channels": [{"name": "sre", "groups": ["sre"], "url_file": "url"}]}
EMAIL = {
    "host": "smtp.example.com",
    "sender": "gate@example.com",
    "lists": [{"name": "sre", "groups": ["sre"], "to": ["sre@example.com"]}],
}
HOOK = {"name": "soc", "url": "https://soc.example/", "secret_files": ["secret"]}


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"settlers": ["sre"]},
        {"slack": SLACK, "settlers": ["board", "sre"]},
        {"teams": TEAMS, "settlers": ["sre"]},
        {"email": EMAIL, "settlers": ["sre"]},
        {"webhooks": [HOOK]},
        {"webhooks": [HOOK | {"groups": ["sre"]}], "settlers": ["sre"]},
        {"webhooks": [HOOK | {"events": ["call.outcome_unknown"]}]},
    ],
)
def test_somebody_hears_or_there_is_no_channel_at_all(section: Any) -> None:
    assert ApprovalSettings.model_validate(section).unheard is None


@pytest.mark.parametrize(
    "section",
    [
        {"slack": SLACK},
        {"teams": TEAMS},
        {"email": EMAIL},
        {"webhooks": [HOOK | {"groups": ["sre"]}]},
        {"webhooks": [HOOK | {"functions": ["payments.refund"]}]},
    ],
)
def test_without_settlers_the_advice_is_to_name_some(section: Any) -> None:
    unheard = ApprovalSettings.model_validate(section).unheard
    assert unheard is not None
    assert "name in `approval.settlers`" in unheard


@pytest.mark.parametrize(
    "section",
    [
        {"slack": SLACK},
        {"teams": TEAMS | {"events": ["approval.required"]}},
        {"email": EMAIL | {"events": ["call.outcome_settled"]}},
        {"webhooks": [HOOK | {"events": ["approval.required"]}]},
    ],
)
def test_settlers_to_whom_no_channel_leads_are_told_apart(section: Any) -> None:
    settlers = ["board"] if "slack" in section else ["sre"]
    unheard = ApprovalSettings.model_validate(section | {"settlers": settlers}).unheard
    assert unheard is not None
    assert "no channel leads" in unheard


def test_files_are_taken_from_the_folder_of_the_settings() -> None:
    section = ApprovalSettings.model_validate({"slack": SLACK, "teams": TEAMS, "email": EMAIL, "webhooks": [HOOK]})
    anchored = section.anchored(Path("/etc/gate"))
    assert anchored.slack is not None
    assert anchored.slack.token_file == Path("/etc/gate/token")
    assert anchored.webhooks[0].secret_files == (Path("/etc/gate/secret"),)
