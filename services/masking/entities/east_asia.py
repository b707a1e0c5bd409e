"""Korea, Japan, China, Taiwan and Hong Kong."""

from typing import Final

from services.masking.entities.check_digits import compact, real_day, weighted
from services.masking.recogniser import Finder, Recogniser


def _korean(*words: str) -> tuple[str, ...]:
    """Korean nouns with the particles that mark a topic or a subject, which are written without a blank."""
    return tuple(word + particle for word in words for particle in ("", "는", "은", "가", "이"))


_KOREAN_WEIGHTS: Final = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)


def _born(text: str, kinds: str) -> bool:
    """`YYMMDD`, perhaps a hyphen, and the digit of sex and century, one of `kinds`."""
    kind = text[-7]
    return kind in kinds and real_day((1900 if kind in "1256" else 2000) + int(text[:2]), text[2:6])


def _rrn(text: str) -> bool:
    return _born(text, "1234")


def _rrn_checked(text: str) -> bool:
    """Numbers given since October 2020 have no check digit any more."""
    digits = compact(text)
    return _born(text, "1234") and (11 - weighted(digits, _KOREAN_WEIGHTS) % 11) % 10 == int(digits[12])


def _frn(text: str) -> bool:
    return _born(text, "5678")


def _frn_checked(text: str) -> bool:
    digits = compact(text)
    return _born(text, "5678") and (13 - weighted(digits, _KOREAN_WEIGHTS) % 11) % 10 == int(digits[12])


def _brn(text: str) -> bool:
    """Tax office 101 or later; the ninth digit counts with its tens."""
    digits = compact(text)
    total = weighted(digits, (1, 3, 7, 1, 3, 7, 1, 3, 5)) + int(digits[8]) * 5 // 10
    return digits[:3] > "100" and -total % 10 == int(digits[9])


