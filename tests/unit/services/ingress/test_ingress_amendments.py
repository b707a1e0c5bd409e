"""What an agent is told of reviewers who changed its arguments."""

from typing import Any

import orjson
import pytest
from ingress_calls import AGENT, REVIEWER, SECRET, amended, asked, masked, question, then

from callgate.jsontext import dump
from contracts.events import Cancelled
from contracts.lifecycle import Call
from contracts.model import rfc3339
from services.ingress.amendments import Amendment, amendments_of, told

BEFORE, AFTER = {"amount": 400, "card": "[CREDIT_CARD]"}, {"amount": 40, "card": "[CREDIT_CARD]"}


def document(amendment: Amendment, before: bytes, after: bytes, reason: bytes = b"too much") -> Any:
    """As it goes out."""
    pairs = {amendment.before: before, amendment.after: after, amendment.reason: reason}
    opened = {secret: plain for secret, plain in pairs.items() if secret is not None}
    return orjson.loads(orjson.dumps(told(amendment, opened)))


def one(call: Call) -> Amendment:
    (found,) = amendments_of(call)
    return found


def test_who_when_why_and_what() -> None:
    call = amended(reason=SECRET)
    at = rfc3339(call.chain[-1].event.at)
    found = document(one(then(call, masked(amended=True))), dump(BEFORE), dump(AFTER))
    changed = [{"path": "/amount", "before": 400, "after": 40}]
    assert found == {"by": REVIEWER.id, "at": at, "reason": "too much", "changes": changed}


def test_each_is_told_by_the_views_around_it() -> None:
    call = amended(then(amended(), masked(amended=True), question()))
    call = then(call, masked(amended=True))
    masked_ids = [recorded.event.event_id for recorded in call.chain if recorded.name == "arguments_masked"]
    found = amendments_of(call)
    assert [(a.before and a.before.event_id, a.after and a.after.event_id) for a in found] == [
        (masked_ids[0], masked_ids[1]),
        (masked_ids[1], masked_ids[2]),
    ]


@pytest.mark.parametrize(
    "call",
    [
        amended(),
        then(amended(), Cancelled(by=AGENT.id, code="withdrawn")),
        then(amended(), masked(amended=True).model_copy(update={"view": None, "arguments": None})),
    ],
    ids=["not masked yet", "withdrawn", "did not apply"],
)
def test_without_a_view_there_is_no_change_to_tell(call: Call) -> None:
    found = one(call)
    assert found.after is None
    assert document(found, dump(BEFORE), dump(AFTER)).keys() == {"by", "at"}


@pytest.mark.parametrize("opened", [None, b"{"])
def test_what_does_not_open_is_left_out(opened: bytes | None) -> None:
    found = one(then(amended(), masked(amended=True)))
    assert found.before is not None
    assert found.after is not None
    views = {found.before: dump(BEFORE)} | ({found.after: opened} if opened else {})
    assert told(found, views).keys() == {"by", "at"}


def test_numbers_are_told_as_they_stand_in_the_views() -> None:
    found = document(one(then(amended(), masked(amended=True))), b'{"n":1.10,"big":1}', b'{"n":1.1,"big":1}')
    assert found["changes"] == [{"path": "/n", "before": 1.1, "after": 1.1}]
    huge = str(10**30).encode()
    found = one(then(amended(), masked(amended=True)))
    assert found.before is not None
    assert found.after is not None
    body = orjson.dumps(told(found, {found.before: b'{"n":1}', found.after: b'{"n":%s}' % huge}))
    assert huge in body


def test_many_changes_are_cut_off_and_that_is_said() -> None:
    found = one(then(amended(), masked(amended=True)))
    many = document(found, dump(list(range(101))), dump(list(range(1, 102))))
    assert (len(many["changes"]), many["more"]) == (100, True)
    assert "more" not in document(found, dump(list(range(100))), dump(list(range(1, 101))))


def test_a_call_that_nobody_changed_has_none() -> None:
    assert amendments_of(asked()) == ()
