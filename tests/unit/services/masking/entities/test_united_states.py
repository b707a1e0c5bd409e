import pytest
from finding import found, hits
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.united_states import (
    MEDICAL_LICENSE,
    UNITED_STATES,
    US_DRIVER_LICENSE,
    US_EIN,
    US_ITIN,
    US_MBI,
    US_NPI,
    US_PASSPORT,
    US_SSN,
    ZIP_CODE,
    is_dea_number,
    is_npi,
)


def of(entity: str, text: str, *keys: str, lone: bool | None = None) -> set[str]:
    return {written for named, written in found(text, UNITED_STATES, *keys, lone=lone) if named == entity}


def test_social_security_numbers_in_groups() -> None:
    assert of(US_SSN, "536-22-8726", "note") == {"536-22-8726"}
    assert of(US_SSN, "His number: 853-37-1694.", "note") == {"853-37-1694"}
    assert of(US_SSN, "1,536-22-8726,1980", "note") == {"536-22-8726"}
    assert of(US_SSN, "536-22-8726", "order_id") == set()
    assert of(US_SSN, "536-22-8726", "customer", "ssn") == {"536-22-8726"}
    assert of(US_SSN, "536-228726 53622-8726") == {"536-228726", "53622-8726"}
    assert of(US_SSN, "536.22.8726") == {"536.22.8726"}
    assert of(US_SSN, "536.22.8726", "version") == set()


@pytest.mark.parametrize(
    "written",
    [
        "000-22-8726",
        "666-22-8726",
        "912-22-8726",
        "536-00-8726",
        "536-22-0000",
        "078-05-1120",
        "123-45-6789",
        "555-55-5555",
        "536-22.8726",
        "536 22-8726",
        "1-536-22-8726",
        "536-22-8726-1",
        "536-22-87261",
    ],
)
def test_what_is_no_social_security_number(written: str) -> None:
    assert of(US_SSN, written) == set()
    assert of(US_SSN, written, "ssn") == set()


def test_nine_bare_digits_need_a_word_or_a_key() -> None:
    assert of(US_SSN, "536228726", "customer", "ssn") == {"536228726"}
    assert of(US_SSN, "social security number 536228726", "note") == {"536228726"}
    assert of(US_SSN, "536228726") == set()
    assert of(US_SSN, "invoice 536228726 is late") == set()
    assert of(US_SSN, "536228726", "note") == set()


def test_taxpayers() -> None:
    assert of(US_ITIN, "my itin 911-70-1234", "note") == {"911-70-1234"}
    assert of(US_ITIN, "911701234", "itin") == {"911701234"}
    assert of(US_ITIN, "911-89-1234") == set()
    assert of(US_ITIN, "811-70-1234") == set()
    assert of(US_EIN, "EIN 12-3456789", "note") == {"12-3456789"}
    assert of(US_EIN, "123456789", "company", "ein") == {"123456789"}
    assert of(US_EIN, "07-3456789", "ein") == set()
    assert of(US_EIN, "12-3456789", "note") == set()


def test_providers_of_health_care() -> None:
    assert of(US_NPI, "NPI: 1234567893", "note") == {"1234567893"}
    assert of(US_NPI, "1234-567-893") == {"1234-567-893"}
    assert of(US_NPI, "1234567893", "timestamp") == set()
    assert of(US_NPI, "1234567890", "npi") == set()
    assert of(MEDICAL_LICENSE, "DEA number BB1388568", "note") == {"BB1388568"}
    assert of(MEDICAL_LICENSE, "f91234563") == {"f91234563"}
    assert of(MEDICAL_LICENSE, "BB1388568", "sku") == set()
    assert of(MEDICAL_LICENSE, "BB1388567", "dea") == set()


@given(st.integers(0, 9), st.integers(1, 9))
def test_an_npi_with_one_changed_digit_is_refused(place: int, by: int) -> None:
    number = "1234567893"
    assert is_npi(number)
    assert not is_npi(number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :])


