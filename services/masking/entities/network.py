"""What a machine is reached by: IP and MAC addresses, URLs and domain names.

An IP address is personal data wherever it stands, but `1.2.3.4` may also be a version. URLs and domain names are
masked in a lone text only: they are what many ordinary documents consist of.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from services.masking.leaf import Leaf
from services.masking.recogniser import CERTAIN, Finder, Hit, Recogniser, judged

IP_ADDRESS: Final = "IP_ADDRESS"
MAC_ADDRESS: Final = "MAC_ADDRESS"
URL: Final = "URL"

_IP_WORDS = re.compile(
    r"(?<![^\W_])(?:ips?|ipv[46]|ip[_ ]?addr(?:ess)?|address|addr|hosts?|subnet|cidr|dns|gateway|peer)(?![^\W_])"
)
_VERSION: Final = r"(?:versions?|ver|v|firmware|fw|build|release|revision|rev|oid|assembly|section|chapter)"
_VERSION_KEY = re.compile(rf"\b{_VERSION}\b")
_VERSION_BEFORE = re.compile(rf"(?:\b{_VERSION}[ .:=#\"'-]{{0,3}}(?:is )?|\b(?!ip-)\w*[a-z]-|==)$", re.IGNORECASE)
_PRODUCT_BEFORE = re.compile(r"(?<!\w)[A-Z]\w*/$")
"""`Chrome/120.0.0.0`, but not `node-7/10.0.0.1`."""

_IPV4 = re.compile(r"[0-9](?<![0-9A-Za-z_.].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_])(?!-[A-Za-z])")
_LONGER = re.compile(r"\.[0-9]+(?!\.?[\w])")
_V4_PREFIX = re.compile(r"/(?:3[0-2]|[12]?[0-9])(?![\w.])")
_V6_MARK = re.compile(r"::|(?:[0-9A-Fa-f]{1,4}:){6}")
_V6_TAIL = re.compile(
    r"(?:%[0-9A-Za-z](?:[0-9A-Za-z_.-]{0,13}[0-9A-Za-z])?)?(?:/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])(?!\w))?"
)
_V6_CHARACTERS: Final = "0123456789abcdefABCDEF:."
_V6_LENGTH: Final = 45
_PAIRS = re.compile(r"(?:[0-9A-Fa-f]{2}:){7}[0-9A-Fa-f]{2}")
"""An EUI-64, or a time in a language of its own."""


@lru_cache(maxsize=4096)
def _names_version(key_words: str) -> bool:
    return bool(_VERSION_KEY.search(key_words)) and not _IP_WORDS.search(key_words)


def find_ips(leaf: Leaf) -> Iterator[Hit]:
    """Addresses with the length of their network or their zone, without a port."""
    runs = list(_ipv6_runs(leaf)) if ":" in leaf.text else []
    for start, end in runs:
        yield from _ipv6(leaf, start, end)
    runs.append((len(leaf.text), len(leaf.text)))
    index = 0
    for match in _IPV4.finditer(leaf.text):
        leaf.spend(40)
        while runs[index][1] < match.end():
            index += 1
        if match.start() < runs[index][0] and (score := _ipv4_score(leaf, match)):
            prefix = _V4_PREFIX.match(leaf.text, match.end())
            yield Hit(match.start(), prefix.end() if prefix else match.end(), IP_ADDRESS, score, "octets")


def _ipv4_score(leaf: Leaf, match: re.Match[str]) -> float:
    octets = match[0].split(".")
    if any((len(octet) > 1 and octet[0] == "0") or int(octet) > 255 for octet in octets):
        return 0.0
    before = leaf.text[max(0, match.start() - 24) : match.start()]
    if _PRODUCT_BEFORE.search(before) or _VERSION_BEFORE.search(before) or _names_version(leaf.key_words):
        return 0.0
    score = 0.95
    if leaf.text.startswith(".", match.end()) and leaf.text[match.end() + 1 : match.end() + 2].isdecimal():
        score = 0.3 if _LONGER.match(leaf.text, match.end()) else 0.0
    elif len(match[0]) == 7 and len(set(octets)) > 2:  # `1.2.3.4` is rather a chapter, `8.8.4.4` is not
        score = 0.4
    return score if score >= CERTAIN else judged(score, leaf, *match.span(), _IP_WORDS)


def _ipv6_runs(leaf: Leaf) -> Iterator[tuple[int, int]]:
    """What could be IPv6 addresses, whole, with what is no part of them yet."""
    text, reach = leaf.text, 0
    for mark in _V6_MARK.finditer(text):
        if mark.start() < reach:
            continue
        leaf.spend(400)
        left = text[max(reach, mark.start() - _V6_LENGTH) : mark.start()]
        right = text[mark.start() : mark.start() + _V6_LENGTH + 1]
        start = mark.start() - (len(left) - len(left.rstrip(_V6_CHARACTERS)))
        reach = mark.start() + len(right) - len(right.lstrip(_V6_CHARACTERS))
        yield start, reach


def _ipv6(leaf: Leaf, start: int, end: int) -> Iterator[Hit]:
    text = leaf.text
    if text.startswith(":", start) and not text.startswith("::", start):  # `IP:2001:db8::1`
        start += 1
    elif _is_word(text[start - 1 : start] if start else ""):
        return
    while text[end - 1] == "." or (text[end - 1] == ":" and text[end - 2] != ":"):
        end -= 1
    if _is_word(text[end : end + 1]):
        return
    score = _ipv6_score(text[start:end], text[end : end + 2])
    if score:
        tail = _V6_TAIL.match(text, end)
        if score := judged(score, leaf, start, end, _IP_WORDS):
            yield Hit(start, tail.end() if tail else end, IP_ADDRESS, score, "RFC 4291")


def _is_word(character: str) -> bool:
    """Of ASCII's: Chinese and others write what follows without a blank."""
    return character.isascii() and (character.isalnum() or character == "_")


