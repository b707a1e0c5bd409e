"""What money moves by: cards and what is printed on them, bank accounts, routing numbers, wallets."""

import re
from collections.abc import Iterator
from typing import Final

from services.masking.entities.check_digits import luhn
from services.masking.entities.iban import IBAN
from services.masking.entities.wallets import WALLETS
from services.masking.leaf import Leaf
from services.masking.recogniser import Finder, Hit, Recogniser, judged

CREDIT_CARD: Final = "CREDIT_CARD"
CVV: Final = "CVV"
EXPIRY: Final = "CREDIT_CARD_EXPIRY"
PIN: Final = "PIN"
ABA_ROUTING_NUMBER: Final = "ABA_ROUTING_NUMBER"
US_BANK_NUMBER: Final = "US_BANK_NUMBER"
SWIFT_CODE: Final = "SWIFT_CODE"

# Cards: ISO/IEC 7812.

_MAESTRO: Final = (12, 13, 14, 15, 16, 17, 18, 19)
_ISSUERS: Final = (
    (4000, 4999, (13, 16, 19)),  # Visa
    (5100, 5599, (16,)),  # Mastercard
    (2221, 2720, (16,)),
    (3400, 3499, (15,)),  # American Express
    (3700, 3799, (15,)),
    (3000, 3059, (14, 16, 19)),  # Diners Club
    (3095, 3095, (14, 16, 19)),
    (3600, 3699, (14, 16, 19)),
    (3800, 3999, (14, 16, 19)),
    (6011, 6011, (16, 19)),  # Discover
    (6440, 6599, (16, 19)),
    (3500, 3599, (16, 17, 18, 19)),  # JCB
    (1800, 1800, (15,)),
    (2131, 2131, (15,)),
    (6200, 6299, (16, 17, 18, 19)),  # UnionPay
    (8100, 8171, (16, 17, 18, 19)),
    (5018, 5018, _MAESTRO),  # Maestro
    (5020, 5020, _MAESTRO),
    (5038, 5038, _MAESTRO),
    (5612, 5612, _MAESTRO),
    (5893, 5893, _MAESTRO),
    (6304, 6304, _MAESTRO),
    (6390, 6390, _MAESTRO),
    (6700, 6799, _MAESTRO),
    (5019, 5019, (16,)),  # Dankort
    (2200, 2204, (16, 17, 18, 19)),  # Mir
    (6000, 6099, (16,)),  # RuPay, Hipercard
    (5080, 5089, (16,)),
    (8170, 8299, (16,)),
    (5066, 5067, (16,)),  # Elo
    (5060, 5061, (16, 18, 19)),  # Verve
    (9792, 9792, (16,)),  # Troy
)
"""First four digits (from, to), and how many digits such numbers have: the issuers' published ranges."""


def _lengths_by_prefix() -> dict[str, frozenset[int]]:
    lengths: dict[str, frozenset[int]] = {}
    for low, high, some in _ISSUERS:
        for prefix in map(str, range(low, high + 1)):
            lengths[prefix] = lengths.get(prefix, frozenset()) | frozenset(some)
    return lengths


_LENGTHS: Final = _lengths_by_prefix()
_NO_LENGTHS: Final[frozenset[int]] = frozenset()


def is_issued(digits: str) -> bool:
    """Whether an issuer gives out numbers like this, and the check digit is right."""
    return (
        len(digits) in _LENGTHS.get(digits[:4], _NO_LENGTHS) and luhn(digits) and digits.count(digits[0]) != len(digits)
    )


def _is_of_unknown_issuer(digits: str) -> bool:
    return (
        len(digits) not in _LENGTHS.get(digits[:4], _NO_LENGTHS)
        and luhn(digits)
        and digits.count(digits[0]) != len(digits)
    )


def _is_of_airlines(digits: str) -> bool:
    return digits[0] == "1" and digits[:4] != "1800" and luhn(digits) and digits.count("1") != 15


