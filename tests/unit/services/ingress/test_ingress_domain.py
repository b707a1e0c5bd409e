"""What ingress decides: requests, sessions, and what a caller is told in each state of a call."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingress_calls import (
    AGENT,
    REVIEWER,
    SECRET,
    begun,
    completed,
    every_state,
    masked,
    new_ref,
    result,
    settled,
    then,
    voted,
)

from callgate.ids import mint_session, name_session, owns_session
from contracts.events import Cancelled, Finding, OutcomeSettled, OutcomeUnknown, Rejected, Requested
from contracts.functions import Catalog, HttpConnection
from contracts.identity import Principal
from contracts.lifecycle import ANSWERING, NOTHING, TERMINAL, TRANSITIONS, Call
from contracts.model import rfc3339
from contracts.subjects import Partition
from services.ingress.domain import (
    ANSWER_EVENTS,
    BadRequest,
    functions_of,
    is_answered,
    is_over,
    is_own,
    may_cancel,
    outcome_of,
    own_ref,
    parse_request,
    secret_of,
    session_of,
)
from services.ingress.views import summary_of

STATES = every_state()
HERE = frozenset({Partition(1, 0)})

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=8,
)


def refusal(body: Any) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parse_request(body if isinstance(body, bytes) else json.dumps(body).encode(), 16)
    return caught.value


@given(st.dictionaries(st.text("xyz"), json_values, max_size=4))
def test_arguments_are_sealed_as_they_were_sent(arguments: dict[str, Any]) -> None:
    request = parse_request(json.dumps({"function": "a.b", "arguments": arguments}).encode(), 16)
    assert request.function == "a.b"
    assert json.loads(request.arguments) == arguments
    assert "arguments" not in repr(request)


def test_numbers_keep_their_value_and_those_that_cannot_are_refused() -> None:
    request = parse_request(b'{"function":"a.b","arguments":{"big":123456789012345678901234567890,"x":0.1}}', 8)
    assert request.arguments == b'{"big":123456789012345678901234567890,"x":0.1}'
    refused = refusal(b'{"function":"a.b","arguments":{"x":0.1234567890123456789}}')
    assert (refused.code, refused.extra["reason"]) == ("bad_json", "number_precision")


@given(st.binary() | st.text().map(str.encode) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_other_body_is_refused_with_a_code(body: bytes) -> None:
    assert refusal(body).status in (400, 422)


def test_a_refusal_quotes_nothing() -> None:
    refused = refusal(b'{"function":"a.b","arguments":{"4111 1111":{"4111 1111":1,"4111 1111":2}}}')
    assert "4111" not in f"{refused} {refused.detail} {refused.extra}"
    assert refused.extra["reason"] == "duplicate_key"


@pytest.mark.parametrize("session", ["", "a b", "x" * 65, "a/b", 7, None, ["x"], "ä"])
def test_a_session_has_a_plain_name(session: Any) -> None:
    assert refusal({"function": "a.b", "arguments": {}, "session": session}).code == "bad_session"


def test_a_session_is_named_or_owned_or_new() -> None:
    own = mint_session(AGENT.session_owner)
    assert session_of(AGENT, own) == own
    assert session_of(AGENT, "nightly") == name_session(AGENT.session_owner, "nightly")
    assert owns_session(AGENT.session_owner, session_of(AGENT, "nightly") or "")
    assert session_of(AGENT, None) is None
    for foreign in (mint_session("other"), mint_session(AGENT.id), "s_" + "a" * 32):
        with pytest.raises(BadRequest) as caught:
            session_of(AGENT, foreign)
        assert (caught.value.status, caught.value.code) == (403, "foreign_session")


def test_an_id_names_a_call_of_ones_own_only() -> None:
    ref = new_ref()
    assert own_ref(str(ref), AGENT, HERE) == ref
    assert own_ref(str(ref), REVIEWER, HERE) is None
    assert own_ref(str(ref), AGENT, frozenset({Partition(2, 0)})) is None
    sharded = frozenset({*HERE, Partition(1, 1)})
    named = [own_ref(str(ref._replace(partition=partition)), AGENT, sharded) for partition in sharded]
    assert [found.partition for found in named if found] == [Partition.of_session(ref.session_id, 1, 2)]
    for strange in ("", ".", f"{ref}.x", f"{ref}\n", f" {ref}", str(ref).upper(), "\u0661" + str(ref)[1:]):
        assert own_ref(strange, AGENT, HERE) is None


@given(st.text())
def test_no_id_raises(text: str) -> None:
    assert own_ref(text, AGENT, HERE) is None


def test_an_agent_for_one_user_does_not_see_what_it_did_for_another() -> None:
    ann = Principal(id="bot", issuer=AGENT.issuer, on_behalf_of="ann", actors=("bot",))
    call = then(Call(new_ref(), "0" * 64), Requested(function="a.b", principal=ann, arguments=SECRET))
    assert is_own(call, ann.model_copy(update={"groups": ("new",), "token_id": "another"}))
    assert not is_own(call, AGENT)
    assert not is_own(call, ann.model_copy(update={"on_behalf_of": "ben"}))
    assert not is_own(call, ann.model_copy(update={"issuer": "https://elsewhere.example"}))
    assert not is_own(Call(new_ref(), "0" * 64), AGENT)


@pytest.mark.parametrize(
    "other",
    [
        {"on_behalf_of": "ben"},
        {"on_behalf_of": None},
        {"issuer": "https://elsewhere.example"},
        {"id": "ann", "on_behalf_of": "bot"},
    ],
)
def test_an_agent_for_one_user_does_not_write_into_what_it_opened_for_another(other: dict[str, Any]) -> None:
    """What a session did is a fact that policies judge by."""
    ann = Principal(id="bot", issuer=AGENT.issuer, on_behalf_of="ann", actors=("bot",))
    ref = new_ref(ann)
    renewed = ann.model_copy(update={"groups": ("new",), "token_id": "another"})
    assert session_of(renewed, ref.session_id) == ref.session_id
    assert own_ref(str(ref), renewed, HERE) == ref
    stranger = ann.model_copy(update=other)
    with pytest.raises(BadRequest) as caught:
        session_of(stranger, ref.session_id)
    assert caught.value.code == "foreign_session"
    assert own_ref(str(ref), stranger, HERE) is None
    assert session_of(stranger, "nightly") != session_of(ann, "nightly")


def test_every_state_is_covered() -> None:
    assert STATES.keys() == TRANSITIONS.keys() - {NOTHING}
    assert all(call.state == state for state, (call, _) in STATES.items())


@pytest.mark.parametrize("state", STATES)
def test_the_outcome_of_each_state(state: str) -> None:
    call, status = STATES[state]
    document = json.loads(orjson.dumps(outcome_of(call, b'{"n":1.10}' if secret_of(call) else None)))
    assert (document["id"], document["session"]) == (str(call.ref), call.ref.session_id)
    assert (document["function"], document["status"], document["event"]) == ("crm.get", status, state)
    assert is_answered(call) == (state in ANSWERING)
    assert is_over(call) == (state in TERMINAL)
    assert not is_answered(call) or state in ANSWER_EVENTS
    assert ("code" in document) == (state in ("denied", "execution_failed", "outcome_unknown", "cancelled"))
    assert ("approvals" in document) == any(event.name == "approval_required" for event in call.chain)
    text = json.dumps(document)
    for hidden in (SECRET.ciphertext, REVIEWER.id, "fact-of-policy", "executor-of-nobody"):
        assert hidden is not None
        assert hidden not in text


def test_a_denial_names_its_policies() -> None:
    document = outcome_of(STATES["denied"][0])
    assert (document["code"], document["policies"]) == ("forbidden", ("p1",))


def test_the_result_is_the_view_with_its_numbers_as_they_came() -> None:
    document = outcome_of(STATES["result_masked"][0], b'{"n":1.10,"card":"[CREDIT_CARD]"}')
    assert b'"body":{"n":1.10,"card":"[CREDIT_CARD]"}' in orjson.dumps(document)
    assert document["findings"] == [{"path": "/card", "entity": "CREDIT_CARD"}]
    assert "withheld" not in document
    assert "header_findings" not in document


def test_what_was_found_in_headers_is_told_apart_from_the_body() -> None:
    found = Finding(path="/location", entity="CREDIT_CARD", start=0, end=16)
    call = then(completed(), result().model_copy(update={"header_findings": (found,)}))
    told = {"header_findings": [{"path": "/location", "entity": "CREDIT_CARD"}]}
    document = outcome_of(call, b"{}")
    assert document.items() >= told.items()
    assert document["findings"] == [{"path": "/card", "entity": "CREDIT_CARD"}]
    assert summary_of(call.chain[-1]).items() >= told.items()


@pytest.mark.parametrize(
    ("call", "opened", "unopened", "withheld"),
    [
        (then(completed(), result(withheld="response_cut_off")), None, None, "response_cut_off"),
        (then(completed(), result()), None, "key_missing", "key_missing"),
        (then(completed(), result()), b"{not json", None, "unreadable"),
        (then(completed(), result()), None, None, "no_view"),
    ],
)
def test_a_result_that_may_not_or_cannot_be_shown(
    call: Call, opened: bytes | None, unopened: str | None, withheld: str
) -> None:
    document = outcome_of(call, opened, unopened)
    assert (document["status"], document["withheld"]) == ("completed", withheld)
    assert document["result"] == {"status": 200, "content_type": "application/json"}


@pytest.mark.parametrize(
    ("content_type", "view", "body"),
    [
        ("text/plain", "naïve".encode(), "naïve"),
        ("application/json", b"", None),
        (None, b"", None),
    ],
)
def test_other_bodies_are_text(content_type: str | None, view: bytes, body: str | None) -> None:
    assert outcome_of(then(completed(), result(content_type)), view)["result"]["body"] == body


def test_a_rejection_tells_the_reviewers_reason() -> None:
    call = STATES["rejected"][0]
    secret = secret_of(call)
    assert secret is not None
    assert (secret.event_id, secret.field) == (call.votes[-1].event.event_id, "reason")
    assert outcome_of(call, "trop risqué".encode())["reason"] == "trop risqué"
    assert "reason" not in outcome_of(call, unopened="key_missing")


@pytest.mark.parametrize(
    ("call", "status", "words"),
    [
        (settled("done"), "running", "what the function answered is not known"),
        (settled("done", SECRET), "running", "the result is what they found"),
        (then(settled("done", SECRET), result()), "completed", "the result is what they found"),
        (settled("not_done"), "failed", "it did not happen"),
        (settled("run_again"), "running", "had it run again"),
    ],
)
def test_what_a_person_settled_is_told_in_words(call: Call, status: str, words: str) -> None:
    document = outcome_of(call)
    assert document["status"] == status
    assert words in document["detail"]
    recorded = call.last_recorded(OutcomeSettled)
    assert recorded is not None
    assert document["settlement"] == {"outcome": recorded.data.outcome, "at": rfc3339(recorded.event.at)}  # type: ignore[attr-defined]


def test_what_was_not_done_tells_why() -> None:
    call = settled("not_done")
    secret = secret_of(call)
    assert secret is not None
    assert (secret.event_id, secret.field) == (call.chain[-1].event.event_id, "reason")
    assert outcome_of(call, b"their books have nothing")["reason"] == "their books have nothing"
    assert secret_of(settled("run_again")) is None
    assert secret_of(settled("done")) is None


def test_an_unknown_outcome_after_a_settlement_is_told_as_one() -> None:
    call = then(settled("run_again"), OutcomeUnknown(code="frozen", freeze="f1"))
    document = outcome_of(call)
    assert (document["status"], document["code"], document["freeze"]) == ("unknown", "frozen", "f1")
    assert is_answered(call)


def test_a_rejection_without_a_reason_has_none() -> None:
    call = voted("reject")
    vote = call.chain[-1]
    silent = vote.data.model_copy(update={"reason": None})
    call = then(Call(call.ref, call.genesis, call.chain[:-1]), silent)
    call = then(call, Rejected(by=REVIEWER.id, vote=call.chain[-1].event.event_id))
    assert secret_of(call) is None
    assert "reason" not in outcome_of(call)


def test_what_a_person_settled_as_not_done_has_failed() -> None:
    call = settled("not_done")
    assert (is_answered(call), is_over(call)) == (True, True)
    document = outcome_of(call)
    assert (document["status"], document["code"]) == ("failed", "settled_as_not_done")
    assert not is_answered(settled("run_again"))


def test_a_call_may_be_withdrawn_before_it_begins() -> None:
    may = {state for state, (call, _) in STATES.items() if may_cancel(call)}
    assert may == {
        "requested", "arguments_masked", "allowed", "approval_required", "vote_cast", "approved", "arguments_amended"
    }  # fmt: skip
    then(begun(), masked(), Cancelled(by=AGENT.id, code="withdrawn"))


def test_the_catalog_hides_where_functions_live() -> None:
    connection = HttpConnection.model_validate(
        {
            "base_url": "http://inner.example/secret",
            "credential": {"env": "CRM_TOKEN"},
            "functions": {"get": {"path": "/p", "idempotent": True, "description": "Get it."}},
        }
    )
    listed = functions_of(Catalog({"crm": connection}))
    assert listed[0]["name"] == "crm.get"
    assert not {"inner.example", "CRM_TOKEN", "/p"} & set(json.dumps(listed).replace('"', " ").split())
