"""Whether a value could be what its key says it is: cheap, since the key has said the most, and lenient: a card number
with a typo is still somebody's. Only what is plainly something else (a flag, a placeholder, a type's name) is refused.
"""

import re
from collections.abc import Callable
from typing import Final

from services.masking.entities.given_names import GIVEN_NAMES
from services.masking.entities.randomness import entropy, mixed, random_looking, stand_in

Plausible = Callable[[str], bool]

# Each alternative begins with a character of its own, so that there is one way only to read a text.
_NAME = re.compile(
    r"[^\W\d_](?:[^\W\d_\u0300-\u036f]|[\u0300-\u036f]|['\u2019\-\u00b7 ](?=[^\W\d_])|[.](?![.])|,(?= )){0,79}"
)
_PARTICLES: Final = frozenset(
    {
        "de",
        "da",
        "di",
        "do",
        "del",
        "della",
        "der",
        "den",
        "van",
        "von",
        "zu",
        "la",
        "le",
        "bin",
        "al",
        "el",
        "dos",
        "y",
        "e",
    }
)
_NO_NAMES: Final = frozenset(
    {
        *(
            "null",
            "none",
            "nil",
            "n/a",
            "na",
            "undefined",
            "unknown",
            "missing",
            "empty",
            "string",
            "text",
            "str",
            "true",
        ),
        *(
            "false",
            "required",
            "optional",
            "asc",
            "desc",
            "ascending",
            "descending",
            "redacted",
            "anonymous",
            "default",
        ),
        *(
            "admin",
            "administrator",
            "root",
            "system",
            "test",
            "user",
            "guest",
            "bot",
            "service",
            "varchar",
            "any",
            "name",
        ),
    }
)
_ORGANISATION = re.compile(
    r"(?i)\b(?:inc|llc|ltd|limited|gmbh|corp|corporation|company|co|ag|kg|se|plc|s\.?a\.?s?|b\.?v|oy|ab|aps|pty|bank|group"
    r"|team|bot|service|services|system|systems|support|department|dept|admin|platform|project|org|organi[sz]ation"
    r"|foundation|university|college|school|hospital|clinic|institute|labs?|technologies|solutions|software|international"
    r"|industries|partners|holdings?|agency|office|store|shop|market|hotel|airport|station|center|centre|street|road"
    r"|engineering|operations|security|infrastructure|backend|frontend|release|pipeline|default|account|manager|api|app)\b"
)
_ARTICLE = re.compile(
    r"(?i)\b(?:chair|desk|lamp|table|sofa|bed|shelf|mirror|rug|vase|mug|shirt|dress|jacket|coat|jeans|shoes?|boots?|bag|belt"
    r"|watch|ring|guitar|phone|case|set|kit|pack|mix|edition|collection|series|mode|mount|lake|river|bridge|park|tower|day)\b"
)
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ].*)?|\d{1,2}[-/. ]{1,2}\d{1,2}[-/. ]{1,2}(?:\d{4}|\d{2})|(?:19|20)\d{6}"
    r"|\d{4}-\d{2}|(?:19|20)\d\d|-?\d{7,13}|\d{4}\u5e74.*|--\d\d-\d\d"
    r"|(?:[^\W\d_]{3,12},? )?(?:\d{1,2}(?:st|nd|rd|th|\.)?(?: of)?[ -])?[^\W\d_]{3,12}\.?[ -]"
    r"(?:\d{1,2}(?:st|nd|rd|th)?,? )?(?:\d{4}|\d\d)"
)
_ZIP = re.compile(r"(?=.{0,9}\d)[A-Za-z0-9](?:[A-Za-z0-9]|[ -](?=[A-Za-z0-9])){2,9}")
_AGE = re.compile(r"(?:1[01]\d|120|[1-9]?\d)(?:\.0)?(?: ?(?:y|yo|yrs?|years?)(?: old)?)?", re.IGNORECASE)
_MONEY_OR_TIME = re.compile(r"\d+\.\d+|\d{4}-\d\d-\d\d(?:[T ].*)?")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_NO_PLACE = re.compile(r"(?:https?|tcp|udp|unix|mailto|ftp)://?|[@{}<>\\]|^[0-9a-fA-Fx:.]+(?::\d+)?$|^\[")


def any_value(text: str) -> bool:
    """A secret of any kind: neither empty, a stand-in, nor a flag."""
    return len(text) >= 3 and not stand_in(text)


def opaque(text: str) -> bool:
    """One run without blanks, of 8 or more, that is no plain word and no number."""
    return (
        len(text) >= 8 and not re.search(r"\s", text) and not stand_in(text) and (mixed(text) or random_looking(text))
    )


