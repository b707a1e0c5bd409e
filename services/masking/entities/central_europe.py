"""Poland, France, the Low Countries and Switzerland; VAT numbers of the other members of the European Union."""

from typing import Final

from services.masking.entities.check_digits import weighted
from services.masking.entities.european_checks import bare, is_date, is_day
from services.masking.recogniser import Finder, Recogniser

_PESEL_CENTURIES: Final = (1900, 2000, 2100, 2200, 1800)


def pesel(text: str) -> bool:
    """YYMMDD with the century in the month (plus 20 for 2000), serial, check digit with weights 1, 3, 7, 9."""
    century, month = divmod(int(text[2:4]), 20)
    if not is_date(_PESEL_CENTURIES[century] + int(text[:2]), month, int(text[4:6])):
        return False
    return weighted(text, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def nip(text: str) -> bool:
    digits = bare(text)
    return weighted(digits[:9], (6, 5, 7, 2, 3, 4, 5, 6, 7)) % 11 == int(digits[9])


def regon(text: str) -> bool:
    """Nine digits, or fourteen for a local unit."""
    weights = (8, 9, 2, 3, 4, 5, 6, 7) if len(text) == 9 else (2, 4, 8, 5, 0, 9, 7, 3, 6, 1, 2, 4, 8)
    return weighted(text[:-1], weights) % 11 % 10 == int(text[-1])


def polish_card(text: str) -> bool:
    """Three letters (A is 10), six digits, the first of them the check digit: the weighted sum ends in 0."""
    card = bare(text)
    values = (int(sign, 36) for sign in card)
    return sum(value * weight for value, weight in zip(values, (7, 3, 1, 9, 7, 3, 1, 7, 3), strict=True)) % 10 == 0


def nir(text: str) -> bool:
    """97 minus the remainder of thirteen digits; Corsica's 2A and 2B count as 19 and 18."""
    number = bare(text)
    digits = number[:5] + number[5:7].replace("2A", "19").replace("2B", "18") + number[7:13]
    return 97 - int(digits) % 97 == int(number[13:])


def bsn(text: str) -> bool:
    """Weights 9 … 2 and -1, modulus 11."""
    digits = bare(text)
    return weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and digits[:2] != "00"


def belgian(text: str) -> bool:
    """YYMMDD (the month plus 20 or 40 for a foreigner), serial, 97 minus the remainder; 2 before it since 2000."""
    digits = bare(text)
    month, day, check = int(digits[2:4]) % 20, int(digits[4:6]), int(digits[9:])
    born = is_day(month, day) or (month == 0 == day)
    return born and check in (97 - int(digits[:9]) % 97, 97 - int("2" + digits[:9]) % 97)


def ahv(text: str) -> bool:
    """EAN-13."""
    return weighted(bare(text), (1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)) % 10 == 0


_AHV_WORDS: Final = ("ahv", "ahvn13", "avs", "ahv nummer", "ahv nr", "navs13", "sozialversicherungsnummer")
_BELGIAN_WORDS: Final = (
    "rijksregisternummer",
    "rijksregister",
    "registre national",
    "numéro national",
    "numero national",
    "niss",
    "insz",
)
_EU_VAT: Final = (
    r"(?i)\b(?:ATU[0-9]{8}|BE ?[01][0-9]{9}|BG ?[0-9]{9,10}|CY ?[0-9]{8}[A-Z]|CZ ?[0-9]{8,10}"
    r"|(?:DK|FI|HU|LU|MT|SI) ?[0-9]{8}"
    r"|(?:EE|EL|PT) ?[0-9]{9}|ES ?[0-9A-Z][0-9]{7}[0-9A-Z]|FR ?[0-9A-HJ-NP-Z]{2} ?[0-9]{9}|(?:HR|LV) ?[0-9]{11}"
    r"|IE ?[0-9][0-9A-Z+*][0-9]{5}[A-Z]{1,2}|LT ?[0-9]{9}(?:[0-9]{3})?|NL ?[0-9]{9}B[0-9]{2}|(?:PL|SK) ?[0-9]{10}"
    r"|RO ?[0-9]{2,10}"
    r"|SE ?[0-9]{10}01|(?:GB|XI) ?[0-9]{9}(?:[0-9]{3})?)\b"
)

CENTRAL_EUROPE: Final[tuple[Recogniser | Finder, ...]] = (
    Recogniser(
        entity="PL_PESEL",
        digits=(11,),
        check=pesel,
        score=0.42,
        words=("pesel", "national id"),
        evidence="date of birth, check digit",
        source="Ustawa o ewidencji ludności, art. 15",
    ),
    Recogniser(
        entity="PL_NIP",
        digits=(10,),
        pattern=r"\b[0-9]{3}-(?:[0-9]{3}-[0-9]{2}|[0-9]{2}-[0-9]{2})-[0-9]{2,3}\b",
        check=lambda text: len(bare(text)) == 10 and nip(text),
        score=0.25,
        words=("nip", "numer identyfikacji podatkowej"),
        evidence="check digit (mod 11)",
        source="Ustawa o zasadach ewidencji podatników",
    ),
    Recogniser(
        entity="PL_REGON",
        digits=(9, 14),
        check=regon,
        score=0.2,
        words=("regon",),
        evidence="check digit (mod 11)",
        source="GUS, REGON",
    ),
    Recogniser(
        entity="PL_IDENTITY_CARD",
        pattern=r"(?i)\b[A-Z]{3} ?[0-9]{6}\b",
        check=polish_card,
        score=0.25,
        words=("dowód osobisty", "dowod osobisty", "dowodu", "dowodu osobistego", "identity card", "id card"),
        evidence="check digit (mod 10)",
        source="ICAO Doc 9303; MSWiA, dowód osobisty",
    ),
    Recogniser(
        entity="FR_NIR",
        pattern=(
            r"(?i)(?:^|[^0-9A-Z.,_-])([12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[23][0-9]|4[0-2]|[5-9][0-9])"
            r" ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2})\b"
        ),
        check=nir,
        score=0.85,
        words=("nir", "insee", "numéro de sécurité sociale", "sécurité sociale", "securite sociale", "carte vitale"),
        evidence="sex and month, key (mod 97)",
        source="INSEE, numéro d'inscription au répertoire",
    ),
    Recogniser(
        entity="NL_BSN",
        digits=(9,),
        pattern=r"\b[0-9]{3}[. ][0-9]{3}[. ][0-9]{3}\b|\b[0-9]{4}[. ][0-9]{2}[. ][0-9]{3}\b",
        check=bsn,
        score=0.25,
        words=("bsn", "burgerservicenummer", "sofinummer", "sofi nummer"),
        evidence="check digit (eleven test)",
        source="Rijksdienst voor Identiteitsgegevens, BSN",
    ),
    Recogniser(
        entity="BE_NATIONAL_NUMBER",
        digits=(11,),
        check=belgian,
        score=0.25,
        words=_BELGIAN_WORDS,
        evidence="date of birth, check digits (mod 97)",
        source="IBZ, Rijksregister",
    ),
    Recogniser(
        entity="BE_NATIONAL_NUMBER",
        pattern=r"\b[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}\b",
        check=belgian,
        score=0.92,
        words=_BELGIAN_WORDS,
        evidence="grouping, date of birth, check digits (mod 97)",
        source="IBZ, Rijksregister",
    ),
    Recogniser(
        entity="CH_AHV",
        digits=(13,),
        check=lambda text: text.startswith("756") and ahv(text),
        score=0.6,
        words=_AHV_WORDS,
        evidence="country, check digit (EAN-13)",
        source="ZAS, AHVN13",
    ),
    Recogniser(
        entity="CH_AHV",
        pattern=r"\b756[. ][0-9]{4}[. ][0-9]{4}[. ][0-9]{2}\b",
        check=ahv,
        score=0.95,
        words=_AHV_WORDS,
        evidence="country, grouping, check digit (EAN-13)",
        source="ZAS, AHVN13",
    ),
    Recogniser(
        entity="EU_VAT",
        pattern=_EU_VAT,
        score=0.2,
        words=(
            "vat",
            "vat id",
            "vat no",
            "vat number",
            "tva",
            "iva",
            "btw",
            "moms",
            "ust id",
            "dph",
            "pdv",
            "nip",
        ),
        evidence="country, shape",
        source="European Commission, VIES: structure of VAT numbers",
    ),
)
