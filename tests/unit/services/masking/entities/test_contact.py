"""E-mail addresses and telephone numbers: by shape, by numbering plan, by what is said next to them."""

import pytest
from finding import found, hits
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.contact import CONTACT

EMAILS = [
    "jane.roe+tag@example.co.uk",
    "write to <⟦o'brien@example.com⟧>.",
    "https://x.example/?mail=⟦jane@example.com⟧&a=1",
    "user@xn--80ak6aa92e.com",
    "jörg@müller.example",
    "用户@例子.公司",
    "mailto:⟦a@b.io⟧,⟦c@d.io⟧",
    'to ⟦"jane roe"@example.com⟧ now',
    "⟦jane@example.com⟧谢谢",
    "⟦jane@example.com⟧_2024",
    "JANE_ROE-1@EXAMPLE.ORG",
]
NO_EMAILS = [
    "this is not an email: hello-world here",
    "logo@2x.png",
    "icon@3x.webp",
    "@scope/package@1.2.3",
    "package@1.2.3-beta.rc",
    "root@localhost",
    "a @ b.com",
    "git@github.com:owner/project.git",
    "getty@tty1.service",
    "@decorator.property",
    "jane.@example.com",
]


def marked(text: str) -> tuple[str, set[str]]:
    """The text without its marks, and what stands between them (all of it where there are none)."""
    plain = text.replace("⟦", "").replace("⟧", "")
    return plain, {part.partition("⟧")[0] for part in text.split("⟦")[1:]} or {plain}


@pytest.mark.parametrize("text", EMAILS)
def test_email_is_found_under_any_key(text: str) -> None:
    plain, wanted = marked(text)
    assert found(plain, CONTACT, "comment") == {("EMAIL_ADDRESS", one) for one in wanted}
    assert found(plain, CONTACT, "order_id") == {("EMAIL_ADDRESS", one) for one in wanted}


@pytest.mark.parametrize("text", NO_EMAILS)
def test_no_email(text: str) -> None:
    assert not found(text, CONTACT)


def test_identifier_of_a_message_is_nobodys_address() -> None:
    assert not found("<CAF0012345+x9=abc@mail.example.com>", CONTACT, "message_id")
    assert not found("Message-ID: <20240105101500.1234@mail.example.com>", CONTACT, "log")
    assert found("jane@example.com", CONTACT, "message_id")


EVERYWHERE = [
    "+1 415 555 2671",
    "+44 (20) 7123 4567",
    "+41 (0)44 668 18 00",
    "+4915123456789",
    "+55 11 98456 5666",
    "call ⟦(415) 555-0132⟧ or ⟦415-555-0133⟧",
    "415.555.0132x204",
    "345-899-3560x4587",
    "+1-903-140-4508x769",  # no such exchange
    "001-253-366-9781",
    "1-415-555-0132",
    "0041 44 668 18 00",
    "Jane,⟦415-555-0132⟧,94107\nJoe,⟦+14155552671⟧,42",
    "1. ⟦(415) 555-0132⟧\n2. ⟦(415) 555-0133⟧",
    "2024-01-01 ⟦415-555-0132⟧ 5",
    "电话⟦13812345678⟧请",
    "電話は⟦+81-90-1234-5678⟧です",
]


@pytest.mark.parametrize("text", EVERYWHERE)
def test_phone_is_found_under_any_key(text: str) -> None:
    plain, wanted = marked(text)
    phones = {value for entity, value in found(plain, CONTACT, "note") if entity == "PHONE_NUMBER"}
    assert phones == wanted


def test_valid_international_number_is_found_under_an_identifiers_key() -> None:
    assert found("+4915123456789", CONTACT, "user_id") == {("PHONE_NUMBER", "+4915123456789")}
    assert not found("415-555-0133", CONTACT, "order_id")


SAID = [
    "Phone:\n⟦60-56-85-91⟧\n\nE-mail:",
    "Phone: ⟦0490 75 40 81⟧",
    "Fax: ⟦467 3395⟧",
    "please call me at ⟦0494 92 82 32⟧ today",
    "stop sending messages to ⟦699 956 915⟧",
    "They do not pick up, not answering at ⟦99 668472⟧",
    "nothing arrives on my registered ⟦0961-7596216⟧. Why?",
    "⟦28-64-66-98⟧ office\n⟦930.167.3943⟧ fax",
    "⟦085 175 7641⟧-Office\\,⟦3660170548⟧-Fax",
    "My number is ⟦13812345678⟧",
    "Mein Telefon: ⟦030/1234567⟧",
    "teléfono ⟦912 34 56 78⟧",
    "电话: ⟦010 8888 9999⟧",
]


