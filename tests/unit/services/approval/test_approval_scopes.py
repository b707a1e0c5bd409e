"""What a freeze asks for: only what aims at something is taken."""

import contextlib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.functions import Catalog, FunctionSpec, HttpConnection
from services.approval.scopes import BadScope, duration, freeze_wanted, session_of

SESSION = "s_" + "a" * 32
CATALOG = Catalog({"pay": HttpConnection(base_url="http://p.test", functions={"refund": FunctionSpec(path="/r")})})


def wish(**changed: Any) -> dict[str, Any]:
    return {"scope": "agent", "target": "bot", "reason": "odd calls"} | changed


@pytest.mark.parametrize(
    ("changed", "target"),
    [
        ({}, "bot"),
        ({"issuer": "https://issuer.test"}, "bot"),
        ({"scope": "session", "target": SESSION}, SESSION),
        ({"scope": "session", "target": f"1-0.{SESSION}.01990000-0000-7000-8000-000000000001"}, SESSION),
        ({"scope": "function", "target": "pay.refund"}, "pay.refund"),
        ({"scope": "connection", "target": "pay"}, "pay"),
        ({"scope": "everything", "target": None}, None),
    ],
)
def test_what_aims_at_something_is_taken(changed: dict[str, Any], target: str | None) -> None:
    wanted = freeze_wanted(wish(**changed), CATALOG)
    assert (wanted.scope, wanted.target, wanted.lasts) == (changed.get("scope", "agent"), target, None)
    assert wanted.issuer == changed.get("issuer")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"scope": "agents"}, "bad_scope"),
        ({"scope": None}, "bad_scope"),
        ({"scope": ["agent"]}, "bad_scope"),
        ({"target": ""}, "bad_target"),
        ({"target": " bot"}, "bad_target"),
        ({"target": 7}, "bad_target"),
        ({"target": "\ud800"}, "bad_target"),
        ({"scope": "everything"}, "bad_target"),
        ({"scope": "session"}, "bad_session"),
        ({"scope": "function", "target": "pay.refunds"}, "unknown_function"),
        ({"scope": "function", "target": "pay"}, "unknown_function"),
        ({"scope": "connection", "target": "pay.refund"}, "unknown_connection"),
        ({"scope": "function", "target": "pay.refund", "issuer": "https://issuer.test"}, "bad_issuer"),
        ({"issuer": ""}, "bad_issuer"),
        ({"reason": "  "}, "reason_required"),
        ({"reason": None}, "reason_required"),
        ({"reason": "x" * 2001}, "bad_reason"),
        ({"for": "2 hours"}, "bad_duration"),
        ({"for": "0m"}, "bad_duration"),
        ({"for": "366d"}, "bad_duration"),
        ({"until": "tomorrow"}, "invalid_request"),
    ],
)
def test_what_aims_at_nothing_is_refused(changed: dict[str, Any], code: str) -> None:
    with pytest.raises(BadScope) as refused:
        freeze_wanted(wish(**changed), CATALOG)
    assert refused.value.code == code


@pytest.mark.parametrize("document", [None, [], "everything", 1])
def test_no_object_is_no_wish(document: Any) -> None:
    with pytest.raises(BadScope):
        freeze_wanted(document, CATALOG)


def test_durations() -> None:
    assert [duration(text) for text in ("90s", "30m", "2h", "1d")] == [
        timedelta(seconds=90),
        timedelta(minutes=30),
        timedelta(hours=2),
        timedelta(days=1),
    ]


@given(st.text(max_size=12) | st.integers() | st.none() | st.lists(st.text()))
def test_whatever_is_sent_is_taken_or_refused(value: Any) -> None:
    for read in (duration, session_of):
        with contextlib.suppress(BadScope):
            assert read(value)
