"""Spain, Italy and Portugal: tax and foreigners' numbers, identity cards, passports and licences."""

from typing import Final

from services.masking.entities.check_digits import luhn, weighted
from services.masking.entities.european_checks import bare, upper
from services.masking.recogniser import Finder, Recogniser

_MODULUS_23: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_PASAPORTE: Final = (
    "pasaporte",
    "pasaporte español",
    "número de pasaporte",
    "passport",
    "passport no",
    "passport number",
)
_PASSAPORTO: Final = ("passaporto", "numero passaporto", "passport", "passport no", "passport number")


def nif(text: str) -> bool:
    """Seven or eight digits and their letter."""
    number = bare(text)
    return _MODULUS_23[int(number[:-1]) % 23] == number[-1]


def nie(text: str) -> bool:
    """Like a NIF, where the first letter X, Y or Z stands for 0, 1 or 2."""
    number = bare(text)
    return _MODULUS_23[int(str("XYZ".index(number[0])) + number[1:-1]) % 23] == number[-1]


def cif(text: str) -> bool:
    """Luhn over seven digits; some forms of company write the check as a letter."""
    number = bare(text)
    check = next(digit for digit in range(10) if luhn(number[1:8] + str(digit)))
    return number[8] in (str(check), "JABCDEFGHI"[check])


_ODD: Final = dict(
    zip("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21) * 2, strict=False)
) | dict(zip("KLMNOPQRSTUVWXYZ", (2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23), strict=True))


def fiscal_code(text: str) -> bool:
    """The sixteenth letter: odd places by the decree's table, even ones by their order."""
    code = upper(text)
    total = sum(_ODD[sign] for sign in code[:15:2]) + sum(
        int(sign) if sign.isdigit() else ord(sign) - 65 for sign in code[1:15:2]
    )
    return ord(code[15]) - 65 == total % 26


def partita_iva(text: str) -> bool:
    """Luhn; digits eight to ten are the office's province."""
    digits = bare(text)
    office = int(digits[7:10])
    return (1 <= office <= 100 or office in (120, 121, 888, 999)) and digits[:7] != "0000000" and luhn(digits)


def portuguese(text: str) -> bool:
    """Modulus 11, weights 9 … 2; ten and eleven are 0."""
    check = 11 - weighted(text[:8], (9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return text[0] not in "04" and int(text[8]) == (check if check < 10 else 0)


_DIGIT: Final = "[0-9LMNP-V]"  # letters stand for digits where two people would have the same code
_FISCAL_CODE: Final = rf"(?i)\b[A-Z]{{6}}{_DIGIT}{{2}}[ABCDEHLMPRST][0-7LMNP-T]{_DIGIT}[A-Z]{_DIGIT}{{3}}[A-Z]\b"
_FISCAL_WORDS: Final = ("codice fiscale", "cod fiscale", "cf", "fiscal code", "tax code", "tax id")
_IVA_WORDS: Final = (
    "partita iva",
    "p iva",
    "p.iva",
    "p. iva",
    "piva",
    "iva",
    "vat",
    "vat number",
    "vat code",
    "vat no",
)
_LICENCE_WORDS: Final = (
    "patente",
    "patente di guida",
    "driving licence",
    "driver license",
    "drivers license",
    "licence",
)
_CARD_WORDS: Final = (
    *("carta identità", "carta d'identità", "carta di identità", "carta identita", "carta d'identita"),
    *("carta di identita", "cie", "identity card", "id card"),
)

SOUTHERN_EUROPE: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser(
        entity="ES_NIF",
        pattern=r"(?i)\b[0-9]{7,8}[ -]?[A-HJ-NP-TV-Z]\b",
        check=nif,
        score=0.45,
        words=("nif", "dni", "documento nacional de identidad", "identificación fiscal", "national id", "tax id"),
        evidence="check letter (mod 23)",
        source="Ministerio del Interior, DNI/NIF",
    ),
    Recogniser(
        entity="ES_NIE",
        pattern=r"(?i)\b[XYZ][ -]?[0-9]{7,8}[ -]?[A-HJ-NP-TV-Z]\b",
        check=nie,
        score=0.6,
        words=("nie", "identificación de extranjero", "extranjero", "extranjería", "national id", "tax id"),
        evidence="X, Y or Z, check letter (mod 23)",
        source="Ministerio del Interior, NIE",
    ),
    Recogniser(
        entity="ES_CIF",
        pattern=r"(?i)\b[A-HJNP-SUVW][ -]?[0-9]{7}[ -]?[0-9A-J]\b",
        check=cif,
        score=0.25,
        words=("cif", "nif"),
        evidence="form of company, check digit (mod 10)",
        source="Orden EHA/451/2008",
    ),
    Recogniser(
        entity="ES_PASSPORT",
        pattern=r"(?i)\b[A-Z]{3}[0-9]{6}\b",
        score=0.35,
        words=_PASAPORTE,
        evidence="shape",
        source="Policía Nacional: three letters, six digits",
    ),
    Recogniser(
        entity="IT_FISCAL_CODE",
        pattern=_FISCAL_CODE,
        check=fiscal_code,
        score=0.98,
        words=_FISCAL_WORDS,
        evidence="month, day, check letter",
        source="DM 23 dicembre 1976, n. 13813",
    ),
    Recogniser(
        entity="IT_FISCAL_CODE",
        pattern=_FISCAL_CODE,
        check=lambda text: text.isupper() or text.islower(),
        score=0.75,
        words=_FISCAL_WORDS,
        evidence="month and day in their places",
        source="DM 23 dicembre 1976, n. 13813",
    ),
    Recogniser(
        entity="IT_VAT_CODE",
        digits=(11,),
        check=partita_iva,
        score=0.4,
        words=_IVA_WORDS,
        evidence="province, check digit (Luhn)",
        source="Agenzia delle Entrate, partita IVA",
    ),
    Recogniser(
        entity="IT_VAT_CODE",
        pattern=r"(?i)\bIT ?[0-9]{11}\b",
        check=lambda text: partita_iva(text[-11:]),
        score=0.85,
        words=_IVA_WORDS,
        evidence="country, province, check digit (Luhn)",
        source="Agenzia delle Entrate, partita IVA",
    ),
    Recogniser(
        entity="IT_DRIVER_LICENSE",
        pattern=r"(?i)\b(?:[A-Z]{2}[0-9]{7}|U1[0-9B-DF-HJ-NP-Z]{7})[A-Z]\b",
        score=0.4,
        words=_LICENCE_WORDS,
        evidence="shape",
        source="Ministero delle Infrastrutture e dei Trasporti, campo 5",
    ),
    Recogniser(
        entity="IT_PASSPORT",
        pattern=r"(?i)\b[A-Z]{2}[0-9]{7}\b",
        score=0.35,
        words=_PASSAPORTO,
        evidence="shape",
        source="Polizia di Stato: two letters, seven digits",
    ),
    Recogniser(
        entity="IT_IDENTITY_CARD",
        pattern=r"(?i)\b(?:[A-Z]{2} ?[0-9]{7}|[0-9]{7}[A-Z]{2}|[A-Z]{2}[0-9]{5}[A-Z]{2})\b",
        score=0.35,
        words=_CARD_WORDS,
        evidence="shape",
        source="Ministero dell'Interno: paper, CIE 2.0 and CIE 3.0",
    ),
    Recogniser(
        entity="PT_NIF",
        digits=(9,),
        check=portuguese,
        score=0.2,
        words=("nif", "contribuinte", "número de contribuinte", "numero de contribuinte", "nipc"),
        evidence="check digit (mod 11)",
        source="Decreto-Lei 14/2013",
    ),
)
