"""Telephone numbers.

A telephone number has no checksum, so what is found depends on how it is written and on what is said about it:

| written                                          | is found                                                 |
|--------------------------------------------------|----------------------------------------------------------|
| `+41 44 668 18 00`, valid in its numbering plan  | everywhere                                               |
| `+…` of a possible length                        | not under an identifier's key                            |
| `(415) 555-0132`, `415-555-0132x23`, `1-415-…`   | not under an identifier's key                            |
| `0041 44 668 18 00`                              | the same where valid, otherwise in a lone text           |
| `020 7946 0958`, valid in a large country        | in a lone text                                           |
| anything of 7 to 13 digits                       | next to a word or below a key that speaks of telephones  |
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from services.masking.entities.numbering import valid_internationally, valid_nationally
from services.masking.leaf import Leaf
from services.masking.recogniser import Finder, Hit, Recogniser, judged

PHONE_NUMBER: Final = "PHONE_NUMBER"

# What is said about a number next to it. `strong`: telephones and nothing else. `weak`: it takes a number that looks
# like a telephone's. `other`: it is another number (`my order number is …`).
_STRONG: Final = (
    r"(?:home|work|cell|tele|mobile|office|day)?phones?(?:numbers?|no|nr)?|tel(?:efone|ephone)?|t[eé]l[eé]fon\w{0,8}"
    r"|t[eé]l[eé]phone|teléf|tlf|mobiles?|mobil(?:e?nummer|telefon)?|mob|m[oó]vil|cells?|cellular|cellulare|celular"
    r"|handy(?:nummer|nr)|gsm|fax(?:es|nummer|number)?|landline|msisdn|whatsapp|rufnummer|hotline|helpline|pager"
    r"|(?:contact|callback|dial[- ]?in) (?:number|no|nr)"
)
_WEAK: Final = (
    r"call(?:s|ed|ing)?|(?:reach|text|ring|dial|contact) (?:me|us|him|her|them)|dial|sms|texted|messages? to"
    r"|answering|my registered|numara(?:m|si)?"
    r"|(?:number|nummer|num[eé]ro|número|numero) (?:is|ist|es|é|e|est|one is)"
)
_ROOM: Final = "office|desk|switchboard"
"""Counts where it stands next to the number at once: `our office is at 17031 2202 Rissik St`."""
_EASTERN: Final = "телефон|моб\\.|тел\\.|电话|電話|手机|携帯|전화|휴대폰|هاتف|טלפון|नंबर|โทร"
"""Without boundaries: some are written without blanks, and RE2's are those of ASCII."""
_OTHER: Final = (
    r"(?:order|invoice|account|acct|card|ticket|tracking|reference|ref|case|claim|serial|policy|passport|licen[cs]e"
    r"|ssn|social|security|tax|iban|routing|customer|member|membership|id|po|sku|isbn|zip|postal|npi|vin|batch|bank"
    r"|insurance|medicare|nhs|aadhaar|uidai|nino|abn|acn|tfn|sin|nif|nie|bsn|cpf|pesel|nip|vat|identity|version|transaction|model|part|item|build|confirmation|booking|pin|code|amount|price)s?"
)
_NUMBER_IS: Final = r"(?:[ .:#]{0,2}\b(?:numbers?|no|nr|num|id|code|is)\b){0,3}"
_SAID = re.compile(
    rf"(?<!\w)(?:(?P<other>{_OTHER}){_NUMBER_IS}|(?P<strong>{_STRONG})"
    rf"|(?P<weak>{_WEAK}|(?:{_ROOM})[ :,;(-]{{0,3}}\Z))(?!\w)|{_EASTERN}"
)
_SAID_AFTER = re.compile(
    rf"[ :()\[\]-]{{0,3}}(?:is (?:my|the|his|her|our) )?(?:(?P<strong>{_STRONG})|(?P<weak>{_WEAK}|{_ROOM}))(?!\w)"
    r"(?![ :.]{0,2}[0-9(+])"
)
_KEY = re.compile(rf"\b(?:{_STRONG})(?!\w)|{_EASTERN}")
_STRENGTH: Final = {"other": 0, "weak": 1, "strong": 2, None: 2}