def _my_number(text: str) -> bool:
    digits = compact(text)
    rest = weighted(digits, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return (0 if rest <= 1 else 11 - rest) == int(digits[11])


def _resident_id(text: str) -> bool:
    """ISO 7064, MOD 11-2, over the code of the place, the day of birth and a serial number."""
    if not real_day(int(text[6:10]), text[10:14]):
        return False
    total = weighted(text[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2))
    return "10X98765432"[total % 11] == text[17].upper()


_TAIWAN_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVXYWZIO"


def _taiwan_id(text: str) -> bool:
    tens, ones = divmod(_TAIWAN_LETTERS.find(text[0].upper()) + 10, 10)
    return text.isascii() and (tens + 9 * ones + weighted(text[1:], (8, 7, 6, 5, 4, 3, 2, 1, 1))) % 10 == 0


def _hong_kong_id(text: str) -> bool:
    """A letter counts from 10 (A); where there is one only, 36 stands before it. The check digit 10 is an A."""
    core = compact(text).upper()
    letters, digits, check = core[:-7], core[-7:-1], core[-1]
    values = [36, *(ord(letter) - 55 for letter in letters)][-2:]
    total = 9 * values[0] + 8 * values[1] + weighted(digits, (7, 6, 5, 4, 3, 2)) + int(check, 16)
    return core.isascii() and total % 11 == 0


_NATIONAL_ID: Final = ("national id", "identity number", "id number", "identity card", "id card")
_RRN: Final = (*_NATIONAL_ID, "rrn", "resident registration", *_korean("주민등록번호", "주민번호", "주민등록"))
_FRN: Final = (
    *("frn", "foreigner registration", "foreign registration", "alien registration"),
    *_korean("외국인등록번호", "외국인번호", "외국인등록"),
)
_BRN: Final = (
    "brn",
    "business registration",
    "business registration number",
    *_korean("사업자등록번호", "사업자번호"),
)
_KR_LICENCE: Final = (
    *("driver license", "drivers license", "driver's license", "driving license"),
    *("driver licence", "drivers licence", "driver's licence", "driving licence"),
    *_korean("운전면허번호", "운전면허", "면허번호"),
)
_KR_PASSPORT: Final = ("passport", "passport number", "korean passport", *_korean("여권번호", "여권"))
_MY_NUMBER: Final = ("my number", "individual number", "マイナンバー", "個人番号")
_CN_ID: Final = (*_NATIONAL_ID, "resident id", "身份证", "身份证号", "身份证号码", "居民身份证")
_TW_ID: Final = (*_NATIONAL_ID, "taiwan id", "taiwanese id", "身分證", "身分證字號", "統一編號")
_HK_ID: Final = (*_NATIONAL_ID, "hkid", "hong kong id", "身份證", "身份證號碼")

_KR_RESIDENT: Final = "Korea, Resident Registration Act, enforcement rules, art. 2"
_KR_FOREIGN: Final = "Korea, Immigration Act, enforcement decree, art. 40-2"
_KR_TAX: Final = "National Tax Service of Korea, business registration number"
_KR_POLICE: Final = "Korean National Police Agency, driver's licence number"
_KR_MOFA: Final = "Ministry of Foreign Affairs of Korea, passport numbers since 2021"
_JP_ORDINANCE: Final = "Japan, ministerial ordinance 85 of 2014, art. 5"
_DATE: Final = "date, sex and century"
_DATE_CHECKED: Final = _DATE + ", check digit (mod 11)"

EAST_ASIA: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser(
        "KR_RRN",
        r"\b\d{6}-[1-4]\d{6}\b",
        check=_rrn_checked,
        score=0.7,
        words=_RRN,
        evidence=_DATE_CHECKED,
        source=_KR_RESIDENT,
    ),
    Recogniser(
        "KR_RRN", r"\b\d{6}-[1-4]\d{6}\b", check=_rrn, score=0.45, words=_RRN, evidence=_DATE, source=_KR_RESIDENT
    ),
    Recogniser(
        "KR_RRN", digits=(13,), check=_rrn, score=0.4, words=_RRN, whole=True, evidence=_DATE, source=_KR_RESIDENT
    ),
    Recogniser(
        "KR_FRN",
        r"\b\d{6}-[5-8]\d{6}\b",
        check=_frn_checked,
        score=0.7,
        words=_FRN,
        evidence=_DATE_CHECKED,
        source=_KR_FOREIGN,
    ),
    Recogniser(
        "KR_FRN", r"\b\d{6}-[5-8]\d{6}\b", check=_frn, score=0.45, words=_FRN, evidence=_DATE, source=_KR_FOREIGN
    ),
    Recogniser(
        "KR_FRN", digits=(13,), check=_frn, score=0.4, words=_FRN, whole=True, evidence=_DATE, source=_KR_FOREIGN
    ),
    Recogniser(
        "KR_BRN",
        r"\b\d{3}-\d{2}-\d{5}\b",
        check=_brn,
        score=0.45,
        words=_BRN,
        evidence="groups, check digit (mod 10)",
        source=_KR_TAX,
    ),
    Recogniser(
        "KR_BRN",
        digits=(10,),
        check=_brn,
        score=0.3,
        words=_BRN,
        whole=True,
        evidence="check digit (mod 10)",
        source=_KR_TAX,
    ),
    Recogniser(
        "KR_DRIVER_LICENSE",
        r"\b(?:1[1-9]|2[0-68])-\d{2}-\d{6}-\d{2}\b",
        score=0.6,
        words=_KR_LICENCE,
        evidence="region, groups",
        source=_KR_POLICE,
    ),
    Recogniser(
        "KR_DRIVER_LICENSE",
        r"\b(?:1[1-9]|2[0-68])[ -]?\d{2}[ -]?\d{6}[ -]?\d{2}\b",
        score=0.2,
        words=_KR_LICENCE,
        evidence="region",
        source=_KR_POLICE,
    ),
    Recogniser(
        "KR_PASSPORT",
        r"(?i)\b[MSRODG]\d{3}[A-Z]\d{4}\b",
        score=0.45,
        words=_KR_PASSPORT,
        evidence="kind, shape",
        source=_KR_MOFA,
    ),
    Recogniser(
        "KR_PASSPORT",
        r"(?i)\b[MSRODG]\d{8}\b",
        score=0.32,
        words=_KR_PASSPORT,
        whole=True,
        evidence="kind, shape",
        source=_KR_MOFA,
    ),
    Recogniser(
        "JP_MY_NUMBER",
        r"\b\d{4}(?: \d{4} \d{4}|-\d{4}-\d{4})\b",
        check=_my_number,
        score=0.25,
        words=_MY_NUMBER,
        evidence="check digit (mod 11)",
        source=_JP_ORDINANCE,
    ),
    Recogniser(
        "JP_MY_NUMBER",
        digits=(12,),
        check=_my_number,
        score=0.25,
        words=_MY_NUMBER,
        evidence="check digit (mod 11)",
        source=_JP_ORDINANCE,
    ),
    Recogniser(
        "CN_RESIDENT_ID",
        r"\b[1-8]\d{5}(?:19|20)\d{9}[\dXx]\b",
        check=_resident_id,
        score=0.98,
        words=_CN_ID,
        evidence="date, check digit (mod 11-2)",
        source="GB 11643-1999",
    ),
    Recogniser(
        "TW_NATIONAL_ID",
        r"(?i)\b[A-Z][1289]\d{8}\b",
        check=_taiwan_id,
        score=0.25,
        words=_TW_ID,
        evidence="shape, check digit (mod 10)",
        source="Ministry of the Interior of Taiwan, national identification number",
    ),
    Recogniser(
        "HK_ID",
        # The right parenthesis belongs to it and leaves no word boundary behind.
        r"\b[A-Z]{1,2}\d{6}\([0-9A]\)",
        check=_hong_kong_id,
        score=0.85,
        words=_HK_ID,
        evidence="shape, check digit (mod 11)",
        source="Immigration Department of Hong Kong, identity card number",
    ),
    Recogniser(
        "HK_ID",
        r"(?i)\b[A-Z]{1,2}\d{6} ?[0-9A]\b",
        check=_hong_kong_id,
        score=0.25,
        words=_HK_ID,
        evidence="shape, check digit (mod 11)",
        source="Immigration Department of Hong Kong, identity card number",
    ),
)
