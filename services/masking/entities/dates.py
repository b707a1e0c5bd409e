"""Dates, which matter where they are somebody's birth, and ages.

Ordinary documents are full of dates: without a word about a birth they are found in a lone text only.
"""

import re
from typing import Final

from services.masking.recogniser import Finder, Recogniser

DATE_TIME: Final = "DATE_TIME"
AGE: Final = "AGE"

_MONTHS: Final = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_YEAR: Final = r"(?:1[89]|20)[0-9]{2}"
_LEFT: Final = r"(?:^|[^0-9A-Za-z_./-])"
_MORE: Final = r"(?:[./-]?[0-9A-Za-z]+)*"
"""What must not follow; it is matched so that the check sees it, as RE2 does not look ahead."""
_TIME: Final = (
    r"(?:(?:[Tt]|,? (?:at )?)[0-2]?[0-9]:[0-5][0-9](?::[0-6][0-9](?:[.,][0-9]{1,9})?)?(?: ?[AaPp]\.?[Mm]\b)?"
    r"(?: ?(?:[Zz]\b|UTC\b|GMT\b|[+-][0-2][0-9]:?[0-5][0-9]))?)?"
)
_DAY_FIRST: Final = r"[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{2,4}"
_YEAR_FIRST: Final = rf"{_YEAR}[-/.][0-9]{{1,2}}[-/.][0-9]{{1,2}}"
_DATE: Final = rf"{_LEFT}((?:{_YEAR_FIRST}|{_DAY_FIRST}){_TIME}{_MORE})"
_DAY_OR_TIME: Final = rf"{_LEFT}((?:{_YEAR_FIRST}|{_DAY_FIRST})(?:(?:T| )[0-9]{{2}}:[0-9:.]*)?{_MORE})"
_MONTH_OF_YEAR: Final = rf"{_LEFT}((?:0?[1-9]|1[0-2])/(?:{_YEAR}|[0-9]{{2}}){_MORE})"
_IN_WORDS: Final = (
    rf"(?i)\b((?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th)?[ -](?:of )?{_MONTHS}\b"
    rf"(?:\.?(?:,? |-){_YEAR}\b|-[0-9]{{2}}\b)?{_TIME}"
    rf"|{_MONTHS}\.? (?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th)?\b(?:,? {_YEAR}\b)?{_TIME}"
    rf"|{_MONTHS}[-/. ]{_YEAR}\b)"
)
_COMPACT: Final = (
    rf"\b(?:{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])|(?:0[1-9]|[12][0-9]|3[01])(?:0[1-9]|1[0-2]){_YEAR})\b"
)
"""`19850312`, `12031985`."""

_PARTS = re.compile(r"([0-9]{1,4})([-/.])([0-9]{1,2})\2([0-9]{1,4})(?P<more>.*)", re.DOTALL)
_TIME_OF_DAY = re.compile(_TIME)
_MIDNIGHT = re.compile(r"[T ]00:00(?::00(?:\.0+)?)?Z?")
_MONTH_AND_YEAR = re.compile(rf"[0-9]{{1,2}}/(?:{_YEAR}|[0-9]{{2}})")

_BIRTH_WORDS: Final = tuple(
    re.split(
        r",\s+",
        """born, birth, birthday, birthdate, dob, d.o.b, bday, date of birth, birth date,
        geboren, geburtsdatum, geburtstag, geb, né le, née le, naissance, date de naissance,
        nacimiento, nacido, nacida, nascimento, nascido, nascida, nato il, nata il, nascita,
        geboortedatum, födelsedatum, född, fødselsdato, født, syntymäaika, syntynyt,
        urodzenia, urodzony, urodzona, narození, doğum tarihi, рождения, родился, родилась,
        出生日期, 生年月日, 생년월일""",
    )
)


def is_date(written: str) -> bool:
    """Whether it is a day of the calendar, in any customary order, with nothing but a time after it.

    >>> is_date("21.5.21"), is_date("2024-13-32"), is_date("10.1.12.34")
    (True, False, False)
    """
    parts = _PARTS.fullmatch(written)
    if not parts or not _TIME_OF_DAY.fullmatch(parts["more"]):
        return False
    first, second, last = int(parts[1]), int(parts[3]), int(parts[4])
    if len(parts[1]) == 4:
        return 1 <= second <= 12 and 1 <= last <= 31
    return len(parts[1]) <= 2 and len(parts[4]) in (2, 4) and 1 <= min(first, second) <= 12 and max(first, second) <= 31


def is_day(written: str) -> bool:
    """A date without a time, or with midnight's: timestamps are refused before anybody looks for words next to them."""
    time = written.find(":")
    if time < 0:
        return is_date(written)
    return bool(_MIDNIGHT.fullmatch(written, time - 3)) and is_date(written[: time - 3])


def _is_month_of_year(written: str) -> bool:
    return bool(_MONTH_AND_YEAR.fullmatch(written))


def _is_human(years: str) -> bool:
    """Whether it is nothing but a number of years that people reach."""
    return years.isdecimal() and 0 < int(years) <= 120


_SOURCE: Final = "ISO 8601 and customary forms"

DATES: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser(DATE_TIME, _DATE, check=is_date, score=0.4, evidence="calendar", source=_SOURCE),
    Recogniser(
        DATE_TIME,
        _DAY_OR_TIME,
        check=is_day,
        score=0.35,
        words=_BIRTH_WORDS,
        evidence="calendar",
        source=_SOURCE,
    ),
    Recogniser(DATE_TIME, _IN_WORDS, score=0.4, words=_BIRTH_WORDS, evidence="name of a month", source=_SOURCE),
    Recogniser(DATE_TIME, _MONTH_OF_YEAR, check=_is_month_of_year, score=0.3, evidence="shape", source=_SOURCE),
    Recogniser(DATE_TIME, _COMPACT, score=0.1, words=_BIRTH_WORDS, evidence="calendar", source=_SOURCE),
    Recogniser(
        AGE,
        r"(?i)\b([0-9]{1,3})(?:[ -]?(?:years?|yrs?)[ -]old|[ -]?(?:years|yrs) of age| ?y/?o)\b",
        check=_is_human,
        score=0.45,
        evidence="words around it",
    ),
    Recogniser(
        AGE,
        r"(?i)\b(?:aged?|age:|age is|age of|turn(?:s|ed|ing)?|(?:he|she) (?:is|was)|i'm|i am)[ =]{1,2}"
        r"([0-9]{1,3}\b(?:[.,:/-][0-9]+|%| ?(?:%|percent|kg|lbs?|cm|km|miles|meters|feet|minutes|hours|days|weeks"
        r"|months|dollars|euros)\b)?)",
        check=_is_human,
        score=0.35,
        evidence="words before it",
    ),
)