_CANDIDATE = re.compile(
    r"[+(0-9](?<![0-9A-Za-z_+\-/].)(?<![0-9]\..)(?:(?<=\()\+?[0-9]|(?<=\+)[ (]{0,2}[0-9]|(?<=[0-9]))"
    r"(?:[ ()./-]{0,3}[0-9]){5,18}"
    r"(?: ?(?:x|ext\.?) ?[0-9]{1,6})?(?![0-9A-Za-z_])(?![.:/-][0-9])"
)
"""Six to nineteen digits, with an extension."""
_EXTENSION = re.compile(r" ?(?:x|ext).*")
_NANP = re.compile(
    r"(?P<country>(?:\+ ?|00)?1[ .-]?)?(?:(?P<area>\([2-9][0-9]{2}\))[ .-]?|[2-9][0-9]{2}(?P<first>[ .-]))"
    r"(?P<exchange>[0-9])[0-9]{2}(?P<second>[ .-])[0-9]{4}"
)
_AMID = re.compile(r"(?:(?<= )|(?<!.))(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}-)[2-9][0-9]{2}-[0-9]{4}(?= |$)")
"""A number among others: `1. (415) 555-0132`, `2024-01-01 415-555-0132`."""
_AMOUNT = re.compile(r"\+?[0-9]{1,3}(?:[. ][0-9]{3})+|\+?[0-9]{1,9}")
_CENTS = re.compile(r",[0-9]{1,2}(?![0-9,])")
_NO_PHONE = re.compile(
    r"(?:19|20)[0-9]{2}(?P<a>[-/. ])[01]?[0-9](?P=a)[0-3]?[0-9](?![0-9]).*"  # dates
    r"|[0-3]?[0-9](?P<b>[-/.])[0-3]?[0-9](?P=b)(?:(?:19|20)[0-9]{2}(?![0-9])|[0-9]{2} [0-9]).*"
    r"|(?:19|20)[0-9]{2} ?[-/] ?(?:19|20)[0-9]{2}"  # years
    r"|[0-9]+\.[0-9]+|[0-9]\.[0-9]{1,2}\.[0-9.]+"  # fractions, versions
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,2})?"  # IPv4
    r"|(?P<same>[0-9])(?:[ ()./-]*(?P=same))+"  # 000-0000
)
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:([. ])[0-9]{3})(?:\1[0-9]{3})*")
_PLAIN_PAIRS = re.compile(r"[0-9]{2}(?:\.[0-9]{2}){3}")
_NATIONAL = re.compile(r"\(?0[0-9]{1,4}\)?[ /-][0-9][0-9 -]{3,12}")
_LIKE_SSN = re.compile(r"[0-9]{3}([ -])[0-9]{2}\1[0-9]{4}")
_LONE_DIGITS: Final = 10
"""Of a national number of which nothing is said: with fewer, too much else looks like it."""
_NATIONAL_ASKS: Final = 4
"""Numbers of one text whose national plan is looked up: each takes about half a millisecond."""


@lru_cache(maxsize=4096)
def _speaks_of_phones(key_words: str) -> bool:
    return bool(_KEY.search(key_words))


def find_phones(leaf: Leaf) -> Iterator[Hit]:
    """Every telephone number of a text."""
    text, asked = leaf.text, 0
    by_key: int | None = None
    for match in _CANDIDATE.finditer(text):
        leaf.spend(100)
        start, end = match.span()
        written = match[0]
        if written.startswith("(") and written.count("(") > written.count(")"):
            start, written = start + 1, written[1:]
        number = _EXTENSION.sub("", written)
        digits = "".join(re.findall("[0-9]", number))
        if by_key is None:
            by_key = 2 if _speaks_of_phones(leaf.key_words) and not leaf.identifier else 0
        said = by_key or _said(leaf, start, end)
        whole = _may_be_phone(number, digits, said) and not (_CENTS.match(text, end) and _AMOUNT.fullmatch(number))
        score, evidence = _by_shape(number, digits, extension=number != written) if whole else (0.0, "")
        if whole and said and _looks_like_phone(number, digits, said):
            score, evidence = max(score, 0.86), "word"
        elif (
            whole
            and score == 0.0
            and leaf.lone
            and len(digits) >= _LONE_DIGITS
            and not re.search("[0-9]", text[:start] + text[end:])
            and asked < _NATIONAL_ASKS
            and _is_national(number)
        ):
            leaf.spend(10_000)
            asked += 1
            score, evidence = (0.35, "numbering plan") if valid_nationally(number) else (0.0, "")
        if score == 0.0 and (amid := _AMID.search(number)):
            start, end = start + amid.start(), start + amid.end()
            score, evidence = 0.7, "NANP shape"
        if score >= 0.86 or (score := judged(score, leaf, start, end, None)):
            yield Hit(start, end, PHONE_NUMBER, score, evidence)


def _is_national(number: str) -> bool:
    return bool(_NATIONAL.fullmatch(number)) and not _LIKE_SSN.fullmatch(number)


