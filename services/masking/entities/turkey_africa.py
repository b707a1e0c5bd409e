"""Turkey, Israel, Nigeria and South Africa."""

import re
from typing import Final

from services.masking.entities.check_digits import compact, luhn, real_birthday, verhoeff
from services.masking.recogniser import Finder, Recogniser


def _turkish_id(text: str) -> bool:
    """Never begins with 0; the tenth digit checks the nine before it, the eleventh all ten."""
    if text[0] == "0":
        return False
    digits = [int(digit) for digit in text]
    odd, even = sum(digits[0:9:2]), sum(digits[1:8:2])
    return (7 * odd - even) % 10 == digits[9] and sum(digits[:10]) % 10 == digits[10]


_MONTHS: Final = re.compile("JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC", re.IGNORECASE)
_UNITS: Final = re.compile("[AP]M|[KMGT]B|KG|ML|[CMK]M|USD|EUR|TL|TRY|OF|AT|TO|IN", re.IGNORECASE)


def _turkish_plate(text: str) -> bool:
    """Not `12 MAY 2021` or `10 GB 500`."""
    letters = text.strip("0123456789 -")
    digits = len(text) - len(text.rstrip("0123456789"))
    dated = digits in (2, 4) and _MONTHS.fullmatch(letters)
    return not dated and not _UNITS.fullmatch(letters)


def _south_african_id(text: str) -> bool:
    """Day of birth, serial number, citizen (0), resident (1) or refugee (2), an 8 or 9 that says nothing, Luhn."""
    digits = compact(text)
    return digits[10] in "012" and digits[11] in "89" and real_birthday(digits[:6]) and luhn(digits)


def _adult(text: str) -> bool:
    """Not what may be milliseconds since 1970 in the years 2020 to 2030, which would be the birthdays of children."""
    return text[:2] not in ("16", "17", "18") and _south_african_id(text)


def _child(text: str) -> bool:
    return text[:2] in ("16", "17", "18") and _south_african_id(text)


_NATIONAL_ID: Final = ("national id", "identity number", "national identity", "id number")
_TCKN: Final = ("tckn", "tc kimlik", "t.c. kimlik", "kimlik", "tc no", "turkish id", *_NATIONAL_ID)
_PLATE: Final = (
    *("vehicle registration", "vehicle reg", "vehicle number", "registration number"),
    *("plate", "plates", "plate number", "number plate", "license plate", "licence plate"),
)
_PLAKA: Final = ("plaka", "plakas\N{LATIN SMALL LETTER DOTLESS I}", *_PLATE)
_NIN: Final = ("nin", "nimc", "national identification", *_NATIONAL_ID)
_RSA: Final = ("rsa id", "sa id", "south african id", "identity document", *_NATIONAL_ID)
_ZEHUT: Final = ("teudat zehut", "israeli id", "mispar zehut", "תעודת זהות", "מספר זהות", "ת.ז")

_NVI: Final = "Turkey, General Directorate of Civil Registration, T.C. kimlik no"
_TRAFFIC: Final = "Turkey, Highway Traffic Regulation, registration plates"
_NIMC: Final = "National Identity Management Commission of Nigeria, NIN"
_FRSC: Final = "Federal Road Safety Corps of Nigeria, number plates since 2011"
_DHA: Final = "South Africa, Identification Act 68 of 1997, identity numbers"

TURKEY_AFRICA: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser(
        "TR_NATIONAL_ID",
        digits=(11,),
        check=_turkish_id,
        score=0.48,
        words=_TCKN,
        evidence="two check digits",
        source=_NVI,
    ),
    Recogniser(
        "TR_LICENSE_PLATE",
        r"\b(?:0[1-9]|[1-7]\d|8[01])"
        r"(?: [A-PR-VYZ] \d{2,5}| [A-PR-VYZ]{2,3} \d{2,4}|-[A-PR-VYZ]-\d{2,5}|-[A-PR-VYZ]{2,3}-\d{2,4})\b",
        check=_turkish_plate,
        score=0.4,
        words=_PLAKA,
        evidence="province, shape",
        source=_TRAFFIC,
    ),
    Recogniser(
        "TR_LICENSE_PLATE",
        r"(?i)\b(?:0[1-9]|[1-7]\d|8[01]) ?(?:[A-PR-VYZ] ?\d{2,5}|[A-PR-VYZ]{2,3} ?\d{2,4})\b",
        check=_turkish_plate,
        score=0.3,
        words=_PLAKA,
        whole=True,
        evidence="province, shape",
        source=_TRAFFIC,
    ),
    Recogniser(
        "NG_NIN",
        digits=(11,),
        check=verhoeff,
        score=0.35,
        words=_NIN,
        evidence="verhoeff",
        source=_NIMC,
    ),
    Recogniser(
        "NG_VEHICLE_REGISTRATION",
        r"(?i)\b[A-Z]{3}[ -]\d{3}[ -]?[A-Z]{2}\b",
        score=0.4,
        words=_PLATE,
        evidence="shape",
        source=_FRSC,
    ),
    Recogniser(
        "NG_VEHICLE_REGISTRATION",
        r"\b[A-Z]{3}\d{3}[A-Z]{2}\b",
        score=0.3,
        words=_PLATE,
        whole=True,
        evidence="shape",
        source=_FRSC,
    ),
    Recogniser(
        "ZA_ID_NUMBER",
        digits=(13,),
        check=_adult,
        score=0.7,
        words=_RSA,
        evidence="date, citizenship, luhn",
        source=_DHA,
    ),
    Recogniser(
        "ZA_ID_NUMBER",
        digits=(13,),
        check=_child,
        score=0.45,
        words=_RSA,
        evidence="date, citizenship, luhn",
        source=_DHA,
    ),
    Recogniser(
        "ZA_ID_NUMBER",
        r"\b\d{6} \d{4} (?:\d{3}|\d \d \d)\b",
        check=_south_african_id,
        score=0.45,
        words=_RSA,
        evidence="date, citizenship, luhn",
        source=_DHA,
    ),
    Recogniser(
        "IL_ID",
        digits=(9,),
        check=luhn,
        score=0.2,
        words=_ZEHUT,
        evidence="luhn",
        source="Israel, Population and Immigration Authority, identity number",
    ),
)
