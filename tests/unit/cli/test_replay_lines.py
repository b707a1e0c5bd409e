"""A replayed call as an auditor reads it in a terminal."""

from dataclasses import replace
from typing import Any

import pytest

from cli.replay_lines import replay_lines
from contracts.events import (
    Allowed,
    Cancelled,
    Denied,
    EventData,
    ExecutionCompleted,
    ExecutionStarted,
    GrantUse,
    ResultMasked,
)
from services.audit.views import Replayed, Step
from tests.memory_log import NOW, Calls, MemoryLog, MemorySealer


def test_a_call_that_a_grant_let_through_names_the_grant() -> None:
    calls = Calls(MemoryLog(), MemorySealer())
    ref = calls.masked().ref
    use = GrantUse(grant_id="01990000-0000-7000-8000-000000000002", granted="c" * 64, number=2)
    calls.log.put(ref, Allowed(policy_set="a" * 64, function_digest="b" * 64, policies=("large",), grant=use))
    call = calls.log.call(ref)
    told = list(replay_lines(Replayed(call, tuple(map(Step, call.chain)), ())))
    assert told[3].endswith("by large, approved in advance by use 2 of grant 01990000-0000-7000-8000-000000000002")


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (Denied(policy_set="a" * 64, function_digest="b" * 64, code="frozen", freeze="f1"), "(frozen by freeze f1)"),
        (Cancelled(by="fay", code="frozen", freeze="f1"), "by fay (frozen by freeze f1)"),
        (Cancelled(by="bot", code="withdrawn"), "by bot (withdrawn)"),
    ],
)
def test_what_a_freeze_stopped_names_it(data: EventData, told: str) -> None:
    calls = Calls(MemoryLog(), MemorySealer())
    ref = calls.masked().ref
    calls.log.put(ref, data)
    call = calls.log.call(ref)
    assert list(replay_lines(Replayed(call, tuple(map(Step, call.chain)), ())))[3].endswith(told)


def test_a_call_that_policy_allowed_by_itself_names_no_grant() -> None:
    calls = Calls(MemoryLog(), MemorySealer())
    call = calls.log.call(calls.allowed("b" * 64).ref)
    told = list(replay_lines(Replayed(call, tuple(map(Step, call.chain)), ())))
    assert told[3].endswith("by no policy")


GRANTED: dict[str, Any] = {
    "proven": True,
    "by": "fay",
    "since": "2026-01-31T12:00:00.000000Z",
    "expires_at": "2026-01-31T12:30:00.000000Z",
    "revoked_at": None,
    "revoked_by": None,
}
REVOKED = {"revoked_at": "2026-01-31T12:20:00.000000Z", "revoked_by": "finn"}


@pytest.mark.parametrize(
    ("granted", "told"),
    [
        (GRANTED, "g1, which fay gave 2026-01-31T12:00:00 until 2026-01-31T12:30:00"),
        (GRANTED | REVOKED, "until 2026-01-31T12:30:00, revoked 2026-01-31T12:20:00 by finn"),
        (GRANTED | {"proven": False}, "until 2026-01-31T12:30:00 (NOT PROVEN: its records do not cover this call)"),
        ({"proven": False}, "g1 (NOT PROVEN: its records are not there)"),
    ],
)
def test_a_grant_is_told_with_its_granter_and_whether_it_is_proven(granted: dict[str, Any], told: str) -> None:
    calls = Calls(MemoryLog(), MemorySealer())
    ref = calls.masked().ref
    use = GrantUse(grant_id="g1", granted="c" * 64, number=2)
    calls.log.put(ref, Allowed(policy_set="a" * 64, function_digest="b" * 64, policies=("large",), grant=use))
    call = calls.log.call(ref)
    steps = [
        replace(Step(recorded), granted=granted if recorded.name == "allowed" else None) for recorded in call.chain
    ]
    assert list(replay_lines(Replayed(call, tuple(steps), ())))[3].endswith(told)


def test_an_answer_of_the_proxy_is_shown_with_its_headers() -> None:
    calls = Calls(MemoryLog(), MemorySealer())
    ref = calls.allowed("b" * 64).ref
    calls.log.put(ref, ExecutionStarted(instance="e1", attempt=1, deadline=NOW))
    sealed = calls.masked().event.data.view
    calls.log.put(
        ref, ExecutionCompleted(function="shop.pay", status=201, result=sealed, size=2, duration_ms=1, headers=sealed)
    )
    calls.log.put(ref, ResultMasked(status=201, view=sealed, headers=sealed))
    call = calls.log.call(ref)
    opened = {"response": b"{}", "response_headers": b'[["location","/proxy/crm/[CREDIT_CARD]"]]'}
    steps = [replace(Step(recorded), opened=opened) for recorded in call.chain]
    (*_, told, _) = replay_lines(Replayed(call, tuple(steps), ()))
    assert told.endswith('status 201 {} headers: [["location","/proxy/crm/[CREDIT_CARD]"]]')
    (*_, told, _) = replay_lines(Replayed(call, tuple(map(Step, call.chain)), ()))
    assert told.endswith("status 201")
