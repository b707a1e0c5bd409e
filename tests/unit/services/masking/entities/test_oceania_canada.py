import pytest
from finding import found
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.oceania_canada import OCEANIA_CANADA


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("51824753556", "AU_ABN"),
        ("51 824 753 556", "AU_ABN"),
        ("004 085 616", "AU_ACN"),
        ("004085616", "AU_ACN"),
        ("123 456 782", "AU_TFN"),
        ("123456782", "AU_TFN"),
        ("2123 45670 1", "AU_MEDICARE"),
        ("2123456701", "AU_MEDICARE"),
        ("130-692-544", "CA_SIN"),
        ("130692544", "CA_SIN"),
        ("K1A 0B1", "ZIP_CODE"),
    ],
)
def test_numbers_by_themselves(text, entity):
    assert (entity, text) in found(text, OCEANIA_CANADA)


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("51 824 753 557", "AU_ABN"),
        ("01 824 753 556", "AU_ABN"),
        ("004 085 617", "AU_ACN"),
        ("000000000", "AU_ACN"),
        ("123 456 783", "AU_TFN"),
        ("000000000", "AU_TFN"),
        ("2123 45671 1", "AU_MEDICARE"),
        ("2123 45670 0", "AU_MEDICARE"),
        ("7123 45670 1", "AU_MEDICARE"),
        ("130-692-545", "CA_SIN"),
        ("130 692-544", "CA_SIN"),
        ("046 454 286", "CA_SIN"),
        ("D1A 0B1", "ZIP_CODE"),
    ],
)
def test_what_breaks_the_rules_is_not_one(text, entity):
    assert entity not in {hit for hit, _ in found(text, OCEANIA_CANADA)}
    assert entity not in {hit for hit, _ in found(text, OCEANIA_CANADA, entity.lower())}


@pytest.mark.parametrize(
    ("key", "text", "entity"),
    [
        ("abn", "51824753556", "AU_ABN"),
        ("taxFileNumber", "123456782", "AU_TFN"),
        ("medicare_no", "2123456701", "AU_MEDICARE"),
        ("social_insurance_number", "130692544", "CA_SIN"),
        ("irdNumber", "49091850", "NZ_IRD"),
        ("ird", "136-410-132", "NZ_IRD"),
        ("postalCode", "k1a0b1", "ZIP_CODE"),
    ],
)
def test_a_key_speaks_for_a_number(key, text, entity):
    assert (entity, text) in found(text, OCEANIA_CANADA, key)


def test_a_word_near_speaks_for_a_number():
    text = "Her SIN is 130 692 544, call +61 412 345 678"
    assert found(text, OCEANIA_CANADA, "note") == {("CA_SIN", "130 692 544")}
    assert found("paid to ABN 51824753556", OCEANIA_CANADA, "note") == {("AU_ABN", "51824753556")}


def test_bare_numbers_elsewhere_are_nothing():
    for text in ("130692544", "123456782", "51824753556", "2123456701", "136410132"):
        assert not found(text, OCEANIA_CANADA, "order_id")
        assert not found(text, OCEANIA_CANADA, "processed")
        assert not found(f"{text} rows and more", OCEANIA_CANADA)


def test_numbers_of_inland_revenue():
    for text in ("136410133", "9125568"):
        assert not found(text, OCEANIA_CANADA, "ird")


@given(st.integers(0, 10), st.sampled_from("0123456789"))
def test_another_digit_in_an_abn_is_refused(place, digit):
    text = "51824753556"
    changed = text[:place] + digit + text[place + 1 :]
    assert (("AU_ABN", changed) in found(changed, OCEANIA_CANADA, "abn")) == (changed == text)