_CARD_WORDS: Final = (
    "card", "cards", "credit card", "debit card", "card number", "card no", "card num", "cc", "cc number", "cc num",
    "pan", "visa", "mastercard", "maestro", "amex", "american express", "diners", "unionpay", "rupay", "jcb",
    "kreditkarte", "kartennummer", "carte bancaire", "carte de crédit", "tarjeta", "carta di credito", "cartão",
)  # fmt: skip
_ISO_7812: Final = "ISO/IEC 7812; issuers' published ranges"
_BARE_CARDS: Final = (
    Recogniser(
        CREDIT_CARD,
        digits=(15, 16),
        check=is_issued,
        score=0.9,
        words=_CARD_WORDS,
        evidence="check digit (Luhn), issuer",
        source=_ISO_7812,
    ),
    Recogniser(
        CREDIT_CARD,
        digits=(14,),
        check=is_issued,
        score=0.5,
        words=_CARD_WORDS,
        evidence="check digit (Luhn), issuer",
        source=_ISO_7812,
    ),
    Recogniser(
        CREDIT_CARD,
        digits=(12, 13, 17, 18, 19),
        check=is_issued,
        score=0.45,
        words=_CARD_WORDS,
        evidence="check digit (Luhn), issuer",
        source=_ISO_7812,
    ),
    Recogniser(
        CREDIT_CARD,
        digits=(15,),
        check=_is_of_airlines,
        score=0.35,
        words=_CARD_WORDS,
        whole=True,
        evidence="check digit (Luhn), airlines' range",
        source="ISO/IEC 7812; UATP",
    ),
    Recogniser(
        CREDIT_CARD,
        digits=(12, 13, 14, 16, 17, 18, 19),
        check=_is_of_unknown_issuer,
        score=0.2,
        words=_CARD_WORDS,
        evidence="check digit (Luhn)",
        source=_ISO_7812,
    ),
)
_SAID_CARD: Final = _BARE_CARDS[0].spoken_for

_GAP: Final = r"(?:[ \-./]{1,3}|\t|\r?\n)"
_GROUPED: Final = re.compile(
    r"[0-9](?<![0-9A-Za-z_].)(?<![0-9]\..)[0-9]{3}([ \-./]{1,3}|\t|\r?\n)"
    r"(?:[0-9]{4}\1[0-9]{4}(?:\1[0-9]{1,4})?|[0-9]{6}\1[0-9]{4,5})(?![0-9A-Za-z_])"
)
_REST: Final = re.compile(r"[0-9]{3}(?![0-9A-Za-z_])")


_IBAN_BEGINS: Final = re.compile(r"[A-Z]{2}[0-9]{2}")


def find_grouped_cards(leaf: Leaf) -> Iterator[Hit]:
    """Numbers in groups of 4-4-4-4, 4-4-4-4-3, 4-4-4-1, 4-4-4, 4-6-5 and 4-6-4 with the same separator between all."""
    text, position = leaf.text, 0
    while match := _GROUPED.search(text, position):
        leaf.spend(150)
        end, separator = match.end(), match[1]
        position = match.start() + 4  # a group of something else may stand before the card's
        if _goes_on(text, match.start(), separator) or _amid(text, match.start(), end, separator):
            continue
        ends = [end]
        if text.startswith(separator, end) and (rest := _REST.match(text, end + len(separator))):
            ends.insert(0, rest.end())
        for end in ends:
            if score := _worth(leaf, match.start(), end, separator):
                yield Hit(match.start(), end, CREDIT_CARD, score, "check digit (Luhn), issuer, groups")
                position = end
                break


def _goes_on(text: str, start: int, separator: str) -> bool:
    """Whether it is rather the end of something longer: digits stand before it with the same separator."""
    before = start - len(separator)
    return separator != " " and before > 0 and text.startswith(separator, before) and text[before - 1].isdecimal()


