"""Each entity: what is found, whole, and what looks like it and is left alone."""

import re
from itertools import accumulate

import pytest

from services.masking.domain import mask

# (text with the entity between ⟦ and ⟧)
FOUND = [
    ("CREDIT_CARD", "⟦4111111111111111⟧"),
    ("CREDIT_CARD", "card ⟦4111 1111 1111 1111⟧ please"),
    ("CREDIT_CARD", "pay with ⟦4111-1111-1111-1111⟧, please"),
    ("CREDIT_CARD", "⟦4111 1111 1111 1111⟧ 123"),
    ("CREDIT_CARD", "⟦3782 822463 10005⟧"),
    ("CREDIT_CARD", "amex:⟦378282246310005⟧"),
    ("CREDIT_CARD", "⟦30569309025904⟧"),
    ("CREDIT_CARD", "⟦6011111111111117⟧"),
    ("CREDIT_CARD", "⟦2223003122003222⟧"),
    ("CREDIT_CARD", "⟦3530111333300000⟧"),
    ("CREDIT_CARD", "⟦4222222222222⟧"),
    ("CREDIT_CARD", "my maestro card ⟦676222165679⟧"),
    ("US_SSN", "⟦536-22-8726⟧"),
    ("US_SSN", "ssn is ⟦536 22 8726⟧."),
    ("US_SSN", "social security number ⟦536228726⟧"),
    ("EMAIL_ADDRESS", "⟦jane.roe+tag@example.co.uk⟧"),
    ("EMAIL_ADDRESS", "write to <⟦o'brien@example.com⟧>."),
    ("EMAIL_ADDRESS", "see ?mail=⟦jane@example.com⟧&a=1"),
    ("EMAIL_ADDRESS", "⟦user@xn--80ak6aa92e.com⟧"),
    ("EMAIL_ADDRESS", "⟦jörg@müller.example⟧"),
    ("EMAIL_ADDRESS", "mailto:⟦a@b.io⟧,⟦c@d.io⟧"),
    ("PHONE_NUMBER", "⟦+1 415 555 2671⟧"),
    ("PHONE_NUMBER", "⟦+44 (20) 7123 4567⟧"),
    ("PHONE_NUMBER", "⟦+4915123456789⟧"),
    ("PHONE_NUMBER", "⟦(415) 555-0132⟧ or ⟦415-555-0133⟧"),
    ("PHONE_NUMBER", "⟦415.555.0132x204⟧"),
    ("PHONE_NUMBER", "⟦1-415-555-0132⟧"),
    ("PHONE_NUMBER", "call me at ⟦4155552671⟧"),
    ("PHONE_NUMBER", "tel: ⟦020 7946 0958⟧"),
    ("IBAN_CODE", "⟦DE89370400440532013000⟧"),
    ("IBAN_CODE", "IBAN는⟦DE89370400440532013000⟧입니다"),
    ("IBAN_CODE", "to ⟦GB29 NWBK 6016 1331 9268 19⟧ please"),
    ("IBAN_CODE", "⟦AL47-2121-1009-0000-0002-3569-8741⟧"),
    ("IBAN_CODE", "⟦de89 3704 0044 0532 0130 00⟧"),
    ("API_KEY", "⟦AKIAIOSFODNN7EXAMPLE⟧"),
    ("API_KEY", "token=⟦ghp_" + "a1B2" * 9 + "⟧"),
    ("API_KEY", "⟦github_pat_" + "a1B2" * 9 + "⟧"),
    ("API_KEY", "⟦sk_live_" + "a1B2" * 6 + "⟧"),
    ("API_KEY", "⟦xoxb-123456789012-abcdefABCDEF⟧"),
    ("API_KEY", "⟦AIza" + "a1B2_" * 7 + "⟧"),
    ("API_KEY", "⟦glpat-" + "a1B2" * 5 + "⟧"),
    ("API_KEY", "⟦sk-ant-api03-" + "a1B2" * 8 + "⟧"),
    ("API_KEY", "⟦sk-proj-" + "a1B2" * 8 + "⟧"),
    ("API_KEY", "Authorization: Bearer ⟦0123456789abcdef0123⟧"),
    ("JWT", "⟦eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl⟧"),
    ("PRIVATE_KEY", "⟦-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----⟧\nend"),
    ("PRIVATE_KEY", "cut off: ⟦-----BEGIN PRIVATE KEY-----\nMIIabc⟧"),
]

