"""Signatures that a careless verifier takes: the classes of Wycheproof's JSON Web Signature vectors (C2SP/wycheproof,
testvectors_v1), made with keys of our own. `test_wycheproof` runs the published ones."""

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence

import jwt
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from identity_attacks import es256_signed
from identity_fakes import RSA_KEY, b64, token

_N = RSA_KEY.public_key().public_numbers().n


def signatures() -> Iterator[tuple[str, str]]:
    """Tokens whose parts are left out or put in, whose encoding is bent, or whose signature is, for ES256 and RS256."""
    header, payload, signature = token().split(".")
    for name, bent in (
        ("no signature", f"{header}.{payload}."),
        ("no signature nor separator", f"{header}.{payload}"),
        ("no payload", f"{header}..{signature}"),
        ("no payload, and signed so", es256_signed(f"{header}.")),
        ("no payload nor separator", f"{header}.{signature}"),
        ("no header", f".{payload}.{signature}"),
        ("no header nor separator", f"{payload}.{signature}"),
        ("payload alone", payload),
        ("separators alone", ".."),
        ("an empty component more", f"{header}.{payload}.{signature}."),
        ("a component more", f"{header}.{payload}.{signature}.foo"),
        ("spaces in the header", f"{header} .{payload}.{signature}"),
        ("other characters in the header", f"{header}####.{payload}.{signature}"),
        ("other characters in the header, and signed so", es256_signed(f"{header}####.{payload}")),
        ("spaces in the payload", f"{header}. {payload}.{signature}"),
        ("other characters in the payload", f"{header}.?{payload}.{signature}"),
        ("other characters in the payload, and signed so", es256_signed(f"{header}.####{payload}")),
        ("other characters in the signature", f"{header}.{payload}.????{signature}"),
        ("another character behind the signature", f"{header}.{payload}.{signature}?"),
        ("the alphabet of plain base64", f"{header}.{payload}.{signature[:-4]}+/+/"),
        ("padding", f"{header}.{payload}.{signature}=="),
        ("unused bits of the signature set", f"{header}.{payload}.{_unused_bit(signature)}"),
        ("unused bits of the payload set, and signed so", es256_signed(f"{header}.{b64(b'{}')[:-1]}1")),
        ("a header exchanged", f"{b64(_changed(header))}.{payload}.{signature}"),
    ):
        yield name, bent
    for name, bent_signature in _points(base64.urlsafe_b64decode(signature + "==")).items():
        yield f"ES256, {name}", f"{header}.{payload}.{b64(bent_signature)}"
    yield from _rsa("RS256", _paddings, ("PS256", "RS384", "RS512"))


def pss_signatures() -> Iterator[tuple[str, str]]:
    """The same for PS256."""
    yield from _rsa("PS256", _maskings, ("RS256", "PS384", "PS512"))


def well_made() -> Iterator[tuple[str, str]]:
    """Tokens signed by the code that makes the bent ones, and not bent."""
    for algorithm, encode in (("RS256", _block), ("PS256", _masked)):
        signed = token(key=RSA_KEY, kid="r1", algorithm=algorithm).rsplit(".", 1)[0]
        yield algorithm, f"{signed}.{b64(_forged(encode(signed.encode())))}"


