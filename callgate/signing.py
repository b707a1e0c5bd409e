"""DSSE signatures with Ed25519.

The signature covers the pre-authentication encoding PAE(ce-type, body); the digest of an event is the SHA-256
of that encoding. Header: `callgate-signature: <key id>:<base64>`.
https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from contracts.identity import Role

SIGNATURE_HEADER = "callgate-signature"


def pae(payload_type: str, body: bytes) -> bytes:
    """DSSE v1 pre-authentication encoding; lengths are of bytes."""
    encoded = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(encoded), encoded, len(body), body)


def digest_of(payload_type: str, body: bytes) -> str:
    """SHA-256 of the pre-authentication encoding, in lower-case hex: what the next event `follows`."""
    return hashlib.sha256(pae(payload_type, body)).hexdigest()


@dataclass(frozen=True, slots=True)
class Signature:
    """A parsed signature header."""

    key_id: str
    value: bytes

    @classmethod
    def parse(cls, header: str | None) -> "Signature | None":
        """None for anything that is not `<key id>:<base64 of 64 bytes>`."""
        if not header:
            return None
        key_id, colon, encoded = header.partition(":")
        if not colon or not key_id:
            return None
        try:
            value = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return None
        return cls(key_id, value) if len(value) == 64 else None

    def __str__(self) -> str:
        return f"{self.key_id}:{base64.b64encode(self.value).decode()}"


class Signer:
    """Signs as one service with one key. Whether that key still counts is the ring's to say: `Ring.signing`.

    `successor` looks for the key that a rotation put in this one's place: a signer, or None where there is none yet.
    """

    def __init__(
        self,
        role: Role,
        key_id: str,
        key: Ed25519PrivateKey,
        successor: "Callable[[], Signer | None]" = lambda: None,
    ) -> None:
        self.role = role
        self.key_id = key_id
        self.successor = successor
        self._key = key

    def sign(self, payload_type: str, body: bytes) -> str:
        """The value of the signature header."""
        return str(Signature(self.key_id, self._key.sign(pae(payload_type, body))))