def _ipv6_score(address: str, following: str) -> float:
    """`a::b` may be a name of C++, `::` anything."""
    try:
        IPv6Address(address)
    except (AddressValueError, ValueError):
        return 0.0
    if _PAIRS.fullmatch(address):
        return 0.0
    groups = [group for group in address.split(":") if group]
    if not groups:
        return 0.3 if not following.strip(" .,;)]'\"") or following.startswith("/") else 0.0
    if not any(character.isdecimal() for character in address):
        return 0.2
    return 0.95 if len(groups) > 2 or any(len(group) > 2 for group in groups) else 0.6


_MAC = re.compile(
    r"[0-9A-Fa-f](?<![0-9A-Za-z_:-].)[0-9A-Fa-f](?:(?::[0-9A-Fa-f]{2}){5}(?![0-9A-Za-z_:])|(?:-[0-9A-Fa-f]{2}){5}(?![0-9A-Za-z_-])"
    r"|[0-9A-Fa-f]{2}(?:\.[0-9A-Fa-f]{4}){2}(?![\w.]))"
)
_MAC_WORDS = re.compile(
    r"(?<![^\W_])(?:macs?|mac[ _]?addr(?:ess)?|ethernet|hwaddr|hardware address|bssid|wi-?fi)(?![^\W_])"
)


def find_macs(leaf: Leaf) -> Iterator[Hit]:
    """EUI-48 with colons, hyphens or, as Cisco writes it, in three groups; neither zero nor broadcast."""
    for match in _MAC.finditer(leaf.text):
        leaf.spend(40)
        written = match[0].lower()
        digits = set(written) - set(":.-")
        if digits in ({"0"}, {"f"}):
            continue
        letters = not all(map(str.isdecimal, digits))
        score = 0.93 if ":" in written else (0.9 if letters else 0.35) if "-" in written else (0.85 if letters else 0.2)
        if score := judged(score, leaf, *match.span(), _MAC_WORDS):
            yield Hit(*match.span(), MAC_ADDRESS, score, "shape")


_PATH: Final = r"(?:[/?#](?:[^\x00-\x20<>\"'`{}|\\^]*[\pL\pN/_=&#%~+$@-])?)?"
_URL: Final = rf"(?i)\b(?:https?|ftp)://[^\x00-\x20/?#<>\"'()\[\],;]+[\pL\pN]{_PATH}"
_DOMAIN: Final = (
    r"(?:^|[^0-9A-Za-z_.@/\\:-])((?:[A-Za-z0-9][A-Za-z0-9-]*\.)+[a-z]{2,24}\b(?:[@(]|:[0-9]{2,5}\b)?" + _PATH + ")"
)
_HOST = re.compile(
    r"['\"]?\w+://(?:[^@/]*@)?(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+(?:xn--[a-zA-Z0-9-]{2,59}|[^\W\d_]{2,63})"
    r"(?::[0-9]{1,5})?(?=[/?#'\"]|$)"
)
_DOMAIN_PARTS = re.compile(r"[A-Za-z0-9.-]+\.([a-z]+)(?::[0-9]{2,5})?(?:[/?#].*)?")
_TOP_LEVEL: Final = frozenset(
    re.findall(
        "[a-z]+",
        "com net org edu gov mil int info biz name io co ai app dev tv site online shop store tech xyz club blog cloud "
        "agency email website example eu uk de fr es nl ch se dk fi pl cz sk hu ro bg gr pt ie lu ca mx br ar cl jp cn "
        "kr tw hk sg au nz za ru ua tr il cy ee lv lt si hr rs",
    )
)
"""Widely used ones that are neither words nor endings of files: others need `https://`."""


def _is_url(written: str) -> bool:
    """Whether its host has a domain: neither `localhost` nor an address."""
    return _HOST.match(written) is not None


def _is_domain(written: str) -> bool:
    parts = _DOMAIN_PARTS.fullmatch(written)
    return parts is not None and parts[1] in _TOP_LEVEL


NETWORK: Final[tuple[Recogniser | Finder, ...]] = (
    Finder(
        (IP_ADDRESS,),
        r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|::|(?:[0-9A-Fa-f]{1,4}:){6}",
        find_ips,
        "octets in range; IPv6 as the standard writes it; no version next to it",
        "RFC 791, RFC 4291, RFC 5952",
    ),
    Finder(
        (MAC_ADDRESS,),
        r"[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})|\b[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}\b",
        find_macs,
        "shape; neither zero nor broadcast",
        "IEEE 802, EUI-48",
    ),
    Recogniser(
        URL,
        rf"\"{_URL}\"|'{_URL}'",
        check=_is_url,
        score=0.46,
        whole=True,
        evidence="shape, quoted",
        source="RFC 3986",
    ),
    Recogniser(URL, _URL, check=_is_url, score=0.45, evidence="shape", source="RFC 3986"),
    Recogniser(
        URL, _DOMAIN, check=_is_domain, score=0.35, evidence="top-level domain", source="IANA, root zone database"
    ),
)