@pytest.mark.parametrize("text", SAID)
def test_word_speaks_for_a_number(text: str) -> None:
    plain, wanted = marked(text)
    phones = {value for entity, value in found(plain, CONTACT, "note") if entity == "PHONE_NUMBER"}
    assert phones == wanted


@pytest.mark.parametrize(
    "text",
    [
        "my phone order number is 12345678901",
        "phone bill, invoice no. 2024-0012345",
        "SSN 078-05-1120, phone unknown",
        "our office is at 17031 2202 Rissik St",
        "call at 2024-01-05 10:00:00",
        "Phone: 192.168.100.200",
        "mobile app 1.2.345.6789",
        "telephone since 2019-2020",
        "Mozilla/5.0 Chrome/120.0.6099.144 Mobile Safari/537.36",
    ],
)
def test_another_number_next_to_a_word(text: str) -> None:
    assert not found(text, CONTACT, "note")


@pytest.mark.parametrize("key", ["phone", "phoneNumber", "mobile_no", "homePhone", "fax", "customer.tel", "Telefono"])
@pytest.mark.parametrize(
    "value", ["4155552671", "0171 1234567", "(030) 12 34 56", "01.23.45.67.89", "467 3395", "60.56.85.91"]
)
def test_key_speaks_for_a_number(key: str, value: str) -> None:
    assert ("PHONE_NUMBER", value) in found(value, CONTACT, "customer", key)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("phone_id", "4155552671"),
        ("phone_verified_at", "1705314600"),
        ("phone_model", "12345678"),
        ("phone", "2024-01-05 10:00:00"),
        ("phone", "0000000000"),
        ("microphones", "4155552671"),
        ("quantity", "4155552671"),
    ],
)
def test_key_that_does_not(key: str, value: str) -> None:
    assert not found(value, CONTACT, key)


ORDINARY = [
    "2024-01-05",
    "2024-01-05 10:00:00",
    "2024-01-15T10:30:00.123456+02:00",
    "05/21/2021",
    "1705314600123",
    "550e8400-e29b-41d4-a716-446655440000",
    "40.712776, -74.005974",
    "+40.712776-074.005974/",
    "192.168.0.1",
    "1.2.3",
    "12.345.678",
    "1,234,567.89 EUR",
    "10-20-30-40",
    "ORD-2024-0012345",
    "SKU-345-899-3560",
    "0012345678",
    "978-3-16-148410-0",
    "4111 1111 1111 1111",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_values_are_no_phones(text: str) -> None:
    assert not found(text, CONTACT, "value", "x")


@pytest.mark.parametrize("text", ["020 7946 0958", "030 1234567"])
def test_national_number_in_a_lone_text(text: str) -> None:
    assert {entity for entity, _ in found(text, CONTACT)} == {"PHONE_NUMBER"}
    assert not found(text, CONTACT, "note", lone=False)


@pytest.mark.parametrize(
    "number", ["+90 532 123 45 67", "0 532 123 45 67", "0 (532) 1234567", "532.123.45.67", "4321234567"]
)
def test_turkish(number: str) -> None:
    assert ("TR_PHONE_NUMBER", number) in found(number, CONTACT)


@pytest.mark.parametrize("number", ["10000000146", "1123456789", "6123456789", "+90 632 123 45 67", "5555555555"])
def test_not_turkish(number: str) -> None:
    assert "TR_PHONE_NUMBER" not in {entity for entity, _ in found(number, CONTACT)}


@pytest.mark.parametrize("number", ["+63 917 123 4567", "+63-917-123-4567", "09181234567", "0917 123 4567"])
def test_philippine(number: str) -> None:
    assert ("PH_MOBILE_NUMBER", number) in found(f"First: {number}, then", CONTACT)


@pytest.mark.parametrize("number", ["917 123 4567", "9171234567", "15091712345678", "+63 817 123 4567"])
def test_not_philippine(number: str) -> None:
    assert "PH_MOBILE_NUMBER" not in {entity for entity, _ in found(number, CONTACT)}


@given(st.text("0123456789+-() ./x@a:\n", max_size=80), st.booleans())
def test_spans_lie_in_the_text_and_hold_a_number(text: str, lone: bool) -> None:
    for hit in hits(text, CONTACT, "phone", lone=lone):
        assert 0 <= hit.start < hit.end <= len(text)
        assert 0.3 <= hit.score <= 1
        if hit.entity == "PHONE_NUMBER":
            assert 7 <= sum(map(str.isdecimal, text[hit.start : hit.end])) <= 23
