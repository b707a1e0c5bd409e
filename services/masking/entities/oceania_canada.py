"""Australia, New Zealand and Canada: business, tax, health and social insurance numbers."""

from typing import Final

from services.masking.entities.check_digits import compact, luhn, weighted
from services.masking.recogniser import Finder, Recogniser

_THREES: Final = r"\b(?:\d{3} \d{3} \d{3}|\d{3}-\d{3}-\d{3})\b"


def _abn(text: str) -> bool:
    """Modulo 89 after one is taken from the first digit, which is never 0."""
    digits = compact(text)
    return digits[0] != "0" and (weighted(digits, (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) - 10) % 89 == 0


def _acn(text: str) -> bool:
    digits = compact(text)
    return digits.strip("0") != "" and weighted(digits, (8, 7, 6, 5, 4, 3, 2, 1, 1)) % 10 == 0


def _tfn(text: str) -> bool:
    digits = compact(text)
    return digits.strip("0") != "" and weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def _medicare(text: str) -> bool:
    """Eight digits (2 to 6 first), their check digit, the number of the card's issue, and perhaps the person's."""
    digits = compact(text)
    if not "2" <= digits[0] <= "6" or digits[9] == "0":
        return False
    return weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(digits[8])


def _sin(text: str) -> bool:
    """0 is not issued, 8 belongs to businesses."""
    return text[0] not in "08" and luhn(compact(text))


def _ird(text: str) -> bool:
    """Eight or nine digits; a check of 10 with the first weights means that the second ones decide."""
    digits = compact(text).zfill(9)
    if not 10_000_000 < int(digits) < 150_000_000:
        return False
    check = -weighted(digits, (3, 2, 7, 6, 5, 4, 3, 2)) % 11
    if check == 10:
        check = -weighted(digits, (7, 4, 3, 2, 5, 2, 7, 6)) % 11
    return check == int(digits[8])


_ABN: Final = ("abn", "australian business number", "business number")
_ACN: Final = ("acn", "australian company number", "company number")
_TFN: Final = ("tfn", "tax file", "tax file number", "tax id")
_MEDICARE: Final = ("medicare",)
_SIN: Final = ("sin", "social insurance", "social insurance number", "assurance sociale", "nas")
_IRD: Final = ("ird", "inland revenue", "tax id")
_POSTCODE: Final = ("postal code", "postal", "postcode", "code postal", "zip", "zip code")

_ABR: Final = "Australian Business Register, Format of the ABN"
_ASIC: Final = "ASIC, Australian Company Number digit check"
_ATO: Final = "Australian Taxation Office, TFN algorithm"
_HEALTH: Final = "Services Australia, Medicare card number check digit"
_CANADA: Final = "Employment and Social Development Canada, SIN validation"
_POST: Final = "Canada Post, Addressing Guidelines"
_NZ: Final = "Inland Revenue NZ, IRD number validation"
_MOD_10: Final = "check digit (mod 10)"
_MOD_11: Final = "check digit (mod 11)"

OCEANIA_CANADA: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser("AU_ABN", digits=(11,), check=_abn, score=0.4, words=_ABN, whole=True, evidence="mod 89", source=_ABR),
    Recogniser(
        "AU_ABN",
        r"\b\d{2} \d{3} \d{3} \d{3}\b",
        check=_abn,
        score=0.45,
        words=_ABN,
        evidence="groups, mod 89",
        source=_ABR,
    ),
    Recogniser("AU_ACN", digits=(9,), check=_acn, score=0.35, words=_ACN, whole=True, evidence=_MOD_10, source=_ASIC),
    Recogniser("AU_ACN", _THREES, check=_acn, score=0.4, words=_ACN, whole=True, evidence=_MOD_10, source=_ASIC),
    Recogniser("AU_TFN", digits=(9,), check=_tfn, score=0.35, words=_TFN, whole=True, evidence=_MOD_11, source=_ATO),
    Recogniser("AU_TFN", _THREES, check=_tfn, score=0.4, words=_TFN, whole=True, evidence=_MOD_11, source=_ATO),
    Recogniser(
        "AU_MEDICARE",
        digits=(10, 11),
        check=_medicare,
        score=0.35,
        words=_MEDICARE,
        whole=True,
        evidence="first digit, " + _MOD_10,
        source=_HEALTH,
    ),
    Recogniser(
        "AU_MEDICARE",
        r"\b[2-6]\d{3}(?: \d{5} \d|-\d{5}-\d)\b",
        check=_medicare,
        score=0.45,
        words=_MEDICARE,
        evidence="groups, first digit, " + _MOD_10,
        source=_HEALTH,
    ),
    Recogniser("CA_SIN", digits=(9,), check=_sin, score=0.35, words=_SIN, whole=True, evidence="luhn", source=_CANADA),
    Recogniser("CA_SIN", _THREES, check=_sin, score=0.42, words=_SIN, whole=True, evidence="luhn", source=_CANADA),
    Recogniser(
        "ZIP_CODE",
        r"\b[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z][ -]\d[ABCEGHJ-NPRSTV-Z]\d\b",
        score=0.5,
        words=_POSTCODE,
        evidence="letters in use, shape",
        source=_POST,
    ),
    Recogniser(
        "ZIP_CODE",
        r"(?i)\b[ABCEGHJ-NPRSTVXY]\d[ABCEGHJ-NPRSTV-Z] ?\d[ABCEGHJ-NPRSTV-Z]\d\b",
        score=0.2,
        words=_POSTCODE,
        evidence="letters in use, shape",
        source=_POST,
    ),
    Recogniser("NZ_IRD", digits=(8, 9), check=_ird, score=0.2, words=_IRD, evidence=_MOD_11, source=_NZ),
    Recogniser(
        "NZ_IRD",
        r"\b\d{2,3}(?:-\d{3}-\d{3}| \d{3} \d{3})\b",
        check=_ird,
        score=0.25,
        words=_IRD,
        evidence=_MOD_11,
        source=_NZ,
    ),
)
