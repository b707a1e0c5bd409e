"""India: Aadhaar, tax numbers, passports, voters' cards and vehicles."""

import re
from typing import Final

from services.masking.entities.check_digits import compact, verhoeff
from services.masking.recogniser import Finder, Recogniser


def _aadhaar(text: str) -> bool:
    """Never begins with 0 or 1; the last digit is Verhoeff's."""
    return text[0] not in "01" and verhoeff(compact(text))


_BASE_36: Final = {character: value for value, character in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")}


def _gstin(text: str) -> bool:
    """States 01 to 37 by their shape, which hardly anything else has; newer codes only with the check character."""
    return "01" <= text[:2] <= "37" or (text[:2] in ("38", "96", "97", "99") and _gstin_checked(text.upper()))


def _gstin_checked(text: str) -> bool:
    values = [_BASE_36.get(character, 0) for character in text]
    total = sum(sum(divmod(value * (1 + place % 2), 36)) for place, value in enumerate(values[:14]))
    return -total % 36 == values[14]


def _pan(text: str) -> bool:
    """Numbers of a series begin with 0001."""
    return text[5:9] != "0000"


_STATES: Final = re.compile(
    "A[NPRS]|B[HR]|C[GH]|D[DLN]|G[AJ]|H[PR]|J[HK]|K[AL]|L[AD]|M[HLNPZ]|N[AL]|O[DR]|P[BY]|RJ|SK|T[GNRS]|U[AKP]|WB",
    re.IGNORECASE,
)


def _plate(text: str) -> bool:
    """Of a state, and not numbered 0000."""
    return _STATES.match(text) is not None and _numbered(text)


def _numbered(text: str) -> bool:
    return text[-4:] != "0000"


_AADHAAR: Final = ("aadhaar", "aadhar", "adhaar", "adhar", "uidai", "aadhaar card", "आधार")
_GSTIN: Final = ("gstin", "gst", "gstins")
_PAN: Final = ("pan", "pan card", "permanent account number", "permanent account")
_PASSPORT: Final = ("passport", "passport number", "indian passport", "passports")
_VEHICLE: Final = (
    *("vehicle registration", "vehicle reg", "vehicle number", "registration number", "reg no"),
    *("plate", "plates", "plate number", "number plate", "license plate", "licence plate"),
)
_VOTER: Final = ("voter", "voters", "epic", "election card", "electoral", "vote")

_GROUPS: Final = r"\b\d{4}(?: \d{4} \d{4}|-\d{4}-\d{4}|:\d{4}:\d{4})\b"

_UIDAI: Final = "UIDAI, Aadhaar numbering scheme (2010)"
_GSTN: Final = "GST Council, Rules for registration, rule 10"
_ITD: Final = "Income Tax Department of India, Permanent Account Number"
_MEA: Final = "Ministry of External Affairs, passport number"
_MORTH: Final = "Central Motor Vehicles Rules, 1989, rule 50"
_ECI: Final = "Election Commission of India, EPIC number"

INDIA: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser(
        "IN_AADHAAR",
        digits=(12,),
        check=_aadhaar,
        score=0.4,
        words=_AADHAAR,
        whole=True,
        evidence="first digit, verhoeff",
        source=_UIDAI,
    ),
    Recogniser("IN_AADHAAR", digits=(12,), score=0.2, words=_AADHAAR, evidence="twelve digits", source=_UIDAI),
    Recogniser(
        "IN_AADHAAR",
        _GROUPS,
        check=_aadhaar,
        score=0.45,
        words=_AADHAAR,
        whole=True,
        evidence="groups, first digit, verhoeff",
        source=_UIDAI,
    ),
    Recogniser(
        "IN_AADHAAR",
        _GROUPS,
        score=0.35,
        words=_AADHAAR,
        whole=True,
        evidence="groups",
        source=_UIDAI,
    ),
    Recogniser(
        "IN_GSTIN",
        r"(?i)\b\d{2}[A-Z]{5}\d{4}[A-Z][1-9A-Z]Z[0-9A-Z]\b",
        check=_gstin,
        score=0.95,
        words=_GSTIN,
        evidence="state, PAN inside, shape",
        source=_GSTN,
    ),
    Recogniser(
        "IN_PAN",
        r"\b[A-Z]{3}P[A-Z]\d{4}[A-Z]\b",
        check=_pan,
        score=0.6,
        words=_PAN,
        evidence="holder is a person, shape",
        source=_ITD,
    ),
    Recogniser(
        "IN_PAN",
        r"(?i)\b[A-Z]{5}\d{4}[A-Z]\b",
        check=_pan,
        score=0.4,
        words=_PAN,
        evidence="shape",
        source=_ITD,
    ),
    Recogniser(
        "IN_PASSPORT",
        r"(?i)\b[A-PR-WY][1-9]\d ?\d{4}[1-9]\b",
        score=0.35,
        words=_PASSPORT,
        evidence="shape",
        source=_MEA,
    ),
    Recogniser(
        "IN_VEHICLE_REGISTRATION",
        r"(?i)\b[A-Z]{2}[ -]?\d{1,2}[ -]?[A-Z]{1,3}[ -]?\d{4}\b",
        check=_plate,
        score=0.5,
        words=_VEHICLE,
        evidence="state, shape",
        source=_MORTH,
    ),
    Recogniser(
        "IN_VEHICLE_REGISTRATION",
        r"\b[2-9]\d[ -]?BH[ -]?\d{4}[ -]?[A-HJ-NP-Z]{1,2}\b",
        score=0.6,
        words=_VEHICLE,
        evidence="Bharat series, shape",
        source=_MORTH,
    ),
    Recogniser(
        "IN_VEHICLE_REGISTRATION",
        # From before 1989 (`MHA 1234`, `MN2412`), of the forces (`03D153874W`) and of embassies (`77CD123`).
        r"\b(?:[A-Z]{2,3}[ -]?\d{4}|\d{2}[ABCDEFHKPRX]\d{6}[A-Z]|\d{1,3}[ -]?(?:CD|CC|UN)[ -]?[1-9]\d{0,3})\b",
        check=_numbered,
        score=0.3,
        words=_VEHICLE,
        whole=True,
        evidence="shape",
        source=_MORTH,
    ),
    Recogniser("IN_VOTER", r"(?i)\b[A-Z]{3}\d{7}\b", score=0.35, words=_VOTER, evidence="shape", source=_ECI),
)
