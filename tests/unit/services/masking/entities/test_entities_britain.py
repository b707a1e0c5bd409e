"""British and Irish numbers: published examples, their neighbours that nobody has, and where they count."""

import pytest
from finding import found

from services.masking.entities.britain import BRITAIN, nhs


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("UK_NHS", "943 476 5919"),
        ("UK_NHS", "943-476-5919"),
        ("UK_NHS", "9434765919"),
        ("UK_NINO", "AB123456C"),
        ("UK_NINO", "ab 12 34 56 c"),
        ("UK_PASSPORT", "AB1234567"),
        ("UK_DRIVING_LICENCE", "MORGA753116SM9IJ"),
        ("UK_DRIVING_LICENCE", "lee99802295ab9zz"),
        ("UK_POSTCODE", "B33 8TH"),
        ("UK_POSTCODE", "W1A 0AX"),
        ("UK_POSTCODE", "dn55 1pt"),
        ("UK_POSTCODE", "GIR 0AA"),
        ("UK_VEHICLE_REGISTRATION", "BD51 SMR"),
        ("UK_VEHICLE_REGISTRATION", "bd51smr"),
        ("UK_VEHICLE_REGISTRATION", "M647 NOP"),
        ("UK_VEHICLE_REGISTRATION", "ABC 123D"),
    ],
)
def test_a_lone_value_is_found(entity: str, text: str) -> None:
    assert (entity, text) in found(text, BRITAIN)


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("UK_NHS", "943 476 5918"),
        ("UK_NHS", "0000000000"),
        ("UK_NINO", "DA123456C"),
        ("UK_NINO", "AO123456C"),
        ("UK_NINO", "GB123456C"),
        ("UK_NINO", "AB123456E"),
        ("UK_PASSPORT", "AB123456"),
        ("UK_DRIVING_LICENCE", "MORGA763116SM9IJ"),
        ("UK_DRIVING_LICENCE", "MORGA702306SM9IJ"),
        ("UK_DRIVING_LICENCE", "M9RGA753116SM9IJ"),
        ("UK_POSTCODE", "QA1 1AA"),
        ("UK_POSTCODE", "B33 8TI"),
        ("UK_POSTCODE", "B333 8TH"),
        ("UK_VEHICLE_REGISTRATION", "BD35 SMR"),
        ("UK_VEHICLE_REGISTRATION", "BI51 SMR"),
        ("UK_VEHICLE_REGISTRATION", "U647 NOP"),
    ],
)
def test_what_the_rules_do_not_issue_is_refused(entity: str, text: str) -> None:
    assert entity not in {name for name, _ in found(text, BRITAIN)}


def test_a_bare_number_in_running_text_needs_its_word() -> None:
    assert found("call 9434765919 today", BRITAIN) == set()
    assert found("NHS number: 9434765919", BRITAIN) == {("UK_NHS", "9434765919")}


def test_keys_speak_where_shapes_do_not() -> None:
    assert found("B33 8TH", BRITAIN, "label") == set()
    assert ("UK_POSTCODE", "B33 8TH") in found("B33 8TH", BRITAIN, "address", "postCode")
    assert found("AB1234567", BRITAIN, "sku") == set()
    assert ("UK_PASSPORT", "AB1234567") in found("AB1234567", BRITAIN, "passport_number")


def test_lower_case_plates_are_no_words() -> None:
    assert found("take a1 and b12 out", BRITAIN) == set()


def test_a_licence_is_found_under_any_key() -> None:
    assert found("MORGA753116SM9IJ", BRITAIN, "order_id") == {("UK_DRIVING_LICENCE", "MORGA753116SM9IJ")}


@pytest.mark.parametrize(("text", "right"), [("1234567T", True), ("1234567FA", True), ("1234567U", False)])
def test_an_irish_number_needs_its_word_and_its_letter(text: str, right: bool) -> None:
    assert (("IE_PPS", text) in found(text, BRITAIN, "ppsn")) is right
    assert found(text, BRITAIN, "other") == set()


def test_every_changed_digit_of_an_nhs_number_is_noticed() -> None:
    number = "9434765919"
    changed = {number[:i] + d + number[i + 1 :] for i in range(10) for d in "0123456789"} - {number}
    assert nhs(number)
    assert not any(map(nhs, changed))