def _said(leaf: Leaf, start: int, end: int) -> int:
    """0 (nothing), 1 (weak) or 2 (strong). The word before that is next to the number counts, or one that follows it
    at once and is not followed by a number of its own."""
    last = max(_SAID.finditer(leaf.before(start)), key=re.Match.start, default=None)
    if last is not None and last.lastgroup == "other":
        return 0
    after = _SAID_AFTER.match(leaf.after(end))
    return max(_STRENGTH[last.lastgroup] if last else 0, _STRENGTH[after.lastgroup] if after else 0)


def _may_be_phone(number: str, digits: str, said: int) -> bool:
    """Neither a date, an address of a network, a fraction nor anything too long or too short (ITU-T E.164)."""
    if not 7 <= len(digits) <= 15 + (digits.startswith("00")) or (
        len(digits) == 15 and not number.startswith(("+", "0"))
    ):
        return False
    if _NO_PHONE.fullmatch(number):
        return said == 2 and bool(_PLAIN_PAIRS.fullmatch(number))
    return True


def _looks_like_phone(number: str, digits: str, said: int) -> bool:
    """Whether a number of which somebody said that it is a telephone's could be one."""
    if said == 2:
        return len(digits) <= 13 or number.startswith(("+", "0"))
    if len(digits) == len(number):  # bare
        return 10 <= len(digits) <= 12 or (number.startswith("0") and len(digits) >= 9)
    return len(digits) <= 13 and not (_THOUSANDS.fullmatch(number) and "." in number)


def _by_shape(number: str, digits: str, *, extension: bool) -> tuple[float, str]:
    """Score and evidence of a number of which nothing is said."""
    if nanp := _NANP.fullmatch(number):
        plausible = nanp["exchange"] >= "2"
        if extension or nanp["area"] or (nanp["country"] and nanp["second"] != "."):
            return 0.8, "NANP shape"
        if nanp["first"] == nanp["second"] == " ":
            return 0.55 if plausible else 0.2, "NANP shape"
        return 0.7 if plausible else 0.45, "NANP shape"
    if number.startswith(("+", "(+")):
        fraction = number.count(".") == 1 and not re.search("[ ()/-]", number)
        possible, valid = valid_internationally(digits, number)
        if fraction:
            return 0.0, ""
        return (0.95, "numbering plan") if valid else (0.7 if possible else 0.0, "possible length")
    if digits.startswith("00") and digits[2:3] != "0":
        valid = valid_internationally(digits[2:], number)[1]
        if valid:
            return 0.35 if len(digits) == len(number) else 0.75, "numbering plan"
    return 0.0, ""


_SHAPES: Final = (
    r"\+ ?\(?[1-9][0-9 ()./-]{6}|\b00[1-9][0-9 ()./-]{7}|\b[2-9][0-9]{2}\)?[ .-]?[0-9]{3}[ .-][0-9]{4}(?:x|\b)"
)
_TRUNK: Final = r"\b0[0-9]{1,4}(?:\)|[ /])[ /-]?[0-9]|\b0[0-9]{1,4}-[0-9]{3}"


def _find_lone(leaf: Leaf) -> Iterable[Hit]:
    return find_phones(leaf) if leaf.lone else ()


_LEFT: Final = r"(?:^|[^0-9A-Za-z_.+/-])"
_KEYS: Final = tuple(
    re.split(
        r",\s+",
        """phone, telephone, tel, mobile, mob, cell, cellular, fax, landline, msisdn, whatsapp, gsm, hotline, helpline,
        pager, telefon, telefono, teléfono, telefone, téléphone, móvil, movil, mobil, celular, cellulare, handynummer,
        rufnummer, contact number, contact no, callback number, телефон""",
    )
)
_NO_PHONES: Final = (
    "id",
    "ids",
    "ref",
    "type",
    "count",
    "at",
    "date",
    "time",
    "price",
    "model",
    "hash",
    "version",
    "size",
)
_BY_KEY = re.compile(
    rf"\A[^|]*?(?:\b(?:{_STRONG})(?!\w)|{_EASTERN})[^|]*\Z" + "".join(rf"(?<! {word})" for word in _NO_PHONES)
)


class _ByKey(Recogniser):
    """Only a key speaks for it: the text next to a number is `find_phones`'s, which looks more closely. (What is near
    has a bar in it, and the words of keys have none.)"""

    @property
    def spoken_for(self) -> re.Pattern[str]:
        return _BY_KEY


