import pytest
from finding import found

from services.masking.entities.check_digits import verhoeff
from services.masking.entities.india import INDIA

AADHAAR = next(f"49991234567{check}" for check in range(10) if verhoeff(f"49991234567{check}"))


def entities(text, *keys):
    return {entity for entity, _ in found(text, INDIA, *keys)}


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        (AADHAAR, "IN_AADHAAR"),
        (f"{AADHAAR[:4]} {AADHAAR[4:8]} {AADHAAR[8:]}", "IN_AADHAAR"),
        ("27AAPFU0939F1ZV", "IN_GSTIN"),
        ("AFZPK7190K", "IN_PAN"),
        ("J8369854", "IN_PASSPORT"),
        ("MH12DE1433", "IN_VEHICLE_REGISTRATION"),
        ("TN 07 C 3434", "IN_VEHICLE_REGISTRATION"),
        ("22 BH 6517 A", "IN_VEHICLE_REGISTRATION"),
        ("TN2412", "IN_VEHICLE_REGISTRATION"),
        ("77CD23", "IN_VEHICLE_REGISTRATION"),
        ("03D153874W", "IN_VEHICLE_REGISTRATION"),
        ("ABC1234566", "IN_VOTER"),
    ],
)
def test_numbers_by_themselves(text, entity):
    assert (entity, text) in found(text, INDIA)


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("1234 5678 901", "IN_AADHAAR"),
        ("1234 5678-9012", "IN_AADHAAR"),
        ("00AAPFU0939F1ZV", "IN_GSTIN"),
        ("38AAPFU0939F1ZV", "IN_GSTIN"),
        ("27AAPFU0939F0ZV", "IN_GSTIN"),
        ("AFZPK719K", "IN_PAN"),
        ("AFZPK0000K", "IN_PAN"),
        ("Q8369854", "IN_PASSPORT"),
        ("J0369854", "IN_PASSPORT"),
        ("XX12DE1433", "IN_VEHICLE_REGISTRATION"),
        ("MH12DE0000", "IN_VEHICLE_REGISTRATION"),
        ("AB12345678", "IN_VOTER"),
    ],
)
def test_what_breaks_the_rules_is_not_one(text, entity):
    assert entity not in entities(text)


def test_twelve_digits_without_a_check_digit_are_an_aadhaar_by_name_only():
    assert not entities("123456789012")
    assert entities("1234:5678:9012") == {"IN_AADHAAR"}
    assert entities("123456789012", "aadhaarNumber") == {"IN_AADHAAR"}
    assert entities("her आधार 123456789012", "note") == {"IN_AADHAAR"}
    assert not entities("123456789012", "quantity")
    assert not entities(AADHAAR, "quantity")
    assert not entities("processed 123456789012 rows")


def test_a_newer_state_needs_the_check_character():
    characters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert [entities(f"38AAPFU0939F1Z{character}") for character in characters].count({"IN_GSTIN"}) == 1


def test_strong_shapes_are_found_under_any_key():
    assert entities("for 27AAPFU0939F1ZV and", "order_id") == {"IN_GSTIN"}
    assert entities("AFZPK7190K", "customer") == {"IN_PAN"}
    assert entities("seen MH12DE1433 leaving", "event") == {"IN_VEHICLE_REGISTRATION"}
    assert not entities("AFZPK7190K", "sku")
    assert not entities("MH12DE1433", "sku")


def test_weak_shapes_need_a_word():
    assert not entities("J8369854", "reference")
    assert not entities("ABC1234566", "batch")
    assert not entities("BMW 2020", "vehicle", "model")
    assert entities("J8369854", "passport_number") == {"IN_PASSPORT"}
    assert entities("voter card ABC1234566", "note") == {"IN_VOTER"}
    assert entities("TN2412", "licensePlate") == {"IN_VEHICLE_REGISTRATION"}
    assert entities("AAFCA1234K", "pan") == {"IN_PAN"}


@pytest.mark.parametrize("text", ["deadbeef1234", "550e8400-e29b-41d4-a716-446655440000", "1700000000000", "v1.2.3"])
def test_what_machines_write_is_nothing(text):
    assert not entities(text, "value")


def test_letters_that_only_fold_to_ascii_break_nothing():
    assert not entities("38AAPFU0939F1Z\u212a")
