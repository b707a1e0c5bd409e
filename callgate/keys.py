"""The keys folder: `callgate keys init | rotate | show`.

    root/root.key            the offline root; keep it away from servers
    root.pub, ring.json      public: the pinned root and the ring that it signed
    <role>/sign.key          Ed25519, the role's current signing key
    <role>/seal-<id>.key     X25519; old ones stay, since what was sealed to them stays on the log
    <role>/nats.password     the role's password at the broker

A service is given root.pub, ring.json and its own folder, and nothing else.
"""

import base64
import hashlib
import logging
import os
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from callgate.errors import CallgateError, ConfigurationError
from callgate.keyring import KeyRing, Ring, RingKey, open_ring, sign_ring
from callgate.signing import Signer
from contracts.identity import Role

logger = logging.getLogger("callgate.keys")

SEALED_TO: frozenset[Role] = frozenset(
    {Role.INGRESS, Role.MASKING, Role.POLICY, Role.APPROVAL, Role.EXECUTOR, Role.AUDIT}
)
"""Roles that hold a sealing key."""


@dataclass(frozen=True, slots=True)
class ServiceKeys:
    """What one service holds."""

    role: Role
    signer: Signer
    seal: dict[str, X25519PrivateKey]
    """Its sealing keys by id, retired ones included."""
    ring: Ring
    password: str


def init(folder: Path, deployment: str, now: datetime | None = None) -> KeyRing:
    """Makes every key of a new deployment. ConfigurationError where the folder holds a ring already."""
    now = now or datetime.now(UTC)
    if (folder / "ring.json").exists():
        raise ConfigurationError(
            "keys_exist", f"{folder} holds a key ring already; to replace a key, run `callgate keys rotate <service>`"
        )
    root = Ed25519PrivateKey.generate()
    _write_private(folder / "root" / "root.key", root)
    public = root.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write(folder / "root.pub", public, 0o644)
    keys: list[RingKey] = []
    for role in Role:
        keys.append(_new_signing_key(folder, role, now))
        if role in SEALED_TO:
            keys.append(_new_sealing_key(folder, role, now))
        _write(folder / role / "nats.password", secrets.token_urlsafe(32).encode() + b"\n", 0o600)
    ring = KeyRing(deployment=deployment, serial=1, issued_at=now, keys=tuple(keys))
    _write(folder / "ring.json", sign_ring(ring, root).encode(), 0o644)
    return ring


def rotate(folder: Path, role: Role, now: datetime | None = None, lead: timedelta = timedelta(0)) -> KeyRing:
    """New keys for a role. The old signing key is destroyed, what it signed verifies for ever; old sealing keys stay.

    A running service goes on with the old keys for `lead`, in which ring and keys must reach every host: what a key
    signs after its end counts nowhere. For a stolen key, none. Needs the root's private key; ConfigurationError where
    it is away.
    """
    now = now or datetime.now(UTC)
    ring = read_ring(folder)
    if not (folder / "root" / "root.key").exists():
        raise ConfigurationError(
            "root_away", f"{folder / 'root' / 'root.key'} is not here; bring the offline root back to rotate keys"
        )
    root = _signing_private(folder / "root" / "root.key")
    retired = tuple(
        key.model_copy(update={"not_after": now + lead}) if key.role == role and key.not_after is None else key
        for key in ring.keys
    )
    fresh = [_new_signing_key(folder, role, now)]
    if role in SEALED_TO:
        fresh.append(_new_sealing_key(folder, role, now))
    newer = KeyRing(deployment=ring.deployment, serial=ring.serial + 1, issued_at=now, keys=(*retired, *fresh))
    _write(folder / "ring.json", sign_ring(newer, root).encode(), 0o644)
    return newer


def hand_out(folder: Path, target: Path) -> None:
    """What each role is given, in a folder of its own: `<target>/<role>/{root.pub,ring.json,<role>/…}`, no root key.

    Again after a rotation, over what stands there. ConfigurationError where the keys are incomplete.
    """
    read_ring(folder)
    public = {name: _read(folder / name) for name in ("root.pub", "ring.json")}
    for role in Role:
        for path in sorted((folder / role).glob("[!.]*")):
            _write(target / role / role / path.name, _read(path), 0o600)
        # The ring last: it names the new key, which a service that sees it may look for.
        for name, data in public.items():
            _write(target / role / name, data, 0o644)


def read_ring(folder: Path) -> KeyRing:
    """The verified ring of a folder. ConfigurationError where there is none, Fatal where it does not verify."""
    try:
        root = load_pem_public_key(_read(folder / "root.pub"))
    except ValueError:
        root = None
    if not isinstance(root, Ed25519PublicKey):
        raise ConfigurationError("root_unreadable", f"{folder / 'root.pub'} is no Ed25519 public key")
    return open_ring(_read(folder / "ring.json").decode("utf-8", "replace"), root)


def load(folder: Path, role: Role) -> ServiceKeys:
    """The keys of one service, its ring following rotations of the file."""
    stamp = _stamp(os.fspath(folder / "ring.json"))  # before reading: a change in between is then seen
    ring = read_ring(folder)
    return ServiceKeys(
        role=role,
        signer=_signer_in(ring, folder, role),
        seal=_sealing_keys_in(ring, folder, role),
        ring=Ring(ring, _Reloader(folder, stamp)),
        password=read_password(folder, role),
    )


