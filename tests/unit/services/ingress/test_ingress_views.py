"""The stream of events shows a summary of each event, and nothing sealed, personal or of the policy's facts."""

import json

import orjson
import pytest
from ingress_calls import REVIEWER, SECRET, every_state

from contracts.events import EVENT_NAMES
from services.ingress.views import shown, summary_of

EVENTS = {recorded.name: recorded for call, _ in every_state().values() for recorded in call.chain}


def test_every_event_is_covered() -> None:
    assert EVENTS.keys() == EVENT_NAMES


@pytest.mark.parametrize("name", sorted(EVENT_NAMES))
def test_a_summary_is_public(name: str) -> None:
    text = orjson.dumps(summary_of(EVENTS[name])).decode()
    summary = json.loads(text)
    assert (summary["event"], summary["sequence"]) == (name, EVENTS[name].sequence)
    for hidden in (SECRET.key_id, SECRET.ciphertext, REVIEWER.id, "fact-of-policy", "executor-of-nobody"):
        assert hidden is not None
        assert hidden not in text
    assert "\n" not in text


def test_numbers_that_no_float_holds_are_shown_as_they_are() -> None:
    body = shown(b'{"x":1e400,"y":-0}', "application/vnd.x+json; v=1")
    assert orjson.dumps(body.value) == b'{"x":1e400,"y":-0}'


@pytest.mark.parametrize("view", [b"{", b'{"a":1}}', b'{"a":1},"status":"x"', b'{"a":NaN}', b"\xff"])
def test_what_is_no_json_never_reaches_a_document(view: bytes) -> None:
    assert not shown(view, "application/json").readable


def test_text_is_utf_8_and_nothing_else() -> None:
    assert shown("é".encode(), "text/plain") == (True, "é")
    assert not shown("é".encode("latin-1"), "text/plain").readable