def _rsa(algorithm: str, bent: Callable[[bytes], dict[str, bytes]], others: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`bent` gives encoded messages; `others` are algorithms whose signatures are none of this one."""
    signed, _, good = token(key=RSA_KEY, kid="r1", algorithm=algorithm).rpartition(".")
    message, raw = signed.encode(), base64.urlsafe_b64decode(good + "==")
    found = {name: _forged(encoded) for name, encoded in bent(message).items()}
    found |= {f"made with {other}": jwt.get_algorithm_by_name(other).sign(message, RSA_KEY) for other in others}
    found |= {
        "zero": bytes(256),
        "one": (1).to_bytes(256),
        "n - 1": (_N - 1).to_bytes(256),
        "n": _N.to_bytes(256),
        "not reduced": (int.from_bytes(raw) + _N).to_bytes(257),
        "zeros before": b"\0\0" + raw,
        "zeros behind": raw + b"\0\0",
        "cut short": raw[:-1],
    }
    for name, signature in found.items():
        yield f"{algorithm}, {name}", f"{signed}.{b64(signature)}"


def _forged(encoded: bytes) -> bytes:
    """RSA's private operation on an encoded message, whatever it is."""
    numbers = RSA_KEY.private_numbers()
    return pow(int.from_bytes(encoded), numbers.d, _N).to_bytes(256)


def _points(raw: bytes) -> dict[str, bytes]:
    r, s = raw[:32], raw[32:]
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    edges = {"0": 0, "1": 1, "n-1": order - 1, "n": order}
    return {f"r={one}, s={two}": _pair(edges[one], edges[two]) for one in edges for two in edges} | {
        "r and s one byte longer": b"\0" + r + b"\0" + s,
        "r + n": (int.from_bytes(r) + order).to_bytes(33) + b"\0" + s,
        "s + n": b"\0" + r + (int.from_bytes(s) + order).to_bytes(33),
        "r + 2^256": b"\1" + r + b"\0" + s,
        "s + 2^256": b"\0" + r + b"\1" + s,
        "bytes behind": raw + b"\0",
        "bytes missing": raw[:-1],
        "much too long": bytes(200) + r + bytes(200) + s,
        "DER, as other protocols have it": encode_dss_signature(int.from_bytes(r), int.from_bytes(s)),
        "r and s exchanged": s + r,
        "one bit of r": bytes([r[0] ^ 1]) + r[1:] + s,
        "empty-ish": b"\0",
    }


def _info(message: bytes) -> bytes:
    """The DigestInfo of RFC 8017, section 9.2, for SHA-256."""
    return bytes.fromhex("3031 300d 0609608648016503040201 0500 0420") + hashlib.sha256(message).digest()


def _block(
    message: bytes,
    info: bytes | None = None,
    begin: bytes = b"\0\1",
    fill: bytes = b"\xff",
    zero: bytes = b"\0",
    behind: bytes = b"",
) -> bytes:
    """A PKCS #1 v1.5 block of 256 bytes."""
    info = _info(message) if info is None else info
    return begin + fill * (256 - len(begin) - len(zero) - len(info) - len(behind)) + zero + info + behind


def _paddings(message: bytes) -> dict[str, bytes]:
    """Blocks around the right hash (or nearly), none of them as RFC 8017 wants it."""
    info, digest = _info(message), hashlib.sha256(message).digest()
    oid = "0609608648016503040201"
    infos = {
        "parameters left out": f"302f 300b {oid} 0420",
        "length of the sequence in long form": f"308131 300d {oid} 0500 0420",
        "length of the sequence with a zero before": f"30820031 300d {oid} 0500 0420",
        "length of the sequence one too large": f"3032 300d {oid} 0500 0420",
        "length of the sequence one too small": f"3030 300d {oid} 0500 0420",
        "length of the sequence 2^32 larger": f"30850100000031 300d {oid} 0500 0420",
        "indefinite length": f"3080 300d {oid} 0500 0420",
        "length of the algorithm in long form": f"3032 30810d {oid} 0500 0420",
        "length of the parameters in long form": f"3032 300e {oid} 058100 0420",
        "length of the hash in long form": f"3032 300d {oid} 0500 048120",
        "an octet string for the null": f"3031 300d {oid} 0400 0420",
        "a null with contents": f"3032 300e {oid} 050100 0420",
        "two nulls": f"3033 300f {oid} 0500 0500 0420",
        "another tag": f"3131 300d {oid} 0500 0420",
        "a bit string": f"3031 300d {oid} 0500 0320",
        "the name of SHA-512": "3031 300d 0609608648016503040203 0500 0420",
        "the name of SHA-1": "302d 3009 06052b0e03021a 0500 0420",
        "the sequence left out": f"300d {oid} 0500 0420",
        "the hash alone": "",
    }
    return {name: _block(message, bytes.fromhex(start) + digest) for name, start in infos.items()} | {
        "block type 0": _block(message, begin=b"\0\0"),
        "block type 2": _block(message, begin=b"\0\2"),
        "padding of zeros": _block(message, fill=b"\0"),
        "no separator": _block(message, zero=b"\xff"),
        "rubbish behind a short padding": b"\0\1" + b"\xff" * 8 + b"\0" + info + bytes(256 - 11 - len(info)),
        "a byte behind": _block(message, behind=b"\0"),
        "a null behind, in the sequence": _block(message, bytes([0x30, 0x33]) + info[2:] + b"\5\0"),
        "the end of contents behind": _block(message, b"\x30\x80" + info[2:] + b"\0\0"),
        "first byte of the hash changed": _block(message, info[:-32] + bytes([digest[0] ^ 1]) + digest[1:]),
        "last byte of the hash changed": _block(message, info[:-1] + bytes([digest[-1] ^ 1])),
        "the hash cut short": _block(message, bytes.fromhex(f"3030 300d {oid} 0500 041f") + digest[:-1]),
    }


def _masked(
    message: bytes,
    *,
    salt: bytes = b"s" * 32,
    digest: str = "sha256",
    mask: str = "sha256",
    zeros: bytes = b"",
    one: bytes = b"\1",
    hash_bit: int = -1,
    trailer: bytes = b"\xbc",
) -> bytes:
    """EMSA-PSS of RFC 8017, section 9.1.1, for 2,048 bits; the defaults are what RFC 7518 wants of PS256."""
    inner = bytes(8) + hashlib.new(digest, message).digest() + salt
    hashed = bytearray(hashlib.new(digest, inner).digest())
    if hash_bit >= 0:
        hashed[hash_bit] ^= 1
    length = 256 - len(hashed) - 1
    block = zeros.ljust(length - len(salt) - 1, b"\0") + one + salt
    pieces = (hashlib.new(mask, hashed + count.to_bytes(4)).digest() for count in range(length))
    masked = bytearray(a ^ b for a, b in zip(block, b"".join(pieces), strict=False))
    masked[0] &= 0x7F
    return bytes(masked) + bytes(hashed) + trailer


def _maskings(message: bytes) -> dict[str, bytes]:
    return {
        "first byte of the hash changed": _masked(message, hash_bit=0),
        "last byte of the hash changed": _masked(message, hash_bit=31),
        "no salt": _masked(message, salt=b""),
        "a short salt": _masked(message, salt=b"s" * 20),
        "a salt one byte too short": _masked(message, salt=b"s" * 31),
        "a salt one byte too long": _masked(message, salt=b"s" * 33),
        "a salt as long as can be": _masked(message, salt=b"s" * 222),
        "padding of ones": _masked(message, zeros=b"\1" * 190),
        "last byte of the padding changed": _masked(message, zeros=b"\0" * 189 + b"\1"),
        "another separator": _masked(message, one=b"\2"),
        "another trailer": _masked(message, trailer=b"\xcc"),
        "masked with SHA-1": _masked(message, mask="sha1"),
        "hashed with SHA-1": _masked(message, salt=b"s" * 20, digest="sha1", mask="sha1"),
        "hashed with SHA-512": _masked(message, salt=b"s" * 64, digest="sha512", mask="sha512"),
    }


def _pair(r: int, s: int) -> bytes:
    return r.to_bytes(32) + s.to_bytes(32)


def _unused_bit(segment: str) -> str:
    """The same bytes in base64url to a lenient reader, for a segment whose last character has unused bits."""
    assert len(segment) % 4 in (2, 3)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) | 1]


def _changed(header: str) -> bytes:
    return base64.urlsafe_b64decode(header + "==").replace(b"JWT", b"jwt")
