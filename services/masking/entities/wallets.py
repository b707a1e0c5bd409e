"""Addresses of crypto currencies, told by the checksums that are part of them."""

from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from services.masking.recogniser import Recogniser

CRYPTO: Final = "CRYPTO"
_WORDS: Final = (
    "wallet", "wallets", "crypto", "bitcoin", "btc", "ethereum", "eth", "erc20", "ether", "litecoin", "ltc", "dogecoin",
    "ripple", "xrp", "tron", "trx", "usdt", "usdc", "monero", "xmr",
)  # fmt: skip

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES58: Final = {character: value for value, character in enumerate(_BASE58)}
_FROM_RIPPLE: Final = str.maketrans("rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz", _BASE58)
_VERSIONS: Final = frozenset({0x00, 0x05, 0x6F, 0xC4, 0x30, 0x32, 0x3A, 0x41, 0x1E, 0x16, 0x4C, 0x10})
"""First byte: Bitcoin (key, script; test nets), Litecoin (key, script, its test net), Tron, Dogecoin, Dash."""

_BECH32: Final = {character: value for value, character in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_CONSTANT: Final = 1
_BECH32M_CONSTANT: Final = 0x2BC830A3


def is_base58check(written: str) -> bool:
    """Whether the double SHA-256 at its end fits a 20-byte payload of a known version."""
    if written[0] == "r":
        written = written.translate(_FROM_RIPPLE)
    number = 0
    for character in written:
        number = number * 58 + _VALUES58[character]
    if number >= 1 << 200:
        return False
    raw = number.to_bytes(25, "big")
    zeros = len(raw) - len(raw.lstrip(b"\0"))
    if raw[0] not in _VERSIONS or zeros != len(written) - len(written.lstrip("1")):
        return False
    return sha256(sha256(raw[:21]).digest()).digest()[:4] == raw[21:]


def is_segwit(written: str) -> bool:
    """Whether the checksum of a segregated witness address fits: bech32 for version 0, bech32m for later ones."""
    if not (written.islower() or written.isupper()):
        return False
    prefix, _, data = written.lower().rpartition("1")
    values = [_BECH32[character] for character in data]
    if not 14 <= len(values) <= 65:
        return False
    constant = _BECH32M_CONSTANT if values[0] else _BECH32_CONSTANT
    return values[0] <= 16 and _polymod([*_expanded(prefix), *values]) == constant


def _expanded(prefix: str) -> Iterator[int]:
    yield from (ord(character) >> 5 for character in prefix)
    yield 0
    yield from (ord(character) & 31 for character in prefix)


def _polymod(values: list[int]) -> int:
    checksum = 1
    for value in values:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_GENERATOR):
            if top >> bit & 1:
                checksum ^= generator
    return checksum


def _has_checksum(written: str) -> bool:
    if len(written) == 95:  # Monero, whose hash we do not have: hardly anything else is that long without 0, O, I and l
        return True
    return is_segwit(written) if written[:3].lower() in ("bc1", "tb1", "bcr", "ltc") else is_base58check(written)


WALLETS: Final = (
    Recogniser(
        CRYPTO,
        pattern=r"\b(?:[1-39ALMTDXmnr][1-9A-HJ-NP-Za-km-z]{24,34}|(?i:bc|tb|bcrt|ltc)1[02-9ac-hj-np-zAC-HJ-NP-Z]{14,65}"
        r"|[48][0-9AB][1-9A-HJ-NP-Za-km-z]{93})\b",
        check=_has_checksum,
        score=0.98,
        words=_WORDS,
        evidence="double SHA-256 or bech32 checksum",
        source="Bitcoin base58check; BIP 173, BIP 350; XRP Ledger base58 encodings",
    ),
    Recogniser(
        CRYPTO,
        # Without EIP-55's letter case, which needs Keccak-256: hardly anything else is written so.
        pattern=r"\b0[xX][0-9a-fA-F]{40}\b",
        score=0.85,
        words=_WORDS,
        evidence="shape",
        source="Ethereum address: 20 bytes in hexadecimal",
    ),
)
