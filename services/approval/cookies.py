"""What browsers keep for us: sealed, so that none can read, make or change it, and with an end.

A cookie is `1.<key id>.<base64url>`: AES-256-GCM under a key of its kind, which every replica derives from approval's
own sealing key. Nothing is stored here, then, and rotating approval's keys ends every session.
"""

import base64
import binascii
import os
import re
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fastapi import Request, Response

from callgate.sealing import Sealer

COOKIE_LIMIT = 3800
"""Characters of a value that every browser keeps (RFC 6265, section 6.1: 4,096 bytes with name and attributes)."""
_PLAIN_LIMIT = 256 * 1024
"""Bytes that a cookie may unpack to."""
_FORM = re.compile(rf"1\.([a-z0-9-]{{1,80}})\.([A-Za-z0-9_-]{{40,{COOKIE_LIMIT}}})")


class Kind(NamedTuple):
    """A cookie's name, as far as it is ours, and where browsers send it."""

    name: str
    path: str = "/"
    same_site: Literal["lax", "strict"] = "lax"

    def named(self, secure: bool) -> str:
        """The prefix makes browsers refuse it without Secure; `__Host-`, with path /, from a sibling host too."""
        if not secure:
            return self.name
        return f"__Host-{self.name}" if self.path == "/" else f"__Secure-{self.name}"


class CookieTooLong(Exception):
    """What should be kept does not fit into a cookie."""


class CookieExpired(Exception):
    """The cookie is ours, and its time is over."""


class Cookies:
    """Sets, reads and deletes them. `secure` is off only for plain HTTP on loopback."""

    def __init__(self, sealer: Sealer, clock: Callable[[], datetime], secure: bool) -> None:
        self._sealer = sealer
        self._clock = clock
        self._secure = secure

    def put(self, response: Response, kind: Kind, value: Mapping[str, Any], until: datetime) -> None:
        """CookieTooLong."""
        text = seal(self._keys(kind), kind.name, value, until)
        response.set_cookie(
            kind.named(self._secure),
            text,
            path=kind.path,
            secure=self._secure,
            httponly=True,
            samesite=kind.same_site,
        )

    def get(self, request: Request, kind: Kind) -> dict[str, Any] | None:
        """What was put, None where there is nothing of ours. CookieExpired."""
        text = request.cookies.get(kind.named(self._secure))
        opened = unseal(self._keys(kind), kind.name, text) if text else None
        if opened is None:
            return None
        value, until = opened
        if self._clock() >= until:
            raise CookieExpired
        return value

    def drop(self, response: Response, kind: Kind) -> None:
        response.delete_cookie(
            kind.named(self._secure), path=kind.path, secure=self._secure, httponly=True, samesite=kind.same_site
        )

    def _keys(self, kind: Kind) -> Mapping[str, bytes]:
        return self._sealer.role_secrets(f"cookie {kind.name}", self._clock())


def seal(keys: Mapping[str, bytes], kind: str, value: Mapping[str, Any], until: datetime) -> str:
    """The cookie's text, under the first of the keys. CookieTooLong."""
    key_id, key = next(iter(keys.items()))
    # Groups repeat themselves: packed, some hundred of them fit. It is all one person's, so its length tells nothing.
    packed = zlib.compress(orjson.dumps({"until": until.timestamp(), "value": value}), 9)
    nonce = os.urandom(12)
    ciphertext = nonce + AESGCM(key).encrypt(nonce, packed, _associated(kind, key_id))
    text = f"1.{key_id}.{base64.urlsafe_b64encode(ciphertext).rstrip(b'=').decode()}"
    if len(text) > COOKIE_LIMIT:
        raise CookieTooLong
    return text


def unseal(keys: Mapping[str, bytes], kind: str, text: str) -> tuple[dict[str, Any], datetime] | None:
    """What was sealed as this kind, and its end; None for anything else."""
    found = _FORM.fullmatch(text)
    key = keys.get(found[1]) if found else None
    if found is None or key is None:
        return None
    try:
        raw = base64.b64decode(found[2] + "=" * (-len(found[2]) % 4), altchars=b"-_", validate=True)
        packed = AESGCM(key).decrypt(raw[:12], raw[12:], _associated(kind, found[1]))
    except (InvalidTag, binascii.Error, ValueError):
        return None
    # We alone can have sealed it, but perhaps in another version.
    try:
        opened = orjson.loads(zlib.decompressobj().decompress(packed, _PLAIN_LIMIT))
        return dict(opened["value"]), datetime.fromtimestamp(opened["until"], UTC)
    except (zlib.error, ValueError, KeyError, TypeError, OverflowError):
        return None


def _associated(kind: str, key_id: str) -> bytes:
    return "\0".join(("callgate cookie", kind, key_id)).encode()
