"""German numbers and papers: published examples, their neighbours that nobody has, and where they count."""

import pytest
from finding import found

from services.masking.entities.german_numbers import health_insurance, social_security, tax_id
from services.masking.entities.germany import GERMANY


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("DE_TAX_ID", "86095742719"),
        ("DE_TAX_ID", "86 095 742 719"),
        ("DE_TAX_NUMBER", "21/815/08150"),
        ("DE_TAX_NUMBER", "93815/08152"),
        ("DE_TAX_NUMBER", "133/8150/8159"),
        ("DE_VAT_ID", "DE136695976"),
        ("DE_VAT_ID", "de 136.695.976"),
        ("DE_SOCIAL_SECURITY", "15070649C103"),
        ("DE_SOCIAL_SECURITY", "15 070649 C 103"),
        ("DE_HEALTH_INSURANCE", "A123456780"),
        ("DE_LANR", "123456601"),
        ("DE_ID_CARD", "L01X00T471"),
        ("DE_ID_CARD", "T22000129"),
        ("DE_PASSPORT", "C01X00T478"),
        ("DE_FUEHRERSCHEIN", "HH12345678A"),
        ("DE_HANDELSREGISTER", "HRB 12345"),
        ("DE_HANDELSREGISTER", "hra12"),
        ("DE_KFZ", "B-AB 1234"),
        ("DE_KFZ", "LÖ-X 12E"),
        ("DE_KFZ", "m xy 999"),
        ("DE_PLZ", "01067"),
    ],
)
def test_a_lone_value_is_found(entity: str, text: str) -> None:
    assert (entity, text) in found(text, GERMANY)


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("DE_TAX_ID", "86095742718"),
        ("DE_TAX_ID", "06095742719"),
        ("DE_TAX_ID", "11111111111"),
        ("DE_TAX_NUMBER", "2893181508152"),
        ("DE_TAX_NUMBER", "1700000000000"),
        ("DE_TAX_NUMBER", "12/2024"),
        ("DE_VAT_ID", "DE136695977"),
        ("DE_VAT_ID", "DE0366959763"),
        ("DE_SOCIAL_SECURITY", "15071349C103"),
        ("DE_SOCIAL_SECURITY", "15070649C104"),
        ("DE_HEALTH_INSURANCE", "A123456781"),
        ("DE_LANR", "123456701"),
        ("DE_BSNR", "001234567"),
        ("DE_ID_CARD", "L01X00T472"),
        ("DE_ID_CARD", "A01234565"),
        ("DE_PASSPORT", "C01X00T479"),
        ("DE_FUEHRERSCHEIN", "HH1234567A"),
        ("DE_HANDELSREGISTER", "HRC 12345"),
        ("DE_HANDELSREGISTER", "HRB 1234567"),
        ("DE_KFZ", "BAB1234"),
        ("DE_KFZ", "HAM-AB 12345"),
        ("DE_KFZ", "I am 45"),
        ("DE_PLZ", "00999"),
    ],
)
def test_what_the_rules_do_not_issue_is_refused(entity: str, text: str) -> None:
    assert entity not in {name for name, _ in found(text, GERMANY)}


@pytest.mark.parametrize(
    ("entity", "value", "key"),
    [
        ("DE_TAX_ID", "86095742719", "steuerId"),
        ("DE_TAX_NUMBER", "2181508150", "steuernummer"),
        ("DE_TAX_NUMBER", "21 815 08150", "st_nr"),
        ("DE_VAT_ID", "DE136695976", "ustIdNr"),
        ("DE_LANR", "123456601", "lanr"),
        ("DE_BSNR", "721234567", "bsnr"),
        ("DE_PASSPORT", "C01X00T47", "reisepass_nr"),
        ("DE_ID_CARD", "L01X00T47", "personalausweisnummer"),
        ("DE_FUEHRERSCHEIN", "B072RRE2I55", "fuehrerschein"),
        ("DE_KFZ", "M-XY-999", "kennzeichen"),
        ("DE_PLZ", "80331", "plz"),
    ],
)
def test_its_key_speaks_for_it(entity: str, value: str, key: str) -> None:
    assert (entity, value) in found(value, GERMANY, "kunde", key)


@pytest.mark.parametrize("value", ["21/815/08150", "M-XY-999", "80331", "721234567", "C01X00T47", "2893081508152"])
def test_without_a_word_ordinary_members_stay(value: str) -> None:
    assert found(value, GERMANY, "items", 0, "quantity") == set()


def test_a_word_in_the_sentence_speaks_for_it() -> None:
    text = "Die Postleitzahl ist 80331, das Kennzeichen M-XY 999."
    assert found(text, GERMANY, "note") == {("DE_PLZ", "80331"), ("DE_KFZ", "M-XY 999")}


def test_strong_numbers_are_found_in_any_text() -> None:
    assert found("erhalten von 15070649C103 heute", GERMANY, "order_id") == {("DE_SOCIAL_SECURITY", "15070649C103")}


@pytest.mark.parametrize(
    ("check", "number"), [(tax_id, "86095742719"), (health_insurance, "A123456780"), (social_security, "15070649C103")]
)
def test_a_wrong_last_check_is_noticed(check: object, number: str) -> None:
    assert callable(check)
    place = 11 if number.endswith("C103") else len(number) - 1
    passing = {digit for digit in "0123456789" if check(number[:place] + digit)}
    assert passing == {number[place]}


def test_a_kelvin_sign_is_read_as_k() -> None:
    for digit in "0123456789":
        assert health_insurance(f"\u212a12345678{digit}") == health_insurance(f"K12345678{digit}")


def test_umlauts_in_a_sentence_speak() -> None:
    assert ("DE_FUEHRERSCHEIN", "B072RRE2I55") in found("Führerschein B072RRE2I55", GERMANY, "note")
