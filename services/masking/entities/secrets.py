"""Credentials: vendors' tokens (`vendor_tokens`), JSON Web Tokens, private keys, what stands in an Authorization header
or in a URL, and what text says is a password or a secret.

A string of high entropy that no word speaks for is no finding: it is somebody's hash or id.
"""

import base64
import re
from collections.abc import Iterator
from typing import Final

import re2

from services.masking.entities.randomness import random_looking, stand_in
from services.masking.entities.vendor_tokens import API_KEY, VENDOR_TOKENS
from services.masking.leaf import Leaf
from services.masking.recogniser import Finder, Hit, Recogniser

JWT: Final = "JWT"
PRIVATE_KEY: Final = "PRIVATE_KEY"
URL_CREDENTIALS: Final = "URL_CREDENTIALS"
PASSWORD: Final = "PASSWORD"  # noqa: S105
SECRET: Final = "SECRET"  # noqa: S105


_BEGIN: Final = (
    r"----[- ]BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?[- ]----|PuTTY-User-Key-File-[0-9]:|<RSAKeyValue>"
)
_END: Final = r"----[- ]END (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?[- ]-{3,4}|</RSAKeyValue>"
_KEY_BEGINS = re2.compile(_BEGIN)
_KEY_ENDS = re2.compile(_END)


def find_private_keys(leaf: Leaf) -> Iterator[Hit]:
    """From BEGIN to END (RFC 7468 and its relatives), or to the end of the text: a key that was cut off is still most
    of a key."""
    position = 0
    while begin := _KEY_BEGINS.search(leaf.text, position):
        end = _KEY_ENDS.search(leaf.text, begin.end())
        position = end.end() if end else len(leaf.text)
        leaf.spend(position - begin.start())
        start = begin.start() - (leaf.text[begin.start() - 1 : begin.start()] == "-")
        yield Hit(start, position, PRIVATE_KEY, 0.99, "BEGIN … PRIVATE KEY, to END or the end")


def is_value(text: str) -> bool:
    """Neither a stand-in nor masked already."""
    return "\0" not in text and not stand_in(text)


def basic_credentials(token: str) -> bool:
    """RFC 7617: base64 of `user:password`, printable."""
    try:
        decoded = base64.b64decode(token + "=" * (-len(token) % 4), validate=True).decode()
    except ValueError:
        return False
    return ":" in decoded and decoded.isprintable()


# `eyJ` is base64url for `{"`, `ewog` for `{\n `; RFC 7519 in compact form, with three parts (JWS) or five (JWE).
_JWT: Final = (
    r"(?:^|[^A-Za-z0-9])((?:eyJ|ewog|ewoJ|eyAi)[A-Za-z0-9_-]{8,}\.(?:eyJ|ewog|ewoJ|eyAi)[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*"
    r"|(?:eyJ|ewog|ewoJ|eyAi)[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){2}(?:\.[A-Za-z0-9_-]+){2})"
)
_PREFIXED_KEYS: Final = r"\b(AGE-SECRET-KEY-1[0-9A-Z]{58}|RWRTY0Iy[A-Za-z0-9+/=]{40,}|RWRCS[A-Za-z0-9+/=]{60,})"
_BEARER: Final = r"\b[Bb][Ee][Aa][Rr][Ee][Rr]:? +([A-Za-z0-9._~+/-]{16,}={0,2})"
_BASIC: Final = r"\b[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/]{6,}={0,2})"
_USERINFO: Final = (
    r"\b[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/?#:@\"'<>\x00]{0,128}:([^\s/\"'<>\x00]{1,256})@[A-Za-z0-9\[{$_-]"
)
_COMMAND_LINE: Final = r"\s(?:-u|--user)[ =][\"']?[A-Za-z0-9_.@-]{1,64}:([^\s\"'\x00]{3,256})"

