"""Dates and ages: in a lone text, and wherever a word or key speaks of a birth."""

from datetime import date

import pytest
from finding import found
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.dates import DATES, is_date, is_day


@pytest.mark.parametrize(
    "written",
    [
        "5/20/2021",
        "2021-05-21",
        "21.5.21",
        "21-May",
        "21-May-2021",
        "5/21",
        "May 21, 2021",
        "21 May 2021",
        "21st of May",
        "March 1987",
        "2024-06-05T09:15:30.500-07:00",
        "2024-03-15T14:30Z",
        "2000-04-16 11:34:35",
    ],
)
def test_date_in_a_lone_text_only(written: str) -> None:
    assert found(f"It was {written}, I think", DATES) == {("DATE_TIME", written)}
    assert not found(f"It was {written}, I think", DATES, "note")


@pytest.mark.parametrize(
    "text",
    ["13/32/2021", "2024-13-01", "10.1.12.34", "1.2.3", "12/2021/7", "21/May/2021:10:00", "32 May", "marching 5"],
)
def test_no_date(text: str) -> None:
    assert not {value for _, value in found(text, DATES) if value == text}


@pytest.mark.parametrize("key", ["dateOfBirth", "dob", "birth_date", "birthday", "geburtsdatum", "fechaNacimiento"])
@pytest.mark.parametrize(
    "value", ["1985-03-12", "12.03.1985", "3/12/85", "19850312", "12 March 1985", "1985-03-12T00:00:00Z"]
)
def test_key_about_a_birth(key: str, value: str) -> None:
    assert ("DATE_TIME", value) in found(value, DATES, "customer", key)


@pytest.mark.parametrize(
    "text",
    [
        "She was born on 7/5/1981.",
        "date of birth: 7/5/1981",
        "geboren am 7/5/1981",
        "née le 7/5/1981",
        "7/5/1981 (dob)",
    ],
)
def test_word_about_a_birth(text: str) -> None:
    assert found(text, DATES, "note") == {("DATE_TIME", "7/5/1981")}


@pytest.mark.parametrize("value", ["2024-01-05T10:00:00Z", "2024-01-05 10:00:00.123"])
def test_timestamp_is_nobodys_birth(value: str) -> None:
    assert not found(value, DATES, "birth_record", "updated_at")


def test_other_dates_of_the_document() -> None:
    assert not found("2024-01-05", DATES, "created_at")
    assert not found("20240105", DATES, "dates")


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)))
def test_every_day_is_a_date(day: date) -> None:
    for written in (day.isoformat(), f"{day:%d.%m.%Y}", f"{day:%m/%d/%y}", f"{day.day}-{day.month}-{day.year}"):
        assert is_date(written)
        assert is_day(written)


@given(st.text("0123456789-/.:TZ ", max_size=30))
def test_any_text_is_judged(text: str) -> None:
    assert is_date(text) in (True, False)
    assert is_day(text) in (True, False)


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("a 74 year old female", "74"),
        ("a 38-year-old male", "38"),
        ("and i'm 31 y/o.", "31"),
        ("I'll turn 23.", "23"),
        ("He just turned 60", "60"),
        ("at the age of 45", "45"),
        ("aged 47", "47"),
        ("when he was 65.", "65"),
    ],
)
def test_age(text: str, age: str) -> None:
    assert found(text, DATES) == {("AGE", age)}
    assert not found(text, DATES, "note")


@pytest.mark.parametrize(
    "text", ["a 300 year old tree", "I'm 100% sure", "turned 60.5", "he was 45 minutes late", "age of 0"]
)
def test_no_age(text: str) -> None:
    assert not found(text, DATES)