def sealing_keys(folder: Path, role: Role) -> dict[str, X25519PrivateKey]:
    """A role's sealing keys by id, as they stand in the folder now. ConfigurationError where one cannot be read."""
    paths = sorted((folder / role).glob("seal-*.key"))
    return {path.stem.removeprefix("seal-"): _sealing_private(path) for path in paths}


def _sealing_keys_in(ring: KeyRing, folder: Path, role: Role) -> dict[str, X25519PrivateKey]:
    """With the one that others seal to now: without it a service would start, and fail its first caller."""
    held = sealing_keys(folder, role)
    current = [key for key in ring.keys if (key.role, key.use) == (role, "seal") and key.not_after is None]
    if role in SEALED_TO and not current:
        raise ConfigurationError(
            "key_not_in_ring", f"ring.json has no sealing key in force for {role}; run `callgate keys rotate {role}`"
        )
    for key in current:
        private = held.get(key.id)
        if private is None:
            where = folder / role / f"seal-{key.id}.key"
            raise ConfigurationError(
                "key_missing", f"{where} is missing; copy the role's whole folder from the `keys` run of ring.json"
            )
        if base64.b64encode(private.public_key().public_bytes_raw()).decode() != key.public:
            raise ConfigurationError(
                "key_not_in_ring",
                f"{folder / role / f'seal-{key.id}.key'} is not the key of that name in ring.json; "
                "copy both from the same `keys` run",
            )
    return held


def read_password(folder: Path, role: Role) -> str:
    return _read(folder / role / "nats.password").decode().strip()


_LOOK_EVERY = 0.005
"""Seconds. A ring is asked thirty times a governed call; nobody can tell a rotation from one so much later."""


class _Reloader:
    """Reads the ring's file again when it changed, and only then.

    A ring that does not verify is not taken up: the one in force stays, in which an unknown key stays unknown.
    """

    def __init__(self, folder: Path, seen: "_Stamp") -> None:
        self._folder = folder
        self._looked = 0.0
        self._path = os.fspath(folder / "ring.json")
        self._seen = seen

    def __call__(self) -> KeyRing | None:
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return None
        self._looked = now
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return None
        self._seen = stamp
        try:
            return read_ring(self._folder)
        except CallgateError as error:
            logger.error("the changed key ring is not taken up", extra={"code": error.code})
            return None


_Stamp = tuple[int, int, int] | None
"""Changes whenever ring.json is replaced; None where it cannot be seen."""


def _stamp(path: str) -> _Stamp:
    try:
        status = os.stat(path)  # noqa: PTH116  # asked a dozen times a call, where building a Path costs more
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _signer_in(ring: KeyRing, folder: Path, role: Role) -> Signer:
    signer = _signer(folder, role)
    if not any(key.id == signer.key_id and key.not_after is None for key in ring.keys):
        raise ConfigurationError(
            "key_not_in_ring", f"{folder / role / 'sign.key'} is not in ring.json; copy both from the same `keys` run"
        )
    return signer


def _signer(folder: Path, role: Role) -> Signer:
    """With the key that stands in the folder now, followed by the one that will."""
    private = _signing_private(folder / role / "sign.key")
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def successor() -> Signer | None:
        try:
            return _signer(folder, role)
        except ConfigurationError as error:
            logger.error("the service's new signing key cannot be read", extra={"code": error.code})
            return None

    return Signer(role, _key_id(role, "sign", raw), private, successor)


def _new_signing_key(folder: Path, role: Role, now: datetime) -> RingKey:
    private = Ed25519PrivateKey.generate()
    _write_private(folder / role / "sign.key", private)
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return _ring_key(role, "sign", raw, now)


def _new_sealing_key(folder: Path, role: Role, now: datetime) -> RingKey:
    private = X25519PrivateKey.generate()
    raw = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    key = _ring_key(role, "seal", raw, now)
    _write_private(folder / role / f"seal-{key.id}.key", private)
    return key


def _ring_key(role: Role, use: Literal["sign", "seal"], raw: bytes, now: datetime) -> RingKey:
    return RingKey(
        id=_key_id(role, use, raw), role=role, use=use, public=base64.b64encode(raw).decode(), not_before=now
    )


def _key_id(role: Role, use: str, raw: bytes) -> str:
    """`<role>-<12 hex of SHA-256>`: readable, and bound to the key."""
    return f"{role}-{hashlib.sha256(use.encode() + raw).hexdigest()[:12]}"


def _signing_private(path: Path) -> Ed25519PrivateKey:
    key = _private(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError("key_unreadable", f"{path} is no Ed25519 private key")
    return key


def _sealing_private(path: Path) -> X25519PrivateKey:
    key = _private(path)
    if not isinstance(key, X25519PrivateKey):
        raise ConfigurationError("key_unreadable", f"{path} is no X25519 private key")
    return key


def _private(path: Path) -> object:
    try:
        return load_pem_private_key(_read(path), password=None)
    except (ValueError, TypeError):  # damaged, or under a passphrase
        raise ConfigurationError("key_unreadable", f"{path} is no private key; restore it from a backup") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError("key_missing", f"{path} is missing; make keys with `callgate keys init`") from None
    except PermissionError:
        raise ConfigurationError("key_unreadable", f"{path} may not be read by this user") from None


def _write_private(path: Path, key: Ed25519PrivateKey | X25519PrivateKey) -> None:
    _write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Writes beside and renames, so a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name too: what is sealed to a key that is lost opens never again
    finally:
        os.close(folder)