_NAMES_OF_PASSWORDS: Final = (
    r"(?:pass(?:word|wd|phrase|code|wort)|(?:\b|_)pwd|kennwort|contrase(?:ñ|n)a|senha|mot de passe|wachtwoord"
    r"|has(?:ł|l)o)"
)
_ASSIGNED = re2.compile(rf"(?i){_NAMES_OF_PASSWORDS}[0-9]?\\?[\"']?\s{{0,3}}(?:=>|:=|=|:)\s{{0,3}}")
_MARKED_UP = re2.compile(
    rf"(?i){_NAMES_OF_PASSWORDS}[0-9]?(?:>|\\?[\"'](?:[^<>\r\n\x00]{{0,40}} value=\\?[\"']|\r?\n\r?\n))"
    r"([^\s<>\"'\x00]{3,256})(?:</|\\?[\"']|\r?\n)"
)
"""`<password>…</password>`, `<input name="password" value="…">`, `name="password"` and a value after it (RFC 7578)."""
_FLAG = re2.compile(r"(?i)--?(?:[a-z]{1,20}-)?(?:password|passwd|passphrase)\s{1,3}")
_TOLD = re2.compile(
    rf"(?i){_NAMES_OF_PASSWORDS}(?:\s(?:for|of)\s\w{{1,24}})?\s(?:is now|is|was|ist|lautet|es|est|to|é)\s?:?\s{{1,3}}"
)
_OWN = re.compile(r"(?i)\b(?:my|our|mein|meine|mi|mon|minha)\s(?:\w{1,16}\s){0,2}$")
_QUOTED = re.compile(r"\\?([\"'`])(?P<value>[^\r\n\0]{1,1024}?)\\?\1")
_BARE = re.compile(r"[^\s\"'`<>\[\]\0]{1,1024}")
_MORE = re.compile(r"[^\s\"'`<>\[\]\0]*")
"""The rest of a value that is longer than what is looked at."""
_NEXT_PARAMETER = re.compile(r"[,&;|](?=[\w.-]{1,64}\s?[=:]|$)")
_CODE = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)*\(.*|[A-Za-z_]+(?:\.[A-Za-z_]+)+[;,)]?|\{\w*:?")
_TELLING = re.compile(r"[0-9]|[a-z][A-Z]|[^\W_][!@#$%^&*_+=~?]+[^\W_]|[@#$%^&*+=~]")


_MATCH: Final = 400
"""Steps that a place with a word for a secret takes."""


def find_passwords(leaf: Leaf) -> Iterator[Hit]:
    """What follows `password=`, `pwd:`, `--password` or `the password is`. A bare word after `is` tells only whose or
    what password it is (`is required`), unless somebody says so of their own."""
    reach = 0
    for match in _ASSIGNED.finditer(leaf.text):
        leaf.spend(_MATCH)
        if match.start() < reach:  # `password=password=…` is one value
            continue
        for hit in _said(leaf, match.end(), 0.95, prose=match[0].endswith(" ") and ":" in match[0]):
            reach = hit.end
            yield hit
    for match in _MARKED_UP.finditer(leaf.text):
        leaf.spend(_MATCH)
        if is_value(match[1]):
            yield Hit(match.start(1), match.end(1), PASSWORD, 0.95, "an element or field for passwords, and a value")
    for match in _FLAG.finditer(leaf.text):
        leaf.spend(_MATCH)
        yield from _said(leaf, match.end(), 0.93, prose=True)
    for match in _TOLD.finditer(leaf.text):
        leaf.spend(_MATCH)
        own = _OWN.search(leaf.text[max(0, match.start() - 48) : match.start()])
        yield from _said(leaf, match.end(), 0.92, prose=True, own=own is not None)


def _said(leaf: Leaf, start: int, score: float, *, prose: bool, own: bool = False) -> Iterator[Hit]:
    quoted = _QUOTED.match(leaf.text, start)
    if quoted:
        span = quoted.span("value")
        if is_value(leaf.text[slice(*span)]):
            yield Hit(*span, PASSWORD, score, "a word for passwords, and a quoted value")
        return
    bare = _BARE.match(leaf.text, start)
    if bare is None:
        return
    cut = _NEXT_PARAMETER.search(bare[0])
    value = (bare[0][: cut.start()] if cut else bare[0]).rstrip(".,;:)" if prose else ",;)")
    rest = leaf.text[start + len(value) : start + len(value) + 3].strip()
    if len(value) < 3 or not is_value(value) or _CODE.fullmatch(value):
        return
    # In prose a plain word is a value only where it ends the sentence and somebody's own password is told.
    plain = prose and not _TELLING.search(value)
    if plain and (
        rest[:1].isalnum() or (len(value) < 5 and not own) or (not own and " is" in leaf.text[start - 8 : start])
    ):
        return
    end = start + len(value)
    more = _MORE.match(leaf.text, end) if end == bare.end() else None
    yield Hit(start, more.end() if more else end, PASSWORD, score, "a word for passwords, and a value")


_NAMES_OF_KEYS: Final = r"api[_ -]?keys?|app[_ -]?keys?|access[_ -]?keys?|subscription[_ -]?key"
_NAMES_OF_SECRETS: Final = (
    r"secret|token|credentials?|signature|(?:auth|private|encryption|master|signing|shared)[_ -]?key"
    r"|authorization|cookie"
)
_SPOKEN_FOR = re2.compile(
    rf"(?i)(?:({_NAMES_OF_KEYS})|{_NAMES_OF_SECRETS})(?:[_ -]?(?:key|value))?"
    r"\\?[\"']?\s{0,3}(?:=>|:=|=|:|>|\svalue=|\sis\s|\s)\s{0,3}\\?[\"']?(?:(?:token|apikey|key)[ =])?"
    r"([A-Za-z0-9+/_=.~-]{16,512})"
)
_NO_SECRETS = re.compile(
    r"(?i)(?:page|next|sync|cursor|continuation|pagination|idempotency|resume|scroll|public|upload)[_ -]?$"
)


def find_secrets(leaf: Leaf) -> Iterator[Hit]:
    """What follows `api_key=`, `secret:`, `token` and the like, where it looks random (`random_looking`)."""
    for match in _SPOKEN_FOR.finditer(leaf.text):
        leaf.spend(_MATCH)
        value = match[2].rstrip(".")
        before = leaf.text[max(0, match.start() - 16) : match.start()]
        if _NO_SECRETS.search(before) or not is_value(value) or not random_looking(value):
            continue
        start = match.start(2)
        entity = API_KEY if match[1] else SECRET
        yield Hit(start, start + len(value), entity, 0.92, "a word for secrets, and entropy")


SECRETS: Final[tuple[Recogniser | Finder, ...]] = (
    *VENDOR_TOKENS,
    Recogniser(JWT, _JWT, score=0.98, evidence="header and payload of a JSON object in base64url", source="RFC 7519"),
    Finder((PRIVATE_KEY,), _BEGIN, find_private_keys, evidence="BEGIN … PRIVATE KEY", source="RFC 7468"),
    Recogniser(
        PRIVATE_KEY, _PREFIXED_KEYS, score=0.99, evidence="prefix of age, minisign, signify", source="age, minisign"
    ),
    Recogniser(API_KEY, _BEARER, check=random_looking, score=0.93, evidence="bearer token, random", source="RFC 6750"),
    Recogniser(
        PASSWORD, _BASIC, check=basic_credentials, score=0.95, evidence="base64 of user:password", source="RFC 7617"
    ),
    Recogniser(
        URL_CREDENTIALS,
        _USERINFO,
        check=is_value,
        score=1.0,  # surer than an e-mail address, which `password@host` would be as well
        evidence="user:password@ in a URL",
        source="RFC 3986, 3.2.1",
    ),
    Recogniser(PASSWORD, _COMMAND_LINE, check=is_value, score=0.93, evidence="-u user:password", source="curl(1)"),
    Finder(
        (PASSWORD,),
        rf"(?i){_NAMES_OF_PASSWORDS}",
        find_passwords,
        evidence="a word for passwords, and a value",
    ),
    Finder(
        (API_KEY, SECRET),
        rf"(?i)(?:{_NAMES_OF_KEYS}|{_NAMES_OF_SECRETS})",
        find_secrets,
        evidence="a word for secrets, and entropy",
    ),
)
