"""Germany: identity papers, licences, registers, plates and postcodes; numbers are in `german_numbers`."""

from typing import Final

from services.masking.entities.european_checks import bare, icao_9303, upper
from services.masking.entities.german_numbers import GERMAN_NUMBERS
from services.masking.recogniser import Finder, Recogniser

_PAPER_SIGNS = "0-9CFGHJKLMNPRTVWXYZ"  # no vowels, no letters that look like digits (PAuswV, PassV)
_PAPER: Final = rf"(?i)\b[CFGHJKLMNPRTVWXYZ][{_PAPER_SIGNS}]{{7}}[0-9]{{1,2}}\b"
_GERMAN_ID: Final = (
    *("personalausweis", "personalausweisnummer", "ausweis", "ausweisnummer", "ausweisnr", "perso", "german id"),
    "personalausweisnr",
)
_GERMAN_PASSPORT: Final = ("reisepass", "reisepassnummer", "reisepassnr", "passnummer", "passnr", "german passport")
_KFZ_TELLING: Final = ("kennzeichen", "kfz", "kfz kennzeichen", "nummernschild", "autokennzeichen", "kfz nr")
_KFZ_WORDS: Final = (*_KFZ_TELLING, "fahrzeug", "license plate", "licence plate", "number plate", "plate", "vehicle")
_LICENCE_WORDS: Final = (
    *("führerschein", "führerscheinnummer", "fuehrerschein", "fuehrerscheinnummer", "führerscheinnr", "fahrerlaubnis"),
    *("driving licence", "driving license", "driver license", "drivers license"),
)


def paper(text: str) -> bool:
    """The ninth character, or the tenth where it is written along, is the check digit."""
    return icao_9303(upper(text))


def has_digit(text: str) -> bool:
    return not text.isalpha()


def licence(text: str) -> bool:
    """FeV, annex 8: the tenth sign is the check, weights 9 … 1, modulus 11, ten is X."""
    number = upper(text)
    total = sum(int(sign, 36) * weight for sign, weight in zip(number, range(9, 0, -1), strict=False))
    return number[9] == "0123456789X"[total % 11]


def plz(text: str) -> bool:
    return "01001" <= text <= "99998"


def plate(text: str) -> bool:
    """At most eight signs; no district is called I, O, Q, T or U."""
    return len(bare(text)) <= 8 and not (text[1] in " -" and text[0] in "IOQTUioqtu")


_PLATE: Final = r"(?:^|[^0-9A-Za-zÄÖÜäöüß_-])([A-ZÄÖÜ]{1,3}[ -][A-Z]{1,2}[ -]?[1-9][0-9]{0,3}[EH]?)\b"

GERMANY: Final[tuple[Recogniser | Finder, ...]] = (
    *GERMAN_NUMBERS,
    Recogniser(
        entity="DE_ID_CARD",
        pattern=_PAPER,
        check=paper,
        score=0.45,
        words=(*_GERMAN_ID, "id card", "identity card", "national id"),
        evidence="signs in use, check digit (7, 3, 1)",
        source="PAuswV; ICAO Doc 9303",
    ),
    Recogniser(
        entity="DE_ID_CARD",
        pattern=r"(?i)\bT[0-9]{8}\b",
        score=0.35,
        words=(*_GERMAN_ID, "id card", "identity card"),
        evidence="shape of serial numbers",
        source="PAuswV, Muster",
    ),
    Recogniser(
        entity="DE_ID_CARD",
        pattern=rf"(?i)\b[CFGHJKLMNPRTVWXYZ][{_PAPER_SIGNS}]{{8}}\b",
        check=has_digit,
        score=0.2,
        words=_GERMAN_ID,
        evidence="signs in use",
        source="PAuswV, serial number without its check digit",
    ),
    Recogniser(
        entity="DE_PASSPORT",
        pattern=_PAPER,
        check=paper,
        score=0.45,
        words=(*_GERMAN_PASSPORT, "passport", "passport no", "passport number"),
        evidence="signs in use, check digit (7, 3, 1)",
        source="PassV; ICAO Doc 9303",
    ),
    Recogniser(
        entity="DE_PASSPORT",
        pattern=rf"(?i)\b[CFGHJKLMNPRTVWXYZ][{_PAPER_SIGNS}]{{8}}\b",
        check=has_digit,
        score=0.2,
        words=_GERMAN_PASSPORT,
        evidence="signs in use",
        source="PassV, serial number without its check digit",
    ),
    Recogniser(
        entity="DE_FUEHRERSCHEIN",
        pattern=r"(?i)\b[A-Z]{2}[0-9]{8}[0-9A-Z]\b",
        score=0.4,
        words=_LICENCE_WORDS,
        evidence="shape",
        source="two letters, eight digits, a last sign",
    ),
    Recogniser(
        entity="DE_FUEHRERSCHEIN",
        pattern=r"(?i)\b[A-Z][0-9A-Z][0-9]{2}[0-9A-Z]{5}[0-9X][0-9A-Z]\b",
        check=licence,
        score=0.25,
        words=_LICENCE_WORDS,
        evidence="check digit (mod 11)",
        source="FeV, annex 8",
    ),
    Recogniser(
        entity="DE_HANDELSREGISTER",
        pattern=r"(?i)\bHR ?[AB][ -]?[0-9]{1,6}\b",
        score=0.6,
        words=("handelsregister", "handelsregisternummer", "registergericht", "amtsgericht", "commercial register"),
        evidence="department of the register, number",
        source="HRV § 3",
    ),
    Recogniser(
        entity="DE_HANDELSREGISTER",
        pattern=r"(?i)\b(?:VR|PR|GNR|GSR) ?[0-9]{1,6}\b",
        score=0.25,
        words=(
            *("handelsregister", "handelsregisternummer", "registergericht", "amtsgericht", "vereinsregister"),
            *("partnerschaftsregister", "genossenschaftsregister", "registernummer"),
        ),
        evidence="department of the register, number",
        source="HRV § 3; VRV; PRV; GenRegV",
    ),
    Recogniser(
        entity="DE_KFZ",
        pattern=_PLATE,
        check=plate,
        score=0.4,
        words=_KFZ_WORDS,
        evidence="shape",
        source="FZV § 9 and annex 2",
    ),
    Recogniser(
        entity="DE_KFZ",
        pattern=f"(?i){_PLATE}",
        check=plate,
        score=0.3,
        words=_KFZ_TELLING,
        whole=True,
        evidence="shape",
        source="FZV § 9 and annex 2",
    ),
    Recogniser(
        entity="DE_PLZ",
        digits=(5,),
        check=plz,
        score=0.3,
        words=("plz", "postleitzahl", "postal code", "postcode"),
        whole=True,
        evidence="five digits in the range in use",
        source="Deutsche Post, Postleitzahlen",
    ),
)