def _amid(text: str, start: int, end: int, separator: str) -> bool:
    """Whether it is the middle of an IBAN that has a wrong digit."""
    return (
        text.startswith(separator, end)
        and text[end + len(separator) : end + len(separator) + 1].isdecimal()
        and bool(_IBAN_BEGINS.fullmatch(text, max(0, start - len(separator) - 4), start - len(separator)))
    )


def _worth(leaf: Leaf, start: int, end: int, separator: str) -> float:
    digits = leaf.text[start:end].replace(separator, "")
    following = leaf.text[end : end + len(separator) + 1]
    if separator != " " and following.startswith(separator) and following[-1].isdecimal():
        return 0.0
    if is_issued(digits):
        return judged(0.95 if len(digits) > 13 else 0.45, leaf, start, end, _SAID_CARD)
    return judged(0.2, leaf, start, end, _SAID_CARD) if luhn(digits) and int(digits) else 0.0


# What stands next to a card's number: short numbers that only a word or a key can tell.

_PCI_DSS: Final = "PCI DSS: sensitive authentication data, expiration date"
_BETWEEN: Final = r"""[ \t:=#"'-]{0,4}(?:(?:code|number|num|no|date|is|was|of)\b[ \t:.=#"'-]{0,4}){0,3}"""
_LABELS: Final = {
    CVV: r"cv[vcn]2?|cav2|card (?:verification|security)(?: value)?|security code|security number",
    EXPIRY: r"exp|expiry|expires|expiration|expiring|valid (?:thru|through|until|till)|good thru",
    PIN: r"pin",
}
_VALUES: Final = {
    CVV: r"[0-9]{3,4}",
    EXPIRY: r"(?:0?[1-9]|1[0-2]) ?[/-] ?(?:20)?[1-4][0-9]",
    PIN: r"[0-9]{4,6}",
}
_LABELLED: Final = re.compile(
    "|".join(
        rf"(?<![A-Za-z0-9])(?:{_LABELS[entity]})(?![A-Za-z0-9]){_BETWEEN}(?P<{entity}>{value})(?![0-9A-Za-z_])(?![./-][0-9])"
        for entity, value in _VALUES.items()
    ),
    re.IGNORECASE,
)


def find_labelled(leaf: Leaf) -> Iterator[Hit]:
    """Verification codes, expiry dates and PINs right after the word that names them."""
    leaf.spend(len(leaf.text))
    for match in _LABELLED.finditer(leaf.text):
        entity = str(match.lastgroup)
        yield Hit(*match.span(entity), entity, 0.85, "word before it")


def _under_key(entity: str, *words: str) -> Recogniser:
    """What a leaf begins with (NUL parts them where several are read at once), where its key names it."""
    return Recogniser(
        entity,
        pattern=rf"(?:^|\x00) *({_VALUES[entity]})\b",
        score=0.1,
        words=words,
        evidence="a word or a key that names it",
        source=_PCI_DSS,
    )


_BESIDE_CARDS: Final = (
    Finder(
        (CVV, EXPIRY, PIN),
        r"(?i)\b(?:cv[vcn]2?|cav2|security|exp|expiry|expires|expiration|expiring|thru|through|until|till|pin)"
        r"\b[^\n\x00]{0,24}[0-9]",
        find_labelled,
        "word before it",
        _PCI_DSS,
    ),
    _under_key(CVV, "cvv", "cvc", "cvn", "cvv2", "cvc2", "cvv code", "cvc code", "card security", "card verification"),
    _under_key(EXPIRY, "exp", "expiry", "expires", "expiration", "exp date", "expiry date", "expiration date"),
    _under_key(PIN, "pin", "pin code", "pin number", "card pin", "atm pin"),
)

# Bank accounts.

