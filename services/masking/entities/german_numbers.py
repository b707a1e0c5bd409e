"""Germany: numbers for taxes, insurance and physicians."""

from typing import Final

from services.masking.entities.check_digits import weighted
from services.masking.entities.european_checks import bare, is_day, mod_11_10, upper
from services.masking.recogniser import Finder, Recogniser

_TAX_NUMBER_WORDS: Final = (
    *("steuernummer", "steuernr", "steuer nr", "steuer nummer", "st nr", "st.-nr", "st. nr", "st.nr"),
    *("tax number", "finanzamt"),
)
_TAX_NUMBER_RULE: Final = "ELSTER, Aufbau der Steuernummer"
_TAX_ID_WORDS: Final = (
    *("steuer id", "steueridentifikationsnummer", "steuerliche identifikationsnummer", "steuer identifikationsnummer"),
    *("identifikationsnummer", "id nr", "tax id", "tax identification", "steuer id nr"),
)


def tax_id(text: str) -> bool:
    """One of the first ten digits comes two or three times, the others at most once; all different is still seen in
    examples. The last is the check digit."""
    digits = bare(text)
    return digits[0] != "0" and len(set(digits[:10])) >= 8 and mod_11_10(digits)


# The federal scheme's first digits, by Land (9 is Bavaria, 5 North Rhine-Westphalia), where the fifth digit is 0.
_ELSTER: Final = frozenset({"10", "11", "21", "22", "23", "24", "26", "27", "28", "30", "31", "32", "40", "41"})


def federal_tax_number(text: str) -> bool:
    """Thirteen digits: the federal scheme, or the Land's official key (01 to 16) and eleven."""
    return "01" <= text[:2] <= "16" or (text[4] == "0" and (text[:2] in _ELSTER or text[0] in "59"))


def tax_number(text: str) -> bool:
    """Ten or eleven digits, as the Länder write them."""
    return len(bare(text)) in (10, 11)


_KVNR_WEIGHTS = (1, 2, 1, 2, 1, 2, 1, 2, 1, 2)
_RVNR_WEIGHTS = (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1)


def _digit_sums(digits: str, weights: tuple[int, ...]) -> int:
    """Like `weighted`, but the digits of each product are added up."""
    return sum(sum(divmod(int(digit) * weight, 10)) for digit, weight in zip(digits, weights, strict=True))


def _with_number(letter: str) -> str:
    return f"{ord(upper(letter)) - 64:02d}"


def health_insurance(text: str) -> bool:
    return _digit_sums(_with_number(text[0]) + text[1:9], _KVNR_WEIGHTS) % 10 == int(text[9])


def social_security(text: str) -> bool:
    """Area, date of birth (the day plus 50 where numbers ran out), first letter of the name at birth, serial, check."""
    number = bare(text)
    day = int(number[2:4])
    if not is_day(int(number[4:6]), day - 50 if day > 50 else day):
        return False
    return _digit_sums(number[:8] + _with_number(number[8]) + number[9:11], _RVNR_WEIGHTS) % 10 == int(number[11])


def lanr(text: str) -> bool:
    return (10 - weighted(text[:6], (4, 9, 4, 9, 4, 9)) % 10) % 10 == int(text[6])


_NO_KV_REGION: Final = frozenset({0, 4, 5, 22, 23, 26, 29, 30, 32, 33, 34, 36, 53, 54, 56, 57, 58, 59, 75, 76, 77, 82})


def bsnr(text: str) -> bool:
    """Begins with the association of physicians, or one of its former districts."""
    return int(text[:2]) not in _NO_KV_REGION and text[:2] < "99"


_VAT_WORDS: Final = ("u st id nr", "u st id", "vat", "vat id", "umsatzsteuer", "umsatzsteuer id")


