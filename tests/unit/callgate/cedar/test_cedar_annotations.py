"""What annotations ask of people; what is wrong with one is tested where policies are loaded, with file and line."""

from datetime import UTC, datetime, timedelta

import pytest

from callgate.cedar.annotations import Approval, approval_of
from contracts.events import Escalation, Requirement

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def approval(**annotations: str) -> Approval:
    found = approval_of({"approvers": "sre, security", **annotations})
    assert found is not None
    return found


def test_nobody_is_asked() -> None:
    assert approval_of({"id": "a", "reason": "why", "owner": "team-x"}) is None


def test_the_defaults_are_what_policies_meant_before() -> None:
    assert approval().requirement("a", NOW) == Requirement(
        policies=("a",),
        approvers=("sre", "security"),
        quorum=1,
        expires_at=NOW + 60 * MINUTE,
        remind_at=NOW + 40 * MINUTE,
    )


def test_everything() -> None:
    asked = approval(
        quorum="2 each",
        rejections="3",
        expires="20m",
        remind="5m",
        escalate="leads, board,10m",
        justification="required",
        break_glass="incident-commanders",
    )
    assert asked.requirement("a", NOW) == Requirement(
        policies=("a",),
        approvers=("sre", "security"),
        quorum=2,
        expires_at=NOW + 20 * MINUTE,
        each=True,
        rejections=3,
        reason_required=True,
        remind_at=NOW + 15 * MINUTE,
        escalation=Escalation(approvers=("leads", "board"), at=NOW + 10 * MINUTE),
        break_glass=("incident-commanders",),
    )


@pytest.mark.parametrize(
    ("text", "expected"), [("1", (1, False)), ("12", (12, False)), ("each", (1, True)), ("3 each", (3, True))]
)
def test_quorums(text: str, expected: tuple[int, bool]) -> None:
    asked = approval(quorum=text)
    assert (asked.quorum, asked.each) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 1.5 * MINUTE), ("15m", 15 * MINUTE), ("2h", 120 * MINUTE), ("365d", 525600 * MINUTE)]
)
def test_durations(text: str, expected: timedelta) -> None:
    assert approval(expires=text).expires == expected


@pytest.mark.parametrize(
    ("annotations", "expected"),
    [
        ({"expires": "15m"}, 5 * MINUTE),
        ({"expires": "2m"}, MINUTE),
        ({"expires": "1m"}, None),
        ({"expires": "15m", "remind": "14m"}, 14 * MINUTE),
        ({"expires": "15m", "remind": "never"}, None),
    ],
)
def test_reminders(annotations: dict[str, str], expected: timedelta | None) -> None:
    assert approval(**annotations).remind == expected
