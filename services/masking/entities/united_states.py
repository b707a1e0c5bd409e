"""Numbers that people and firms have in the United States."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from services.masking.entities.check_digits import luhn
from services.masking.leaf import Leaf
from services.masking.recogniser import Finder, Hit, Recogniser, judged

US_SSN: Final = "US_SSN"
US_ITIN: Final = "US_ITIN"
US_EIN: Final = "US_EIN"
US_NPI: Final = "US_NPI"
US_MBI: Final = "US_MBI"
US_PASSPORT: Final = "US_PASSPORT"
US_DRIVER_LICENSE: Final = "US_DRIVER_LICENSE"
MEDICAL_LICENSE: Final = "MEDICAL_LICENSE"
ZIP_CODE: Final = "ZIP_CODE"

_NO_DIGITS: Final = str.maketrans("", "", " -.")

# Taxpayers: persons (SSN), persons without one (ITIN), firms (EIN).

_NEVER_ISSUED: Final = frozenset({"123456789", "987654321", "078051120", "219099999"})
"""In advertisements and on keyboards."""


def is_ssn(written: str) -> bool:
    """Not of what is never issued: area 000, 666 or 9xx, group 00, serial 0000. Any other area was since 2011."""
    digits = written.translate(_NO_DIGITS)
    return (
        digits[0] != "9"
        and digits[:3] not in ("000", "666")
        and digits[3:5] != "00"
        and digits[5:] != "0000"
        and digits not in _NEVER_ISSUED
        and digits.count(digits[0]) != 9
    )


_ITIN_GROUPS: Final = frozenset(map(str, (*range(50, 66), *range(70, 89), *range(90, 93), *range(94, 100))))


def is_itin(written: str) -> bool:
    """Begins with 9, and the fourth and fifth digit are of those that the IRS gives out."""
    digits = written.translate(_NO_DIGITS)
    return digits[0] == "9" and digits[3:5] in _ITIN_GROUPS and digits.count("9") != 9


_EIN_PREFIXES: Final = frozenset(
    f"{prefix:02}"
    for prefix in (
        *range(1, 7), *range(10, 17), *range(20, 28), *range(30, 49), *range(50, 69), *range(71, 78), *range(80, 89),
        *range(90, 96), 98, 99,
    )
)  # fmt: skip


def is_ein(written: str) -> bool:
    """Begins with the prefix of a campus of the IRS."""
    return written[:2] in _EIN_PREFIXES and not written.endswith("0000000")


def is_npi(written: str) -> bool:
    """Luhn, with the prefix 80840 of health cards in front, as 45 CFR 162.406 has it."""
    digits = written.translate(_NO_DIGITS)
    return digits[0] in "12" and luhn("80840" + digits) and digits.count(digits[0]) != 10


def is_dea_number(written: str) -> bool:
    """The sum of digits 1, 3 and 5, and twice that of 2, 4 and 6, ends in the seventh."""
    digits = [int(character) for character in written[2:]]
    return (sum(digits[0:6:2]) + 2 * sum(digits[1:6:2])) % 10 == digits[6] and any(digits)


_SSN: Final = Recogniser(
    US_SSN,
    digits=(9,),
    check=is_ssn,
    score=0.2,
    words=("ssn", "ssns", "social security", "social sec", "soc sec", "social insurance"),
    whole=True,
    evidence="area, group and serial are issued",
    source="SSA: social security number randomization",
)
_ITIN: Final = Recogniser(
    US_ITIN,
    digits=(9,),
    check=is_itin,
    score=0.3,
    words=("itin", "itins", "individual taxpayer", "taxpayer", "tax id", "tin"),
    whole=True,
    evidence="begins with 9, group is issued",
    source="IRS publication 1915, IRM 3.21.263",
)
_EIN: Final = Recogniser(
    US_EIN,
    digits=(9,),
    check=is_ein,
    score=0.2,
    words=("ein", "fein", "employer identification", "employer id", "federal tax", "tax id", "irs number"),
    evidence="prefix",
    source="IRS: how EINs are assigned and valid EIN prefixes",
)
_NPI: Final = Recogniser(
    US_NPI,
    digits=(10,),
    check=is_npi,
    score=0.35,
    words=("npi", "national provider", "provider number", "provider identifier"),
    whole=True,
    evidence="check digit (Luhn)",
    source="45 CFR 162.406",
)

_SHAPES: Final = re.compile(
    r"[0-9](?<![0-9A-Za-z_].)(?<![0-9][./-].)"
    r"(?:(?P<dashes>[0-9]{2}-[0-9]{2}-[0-9]{4})|(?P<blanks>[0-9]{2} [0-9]{2} [0-9]{4})"
    r"|(?P<dots>[0-9]{2}\.[0-9]{2}\.[0-9]{4})|(?P<halves>[0-9]{2}-[0-9]{6}|[0-9]{4}-[0-9]{4})"
    r"|(?P<firm>[0-9]-[0-9]{7})|(?P<provider>[0-9]{3}(?:-[0-9]{3}-| [0-9]{3} )[0-9]{3}))"
    r"(?![0-9A-Za-z_])(?![./-][0-9])"
)
_OF_SHAPE: Final[dict[str, tuple[tuple[Recogniser, float], ...]]] = {
    "dashes": ((_SSN, 0.85), (_ITIN, 0.85)),
    "blanks": ((_SSN, 0.6), (_ITIN, 0.6)),
    "dots": ((_SSN, 0.4), (_ITIN, 0.4)),
    "halves": ((_SSN, 0.35), (_ITIN, 0.35)),
    "firm": ((_EIN, 0.4),),
    "provider": ((_NPI, 0.45),),
}
"""What is written in these groups, and what it is then worth."""


def find_grouped(leaf: Leaf) -> Iterator[Hit]:
    """Numbers written in groups: 3-2-4, 3-6, 5-4 (persons), 2-7 (firms), 4-3-3 (providers of health care)."""
    for match in _SHAPES.finditer(leaf.text):
        leaf.spend(20)
        start, end = match.span()
        for recogniser, worth in _OF_SHAPE[str(match.lastgroup)]:
            if not recogniser.check(match[0]):
                continue
            if score := judged(worth, leaf, start, end, recogniser.spoken_for):
                yield Hit(start, end, recogniser.entity, score, f"groups, {recogniser.evidence}")


# Driver licenses: every state has its own.

_LICENSE_WORDS: Final = (
    "driver license", "drivers license", "driver's license", "driver licence", "drivers licence",
    "driver's licence", "driving license", "driving licence", "driver lic", "drivers lic", "license number",
    "license no", "license num", "licence number", "dl", "dl number", "dl no", "dln",
)  # fmt: skip
_LICENSE_SOURCE: Final = "AAMVA; the states' published formats"
_LICENSE_SHAPES: Final = (
    "[A-Z][0-9]{6,14}|[A-Z][0-9]{18}|[A-Z]{2}[0-9]{5,7}|[A-Z]{2}[0-9]{6}[A-Z]|[A-Z][0-9]{6}R|[0-9]{9}[A-Z]"
    "|[0-9]{7,8}[A-Z]{1,2}|[0-9]{3}[A-Z]{2}[0-9]{4}|[0-9]{2}[A-Z]{3}[0-9]{5,6}|WDL[A-Z0-9]{9}"
    "|[A-Z][A-Z0-9*]{0,10}[*][A-Z0-9*]{0,10}[A-Z0-9]"
)
_SAID_LICENSE_SHAPES: Final = (
    "[A-Z]-?[0-9]{3}(?:[ -][0-9]{2,4}){2,3}(?:-[0-9])?|[0-9]{2,3}[ -][0-9]{2,3}[ -][0-9]{3,4}"
    "|[A-Z][0-9]{3,5}|[A-Z][0-9][A-Z][0-9][A-Z]|[A-Z]{2}[0-9]{2,4}|[A-Z]{3,5}[A-Z0-9*]{7,9}"
)


def _is_license(written: str) -> bool:
    """Washington's, the only ones with asterisks, have twelve characters."""
    return "*" not in written or len(written) == 12