GERMAN_NUMBERS: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser(
        entity="DE_TAX_ID",
        digits=(11,),
        check=tax_id,
        score=0.5,
        words=_TAX_ID_WORDS,
        evidence="repetition of digits, check digit (mod 11, 10)",
        source="BZSt, steuerliche Identifikationsnummer (§ 139b AO)",
    ),
    Recogniser(
        entity="DE_TAX_ID",
        pattern=r"\b[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}\b",
        check=tax_id,
        score=0.6,
        words=_TAX_ID_WORDS,
        evidence="grouping, repetition of digits, check digit (mod 11, 10)",
        source="BZSt, steuerliche Identifikationsnummer (§ 139b AO)",
    ),
    Recogniser(
        entity="DE_TAX_NUMBER",
        digits=(13,),
        check=federal_tax_number,
        score=0.2,
        words=_TAX_NUMBER_WORDS,
        evidence="Land, thirteen digits",
        source=_TAX_NUMBER_RULE,
    ),
    Recogniser(
        entity="DE_TAX_NUMBER",
        pattern=r"\b(?:[0-9]{2,3}/[0-9]{3,4}/[0-9]{4,5}|[0-9]{5}/[0-9]{5})\b",
        check=tax_number,
        score=0.4,
        words=_TAX_NUMBER_WORDS,
        evidence="grouping of a Land",
        source=_TAX_NUMBER_RULE,
    ),
    Recogniser(
        entity="DE_TAX_NUMBER",
        digits=(10, 11),
        pattern=r"\b(?:[0-9]{2,3}[ -][0-9]{3,4}[ -][0-9]{4,5}|[0-9]{5}[ -][0-9]{5})\b",
        check=tax_number,
        score=0.2,
        words=_TAX_NUMBER_WORDS,
        evidence="ten or eleven digits",
        source=_TAX_NUMBER_RULE,
    ),
    Recogniser(
        entity="DE_VAT_ID",
        pattern=r"(?i)\bDE[ .-]?[1-9][0-9]{2}[ .-]?[0-9]{3}[ .-]?[0-9]{3}\b",
        check=lambda text: mod_11_10(bare(text)[2:]),
        score=0.85,
        words=_VAT_WORDS,
        evidence="country, check digit (mod 11, 10)",
        source="BZSt, Umsatzsteuer-Identifikationsnummer (§ 27a UStG)",
    ),
    Recogniser(
        entity="DE_SOCIAL_SECURITY",
        pattern=r"(?i)\b[0-9]{2} ?[0-8][0-9][01][0-9]{3} ?[A-Z] ?[0-9]{3}\b",
        check=social_security,
        score=0.92,
        words=(
            "rentenversicherungsnummer",
            "rvnr",
            "sozialversicherungsnummer",
            "sozialversicherung",
            "svnr",
            "sv nr",
            "social security",
        ),
        evidence="date of birth, check digit",
        source="§ 147 SGB VI; VKVV § 2",
    ),
    Recogniser(
        entity="DE_HEALTH_INSURANCE",
        pattern=r"(?i)\b[A-Z][0-9]{9}\b",
        check=health_insurance,
        score=0.45,
        words=(
            *("kvnr", "krankenkasse", "krankenversicherung", "krankenversichertennummer", "krankenversicherungsnummer"),
            *("versichertennummer", "versicherten nr", "egk", "gesundheitskarte", "health insurance"),
        ),
        evidence="check digit (mod 10)",
        source="§ 290 SGB V; GKV-Spitzenverband, Krankenversichertennummer",
    ),
    Recogniser(
        entity="DE_LANR",
        digits=(9,),
        check=lanr,
        score=0.35,
        words=("lanr", "arztnummer", "arzt nr", "arztnr", "lebenslange arztnummer"),
        whole=True,
        evidence="check digit (mod 10)",
        source="KBV, Richtlinie nach § 75 Abs. 7 SGB V, Arztnummer",
    ),
    Recogniser(
        entity="DE_BSNR",
        digits=(9,),
        check=bsnr,
        score=0.2,
        words=(
            "bsnr",
            "betriebsstättennummer",
            "betriebsstaettennummer",
            "betriebsstätte",
            "betriebsstätten nr",
            "nbsnr",
        ),
        whole=True,
        evidence="association of physicians",
        source="KBV, Richtlinie nach § 75 Abs. 7 SGB V, Betriebsstättennummer",
    ),
)