def random_value(text: str) -> bool:
    """What a key says only half: `token`, `signature`, `session`."""
    return len(text) >= 16 and not re.search(r"\s", text) and not stand_in(text) and random_looking(text)


def credentials(text: str) -> bool:
    """A header's value: a scheme and what follows, or the token alone."""
    value = text.partition(" ")[2] or text
    return len(value) >= 6 and not stand_in(value) and (mixed(value) or entropy(value) >= 3.0)


def cookies(text: str) -> bool:
    pairs = re.match(r"[\w.-]{1,128}=[^\s;]", text)
    return (len(text) >= 8 and pairs is not None) or opaque(text)


def short_code(text: str) -> bool:
    """One-time codes and PINs: 4 to 10 digits, or digits and letters, with at most one separator."""
    return bool(re.fullmatch(r"(?=.*\d)[A-Za-z0-9]{2,6}[ -]?[A-Za-z0-9]{2,6}", text))


def security_code(text: str) -> bool:
    return bool(re.fullmatch(r"\d{3,4}", text))


def name(text: str) -> bool:
    """A name or a part of one, in any script and case."""
    return bool(_NAME.fullmatch(text)) and text.lower() not in _NO_NAMES and text.count(" ") < 6


def person_or_company(text: str) -> bool:
    return name(text) and not _ORGANISATION.search(text)


def full_name(text: str) -> bool:
    """Two to six words that begin with capitals (or no case at all), and no organisation's."""
    parts = text.replace(",", " ").split()
    return (
        2 <= len(parts) <= 6
        and all(not word[0].islower() or word in _PARTICLES for word in parts)
        and person_or_company(text)
    )


def known_name(text: str) -> bool:
    """A full name that begins with a common given name: for a key `name` that nothing else says whose it is."""
    return full_name(text) and text.partition(" ")[0].lower() in GIVEN_NAMES and not _ARTICLE.search(text)


def address(text: str) -> bool:
    """A letter, and a digit beside a blank: `12 High St`, `Hauptstraße 5`; no URL, no socket, no e-mail address."""
    text = " ".join(text.split())
    if not 5 <= len(text) <= 500 or _NO_PLACE.search(text):
        return False
    numbered = any(map(str.isdigit, text)) and " " in text
    return any(map(str.isalpha, text)) and (numbered or not text.isascii())


def street(text: str) -> bool:
    """As `address`, or words alone: `Rue de Rivoli`."""
    words = "".join(text.split())
    return 3 <= len(words) <= 500 and any(map(str.isalpha, words)) and not _NO_PLACE.search(text) and not stand_in(text)


def place(text: str) -> bool:
    return bool(re.fullmatch(r"[^\W\d_](?:[^\W\d_]|['\u2019.() -]){1,59}", text)) and text.lower() not in _NO_NAMES


def words(text: str) -> bool:
    """Something said: letters, and no stand-in."""
    return sum(map(str.isalpha, text)) >= 3 and not stand_in(text)


def zip_code(text: str) -> bool:
    return bool(_ZIP.fullmatch(text))


def date(text: str) -> bool:
    return len(text) <= 40 and bool(_DATE.fullmatch(text))


def age(text: str) -> bool:
    return bool(_AGE.fullmatch(text))


def email(text: str) -> bool:
    return bool(re.fullmatch(r"[^\s@]{1,128}@[^\s@]{2,255}", text))


def digits(fewest: int, most: int, *, others: str = " ./-") -> Plausible:
    """So many digits, and nothing but these others; neither a decimal fraction nor a date and time."""
    allowed = frozenset("0123456789" + others)

    def plausible(text: str) -> bool:
        count = sum(map(str.isdigit, text))
        return fewest <= count <= most and allowed.issuperset(text) and not _MONEY_OR_TIME.fullmatch(text)

    return plausible


phone: Final = digits(6, 15, others=" ()+-./xtext#\u2010\u2011\u2013")


def document_number(text: str) -> bool:
    """Of a passport, licence, record, tax office: 5 to 24 letters and digits with separators, three digits at least."""
    bare = re.sub(r"[ ./-]", "", text)
    return (
        5 <= len(bare) <= 24
        and bare.isalnum()
        and sum(map(str.isdigit, bare)) >= 3
        and not _UUID.fullmatch(text)
        and not _MONEY_OR_TIME.fullmatch(text)
    )


def plate(text: str) -> bool:
    return 3 <= len(text) <= 12 and bool(re.fullmatch(r"[^\W_][\w -]+", text)) and any(map(str.isdigit, text))


def iban(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z]{2}\d{2}[A-Za-z0-9]{8,30}", re.sub(r"[ -]", "", text)))
