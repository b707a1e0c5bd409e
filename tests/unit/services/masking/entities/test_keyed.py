"""What keys tell: found where the value is plausible, and nothing told by the keys of things."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.masking.corpora import ordinary, telling
from services.masking.entities.key_tables import TABLE
from services.masking.entities.keyed import describes_person, key_of_pair, rule_of_key
from services.masking.entities.secrets import SECRETS
from services.masking.leaf import Leaf, words_of
from services.masking.recogniser import Detectors, Finder, Recogniser
from services.masking.scanning import Scanner


def told(key: str, value: str, parent: str = "") -> str | None:
    rule = rule_of_key(words_of((key,)), words_of((parent,)))
    return rule.entity if rule is not None and rule.plausible(value) else None


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, (dict, list)):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, step))
    elif value is not None and not isinstance(value, bool):
        yield path, str(value)


def told_at(path: tuple[str | int, ...], value: str) -> str | None:
    keys = [step for step in path if isinstance(step, str)]
    return told(keys[-1], value, keys[-2] if len(keys) > 1 else "") if keys else None


TOLD = [
    *(
        ("PERSON", key, "Jane Roe")
        for key in ("fullName", "customer_name", "Guest-Name", "nombreCompleto", "cardholder")
    ),
    *(
        ("PERSON", key, "ng")
        for key in ("first_name", "firstname", "LASTNAME", "customerLastName", "prénom", "nachname")
    ),
    *(("PERSON", key, "Jane Roe") for key in ("patient", "assignee", "name", "display_name", "contactPerson")),
    *(
        ("STREET_ADDRESS", key, "12 High St")
        for key in ("address", "address1", "line_1_address", "shippingAddress", "street")
    ),
    *(("STREET_ADDRESS", key, "Rue de Rivoli") for key in ("street", "calle", "billing_street_name")),
    *(("ZIP_CODE", key, "10115") for key in ("zip", "zip_code", "postalCode", "PLZ", "customerpostcode")),
    *(("DATE_OF_BIRTH", "dob", date) for date in ("1980-02-03", "3.2.1980", "March 3, 1980", "3 Mar 80", "19800203")),
    *(
        ("DATE_OF_BIRTH", key, "1980-02-03T00:00:00Z")
        for key in ("dateOfBirth", "dateofbirth", "birth_dt", "userBirthday")
    ),
    *(("PASSWORD", key, "hunter2") for key in ("password", "DB_PASSWORD", "userpassword", "passwordConfirm", "newPwd")),
    *(("PASSWORD", key, "123456") for key in ("otp", "verificationCode", "one-time-code")),
    ("PIN", "pin", "123456"),
    *(("API_KEY", key, "a8f5f167f44f4964") for key in ("api_key", "apikey", "X-Api-Key", "stripeApiKey")),
    *(
        ("SECRET", key, "a8f5f167f44f4964e6c998dee827110c")
        for key in ("client_secret", "accessToken", "token", "signature")
    ),
    *(("SECRET", "Authorization", value) for value in ("Bearer a8f5f167f44f", "a8f5f167f44f4964e6")),
    ("SECRET", "Cookie", "sid=a8f5f167; theme=dark"),
    ("CVV", "cvv2", "123"),
    *(("CREDIT_CARD", key, "4111 1111 1111 1112") for key in ("card_number", "cardNo", "ccNumber", "creditcard")),
    *(("US_SSN", key, "000-12-3456") for key in ("ssn", "SocialSecurityNumber", "employee_ssn")),
    ("US_SSN", "ssn_last_4", "6789"),
    ("IBAN_CODE", "iban", "DE00 3704 0044 0532 0130 00"),
    *(("PHONE_NUMBER", key, "555-0132-77") for key in ("phone", "homePhone", "mobile_number", "phoneHome", "tel")),
    ("EMAIL_ADDRESS", "email", "jane@localhost"),
    ("PASSPORT", "passportNumber", "X1234567"),
    ("DRIVER_LICENSE", "driversLicenseNo", "D1234567"),
    ("NATIONAL_ID", "national_id", "AB-123456"),
    ("TAX_ID", "taxId", "12-3456789"),
    ("BANK_ACCOUNT", "bankAccountNumber", "0012345678"),
    ("ABA_ROUTING_NUMBER", "routing_number", "021000022"),
    ("MEDICAL_RECORD", "mrn", "MRN-123456"),
    ("NRP", "nationality", "Danish"),
]


@pytest.mark.parametrize(("entity", "key", "value"), TOLD)
def test_a_key_tells(entity: str, key: str, value: str) -> None:
    value = "Maria Garcia" if key == "name" else value
    assert told(key, value) == entity


@pytest.mark.parametrize(
    ("parent", "key", "value", "entity"),
    [
        ("name", "first", "Jane", "PERSON"),
        ("customer", "name", "roe, jane", "PERSON"),
        ("passengers", "name", "Jane Roe", "PERSON"),
        ("card", "number", "4111111111111112", "CREDIT_CARD"),
        ("passport", "number", "X1234567", "PASSPORT"),
        ("phones", "number", "5550132", "PHONE_NUMBER"),
        ("address", "line1", "12 High St", "STREET_ADDRESS"),
        ("shippingAddress", "city", "Springfield", "LOCATION"),
        ("patient", "id", "12345678", "MEDICAL_RECORD"),
        ("patient", "age", "47", "AGE"),
        ("patient", "diagnosis", "Type 2 diabetes", "MEDICAL"),
    ],
)
def test_half_a_key_takes_the_rest_from_its_object(parent: str, key: str, value: str, entity: str) -> None:
    assert told(key, value, parent) == entity


@pytest.mark.parametrize(
    ("parent", "key", "value"),
    [
        *(
            ("", key, "Jane Roe")
            for key in ("product_name", "fileName", "hostname", "serviceName", "companyName", "id")
        ),
        *(("product", key, "Maria Garcia") for key in ("name", "title", "label")),
        *(
            ("", "name", value)
            for value in ("checkout", "Build Image", "Espresso Machine", "build-and-test", "Maria Chair")
        ),
        *(("customer", "name", value) for value in ("Acme GmbH", "Globex Inc.", "null", "string", "c-42")),
        *(
            ("", key, "12 High St")
            for key in ("ip_address", "macAddress", "email_address", "memory_address", "walletAddress")
        ),
        *(
            ("", "address", value)
            for value in ("10.0.0.1:8080", "unix:///run/x.sock", "0x7ffe12ab", "localhost:80", "::1")
        ),
        *(("", key, "hunter2") for key in ("password_hash", "passwordPolicy", "token_type", "password_reset_at")),
        *(
            ("", "password", value)
            for value in ("****", "<password>", "${DB_PASSWORD}", "required", "null", "[PASSWORD]")
        ),
        *(
            ("", key, "aB3xY9kQ2mZ8pL5wR7tU")
            for key in ("next_page_token", "pageToken", "token_id", "sync_token", "etag")
        ),
        *(("", "token", value) for value in ("IDENTIFIER", "4096", "default-token-x7k2p", "comma")),
        *(("", "pin", value) for value in ("13", "GPIO", "true")),
        *(("", key, "true") for key in ("mobile", "zip", "phone", "email", "cell", "card", "born")),
        *(("", key, "4111111111111111") for key in ("order_id", "card_type", "number", "phone_type_id")),
        *(("", "dob", value) for value in ("unknown", "yes", "0.5", "12")),
        *(("", "age", value) for value in ("42", "5d", "300")),
        *(("", "city", value) for value in ("Berlin", "Paris")),
        *(("", "sin", value) for value in ("0.70710678", "1.0")),
        ("sort", "last_name", "asc"),
        ("weather", "city", "Berlin"),
        ("patient", "id", "550e8400-e29b-41d4-a716-446655440000"),
        ("", "diagnosis", "Out of memory"),
        ("", "", "Jane Roe"),
    ],
)
def test_the_keys_of_things_tell_nothing(parent: str, key: str, value: str) -> None:
    assert told(key, value, parent) is None


def test_other_digits_are_digits() -> None:
    full_width = {ord("0") + digit: 0xFF10 + digit for digit in range(10)}
    assert told("card_number", "4111 1111 1111 1112".translate(full_width)) == "CREDIT_CARD"
    assert told("cvv", "1\u200b23") == "CVV"


def test_an_object_with_such_keys_is_about_a_person() -> None:
    assert describes_person(["id", "name", "dateOfBirth"])
    assert describes_person(["e-mail", "name"])
    assert not describes_person(["id", "name", "price", "phone_type", "nickname"])
    assert told("name", "jane roe", "person") == "PERSON"


def test_a_pair_writes_its_key_down() -> None:
    assert key_of_pair({"name": "DB_PASSWORD", "value": "x"}) == "DB_PASSWORD"
    assert key_of_pair({"key": "Authorization", "value": "x", "enabled": True}) == "Authorization"
    assert key_of_pair({"name": "DB_PASSWORD"}) is None
    assert key_of_pair({"name": 7, "value": "x"}) is None


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=200))
def test_any_key_and_value_are_judged(key: str, parent: str, value: str) -> None:
    told(key, value, parent)


@pytest.mark.parametrize("key", [*sorted(TABLE), "name", "customer name"])
def test_no_value_takes_long(key: str) -> None:
    """What can be read in two ways is read in exponentially many where it repeats; the time limit of a test tells."""
    rule = rule_of_key(key, "patient")
    assert rule is not None
    for unit in ("a.", "A", "Aa ", "A'", "/a..", "1:", "1-", ", ", "a=", "{", "1 ", "Aé", "x", "__", "$a"):
        for length in (40, 79, 80, 400, 8000):
            rule.plausible((unit * length)[:length] + "!")
            rule.plausible("A " + (unit * length)[:length])


def test_arguments_with_telling_keys() -> None:
    asked = missed = other = 0
    for document, path, entity in telling(seed=11):
        value = next(text for where, text in leaves(document) if where == path)
        asked += 1
        found = told_at(path, value)
        missed += found is None
        other += found not in (None, entity)
    assert asked > 2000
    assert missed <= asked * 0.01
    assert other <= asked * 0.01


def test_ordinary_json_has_hardly_a_false_alarm() -> None:
    machine = Scanner(
        Detectors(
            tuple(one for one in SECRETS if isinstance(one, Recogniser)),
            tuple(one for one in SECRETS if isinstance(one, Finder)),
        )
    )
    size = alarms = 0
    for document in ordinary(seed=5, size=300_000):
        size += len(json.dumps(document))
        for path, text in leaves(document):
            alarms += told_at(path, text) is not None
            alarms += len(machine.hits(Leaf(text, path, lambda _: None)))
    assert size > 300_000
    assert alarms <= size / 400_000


def test_corpora_follow_from_their_seed() -> None:
    assert list(telling(seed=3, rounds=1)) == list(telling(seed=3, rounds=1))
    assert list(ordinary(seed=3, size=9000)) == list(ordinary(seed=3, size=9000))
    assert list(ordinary(seed=3, size=9000)) != list(ordinary(seed=4, size=9000))
