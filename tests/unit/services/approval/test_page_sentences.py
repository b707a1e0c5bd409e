"""What pages say in sentences."""

from datetime import timedelta

import pytest
from approval_calls import START

from contracts.events import Requirement
from contracts.records import Conditions
from services.approval.domain import Progress
from services.approval.pages.sentences import covers, dots, given, needs


def requirement(*groups: str, quorum: int = 1, each: bool = False) -> Requirement:
    return Requirement(
        policies=("p",), approvers=groups, quorum=quorum, each=each, expires_at=START + timedelta(minutes=5)
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (requirement("finance"), "One person of finance must approve."),
        (requirement("finance", quorum=2), "2 people of finance must approve."),
        (requirement("sre", "leads"), "One person of sre or leads must approve."),
        (requirement("sre", "security", each=True), "One person of each of sre and security must approve."),
        (requirement("a", "b", "c", quorum=2, each=True), "2 people of each of a, b and c must approve."),
        (requirement("a", each=True), "One person of a must approve."),
    ],
)
def test_needs(asked: Requirement, said: str) -> None:
    assert needs(asked) == said


def test_progress_is_never_less_than_nothing() -> None:
    progress = Progress(requirement("finance", quorum=3), missing=1)
    assert (given(progress), dots(progress)) == ((2, 3), "●●○")
    assert given(Progress(requirement("finance"), missing=2)) == (0, 1)
    assert dots(Progress(requirement("finance", quorum=40), missing=40)) == "0/40"


def test_what_a_grant_covers() -> None:
    conditions: Conditions = {
        "amount": {"gte": 1, "lte": 40},
        "/order/currency": {"in": ["USD", "EUR"]},
        "vip": {"eq": True},
    }
    assert covers("shop.buy", "bot", "rosa", True, conditions) == (
        "Calls of shop.buy by bot for rosa, in this session only, where amount is at least 1, amount is at most 40, "
        "order.currency is one of USD or EUR and vip is exactly true."
    )
    assert covers("shop.buy", "bot", None, False, {}) == "Calls of shop.buy by bot, whatever its arguments are."
