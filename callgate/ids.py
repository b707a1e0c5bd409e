"""Minting ids: the only place besides key generation that draws randomness for what stands on the log."""

import base64
import hashlib
import os
import time

from contracts.subjects import SESSION_ID

_TAG_BYTES = 10


def uuid7(now_ms: int | None = None) -> str:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    value = bytearray(milliseconds.to_bytes(6) + os.urandom(10))
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def token(size: int = 10) -> str:
    """`size` random bytes as lower-case base32: fits a subject token and a file name."""
    return base64.b32encode(os.urandom(size)).decode().rstrip("=").lower()


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()


def _session_id(owner: str, tag: bytes) -> str:
    bound = hashlib.sha256(b"callgate session\0" + owner.encode() + b"\0" + tag).digest()[:_TAG_BYTES]
    return f"s_{_base32(tag)}{_base32(bound)}"


def mint_session(owner: str) -> str:
    """A new session of `Principal.session_owner`: `s_` + 16 random characters + 16 that bind them to the owner."""
    return _session_id(owner, os.urandom(_TAG_BYTES))


def name_session(owner: str, name: str) -> str:
    """The owner's session of that name; the same name of another owner is another session."""
    tag = hashlib.sha256(b"callgate session name\0" + owner.encode() + b"\0" + name.encode()).digest()[:_TAG_BYTES]
    return _session_id(owner, tag)


def owns_session(owner: str, session_id: str) -> bool:
    """Whether the session was minted for, or named by, this owner. Self-certifying: no look-up needed."""
    if not SESSION_ID.fullmatch(session_id):
        return False
    tag = base64.b32decode(session_id[2:18].upper())
    return _session_id(owner, tag) == session_id