def _has_digits(written: str) -> bool:
    return any(map(str.isdecimal, written))


_LICENSES: Final = (
    Recogniser(
        US_DRIVER_LICENSE,
        pattern=r"\b[A-Z][A-Z0-9*]{10}[A-Z0-9]\b",
        check=lambda written: "*" in written and _has_digits(written),
        score=0.4,
        words=_LICENSE_WORDS,
        evidence="Washington's format, with asterisks",
        source=_LICENSE_SOURCE,
    ),
    Recogniser(
        US_DRIVER_LICENSE,
        pattern=rf"(?i)\b(?:{_LICENSE_SHAPES})\b",
        check=_is_license,
        score=0.2,
        words=_LICENSE_WORDS,
        evidence="a state's format",
        source=_LICENSE_SOURCE,
    ),
    Recogniser(
        US_DRIVER_LICENSE,
        pattern=rf"\b(?:{_SAID_LICENSE_SHAPES})\b",
        check=_has_digits,
        score=0.1,
        words=_LICENSE_WORDS,
        evidence="a state's format",
        source=_LICENSE_SOURCE,
    ),
    Recogniser(
        US_DRIVER_LICENSE,
        digits=tuple(range(5, 17)),
        score=0.1,
        words=_LICENSE_WORDS,
        evidence="number of digits",
        source=_LICENSE_SOURCE,
    ),
)

