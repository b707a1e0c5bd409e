"""Finland, Sweden, Norway and Denmark: personal identity codes, which begin with a date of birth, and companies."""

from typing import Final

from services.masking.entities.check_digits import luhn, weighted
from services.masking.entities.european_checks import bare, is_date, is_day, upper
from services.masking.recogniser import Finder, Recogniser

_CENTURIES: Final = {"+": 1800} | dict.fromkeys("-UVWXY", 1900) | dict.fromkeys("ABCDEF", 2000)
_MODULUS_31: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_PERSONNUMMER_WORDS: Final = (
    *("personnummer", "personnr", "pnr", "samordningsnummer", "personal identity number", "swedish id"),
    *("swedish personal number", "person nummer", "personal number", "national id"),
)
_PERSONNUMMER_RULE: Final = "Skatteverket, SKV 704 (personnummer), SKV 707 (samordningsnummer)"
_COMPANY_WORDS: Final = (
    *("organisationsnummer", "orgnummer", "orgnr", "org nr", "org.nr", "org no", "organisation number"),
    *("organization number", "company identity code", "swedish company"),
)
_COMPANY_RULE: Final = "Skatteverket, SKV 709 (organisationsnummer)"


def finnish(text: str) -> bool:
    """DDMMYY, a sign of the century, an individual number from 002, and the check sign of all nine digits."""
    code = upper(text)
    if code[7:10] < "002" or not is_date(_CENTURIES[code[6]] + int(code[4:6]), int(code[2:4]), int(code[:2])):
        return False
    return _MODULUS_31[int(code[:6] + code[7:10]) % 31] == code[10]


def personnummer(text: str) -> bool:
    """[YY]YYMMDD, serial, Luhn over the last ten; a coordination number's day is plus 60."""
    digits = bare(text)
    year, month, day = int(digits[:-8]), int(digits[-8:-6]), int(digits[-6:-4])
    day -= 60 if day > 60 else 0
    born = is_date(year, month, day) if year > 99 else is_day(month, day)
    return born and luhn(digits[-10:])


def organisationsnummer(text: str) -> bool:
    """No day of birth: the third and fourth digit are at least 20; 16 may stand before it."""
    digits = bare(text)[-10:]
    return digits[0] in "12356789" and digits[2:4] >= "20" and luhn(digits)


def norwegian(text: str) -> bool:
    """DDMMYY (a D number's day is plus 40), individual number, two check digits."""
    digits = bare(text)
    day, month = int(digits[:2]), int(digits[2:4])
    if not is_day(month - 40 if month > 40 else month, day - 40 if day > 40 else day):
        return False
    return (
        weighted(digits[:10], (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
        and weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
    )


def danish(text: str) -> bool:
    """DDMMYY and a serial number, without a check digit since 2007."""
    return is_day(int(text[2:4]), int(text[:2]))


NORTHERN_EUROPE: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser(
        entity="FI_PERSONAL_IDENTITY_CODE",
        # Nothing but a digit on the left belongs to it, even where the blank was forgotten.
        pattern=r"(?i)(?:^|[^0-9.])([0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y])\b",
        check=finnish,
        score=0.87,
        words=(
            "hetu",
            "henkilötunnus",
            "henkilotunnus",
            "personal identity code",
            "finnish id",
            "personbeteckning",
            "national id",
        ),
        evidence="date of birth, century, check sign (mod 31)",
        source="Digital and Population Data Services Agency, personal identity code",
    ),
    Recogniser(
        entity="SE_PERSONNUMMER",
        pattern=r"(?:^|[^0-9.,])((?:18|19|20)[0-9]{2}[01][0-9]{3}[-+]?[0-9]{4})\b",
        check=personnummer,
        score=0.45,
        words=_PERSONNUMMER_WORDS,
        evidence="date of birth, check digit (Luhn)",
        source=_PERSONNUMMER_RULE,
    ),
    Recogniser(
        entity="SE_PERSONNUMMER",
        pattern=r"\b[0-9]{2}[01][0-9]{3}[-+][0-9]{4}\b",
        check=personnummer,
        score=0.42,
        words=_PERSONNUMMER_WORDS,
        evidence="date of birth, check digit (Luhn)",
        source=_PERSONNUMMER_RULE,
    ),
    Recogniser(
        entity="SE_PERSONNUMMER",
        digits=(10,),
        check=personnummer,
        score=0.35,
        words=_PERSONNUMMER_WORDS,
        whole=True,
        evidence="date of birth, check digit (Luhn)",
        source=_PERSONNUMMER_RULE,
    ),
    Recogniser(
        entity="SE_ORGANISATIONSNUMMER",
        pattern=r"\b(?:16)?[1-35-9][0-9][2-9][0-9]{3}-[0-9]{4}\b",
        check=organisationsnummer,
        score=0.42,
        words=_COMPANY_WORDS,
        evidence="no date, check digit (Luhn)",
        source=_COMPANY_RULE,
    ),
    Recogniser(
        entity="SE_ORGANISATIONSNUMMER",
        digits=(10,),
        check=organisationsnummer,
        score=0.2,
        words=_COMPANY_WORDS,
        evidence="no date, check digit (Luhn)",
        source=_COMPANY_RULE,
    ),
    Recogniser(
        entity="NO_FODSELSNUMMER",
        digits=(11,),
        check=norwegian,
        score=0.6,
        words=("fødselsnummer", "fodselsnummer", "fnr", "personnummer", "d nummer", "national id"),
        evidence="date of birth, two check digits (mod 11)",
        source="Skatteetaten, fødselsnummer og D-nummer",
    ),
    Recogniser(
        entity="NO_FODSELSNUMMER",
        pattern=r"\b[0-7][0-9][0145][0-9]{3} [0-9]{5}\b",
        check=norwegian,
        score=0.65,
        words=("fødselsnummer", "fodselsnummer", "fnr", "personnummer", "d nummer", "national id"),
        evidence="date of birth, two check digits (mod 11)",
        source="Skatteetaten, fødselsnummer og D-nummer",
    ),
    Recogniser(
        entity="DK_CPR",
        digits=(10,),
        pattern=r"\b[0-3][0-9][01][0-9]{3}[- ][0-9]{4}\b",
        check=danish,
        score=0.2,
        words=("cpr", "cpr nummer", "cpr nr", "personnummer"),
        evidence="date of birth",
        source="CPR-kontoret, personnummeret i CPR",
    ),
)