_RESERVE_DISTRICTS: Final = frozenset(f"{n:02}" for n in (*range(13), *range(21, 33), *range(61, 73), 80))
_ABA_WEIGHTS: Final = (3, 7, 1, 3, 7, 1, 3, 7, 1)
_ABA_WORDS: Final = (
    "aba",
    "routing",
    "rtn",
    "routing number",
    "routing no",
    "bank transit",
    "transit number",
    "fedwire",
)


def is_routing_number(written: str) -> bool:
    """ABA's checksum, and the Federal Reserve districts: 00-12, 21-32 (thrifts), 61-72 (electronic), 80 (cheques)."""
    if written[:2] not in _RESERVE_DISTRICTS:
        return False
    digits = [int(character) for character in written if character != "-"]
    total = sum(weight * digit for weight, digit in zip(_ABA_WEIGHTS, digits, strict=True))
    return total % 10 == 0 and any(digits)


_ACCOUNT_WORDS: Final = (
    "bank account", "account number", "account no", "account num", "acct", "acct number", "acct no", "checking account",
    "savings account", "checking", "deposit account", "beneficiary account", "account nr",
)  # fmt: skip
_BIC_COUNTRIES: Final = (
    "A[DEFGILMORSTUWXZ]|B[ABDEFGHIJLMNOQRSTVWYZ]|C[ACDFGHIKLMNORUVWXYZ]|D[EJKMOZ]|E[CEGRST]|F[IJKMOR]"
    "|G[ABDEFGHILMNPQRTUWY]|H[KNRTU]|I[DELMNOQRST]|J[EMOP]|K[EGHIMNPRWYZ]|L[ABCIKRSTUVY]|M[ACDEFGHKLMNOPQRSTUVWXYZ]"
    "|N[ACEFGILOPRUZ]|OM|P[AEFGHKLMNRSTWY]|QA|R[EOSUW]|S[ABCDEGHIKLMNORSTVXYZ]|T[CDGHJKLMNORTVWZ]|U[AGSYZ]"
    "|V[ACEGINU]|W[FS]|XK|Y[ET]|Z[AMW]"
)

_BANK: Final = (
    Recogniser(
        ABA_ROUTING_NUMBER,
        digits=(9,),
        check=is_routing_number,
        score=0.35,
        words=_ABA_WORDS,
        whole=True,
        evidence="check digit (mod 10), Federal Reserve district",
        source="ABA routing number policy",
    ),
    Recogniser(
        ABA_ROUTING_NUMBER,
        pattern=r"\b[0-9]{4}-[0-9]{4}-[0-9]\b",
        check=is_routing_number,
        score=0.45,
        words=_ABA_WORDS,
        evidence="check digit (mod 10), Federal Reserve district, groups",
        source="ABA routing number policy",
    ),
    Recogniser(
        US_BANK_NUMBER,
        digits=tuple(range(8, 18)),
        check=lambda digits: digits.count(digits[0]) != len(digits),
        score=0.1,
        words=_ACCOUNT_WORDS,
        evidence="number of digits",
        source="NACHA: account numbers have up to 17 digits",
    ),
    Recogniser(
        SWIFT_CODE,
        pattern=rf"\b[A-Z]{{4}}(?:{_BIC_COUNTRIES})[A-Z0-9]{{2}}(?:[A-Z0-9]{{3}})?\b",
        score=0.25,
        words=("swift", "bic", "swift code", "bic code", "bank identifier"),
        evidence="shape, country",
        source="ISO 9362",
    ),
)

PAYMENT: Final[tuple[Recogniser | Finder, ...]] = (
    *_BARE_CARDS,
    Finder(
        (CREDIT_CARD,),
        rf"\b[0-9]{{4}}{_GAP}(?:[0-9]{{4}}{_GAP}[0-9]{{4}}|[0-9]{{6}}{_GAP}[0-9]{{4,5}})\b",
        find_grouped_cards,
        "check digit (Luhn), issuer, groups",
        _ISO_7812,
    ),
    *_BESIDE_CARDS,
    *_BANK,
    *IBAN,
    *WALLETS,
)