@given(st.integers(2, 8), st.sampled_from([1, 3, 7, 9]))
def test_a_dea_number_with_one_changed_digit_is_refused(place: int, by: int) -> None:
    number = "BB1388568"
    assert is_dea_number(number)
    assert not is_dea_number(number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :])


def test_medicare_beneficiaries() -> None:
    assert of(US_MBI, "1EG4-TE5-MK73", "note") == {"1EG4-TE5-MK73"}
    assert of(US_MBI, "1EG4TE5MK73", "note") == {"1EG4TE5MK73"}
    assert of(US_MBI, "1EG4TE5MK73", "sku") == set()
    for wrong in ("0EG4-TE5-MK73", "1SG4-TE5-MK73", "1EG4-TEA-MK73", "1EG4-TE5MK73", "1EG4-TE5-MK734"):
        assert of(US_MBI, wrong) == set(), wrong


def test_passports() -> None:
    assert of(US_PASSPORT, "Z12803456") == {"Z12803456"}
    assert of(US_PASSPORT, "912803456") == set()
    assert of(US_PASSPORT, "passport 912803456", "note") == {"912803456"}
    assert of(US_PASSPORT, "Z12803456", "sku") == set()
    assert of(US_PASSPORT, "912803456", "note") == set()


def test_driver_licenses() -> None:
    assert of(US_DRIVER_LICENSE, "My driver's license number is 6940579", "note") == {"6940579"}
    assert of(US_DRIVER_LICENSE, "6940579", "driverLicense") == {"6940579"}
    assert of(US_DRIVER_LICENSE, "U62928788557186", "dl_number") == {"U62928788557186"}
    assert of(US_DRIVER_LICENSE, "license number J525-4209-0465-05", "note") == {"J525-4209-0465-05"}
    assert of(US_DRIVER_LICENSE, "DOE**MJ501P1") == {"DOE**MJ501P1"}
    assert of(US_DRIVER_LICENSE, "AA1B2**9ABA7 A*1234AB*CD9") == {"AA1B2**9ABA7", "A*1234AB*CD9"}
    assert of(US_DRIVER_LICENSE, "D1234567") == set()
    assert of(US_DRIVER_LICENSE, "D1234567", "part") == set()
    assert of(US_DRIVER_LICENSE, "6940579") == set()
    assert of(US_DRIVER_LICENSE, "C12T345672") == set()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ZIP: 3520", "3520"),
        ("my zip code is 94107-1234.", "94107-1234"),
        ("postal code 53-320", "53-320"),
        ("ZIP: 7412 SL", "7412 SL"),
        ("1 Market St, San Francisco, CA 94105", "94105"),
        ("Billing address:\n  1593 Pagari 18 Suite 932\n  Poll\n  SA\n  93318", "93318"),
    ],
)
def test_zip_codes_need_a_word_a_state_or_an_address(text: str, code: str) -> None:
    assert of(ZIP_CODE, text, "note") == {code}
    assert of(ZIP_CODE, code, "note") == set()


def test_zip_codes_are_known_by_their_key() -> None:
    assert of(ZIP_CODE, "94105", "address", "zipCode") == {"94105"}
    assert of(ZIP_CODE, "sw1a 1aa", "postal_code") == {"sw1a 1aa"}
    assert of(ZIP_CODE, "94105-1234", "zip") == {"94105-1234"}
    assert of(ZIP_CODE, "archive-94105", "zip_file") == set()
    assert of(ZIP_CODE, "archive.zip", "zip") == set()


def test_ordinary_values_are_nothing() -> None:
    for key, text in (
        ("created_at", "2024-03-01T12:00:33.123Z"),
        ("epoch", "1700000000"),
        ("value", "123456789"),
        ("sku", "AB1388568"),
        ("range", "12345-6789"),
        ("uuid", "53622872-6111-4222-8333-536228726123"),
    ):
        assert hits(text, UNITED_STATES, "order", key) == [], (key, text)


@pytest.mark.parametrize("text", ["apt\n123456\n" * 5000, "536-22-8726-" * 4000, "zip code is " * 4000])
def test_long_texts_of_near_misses_hold_nothing(text: str) -> None:
    assert hits(text, UNITED_STATES, "note") == []
