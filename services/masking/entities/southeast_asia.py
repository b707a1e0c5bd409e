"""Singapore, Thailand, the Philippines and Malaysia."""

from typing import Final

from services.masking.entities.check_digits import compact, real_birthday, weighted
from services.masking.recogniser import Finder, Recogniser

_NRIC_LETTERS: Final = {
    "S": (0, "JZIHGFEDCBA"),
    "T": (4, "JZIHGFEDCBA"),
    "F": (0, "XWUTRQPNMLK"),
    "G": (4, "XWUTRQPNMLK"),
    "M": (3, "XWUTRQPNJLK"),
}
"""First letter → what is added to the sum, and the check letters by remainder."""


def _nric(text: str) -> bool:
    added, letters = _NRIC_LETTERS[text[0].upper()]
    return letters[(weighted(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + added) % 11] == text[8].upper()


_UEN_ALPHABET: Final = {character: value for value, character in enumerate("ABCDEFGHJKLMNPQRSTUVWX0123456789")}
_UEN_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWX0123456789"


def _uen_business(text: str) -> bool:
    return "XMKECAWLJDB"[weighted(text[:8], (10, 4, 9, 3, 8, 2, 7, 1)) % 11] == text[8]


def _uen_company(text: str) -> bool:
    return "ZKCMDNERGWH"[weighted(text[:9], (10, 8, 6, 4, 9, 7, 5, 3, 1)) % 11] == text[9]


def _uen_other(text: str) -> bool:
    """Letters count by their place in an alphabet without I, O, Y and Z, in which the digits follow."""
    values = [_UEN_ALPHABET.get(character, 99) for character in text]
    total = sum(value * weight for value, weight in zip(values, (4, 3, 5, 3, 10, 2, 2, 5, 7), strict=False))
    return max(values) < 99 and _UEN_LETTERS[(total - 5) % 11] == text[9]


_PROVINCES: Final = frozenset(
    str(code)
    for codes in ((10, 27), (30, 49), (50, 58), (60, 67), (70, 77), (80, 86), (90, 96))
    for code in range(codes[0], codes[1] + 1)
)
"""ISO 3166-2:TH."""


def _thai(text: str) -> bool:
    digits = compact(text)
    if not "1" <= digits[0] <= "8" or digits[1:3] not in _PROVINCES:
        return False
    return (11 - weighted(digits, (13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11) % 10 == int(digits[12])


_MALAYSIAN_PLACES: Final = frozenset(
    f"{code:02}"
    for codes in ((1, 16), (21, 68), (71, 72), (74, 79), (82, 93), (98, 99))
    for code in range(codes[0], codes[1] + 1)
)


def _mykad(text: str) -> bool:
    digits = compact(text)
    return digits[6:8] in _MALAYSIAN_PLACES and real_birthday(digits[:6])


def _given(text: str) -> bool:
    """Nine zeros are written where a buyer has none."""
    return compact(text)[:9] != "000000000"


_NATIONAL_ID: Final = ("national id", "identity number", "id number", "identity card")
_NRIC: Final = (*_NATIONAL_ID, "nric", "fin", "nric/fin")
_UEN: Final = ("uen", "unique entity number", "unique entity", "acra", "business registration")
_TNIN: Final = (
    *_NATIONAL_ID,
    *("tnin", "thai id", "thai national id", "citizen id", "personal id"),
    *("เลขประจำตัวประชาชน", "บัตรประชาชน", "เลขบัตรประชาชน", "หมายเลขประจำตัวประชาชน"),
)
_TIN: Final = ("tin", "taxpayer identification", "taxpayer id", "tax identification")
_UMID: Final = ("umid", "common reference number", "unified multi purpose id")
_PHILHEALTH: Final = ("philhealth", "phil health")
_MYKAD: Final = (
    "mykad",
    "nric",
    "my kad",
    "kad pengenalan",
    "identity card",
    "national id",
    "malaysian id",
    "ic number",
)

_ICA: Final = "Immigration and Checkpoints Authority of Singapore, NRIC and FIN"
_ACRA: Final = "ACRA of Singapore, Unique Entity Number"
_DOPA: Final = "Department of Provincial Administration of Thailand, 13-digit identification number"
_BIR: Final = "Bureau of Internal Revenue of the Philippines, TIN with branch code"
_JPN: Final = "National Registration Department of Malaysia, place codes"

SOUTHEAST_ASIA: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser(
        "SG_NRIC_FIN",
        r"(?i)\b[STFGM]\d{7}[A-Z]\b",
        check=_nric,
        score=0.7,
        words=_NRIC,
        evidence="shape, check letter (mod 11)",
        source=_ICA,
    ),
    Recogniser("SG_NRIC_FIN", r"(?i)\b[STFGM]\d{7}[A-Z]\b", score=0.38, words=_NRIC, evidence="shape", source=_ICA),
    Recogniser(
        "SG_UEN",
        r"\b\d{8}[XMKECAWLJDB]\b",
        check=_uen_business,
        score=0.42,
        words=_UEN,
        evidence="check letter (mod 11)",
        source=_ACRA,
    ),
    Recogniser(
        "SG_UEN",
        r"\b(?:19|20)\d{7}[ZKCMDNERGWH]\b",
        check=_uen_company,
        score=0.5,
        words=_UEN,
        evidence="year, check letter (mod 11)",
        source=_ACRA,
    ),
    Recogniser(
        "SG_UEN",
        r"\b[TSR]\d{2}[A-Z]{2}\d{4}[A-Z]\b",
        check=_uen_other,
        score=0.85,
        words=_UEN,
        evidence="shape, check letter (mod 11)",
        source=_ACRA,
    ),
    Recogniser(
        "TH_TNIN",
        digits=(13,),
        check=_thai,
        score=0.42,
        words=_TNIN,
        whole=True,
        evidence="kind, province, check digit (mod 11)",
        source=_DOPA,
    ),
    Recogniser(
        "TH_TNIN",
        r"\b[1-8](?:-\d{4}-\d{5}-\d{2}-\d| \d{4} \d{5} \d{2} \d)\b",
        check=_thai,
        score=0.95,
        words=_TNIN,
        evidence="groups, kind, province, check digit (mod 11)",
        source=_DOPA,
    ),
    Recogniser("PH_TIN", digits=(9, 12, 14), check=_given, score=0.2, words=_TIN, evidence="length", source=_BIR),
    Recogniser(
        "PH_TIN",
        r"\b(?:\d{3}-\d{3}-\d{3}(?:-\d{3,5})?|\d{3} \d{3} \d{3}(?: \d{3,5})?)\b",
        check=_given,
        score=0.2,
        words=_TIN,
        evidence="groups",
        source=_BIR,
    ),
    Recogniser(
        "PH_UMID",
        r"\b\d{4}-?\d{7}-?\d\b",
        score=0.2,
        words=_UMID,
        evidence="groups",
        source="Social Security System of the Philippines, common reference number",
    ),
    Recogniser(
        "PH_PHILHEALTH",
        r"\b\d{2}-?\d{9}-?\d\b",
        score=0.2,
        words=_PHILHEALTH,
        evidence="groups",
        source="PhilHealth, identification number",
    ),
    Recogniser(
        "MY_NRIC",
        r"\b\d{6}-\d{2}-\d{4}\b",
        check=_mykad,
        score=0.5,
        words=_MYKAD,
        evidence="groups, date, place",
        source=_JPN,
    ),
    Recogniser("MY_NRIC", digits=(12,), check=_mykad, score=0.2, words=_MYKAD, evidence="date, place", source=_JPN),
)
