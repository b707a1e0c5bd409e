"""Polish, French, Dutch, Belgian and Swiss numbers, and VAT numbers: published examples and where they count."""

import pytest
from finding import found

from services.masking.entities.central_europe import CENTRAL_EUROPE, nir, pesel


@pytest.mark.parametrize(
    ("entity", "text"),
    [
        ("PL_PESEL", "44051401359"),
        ("PL_PESEL", "02070803628"),
        ("FR_NIR", "255081416802538"),
        ("FR_NIR", "2 55 08 14 168 025 38"),
        ("BE_NATIONAL_NUMBER", "85.07.30-033.28"),
        ("CH_AHV", "756.9217.0769.85"),
        ("CH_AHV", "7569217076985"),
    ],
)
def test_a_lone_value_is_found(entity: str, text: str) -> None:
    assert (entity, text) in found(text, CENTRAL_EUROPE)


@pytest.mark.parametrize(
    "text",
    [
        "44051401358",
        "44131401359",
        "255081416802539",
        "255141416802538",
        "85.07.30-033.29",
        "85.13.30-033.28",
        "756.9217.0769.84",
        "7559217076985",
    ],
)
def test_what_the_rules_do_not_issue_is_refused(text: str) -> None:
    assert found(text, CENTRAL_EUROPE) == set()


@pytest.mark.parametrize(
    ("entity", "value", "key"),
    [
        ("PL_PESEL", "44051401359", "pesel"),
        ("PL_NIP", "123-456-32-18", "nip"),
        ("PL_NIP", "1234563218", "nip"),
        ("PL_REGON", "123456785", "regon"),
        ("PL_REGON", "12345678512347", "regon"),
        ("PL_IDENTITY_CARD", "ABA300000", "dowod_osobisty"),
        ("NL_BSN", "111222333", "bsn"),
        ("NL_BSN", "1112.22.333", "burgerservicenummer"),
        ("BE_NATIONAL_NUMBER", "85073003328", "rijksregisternummer"),
        ("EU_VAT", "ATU12345678", "vat"),
        ("EU_VAT", "NL123456789B01", "btw"),
        ("EU_VAT", "FR40303265045", "tva"),
    ],
)
def test_its_key_speaks_for_it(entity: str, value: str, key: str) -> None:
    assert (entity, value) in found(value, CENTRAL_EUROPE, "customer", key)
    assert found(value, CENTRAL_EUROPE, "items", 0, "sku") == set()


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("123-456-32-19", "nip"),
        ("123456786", "regon"),
        ("ABA300001", "dowodu"),
        ("111222334", "bsn"),
        ("XX12345678", "vat"),
    ],
)
def test_a_word_does_not_make_a_wrong_number_right(value: str, key: str) -> None:
    assert found(value, CENTRAL_EUROPE, key) == set()


def test_decimal_fractions_are_no_numbers_of_persons() -> None:
    assert found("0.255081416802538", CENTRAL_EUROPE, "ratio") == set()


def test_corsica() -> None:
    assert [key for key in range(1, 98) if nir(f"25508 2A 168025 {key:02d}".replace(" ", ""))] == [
        97 - 2550819168025 % 97
    ]


def test_every_changed_digit_of_a_pesel_is_noticed() -> None:
    number = "44051401359"
    changed = {number[:i] + d + number[i + 1 :] for i in range(11) for d in "0123456789"} - {number}
    assert pesel(number)
    assert not any(map(pesel, changed))
