import pytest
from finding import found
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.check_digits import luhn, verhoeff
from services.masking.entities.turkey_africa import TURKEY_AFRICA

NIN = next(f"7001234567{check}" for check in range(10) if verhoeff(f"7001234567{check}"))


def entities(text, *keys):
    return {entity for entity, _ in found(text, TURKEY_AFRICA, *keys)}


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("10000000146", "TR_NATIONAL_ID"),
        ("34 ABC 123", "TR_LICENSE_PLATE"),
        ("06 A 1234", "TR_LICENSE_PLATE"),
        ("81 MAY 123", "TR_LICENSE_PLATE"),
        ("34ABC123", "TR_LICENSE_PLATE"),
        (NIN, "NG_NIN"),
        ("LSR-123AA", "NG_VEHICLE_REGISTRATION"),
        ("LSR 123 AA", "NG_VEHICLE_REGISTRATION"),
        ("LSR123AA", "NG_VEHICLE_REGISTRATION"),
        ("8001015009087", "ZA_ID_NUMBER"),
        ("800101 5009 087", "ZA_ID_NUMBER"),
    ],
)
def test_numbers_by_themselves(text, entity):
    assert (entity, text) in found(text, TURKEY_AFRICA)


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("10000000145", "TR_NATIONAL_ID"),
        ("10000000136", "TR_NATIONAL_ID"),
        ("00000000000", "TR_NATIONAL_ID"),
        ("00 ABC 123", "TR_LICENSE_PLATE"),
        ("82 ABC 123", "TR_LICENSE_PLATE"),
        ("34 QWX 123", "TR_LICENSE_PLATE"),
        ("34 ABCD 123", "TR_LICENSE_PLATE"),
        ("12 MAY 2021", "TR_LICENSE_PLATE"),
        ("12 MAY 21", "TR_LICENSE_PLATE"),
        ("10 GB 500", "TR_LICENSE_PLATE"),
        ("LSR-1234AA", "NG_VEHICLE_REGISTRATION"),
        ("8001015009088", "ZA_ID_NUMBER"),
        ("8002305009081", "ZA_ID_NUMBER"),
    ],
)
def test_what_breaks_the_rules_is_not_one(text, entity):
    assert entity not in entities(text)


def test_south_africans_are_citizens_residents_or_refugees():
    for status in range(10):
        numbers = [f"8001015009{status}8{check}" for check in range(10)]
        good = next(number for number in numbers if luhn(number))
        assert ("ZA_ID_NUMBER" in entities(good)) == (status < 3)


def test_milliseconds_are_nobodys_number_without_a_word():
    stamp = next(
        f"17010112340{race}{check}" for race in "89" for check in range(10) if luhn(f"17010112340{race}{check}")
    )
    assert not entities(stamp, "recorded")
    assert entities(stamp, "id_number") == {"ZA_ID_NUMBER"}


def test_in_sentences():
    text = "Birinci kişi: 10000000146, ikinci kişi: 76543210794"
    assert found(text, TURKEY_AFRICA) == {("TR_NATIONAL_ID", "10000000146"), ("TR_NATIONAL_ID", "76543210794")}
    assert found("Plaka: 34 ABC 123.", TURKEY_AFRICA, "note") == {("TR_LICENSE_PLATE", "34 ABC 123")}
    assert found("born, 8001015009087, here", TURKEY_AFRICA, "note") == {("ZA_ID_NUMBER", "8001015009087")}


def test_a_key_speaks_for_a_number():
    assert "TR_NATIONAL_ID" in entities("10000000146", "tcKimlikNo")
    assert "NG_NIN" in entities(NIN, "nin")
    assert entities("34abc123", "license_plate") == {"TR_LICENSE_PLATE"}
    assert entities("lsr-123aa", "plateNumber") == {"NG_VEHICLE_REGISTRATION"}
    assert entities("123456782", "israeli_id") == {"IL_ID"}


@pytest.mark.parametrize("text", ["10000000146", NIN, "LSR-123AA", "34 ABC 123", "123456782"])
def test_weak_ones_elsewhere_are_nothing(text):
    assert not entities(text, "value")
    assert not entities(text, "order_id")


@given(st.integers(0, 10), st.sampled_from("0123456789"))
def test_another_digit_in_a_turkish_number_is_refused(place, digit):
    text = "10000000146"
    changed = text[:place] + digit + text[place + 1 :]
    assert ("TR_NATIONAL_ID" in entities(changed, "tckn")) == (changed == text)
