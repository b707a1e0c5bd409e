"""The development issuer's signing keys, in one file of the state folder that only its owner can read."""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

_FILE = "signing_keys.json"
_KEPT = 5
"""Published keys, the newest included: enough that no demo token outlives the key that signed it."""


class DevKey(NamedTuple):
    key_id: str
    private: ec.EllipticCurvePrivateKey

    @property
    def public_jwk(self) -> dict[str, str]:
        return {**_public_members(self.private), "kid": self.key_id, "use": "sig", "alg": "ES256"}


class DevKeys:
    """ES256 keys, the newest first; that one signs, all are published."""

    def __init__(self, path: Path, keys: Sequence[DevKey]) -> None:
        self._path = path
        self._keys = list(keys)

    @classmethod
    def open(cls, folder: Path) -> "DevKeys":
        """Load the folder's keys, or make the first. PermissionError if others can read them, ValueError if broken."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / _FILE
        if not path.exists():
            keys = cls(path, [_generate()])
            keys._save()
            return keys
        if path.stat().st_mode & 0o077:
            raise PermissionError(f"{path} is open to other users; run `chmod 600 {path}`, or delete it")
        try:
            loaded = [_load(pem) for pem in json.loads(path.read_text())["keys"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            loaded = []
        if not loaded:
            raise ValueError(f"{path} holds no development signing keys; delete it for new ones") from None
        return cls(path, loaded)

    @property
    def signing(self) -> DevKey:
        return self._keys[0]

    @property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        return {"keys": [key.public_jwk for key in self._keys]}

    def rotate(self) -> None:
        """A new key signs from now on; the former ones stay published, so their tokens still verify."""
        self._keys = [_generate(), *self._keys][:_KEPT]
        self._save()

    def _save(self) -> None:
        pems = [
            key.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode() for key in self._keys
        ]
        # Written aside and renamed: a crash leaves the old keys or the new ones. O_EXCL: never into another's file.
        aside = self._path.with_name(f".{_FILE}.{secrets.token_hex(8)}")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"keys": pems}, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)


def _generate() -> DevKey:
    return _named(ec.generate_private_key(ec.SECP256R1()))


def _load(pem: str) -> DevKey:
    private = load_pem_private_key(pem.encode(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise ValueError("not a P-256 key")
    return _named(private)


def _public_members(private: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    return ECAlgorithm.to_jwk(private.public_key(), as_dict=True)


def _named(private: ec.EllipticCurvePrivateKey) -> DevKey:
    """The key id is the RFC 7638 thumbprint."""
    canonical = json.dumps(_public_members(private), sort_keys=True, separators=(",", ":"))
    thumbprint = hashlib.sha256(canonical.encode()).digest()
    return DevKey(base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode(), private)