# ZIP codes, and what else stands after the word: addresses come from all over the world.

_POSTAL_SOURCE: Final = "USPS publication 28; Universal Postal Union"
_POSTCODE: Final = (
    r"[0-9]{5}(?:-[0-9]{3,4})?|[0-9]{4}-[0-9]{3}|[0-9]{2}-[0-9]{3}|[0-9]{3} [0-9]{2,3}|[0-9]{4}(?: ?[A-Z]{2})?|[0-9]{6}"
    r"|[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}|[A-Z][0-9][A-Z] ?[0-9][A-Z][0-9]"
)
_STATES: Final = (
    "A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|PR|RI|S[CD]|T[NX]|UT"
    "|V[AT]|W[AIVY]"
)
_AFTER_WORD: Final = re.compile(
    r"(?<![A-Za-z0-9])(?i:zip(?:[ _-]?codes?)?|zip ?\+ ?4|post(?:al)?[ _-]?codes?)(?![A-Za-z0-9])"
    rf"""(?i:[ \t:=#"'-]{{0,4}}(?:(?:number|no|is|was)\b[ \t:.=#"'-]{{0,4}}){{0,2}})(?P<code>{_POSTCODE})(?![\w-])"""
)
_AFTER_STATE: Final = re.compile(rf"[A-Za-z.],? (?:{_STATES}),? (?P<code>[0-9]{{5}}(?:-[0-9]{{4}})?)(?![\w-])")
_END_OF_LINE: Final = re.compile(
    r"(?<![\w.,/:+#-])(?P<code>[0-9]{5}(?:-[0-9]{4})?|[0-9]{4}(?:-[0-9]{3})?|[0-9]{2}-[0-9]{3}|[0-9]{3} [0-9]{2})"
    r"[ \t]*$",
    re.MULTILINE,
)
_ADDRESS: Final = r"\b(?:address|apt|suite|street|avenue|p\.?o\.? ?box)\b"
_ADDRESS_WORD: Final = re.compile(_ADDRESS, re.IGNORECASE)
_ADDRESS_LENGTH: Final = 100
_UNIT_BEFORE: Final = re.compile(r"(?:box|apt|suite|unit|psc|no|nr|tel|phone|fax)[.:]? *$", re.IGNORECASE)


def find_zip_codes(leaf: Leaf) -> Iterator[Hit]:
    """After the word or a state of the USA, or at the end of an address."""
    text = leaf.text
    leaf.spend(4 * len(text))
    for match in _AFTER_WORD.finditer(text):
        yield Hit(*match.span("code"), ZIP_CODE, 0.9, "word before it")
    for match in _AFTER_STATE.finditer(text):
        yield Hit(*match.span("code"), ZIP_CODE, 0.6, "state before it")
    yield from _ends_of_addresses(text)