def _bare(digits: str) -> bool:
    """No epoch in seconds or milliseconds, and not one digit repeated."""
    return not (digits[0] == "1" and len(digits) in (10, 13)) and len(set(digits)) > 1


def _separated(number: str) -> bool:
    return 7 <= sum(map(str.isdecimal, number)) <= 13 and (
        not _NO_PHONE.fullmatch(number) or bool(_PLAIN_PAIRS.fullmatch(number))
    )


_TR_REST: Final = r"\(?[2-5][0-9]{2}\)?[ .-]?[0-9]{3}[ .-]?[0-9]{2}[ .-]?[0-9]{2}"
_PH_REST: Final = r"9[0-9]{2}\)?[ .-]?[0-9]{3}[ .-]?[0-9]{4}"
_TR_WORDS: Final = ("telefon", "telefonu", "telefon numarasi", "telefon numaram", "cep", "cep telefonu", "gsm", "tel")
_PH_WORDS: Final = ("cellphone", "mobile", "mobile number", "phone", "globe", "smart", "gcash", "viber", "numero")


def _turkish(digits: str) -> bool:
    """Area codes begin with 2, 3 or 4, mobile ones with 5; other first digits are no subscriber's."""
    subscriber = digits.removeprefix("0") if len(digits) == 11 else digits
    return len(subscriber) == 10 and "2" <= subscriber[0] <= "5" and len(set(subscriber)) > 1


def _has_separators(number: str) -> bool:
    return not number.isdecimal()


_TR_SOURCE: Final = "BTK, national numbering plan of Türkiye"
_PH_SOURCE: Final = "NTC, numbering plan of the Philippines"

TELEPHONES: Final[tuple[Recogniser | Finder, ...]] = (
    Finder(
        (PHONE_NUMBER,),
        rf"(?i){_SHAPES}|\b(?:{_STRONG}|{_WEAK}|{_ROOM})\b|{_EASTERN}",
        find_phones,
        "numbering plan, shape or word",
        "ITU-T E.164, NANP, national numbering plans through libphonenumber",
    ),
    Finder(
        (PHONE_NUMBER,),
        _TRUNK,
        _find_lone,
        "numbering plan",
        "national numbering plans through libphonenumber",
    ),
    _ByKey(PHONE_NUMBER, digits=tuple(range(7, 14)), check=_bare, score=0.1, words=_KEYS, evidence="key"),
    _ByKey(
        PHONE_NUMBER,
        rf"{_LEFT}(\(?(?:[0-9]{{1,3}}|[03-9][0-9]{{3}}|1[0-8][0-9]{{2}}|2[1-9][0-9]{{2}}|[0-9]{{5}})\)?"
        r"(?:[ /-]{1,3}[0-9]{3,9}|(?:[ /-]{1,3}\(?[0-9]{1,9}\)?){1,5}[ /-]{1,3}[0-9]{1,9})"
        r"|[0-9]{2,4}(?:\.[0-9]{2,4}){2,5})\b",
        check=_separated,
        score=0.1,
        words=_KEYS,
        evidence="key",
    ),
    Recogniser(
        "TR_PHONE_NUMBER",
        rf"{_LEFT}((?:\+|00)90[ .-]?{_TR_REST})\b",
        score=0.96,
        words=_TR_WORDS,
        evidence="country code, area code",
        source=_TR_SOURCE,
    ),
    Recogniser(
        "TR_PHONE_NUMBER",
        rf"{_LEFT}(\(?0[ .-]?{_TR_REST}|\(?[2-5][0-9]{{2}}\)?[ .][0-9]{{3}}[ .][0-9]{{2}}[ .][0-9]{{2}})\b",
        check=_has_separators,
        score=0.4,
        words=_TR_WORDS,
        evidence="shape, area code",
        source=_TR_SOURCE,
    ),
    Recogniser(
        "TR_PHONE_NUMBER",
        digits=(10,),
        check=_turkish,
        score=0.3,
        words=_TR_WORDS,
        whole=True,
        evidence="area code",
        source=_TR_SOURCE,
    ),
    Recogniser(
        "PH_MOBILE_NUMBER",
        rf"{_LEFT}((?:\+|00)63[ .-]?\(?{_PH_REST})\b",
        score=0.96,
        words=_PH_WORDS,
        evidence="country code, mobile prefix",
        source=_PH_SOURCE,
    ),
    Recogniser(
        "PH_MOBILE_NUMBER",
        rf"{_LEFT}(\(?0{_PH_REST})\b",
        score=0.45,
        words=_PH_WORDS,
        evidence="mobile prefix",
        source=_PH_SOURCE,
    ),
)
