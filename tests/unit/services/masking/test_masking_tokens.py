"""Reversible tokens: what they stand for comes back to their session, in a place that accepts it, and nowhere else."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.jsontext import RawNumber
from contracts.events import InputProblem
from services.masking.domain import mask
from services.masking.hints import NO_HINTS, hints_of
from services.masking.tokens import LETTERS, LONGEST, Opened, SessionSecrets, may_hold_tokens, resolve

CARD = "4111111111111111"
HERE = SessionSecrets.of("s_" + "a" * 32, b"1" * 64)
ELSEWHERE = SessionSecrets.of("s_" + "b" * 32, b"2" * 64)
HINTS = hints_of(
    {
        "type": "object",
        "properties": {
            "card": {"x-callgate-mask": "CREDIT_CARD"},
            "number": {"type": "integer", "x-callgate-accepts": ["CREDIT_CARD", "US_SSN"]},
            "cards": {"x-callgate-accepts": ["CREDIT_CARD"], "items": {"type": "string"}},
            "email": {"x-callgate-accepts": ["EMAIL_ADDRESS"]},
            "webhook_url": {"type": "string"},
        },
    }
)


def sealed(value: Any = CARD, entity: str = "CREDIT_CARD", session: SessionSecrets = HERE) -> str:
    token = session.seal(entity, value)
    assert token is not None
    return token


def test_a_token_says_what_it_stands_for_and_no_more() -> None:
    token = sealed()
    assert re.fullmatch(rf"tok_card_[{LETTERS}]{{66}}", token)
    assert HERE.open(token) == Opened("CREDIT_CARD", CARD)
    assert sealed() == token
    assert sealed(entity="US_SSN").startswith("tok_us_ssn_")


def test_its_representation_holds_no_secret() -> None:
    assert "1111" not in repr(HERE) + repr(HERE.open(sealed())) + repr(resolve([sealed()], HINTS, HERE))


@pytest.mark.parametrize("value", ["", "x", "Zoë 🙂", "\0", CARD, int(CARD), 2**70, -1, 0.1, True, False])
def test_what_comes_back_is_what_went_in_type_and_all(value: Any) -> None:
    opened = HERE.open(sealed(value))
    assert opened is not None
    assert (type(opened.value), opened.value) == (type(value), value)


def test_a_number_keeps_its_value_however_it_was_written() -> None:
    assert HERE.open(sealed(RawNumber("1.10"))) == Opened("CREDIT_CARD", 1.1)
    assert HERE.open(sealed(RawNumber("1e400"))) is None, "beyond what can be judged exactly"


@pytest.mark.parametrize("value", [None, [], {}, "x" * (LONGEST + 1), "é" * (LONGEST // 2 + 1), "\ud800"])
def test_what_has_no_token(value: Any) -> None:
    assert HERE.seal("PERSON", value) is None


def test_the_longest_value_has_one() -> None:
    assert HERE.open(sealed("x" * LONGEST)) == Opened("CREDIT_CARD", "x" * LONGEST)


def test_no_two_entities_share_a_name() -> None:
    assert HERE.seal("CARD", "x") is None, "`tok_card_` is that of CREDIT_CARD"


@given(st.text(max_size=80), st.sampled_from(["CREDIT_CARD", "EMAIL_ADDRESS", "A_", "X9"]))
def test_every_text_comes_back(text: str, entity: str) -> None:
    token = HERE.seal(entity, text)
    assert (token is None) == any("\ud800" <= character <= "\udfff" for character in text)
    assert token is None or HERE.open(token) == Opened(entity, text)


# Nobody else's, and unchanged


def test_it_opens_in_its_own_session_only() -> None:
    assert ELSEWHERE.open(sealed()) is None
    same_keys = SessionSecrets.of(ELSEWHERE.session_id, b"1" * 64)
    assert same_keys.open(sealed()) is None
    assert sealed(session=ELSEWHERE) != sealed()


def test_it_opens_as_its_own_entity_only() -> None:
    assert HERE.open(sealed().replace("tok_card_", "tok_email_address_")) is None
    assert HERE.open(sealed().replace("tok_card_", "tok_credit_card_")) is not None, "the same name, written out"


@given(st.integers(0, 10_000), st.sampled_from(LETTERS))
def test_no_changed_letter_opens(position: int, letter: str) -> None:
    token = sealed()
    position = len("tok_card_") + position % (len(token) - len("tok_card_"))
    changed = token[:position] + letter + token[position + 1 :]
    assert (HERE.open(changed) is not None) == (changed == token)


@given(st.integers(0, 74))
def test_no_truncated_token_opens(length: int) -> None:
    assert HERE.open(sealed()[:length]) is None


@given(st.text())
def test_nothing_else_opens(text: str) -> None:
    assert HERE.open(text) is None
    assert HERE.open(f"tok_card_{text}") is None


# In arguments


def test_a_whole_leaf_is_resolved_where_its_entity_is_accepted() -> None:
    token, number = sealed(), sealed(int(CARD))
    document = {"card": token, "number": number, "cards": [token, "x"], "amount": 1.5}
    resolved = resolve(document, HINTS, HERE)
    assert resolved.document == {"card": CARD, "number": int(CARD), "cards": [CARD, "x"], "amount": 1.5}
    assert (resolved.replaced, resolved.refused) == (True, ())
    assert [(one.path, one.entity, one.start, one.end) for one in resolved.findings] == [
        ("/card", "CREDIT_CARD", 0, len(token)),
        ("/number", "CREDIT_CARD", 0, len(number)),
        ("/cards/0", "CREDIT_CARD", 0, len(token)),
    ]
    assert document["card"] == token, "what was given is left alone"


@pytest.mark.parametrize("place", ["webhook_url", "email", "undeclared"])
def test_a_token_cannot_be_moved_into_another_parameter(place: str) -> None:
    resolved = resolve({place: sealed()}, HINTS, HERE)
    assert (resolved.document, resolved.replaced) == ({place: sealed()}, False)
    assert resolved.refused == ("token_not_allowed",)
    shown = "*" if place == "undeclared" else place
    assert resolved.problems == (InputProblem(pointer=f"/{shown}", keyword="token_not_allowed"),)
    assert [(one.path, one.entity) for one in resolved.findings] == [(f"/{shown}", "CREDIT_CARD")]


def test_without_a_schema_nothing_is_accepted() -> None:
    assert resolve({"card": sealed()}, NO_HINTS, HERE).refused == ("token_not_allowed",)


@pytest.mark.parametrize("session", [ELSEWHERE, None])
def test_a_foreign_or_erased_sessions_token_is_invalid(session: SessionSecrets | None) -> None:
    resolved = resolve({"card": sealed()}, HINTS, session)
    assert (resolved.document, resolved.refused) == ({"card": sealed()}, ("token_invalid",))
    assert [(one.path, one.entity) for one in resolved.findings] == [("/card", "TOKEN")]


@pytest.mark.parametrize(
    "damaged", [sealed()[:-1], sealed()[:20], "tok_card_", "tok_card_bcd0", sealed() + "b", sealed() + "é"]
)
@pytest.mark.parametrize("place", ["card", "webhook_url"])
def test_a_damaged_token_is_invalid_wherever_it_stands(damaged: str, place: str) -> None:
    assert resolve({place: damaged}, HINTS, HERE, {"CREDIT_CARD"}).refused == ("token_invalid",)


def test_each_reason_is_named_once() -> None:
    document = [sealed(), sealed(), sealed(session=ELSEWHERE), sealed(session=ELSEWHERE)]
    resolved = resolve(document, HINTS, HERE)
    assert resolved.refused == ("token_not_allowed", "token_invalid")
    assert [one.pointer for one in resolved.problems] == ["/0", "/1", "/2", "/3"]
    assert len(resolve(document * 3, HINTS, HERE).problems) == 8, "an event must stay small"


@pytest.mark.parametrize(
    "text",
    [
        f"pay with {sealed()}", f"{sealed()}, please", f" {sealed()}", f"{sealed()}\n", f"{sealed()} {sealed()}",
        "tok_visa", "tok_visa_debit", "tok_1N3T00LkdIwHu7ixt44h1F8k", "tok_chargeDeclined", "tok_", "tok_us_ssn",
        "TOK_CARD_X", "token",
    ],
)  # fmt: skip
def test_what_is_no_token_is_left_as_it_is(text: str) -> None:
    """Inside a longer text, and what other people call tokens."""
    resolved = resolve({"card": text, text: 1}, HINTS, HERE, {"CREDIT_CARD", "US_SSN"})
    assert (resolved.document, resolved.findings, resolved.refused) == ({"card": text, text: 1}, (), ())


def test_paths_quote_declared_keys_alone() -> None:
    hints = hints_of({"x-callgate-accepts": ["CREDIT_CARD"], "properties": {"a/b~": {}}})
    resolved = resolve({"a/b~": {CARD: [sealed()]}}, hints, HERE)
    assert [one.path for one in resolved.findings] == ["/a~1b~0/*/0"]
    assert resolved.document == {"a/b~": {CARD: [CARD]}}


def test_where_tokens_may_be() -> None:
    assert may_hold_tokens({"a": [1, None, {"b": "tok_x"}]})
    assert not may_hold_tokens({"tok_x": ["a tok_x", 1, True, None]})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.just(sealed()) | st.just(sealed()[:30]),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(st.sampled_from(["card", "cards", "email", "x"]), below, max_size=4)
    ),
    max_leaves=10,
)


@given(json_values)
def test_resolving_is_total_and_fails_closed(document: Any) -> None:
    for session in (HERE, None):
        resolved = resolve(document, HINTS, session)
        assert resolved.replaced <= (session is not None)
        assert (resolved.document == document) == (not resolved.replaced)
        assert bool(resolved.findings) >= resolved.replaced
        assert set(resolved.refused) <= {"token_invalid", "token_not_allowed"}


# Past the detectors


@given(st.text(max_size=40), st.sampled_from(["CREDIT_CARD", "US_SSN", "EMAIL_ADDRESS", "PHONE_NUMBER", "PERSON"]))
def test_no_detector_finds_anything_in_a_token(value: str, entity: str) -> None:
    token = HERE.seal(entity, value)
    if token is None:
        return
    text = f"paid with {token}."
    for document in (token, text, {"reference": token}, {"note": text}, {token: 1}, [token, text]):
        masked = mask(document)
        assert (masked.view, masked.findings) == (document, ())
