"""Spanish, Italian and Portuguese numbers: published examples, their neighbours, and where they count."""

import string

import pytest
from finding import found
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.southern_europe import SOUTHERN_EUROPE, fiscal_code, nif


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("ES_NIF", "12345678Z"),
        ("ES_NIF", "12345678-z"),
        ("ES_NIE", "X1234567L"),
        ("ES_NIE", "Y-8063915-Z"),
        ("ES_PASSPORT", "PAA123456"),
        ("IT_FISCAL_CODE", "RSSMRA85T10A562S"),
        ("IT_FISCAL_CODE", "rssmra85t10a562s"),
        ("IT_FISCAL_CODE", "RSSMRA85T10A5S2E"),
        ("IT_VAT_CODE", "07643520567"),
        ("IT_VAT_CODE", "IT07643520567"),
        ("IT_DRIVER_LICENSE", "AB1234567C"),
        ("IT_DRIVER_LICENSE", "U1B50D037X"),
        ("IT_PASSPORT", "YA1234567"),
        ("IT_IDENTITY_CARD", "CA00000AA"),
        ("IT_IDENTITY_CARD", "1234567AB"),
        ("IT_IDENTITY_CARD", "AX 1234567"),
    ],
)
def test_a_lone_value_is_found(entity: str, text: str) -> None:
    assert (entity, text) in found(text, SOUTHERN_EUROPE)


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("ES_NIF", "12345678A"),
        ("ES_NIE", "X1234567T"),
        ("ES_NIE", "W1234567L"),
        ("ES_PASSPORT", "PAAA12345"),
        ("IT_FISCAL_CODE", "RSSMRA85Z10A562S"),
        ("IT_FISCAL_CODE", "RSSMRA85T90A562S"),
        ("IT_VAT_CODE", "07643520568"),
        ("IT_VAT_CODE", "00000000000"),
        ("IT_VAT_CODE", "07643524563"),
        ("IT_DRIVER_LICENSE", "U1A50D037X"),
        ("IT_PASSPORT", "YAA123456"),
        ("IT_IDENTITY_CARD", "CA0000AA"),
    ],
)
def test_what_the_rules_do_not_issue_is_refused(entity: str, text: str) -> None:
    assert entity not in {name for name, _ in found(text, SOUTHERN_EUROPE)}


def test_a_fiscal_code_counts_everywhere_a_wrong_letter_less() -> None:
    assert found("RSSMRA85T10A562S", SOUTHERN_EUROPE, "order_id") == {("IT_FISCAL_CODE", "RSSMRA85T10A562S")}
    assert found("RSSMRA85T10A562T", SOUTHERN_EUROPE, "order_id") == set()
    assert found("RSSMRA85T10A562T", SOUTHERN_EUROPE, "nota") == {("IT_FISCAL_CODE", "RSSMRA85T10A562T")}
    assert found("rSsMrA85T10a562T", SOUTHERN_EUROPE, "token") == set()


@pytest.mark.parametrize(
    ("entity", "value", "key"),
    [
        ("ES_NIF", "12345678Z", "dni"),
        ("ES_CIF", "A58818501", "cif"),
        ("ES_PASSPORT", "PAA123456", "pasaporte"),
        ("IT_VAT_CODE", "07643520567", "partitaIva"),
        ("IT_PASSPORT", "YA1234567", "passaporto"),
        ("IT_IDENTITY_CARD", "CA00000AA", "carta_identita"),
        ("IT_DRIVER_LICENSE", "AB1234567C", "patente"),
        ("PT_NIF", "123456789", "contribuinte"),
    ],
)
def test_its_key_speaks_for_it(entity: str, value: str, key: str) -> None:
    assert (entity, value) in found(value, SOUTHERN_EUROPE, "cliente", key)
    assert found(value, SOUTHERN_EUROPE, "items", 0, "sku") == set()


@pytest.mark.parametrize(("value", "key"), [("A58818502", "cif"), ("123456788", "contribuinte"), ("123456789", "x")])
def test_a_word_does_not_make_a_wrong_check_digit_right(value: str, key: str) -> None:
    assert found(value, SOUTHERN_EUROPE, key) == set()


@given(st.integers(0, 99_999_999))
def test_every_number_has_one_letter(number: int) -> None:
    assert len([letter for letter in string.ascii_uppercase if nif(f"{number:08d}{letter}")]) == 1


def test_a_code_with_the_kelvin_sign_is_read_as_k() -> None:
    kelvin, plain = "RSSMR\u212a85T10A562S", "RSSMRK85T10A562S"
    assert fiscal_code(kelvin) == fiscal_code(plain)
    assert found(kelvin, SOUTHERN_EUROPE) == {("IT_FISCAL_CODE", kelvin)}