CLEAN = [
    "4111111111111112",  # Luhn
    "1111111111111111",
    "9111111111111111",
    "a4111111111111111",
    "0.4111111111111111",
    "550e8400-e29b-41d4-a716-446655440000",
    "40004111-1111-4111-8111-111111111111",
    "2024-01-15T10:30:00.123456+02:00",
    "2024-01-15 10:30:00",
    "1705314600123",
    "1705314600123456789",
    "order 20240115-0001234",
    "ORD-2024-0012345",
    "1,234,567.89 EUR",
    "129.99",
    "40.712776, -74.005974",
    "d41d8cd98f00b204e9800998ecf8427e",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "978-3-16-148410-0",
    "078-05-0000",
    "000-12-3456",
    "666-12-3456",
    "912-12-3456",
    "078051120",  # nine digits, and nobody says what they are
    "4155552671",
    "this is not an email: hello-world here",
    "icon@2x.png",
    "@scope/package@1.2.3",
    "a@localhost",
    "a @ b.com",
    "DE89370400440532013001",  # mod 97
    "XX89370400440532013000",
    "DE8937040044053201300",
    "sk-learn-based-classification-model",
    "AKIAIOSFODNN7EXAMPL",
    "Bearer authentication-required",
    "Basic understanding of things",
    "-----BEGIN CERTIFICATE-----\nMIIabc\n-----END CERTIFICATE-----",
    "eyJust a word",
]


@pytest.mark.parametrize(("entity", "marked"), FOUND, ids=[f"{entity}-{text[:24]!r}" for entity, text in FOUND])
def test_found_exactly(entity: str, marked: str) -> None:
    parts = re.split("[⟦⟧]", marked)  # every second one is the entity
    ends = list(accumulate(map(len, parts)))
    spans = [(entity, ends[index - 1], ends[index]) for index in range(1, len(parts), 2)]
    text = "".join(parts)
    found = mask(text)
    assert [(one.entity, one.start, one.end) for one in found.findings] == spans
    assert not found.uninspectable


@pytest.mark.parametrize("text", CLEAN)
def test_left_alone(text: str) -> None:
    assert mask({"entry": text, "count": 1}).view == {"entry": text, "count": 1}
    assert mask({"entry": text, "count": 1}).findings == ()


@pytest.mark.parametrize(
    ("entity", "document"),
    [
        ("US_SSN", {"customer": {"ssn": "536228726"}}),
        ("US_SSN", {"socialSecurityNumber": 536228726}),
        ("US_SSN", {"SSN": ["536228726"]}),
        ("PHONE_NUMBER", {"phoneNumber": "4155552671"}),
        ("PHONE_NUMBER", {"contact": {"mobile": 491512345678}}),
        ("CREDIT_CARD", {"pan": "676222165679"}),
    ],
)
def test_the_key_tells_what_a_bare_number_is(entity: str, document: object) -> None:
    assert [one.entity for one in mask(document).findings] == [entity]


@pytest.mark.parametrize(
    "document",
    [
        {"phone_verified_at": "2024-01-15 10:30:00"},
        {"phone_id": 4155552671},
        {"assessment": 536228726},
        {"id": 4111111111111111110 + 4},
        {"order_id": "536228726", "total": 1234567.89, "created": 1705314600},
    ],
)
def test_the_key_tells_what_a_number_is_not(document: object) -> None:
    assert mask(document).findings == ()


def test_a_word_tells_only_nearby() -> None:
    assert mask("my phone: 4155552671").findings
    assert not mask("my phone" + " is in the other jacket" * 2 + ": 4155552671").findings


@pytest.mark.parametrize("text", ["[415] 5552671 (", "]]]]", "+" * 50, "(" * 50, "@" * 50, "a@" * 50, "\0" * 20])
def test_fragments_of_everything_are_nothing(text: str) -> None:
    assert mask(text).view == text
