"""The United Kingdom and Ireland: health, insurance and tax numbers, passports, licences, postcodes and plates."""

import re
from typing import Final

from services.masking.entities.check_digits import weighted
from services.masking.entities.european_checks import bare, is_day, upper
from services.masking.recogniser import Finder, Recogniser

_NHS_WORDS: Final = ("nhs", "nhs no", "nhs number", "health service number")
_NHS_RULE: Final = "NHS Data Dictionary, NHS NUMBER: modulus 11"
_PLATE_TELLING: Final = (
    *("vrm", "vrn", "number plate", "numberplate", "license plate", "licence plate", "registration plate"),
    *("vehicle registration", "vehicle reg", "registration mark", "car reg", "reg no"),
)
_PLATE_WORDS: Final = (*_PLATE_TELLING, "plate", "vehicle", "vehicles", "registration", "registration number")
_PLATE_RULE: Final = "DVLA INF104, vehicle registration numbers"
_POSTCODE_WORDS: Final = ("postcode", "post code", "postal code", "zip", "zip code")
_POSTCODE_RULE: Final = "Royal Mail Programmers' Guide; BS 7666"


def nhs(text: str) -> bool:
    digits = bare(text)
    check = 11 - weighted(digits[:9], (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return int(digits[9]) == check % 11 and len(set(digits)) > 1


_NINO: Final = r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?(?:[0-9]{2}[ -]?){3}[A-D]\b"
_NINO_WORDS: Final = ("nino", "national insurance", "ni number", "ni no")
_NEVER_NINO: Final = frozenset({"BG", "GB", "KN", "NK", "NT", "TN", "ZZ"})


def nino(text: str) -> bool:
    """Some prefixes are not allocated (the pattern excludes single letters)."""
    return upper(text[:2]) not in _NEVER_NINO


def driving_licence(text: str) -> bool:
    """Decade of birth, month (a woman's plus 50), day, year of the decade."""
    month = int(text[6:8])
    return is_day(month - 50 if month > 50 else month, int(text[8:10]))


_OUTWARD = (
    "(?:[A-PR-UWYZ][0-9]{1,2}|[A-PR-UWYZ][A-HK-Y][0-9]{1,2}|[A-PR-UWYZ][0-9][A-HJKPSTUW]"
    "|[A-PR-UWYZ][A-HK-Y][0-9][ABEHMNPRVWXY])"
)
_POSTCODE: Final = rf"\b(?:{_OUTWARD}[ -]?[0-9][ABD-HJLNP-UW-Z]{{2}}|GIR ?0AA)\b"

_SINCE_2001 = "[A-HJ-PR-Y][A-HJ-PR-Y](?:0[1-9]|[12][0-9]|5[1-9]|[67][0-9])[ -]?[A-HJ-PR-Z]{3}"
_PREFIXED = "[A-HJ-NPR-TV-Y][1-9][0-9]{0,2}[ -]?[A-HJ-PR-Z]{3}"
_SUFFIXED = "[A-HJ-PR-Z]{3}[ -]?[1-9][0-9]{0,2}[ -]?[A-HJ-NPR-TV-Y]"
_PLATE: Final = rf"\b(?:{_SINCE_2001}|{_PREFIXED}|{_SUFFIXED})\b"

_PPS = re.compile("([0-9]{7})([A-W])([A-IW]?)")


def pps(text: str) -> bool:
    """Modulus 23 over seven digits (8 … 2) and, since 2013, a second letter (9); W is 0."""
    match = _PPS.fullmatch(upper(text))
    if match is None:
        return False
    second = " ABCDEFGHI".find(match[3]) if match[3] not in ("", "W") else 0
    total = weighted(match[1], (8, 7, 6, 5, 4, 3, 2)) + 9 * second
    return "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] == match[2]


BRITAIN: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser(
        entity="UK_NHS",
        digits=(10,),
        check=nhs,
        score=0.35,
        words=_NHS_WORDS,
        whole=True,
        evidence="check digit (mod 11)",
        source=_NHS_RULE,
    ),
    Recogniser(
        entity="UK_NHS",
        pattern=r"\b[0-9]{3}(?: [0-9]{3} |-[0-9]{3}-)[0-9]{4}\b",
        check=nhs,
        score=0.4,
        words=_NHS_WORDS,
        whole=True,
        evidence="grouping, check digit (mod 11)",
        source=_NHS_RULE,
    ),
    Recogniser(
        entity="UK_NINO",
        pattern=_NINO,
        check=nino,
        score=0.6,
        words=_NINO_WORDS,
        evidence="allocated prefix, shape, suffix A to D",
        source="HMRC NIM39110",
    ),
    Recogniser(
        entity="UK_NINO",
        pattern=f"(?i){_NINO}",
        check=nino,
        score=0.45,
        words=_NINO_WORDS,
        evidence="allocated prefix, shape, suffix A to D",
        source="HMRC NIM39110",
    ),
    Recogniser(
        entity="UK_PASSPORT",
        pattern=r"(?i)\b[A-Z]{2}[0-9]{7}\b",
        score=0.35,
        words=("passport", "passports", "passport no", "passport number"),
        evidence="shape",
        source="HM Passport Office, since 2015: two letters, seven digits",
    ),
    Recogniser(
        entity="UK_PASSPORT",
        digits=(9,),
        score=0.2,
        words=("uk passport", "british passport", "gb passport"),
        evidence="nine digits",
        source="HM Passport Office, basic passport checks",
    ),
    Recogniser(
        entity="UK_DRIVING_LICENCE",
        pattern=(
            r"(?i)\b(?:[A-Z]{5}|[A-Z]{4}9|[A-Z]{3}99|[A-Z]{2}999|[A-Z]9999)[0-9][0156][0-9][0-3][0-9]{2}"
            r"[A-Z9]{2}[0-9A-Z][A-Z]{2}\b"
        ),
        check=driving_licence,
        score=0.92,
        words=("driving licence", "driver licence", "driving license", "driver number", "dvla", "licence"),
        evidence="name, date of birth and initials in their places",
        source="DVLA, driver number",
    ),
    Recogniser(
        entity="UK_POSTCODE",
        pattern=_POSTCODE,
        score=0.4,
        words=_POSTCODE_WORDS,
        evidence="shape, letters allowed in their places",
        source=_POSTCODE_RULE,
    ),
    Recogniser(
        entity="UK_POSTCODE",
        pattern=f"(?i){_POSTCODE}",
        score=0.3,
        words=_POSTCODE_WORDS,
        whole=True,
        evidence="shape, letters allowed in their places",
        source=_POSTCODE_RULE,
    ),
    Recogniser(
        entity="UK_VEHICLE_REGISTRATION",
        pattern=_PLATE,
        score=0.35,
        words=_PLATE_WORDS,
        evidence="shape, letters and age identifier",
        source=_PLATE_RULE,
    ),
    Recogniser(
        entity="UK_VEHICLE_REGISTRATION",
        pattern=f"(?i){_PLATE}",
        score=0.3,
        words=_PLATE_TELLING,
        whole=True,
        evidence="shape, letters and age identifier",
        source=_PLATE_RULE,
    ),
    Recogniser(
        entity="IE_PPS",
        pattern=r"(?i)\b[0-9]{7}[A-W][A-IW]?\b",
        check=pps,
        score=0.25,
        words=("pps", "ppsn", "pps number", "personal public service"),
        evidence="check letter (mod 23)",
        source="Department of Social Protection, PPS number",
    ),
)
