"""What the view shows of a found value, and that showing it again changes nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.masking_settings import Strategy, StrategySettings
from services.masking.document import DROPPED
from services.masking.domain import mask
from services.masking.strategies import PLACEHOLDER, Strategies, partial
from services.masking.tokens import SessionSecrets

CARD = "4111 1111 1111 1111"
HERE = SessionSecrets.of("s_" + "a" * 32, b"1" * 64)
ELSEWHERE = SessionSecrets.of("s_" + "b" * 32, b"2" * 64)
ALL: tuple[Strategy, ...] = ("redact", "partial", "hash", "token", "drop", "keep")


def strategies(**entities: Strategy) -> Strategies:
    return Strategies.of(StrategySettings(entities=entities))


def test_everything_is_redacted_but_what_is_nobodys() -> None:
    unset = Strategies()
    assert unset.written("CREDIT_CARD", CARD, HERE) == "[CREDIT_CARD]"
    assert unset.written("DATE_OF_BIRTH", "1980-01-31", HERE) == "[DATE_OF_BIRTH]"
    for entity in ("DATE_TIME", "URL", "AGE"):
        assert unset.written(entity, "x", HERE) is None
    assert strategies(URL="redact").written("URL", "https://a.io", None) == "[URL]"
    hashing = Strategies.of(StrategySettings(default="hash"))
    assert hashing.written("URL", "https://a.io", HERE) is None, "a default does not reach what is shown on purpose"


def test_dropped_and_kept() -> None:
    chosen = strategies(CREDIT_CARD="drop", IP_ADDRESS="keep")
    assert chosen.written("CREDIT_CARD", CARD, HERE) is DROPPED
    assert chosen.written("IP_ADDRESS", "10.0.0.1", HERE) is None


def test_a_default_that_shows_everything_cannot_be_configured() -> None:
    with pytest.raises(ValueError, match="default"):
        StrategySettings.model_validate({"default": "keep"})
    with pytest.raises(ValueError, match="entities"):
        StrategySettings.model_validate({"entities": {"credit card": "redact"}})


@pytest.mark.parametrize(
    ("entity", "text", "shown"),
    [
        ("CREDIT_CARD", "4111111111111111", "************1111"),
        ("CREDIT_CARD", CARD, "**** **** **** 1111"),
        ("CREDIT_CARD", "3782-822463-10005", "****-******-*0005"),
        ("US_BANK_NUMBER", "123456789012", "********9012"),
        ("US_SSN", "078-05-1120", "***-**-*120"),
        ("PHONE_NUMBER", "+49 30 12345678", "+49 ** ****5678"),
        ("PHONE_NUMBER", "+1 (212) 555-0123", "+1 (***) ***-0123"),
        ("PHONE_NUMBER", "+353 86 123 4567", "+353 ** *** *567"),
        ("PHONE_NUMBER", "06 12 34 56 78", "** ** ** 56 78"),
        ("PHONE_NUMBER", "(212) 555-0123", "****0123"),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00", "DE** **** **** **** **30 00"),
        ("EMAIL_ADDRESS", "jane.doe@example.com", "***@example.com"),
        ("API_KEY", "sk_live_abcdefghijklmnop", "****mnop"),
        ("PERSON", "Jane Doe", None),
        ("PERSON", "", None),
        ("UK_POSTCODE", "SW1A 1AA", None),
        ("CREDIT_CARD", "12345", None),
        ("PASSWORD", "correct horse battery", None),
        ("SECRET", "abcdefghijklmnop", None),
        ("EMAIL_ADDRESS", "not an address, but a long text", None),
    ],
)
def test_partial(entity: str, text: str, shown: str | None) -> None:
    assert partial(entity, text) == shown
    assert Strategies(entities={entity: "partial"}).written(entity, text, None) == (shown or f"[{entity}]")


@given(st.text(max_size=60), st.sampled_from(["CREDIT_CARD", "PHONE_NUMBER", "IBAN_CODE", "PERSON", "PASSWORD"]))
def test_partial_shows_a_bounded_share(text: str, entity: str) -> None:
    if text.count("*") >= 3:
        return  # may be hidden already
    shown = partial(entity, text)
    if shown is not None:
        country = re.match(r"\+[0-9]{1,3}|[A-Z]{2}", shown)
        left = sum(map(str.isalnum, shown[country.end() if country else 0 :]))
        assert left <= min(4, sum(map(str.isalnum, text)) * 2 // 5)


@given(st.integers(10**6, 10**14), st.sampled_from(["+", "", "+49 ", "0"]))
def test_partial_keeps_the_country_of_a_phone_and_stars_the_rest(number: int, start: str) -> None:
    shown = partial("PHONE_NUMBER", f"{start}{number}")
    assert shown is None or re.fullmatch(r"(\+[0-9]{1,3} ?)?\*{4,}[0-9]{3,4}", shown)


def test_a_hash_is_the_same_within_a_session_and_useless_beyond() -> None:
    hashing = strategies(CREDIT_CARD="hash", US_SSN="hash", EMAIL_ADDRESS="hash")
    shown = hashing.written("CREDIT_CARD", CARD, HERE)
    assert isinstance(shown, str)
    assert re.fullmatch(r"\[CREDIT_CARD#[a-z]{12}\]", shown)
    assert PLACEHOLDER.fullmatch(shown)
    assert hashing.written("CREDIT_CARD", "4111-1111-11111111", HERE) == shown, "however it is spaced"
    assert hashing.written("EMAIL_ADDRESS", "A-b@c.io", HERE) == hashing.written("EMAIL_ADDRESS", "a-b@c.io", HERE)
    assert hashing.written("EMAIL_ADDRESS", "ab@c.io", HERE) != hashing.written("EMAIL_ADDRESS", "a-b@c.io", HERE)
    others = [
        hashing.written("CREDIT_CARD", CARD, ELSEWHERE),
        hashing.written("CREDIT_CARD", "4111 1111 1111 1112", HERE),
        hashing.written("US_SSN", CARD, HERE),
    ]
    assert shown not in others


def test_a_token_opens_and_has_the_leafs_type() -> None:
    chosen = strategies(CREDIT_CARD="token")
    token = chosen.written("CREDIT_CARD", CARD, HERE)
    assert isinstance(token, str)
    opened = HERE.open(token)
    assert opened is not None
    assert (opened.entity, opened.value) == ("CREDIT_CARD", CARD)
    number = chosen.disguise(HERE)("CREDIT_CARD", "4111111111111111", 4111111111111111)
    assert isinstance(number, str)
    opened = HERE.open(number)
    assert opened is not None
    assert opened.value == 4111111111111111
    assert chosen.tokenised == {"CREDIT_CARD"}


@pytest.mark.parametrize("strategy", ["hash", "token"])
def test_without_secrets_or_where_it_does_not_fit_it_is_redacted(strategy: Strategy) -> None:
    chosen = strategies(PERSON=strategy)
    assert chosen.need_secrets
    assert chosen.written("PERSON", "Jane Doe", None) == "[PERSON]"
    if strategy == "token":
        assert chosen.written("PERSON", "x" * 513, HERE) == "[PERSON]"
    assert not strategies(PERSON="partial", URL="drop").need_secrets


@given(
    st.text(max_size=60),
    st.sampled_from(ALL),
    st.sampled_from(["CREDIT_CARD", "PHONE_NUMBER", "EMAIL_ADDRESS", "IBAN_CODE", "PERSON"]),
)
def test_what_was_written_is_written_the_same_again(text: str, strategy: Strategy, entity: str) -> None:
    """As an annotation has it: the whole leaf is found again, whatever it is now."""
    chosen = strategies(**{entity: strategy})
    once = chosen.written(entity, text, HERE)
    if isinstance(once, str):
        assert chosen.written(entity, once, HERE) == once


NUMBERS = {
    "CREDIT_CARD": ["4111111111111111", CARD, "378282246310005"],
    "PHONE_NUMBER": ["+49 30 12345678", "+12125550123", "(212) 555-0123"],
    "IBAN_CODE": ["DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819"],
    "US_SSN": ["078-05-1120"],
    "EMAIL_ADDRESS": ["jane.doe@example.com"],
}


@pytest.mark.parametrize(("entity", "text"), [(entity, text) for entity, texts in NUMBERS.items() for text in texts])
@pytest.mark.parametrize("strategy", ["redact", "partial", "hash", "token"])
def test_no_detector_finds_what_was_written(entity: str, text: str, strategy: Strategy) -> None:
    shown = strategies(**{entity: strategy}).written(entity, text, HERE)
    assert isinstance(shown, str)
    for document in (shown, f"Call {shown} now", {"note": shown}, {"note": f"for {shown}, please"}, {"id": shown}):
        masked = mask(document)
        assert masked.view == document
        assert {finding.entity for finding in masked.findings} <= {"URL"}