def _ends_of_addresses(text: str) -> Iterator[Hit]:
    """Codes that end a line, of an address that began on a line before."""
    begins = [match.end() for match in _ADDRESS_WORD.finditer(text)] if "\n" in text else []
    for match in _END_OF_LINE.finditer(text) if begins else ():
        index = bisect_right(begins, match.start()) - 1
        if index < 0 or match.start() - begins[index] > _ADDRESS_LENGTH:
            continue
        address = text[begins[index] : match.start()]
        if "\n" in address and not _UNIT_BEFORE.search(address[-8:]):
            yield Hit(*match.span("code"), ZIP_CODE, 0.5, "end of an address's line")


UNITED_STATES: Final[tuple[Recogniser | Finder, ...]] = (
    _SSN,
    _ITIN,
    _EIN,
    _NPI,
    Finder(
        (US_SSN, US_ITIN, US_EIN, US_NPI),
        r"\b(?:[0-9]{3}[ .-][0-9]{2}[ .-][0-9]{4}|[0-9]{3}-[0-9]{6}|[0-9]{5}-[0-9]{4}|[0-9]{2}-[0-9]{7}"
        r"|[0-9]{4}[ -][0-9]{3}[ -][0-9]{3})\b",
        find_grouped,
        "groups, and what is issued",
        "SSA, IRS, CMS",
    ),
    Recogniser(
        US_PASSPORT,
        digits=(9,),
        check=lambda digits: digits.count(digits[0]) != 9,
        score=0.2,
        words=("passport", "passports", "passport number", "passport no", "travel document"),
        whole=True,
        evidence="number of digits",
        source="US Department of State",
    ),
    Recogniser(
        US_PASSPORT,
        pattern=r"(?i)\b[A-Z][0-9]{8}\b",
        score=0.35,
        words=("passport", "passports", "passport number", "passport no", "travel document"),
        evidence="shape",
        source="US Department of State: next generation passport",
    ),
    *_LICENSES,
    Recogniser(
        US_MBI,
        pattern=(
            r"(?i)\b[1-9][AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9](?:-[AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9]-"
            r"|[AC-HJKMNP-RT-Y][0-9AC-HJKMNP-RT-Y][0-9])[AC-HJKMNP-RT-Y]{2}[0-9]{2}\b"
        ),
        score=0.8,
        words=("mbi", "medicare", "beneficiary", "beneficiary identifier"),
        evidence="kind of character at each of 11 places",
        source="CMS: understanding the Medicare beneficiary identifier format",
    ),
    Recogniser(
        MEDICAL_LICENSE,
        pattern=r"(?i)\b[A-HJ-MPRSTUX][A-Z9][0-9]{7}\b",
        check=is_dea_number,
        score=0.45,
        words=(
            "dea",
            "dea number",
            "medical license",
            "medical licence",
            "medical certificate",
            "prescriber",
            "physician",
        ),
        evidence="check digit (mod 10)",
        source="21 CFR 1301; DEA registration numbers",
    ),
    Finder(
        (ZIP_CODE,),
        rf"(?i)\b(?:zip|post|postal)[ _-]?(?:codes?)?\b[^\n\x00]{{0,16}}[0-9]|[A-Z.],? (?:{_STATES}),? [0-9]{{5}}"
        rf"|{_ADDRESS}",
        find_zip_codes,
        "a word, a state or an address that it belongs to",
        _POSTAL_SOURCE,
    ),
    Recogniser(
        ZIP_CODE,
        pattern=rf"(?i)(?:^|\x00) *({_POSTCODE})\b",  # under its key: NUL parts leaves that are read at once
        score=0.1,
        words=("zip", "zip code", "postcode", "postal code"),
        evidence="a word or a key that names it",
        source=_POSTAL_SOURCE,
    ),
)
