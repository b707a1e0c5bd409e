import pytest
from finding import found
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.southeast_asia import SOUTHEAST_ASIA


def entities(text, *keys):
    return {entity for entity, _ in found(text, SOUTHEAST_ASIA, *keys)}


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("S1234567D", "SG_NRIC_FIN"),
        ("s1234567d", "SG_NRIC_FIN"),
        ("G7654321X", "SG_NRIC_FIN"),
        ("196800306E", "SG_UEN"),
        ("199201624D", "SG_UEN"),
        ("T08GA0028A", "SG_UEN"),
        ("1101700230708", "TH_TNIN"),
        ("1-1017-00230-70-8", "TH_TNIN"),
        ("900115-14-5678", "MY_NRIC"),
    ],
)
def test_numbers_by_themselves(text, entity):
    assert (entity, text) in found(text, SOUTHEAST_ASIA)


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("A1234567D", "SG_NRIC_FIN"),
        ("S123456D", "SG_NRIC_FIN"),
        ("196800306D", "SG_UEN"),
        ("T08GA0028B", "SG_UEN"),
        ("1101700230709", "TH_TNIN"),
        ("1-1017-00230-70-9", "TH_TNIN"),
        ("9101700230708", "TH_TNIN"),
        ("000-000-000-000", "PH_TIN"),
        ("900115-00-5678", "MY_NRIC"),
        ("901315-14-5678", "MY_NRIC"),
    ],
)
def test_what_breaks_the_rules_is_not_one(text, entity):
    assert entity not in entities(text)


@pytest.mark.parametrize("province", ["00", "09", "28", "29", "59", "68", "78", "79", "87", "89", "97", "98"])
def test_a_thai_number_needs_a_province(province):
    assert all("TH_TNIN" not in entities(f"1{province}456789012{check}") for check in range(10))


def test_a_right_check_letter_is_worth_more_than_none():
    assert entities("seen S1234567D here", "note") == {"SG_NRIC_FIN"}
    assert not entities("seen S1234567A here", "note")
    assert entities("S1234567A", "nric") == {"SG_NRIC_FIN"}
    assert not entities("S1234567D", "sku")


def test_a_word_speaks_for_a_number():
    assert entities("TIN 123456789", "note") == {"PH_TIN"}
    assert entities("123456789012", "tin") == {"PH_TIN"}
    assert entities("1101700230708", "citizenId") == {"TH_TNIN"}
    assert entities("0111-1234567-8", "umid") == {"PH_UMID"}
    assert entities("12-345678901-2", "philhealth_no") == {"PH_PHILHEALTH"}
    assert entities("900115145678", "mykad") == {"MY_NRIC"}


@pytest.mark.parametrize("text", ["123456789", "123456789012", "1101700230708", "1700000000000", "53125226D"])
def test_bare_numbers_elsewhere_are_nothing(text):
    assert not entities(text, "value")
    assert not entities(text, "order_number")


@given(st.from_regex(r"[1-8]1[0-9]{10}", fullmatch=True))
def test_a_thai_number_has_one_check_digit(digits):
    assert sum("TH_TNIN" in entities(f"{digits}{check}", "tnin") for check in range(10)) == 1


@given(st.from_regex(r"[STFGM\u017f][0-9]{7}[A-Z\u212a\u017f]|[TSR][0-9]{2}[A-Z]{2}[0-9]{4}[A-Z]", fullmatch=True))
def test_checks_are_total(text):
    entities(text)
