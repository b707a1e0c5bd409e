"""Sealed payloads: AES-256-GCM under a data key per sealer, session and class, wrapped with HPKE to its readers.

A sealer seals what it may not be able to open itself. Two classes: `raw` and `view` (the masked form). Who reads
what is the table `READERS`. Data keys live on SESSION_KEYS; erasing them there erases the session.
"""

import base64
import binascii
import hashlib
import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Protocol, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from callgate.errors import ConfigurationError, Rejected, Retryable
from callgate.ids import token
from callgate.keyring import Ring
from contracts.events import DataClass, PayloadRef, Sealed
from contracts.identity import Role
from contracts.records import SessionKey, WrappedKey
from contracts.subjects import CallRef

logger = logging.getLogger("callgate.sealing")

READERS: Mapping[tuple[Role, DataClass], frozenset[Role]] = MappingProxyType(
    {
        (Role.INGRESS, "raw"): frozenset({Role.MASKING}),
        (Role.MASKING, "raw"): frozenset({Role.MASKING, Role.POLICY, Role.EXECUTOR}),
        (Role.EXECUTOR, "raw"): frozenset({Role.MASKING}),
        (Role.APPROVAL, "raw"): frozenset({Role.MASKING}),
        (Role.MASKING, "view"): frozenset({Role.POLICY, Role.APPROVAL, Role.AUDIT, Role.INGRESS}),
        (Role.APPROVAL, "view"): frozenset({Role.APPROVAL, Role.AUDIT, Role.INGRESS}),
    }
)
"""Who may read what a role seals. Nobody seals what is not in this table."""

INLINE_LIMIT = 256 * 1024
"""Bytes of ciphertext that an event carries itself; more goes to PAYLOADS in chunks of this size."""

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
_KEY_BITS = 256
_KEYS_KEPT = 4096
_SECRET_BYTES = 64

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a payload belongs; it opens nowhere else."""

    ref: CallRef
    event_id: str
    field: str


class SessionKeys(Protocol):
    """Where wrapped data keys live.

    `publish` returns when the key is on disk: what it seals must not be on the log before it. `fetch` returns the
    verified record, or raises Rejected(`key_missing`) once the session was erased. `first` returns the first of that
    class that the role published in the session and that still stands, the same for whoever asks. BrokerAway from all.
    """

    async def publish(self, key: SessionKey) -> None: ...
    async def fetch(self, session_id: str, key_id: str) -> tuple[SessionKey, Role]: ...
    async def first(self, session_id: str, role: Role, data_class: DataClass) -> SessionKey | None: ...


class Payloads(Protocol):
    """Where ciphertexts too big for an event live, as chunks. `get` raises Rejected(`payload_missing`)."""

    async def put(self, session_id: str, payload_id: str, chunks: list[bytes]) -> None: ...
    async def get(self, session_id: str, payload_id: str, chunks: int) -> list[bytes]: ...


class Sealer:
    """Seals and opens as one service. Keys are cached in memory, at most 4,096 of each kind.

    `reload` gives the role's sealing keys as they are held now: it is asked where a payload is sealed to one that
    came with a rotation.
    """

    def __init__(
        self,
        role: Role,
        ring: Ring,
        private: Mapping[str, X25519PrivateKey],
        session_keys: SessionKeys,
        payloads: Payloads,
        reload: Callable[[], Mapping[str, X25519PrivateKey]] = dict,
    ) -> None:
        self._role = role
        self._ring = ring
        self._private = dict(private)
        self._reload = reload
        self._session_keys = session_keys
        self._payloads = payloads
        self._own: OrderedDict[tuple[str, DataClass], tuple[str, AESGCM]] = OrderedDict()
        self._opened: OrderedDict[tuple[str, str, DataClass], AESGCM] = OrderedDict()
        self._secrets: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    async def seal(self, plaintext: bytes, place: Place, data_class: DataClass, now: datetime) -> Sealed:
        """The payload, readable by `READERS[role, class]`. BrokerAway where a new data key cannot be stored."""
        key_id, cipher = await self._data_key(place.ref.session_id, data_class, now)
        nonce = os.urandom(12)
        ciphertext = cipher.encrypt(nonce, plaintext, self._associated(place, key_id))
        nonce_text = base64.b64encode(nonce).decode()
        if len(ciphertext) <= INLINE_LIMIT:
            return Sealed(key_id=key_id, nonce=nonce_text, ciphertext=base64.b64encode(ciphertext).decode())
        chunks = [ciphertext[at : at + INLINE_LIMIT] for at in range(0, len(ciphertext), INLINE_LIMIT)]
        payload_id = token(16)
        await self._payloads.put(place.ref.session_id, payload_id, chunks)
        reference = PayloadRef(
            payload_id=payload_id,
            chunks=len(chunks),
            size=len(ciphertext),
            sha256=hashlib.sha256(ciphertext).hexdigest(),
        )
        return Sealed(key_id=key_id, nonce=nonce_text, payload=reference)

    async def open(self, sealed: Sealed, place: Place, data_class: DataClass) -> bytes:
        """The plaintext. Rejected where key, place, class or bytes do not fit.

        Retryable where the data key is out of reach: the broker is away, or our rotated keys did not arrive yet.
        """
        cipher = await self._cipher(place.ref.session_id, sealed.key_id, data_class)
        ciphertext = await self._ciphertext(sealed, place.ref.session_id)
        try:
            nonce = base64.b64decode(sealed.nonce, validate=True)
            return cipher.decrypt(nonce, ciphertext, self._associated(place, sealed.key_id))
        except (InvalidTag, binascii.Error, ValueError):
            raise Rejected("seal_broken", "the payload does not open in this place") from None

    async def session_secret(self, session_id: str, purpose: str, now: datetime, *, remembered: bool = True) -> bytes:
        """64 bytes for one purpose in one session, the same in every replica of this role and after a restart.

        Derived from the role's first raw data key of the session, made where there is none yet, and gone with it:
        Rejected(`key_missing`) once that was erased. A process that remembers a secret does not notice; with
        `remembered=False` it looks. BrokerAway where it cannot.
        """
        known = self._secrets.get((session_id, purpose))
        if known is not None and remembered:
            self._secrets.move_to_end((session_id, purpose))
            return known
        self._secrets.pop((session_id, purpose), None)
        record = await self._session_keys.first(session_id, self._role, "raw")
        if record is None:
            await self._data_key(session_id, "raw", now)
            # Another replica may have made one at the same time: whose came first is for the stream to say.
            record = await self._session_keys.first(session_id, self._role, "raw")
        if record is None:
            raise Rejected("key_missing", "the session's keys were erased")
        if (record.session_id, record.data_class) != (session_id, "raw"):
            raise Rejected("key_misplaced", "the data key belongs elsewhere")
        info = "\0".join(("callgate session secret", self._ring.deployment, session_id, record.key_id, purpose))
        secret = HKDF(SHA256(), _SECRET_BYTES, salt=None, info=info.encode()).derive(
            self._unwrapped(record, self._role)
        )
        _remember(self._secrets, (session_id, purpose), secret)
        return secret

    def role_secrets(self, purpose: str, at: datetime) -> dict[str, bytes]:
        """32 bytes for one purpose, from each of the role's own sealing keys in force, by its id, the newest first.

        The same in every replica of this role and after a restart; `keys rotate` ends those of the former key. Never
        none: Retryable(`sealing_key_away`) where the ring of a rotation came before its keys.
        """
        in_force = [key_id for key_id, _ in reversed(self._ring.readers((self._role,), at))]
        if not self._private.keys() >= set(in_force):
            self._take_up_new_keys()
        secrets = {}
        for key_id in in_force:
            private = self._private.get(key_id)
            if private is not None:
                info = "\0".join(("callgate role secret", self._ring.deployment, key_id, purpose)).encode()
                secrets[key_id] = HKDF(SHA256(), _KEY_BITS // 8, salt=None, info=info).derive(
                    private.private_bytes_raw()
                )
        if not secrets:
            raise self._key_away("the ring names newer sealing keys than this service holds")
        return secrets

    async def _ciphertext(self, sealed: Sealed, session_id: str) -> bytes:
        if sealed.ciphertext is not None:
            try:
                return base64.b64decode(sealed.ciphertext, validate=True)
            except (binascii.Error, ValueError):
                raise Rejected("seal_broken", "the ciphertext is not base64") from None
        reference = sealed.payload
        if reference is None:
            raise Rejected("seal_broken", "neither ciphertext nor payload")
        joined = b"".join(await self._payloads.get(session_id, reference.payload_id, reference.chunks))
        if hashlib.sha256(joined).hexdigest() != reference.sha256:
            raise Rejected("payload_changed", "the payload is not the one that the event names")
        return joined

    async def _data_key(self, session_id: str, data_class: DataClass, now: datetime) -> tuple[str, AESGCM]:
        own = self._own.get((session_id, data_class))
        if own is not None:
            self._own.move_to_end((session_id, data_class))
            return own
        readers = READERS.get((self._role, data_class))
        if readers is None:
            raise Rejected("may_not_seal", f"{self._role} seals nothing of class {data_class}")
        key, key_id = AESGCM.generate_key(_KEY_BITS), token(16)
        info = self._wrap_info(session_id, key_id, data_class, self._role)
        wraps = tuple(
            WrappedKey(
                reader_key_id=reader_id, wrapped=base64.b64encode(_SUITE.encrypt(key, public, info=info)).decode()
            )
            for reader_id, public in self._ring.readers(readers, now)
        )
        await self._session_keys.publish(
            SessionKey(key_id=key_id, session_id=session_id, data_class=data_class, wraps=wraps)
        )
        cipher = AESGCM(key)
        # Two concurrent first calls make two keys; both are good, the later one is kept.
        _remember(self._own, (session_id, data_class), (key_id, cipher))
        if self._role in readers:
            _remember(self._opened, (session_id, key_id, data_class), cipher)
        return key_id, cipher

    async def _cipher(self, session_id: str, key_id: str, data_class: DataClass) -> AESGCM:
        known = self._opened.get((session_id, key_id, data_class))
        if known is not None:
            return known
        record, sealer = await self._session_keys.fetch(session_id, key_id)
        if (record.session_id, record.key_id, record.data_class) != (session_id, key_id, data_class):
            raise Rejected("key_misplaced", "the data key belongs elsewhere")
        cipher = AESGCM(self._unwrapped(record, sealer))
        _remember(self._opened, (session_id, key_id, data_class), cipher)
        return cipher

    def _unwrapped(self, record: SessionKey, sealer: Role) -> bytes:
        """The data key of a record that stands where it belongs."""
        readers = READERS.get((sealer, record.data_class))
        if readers is None:
            raise Rejected("may_not_seal", f"{sealer} seals nothing of class {record.data_class}")
        if self._role not in readers:  # even where the sealer wrapped the key to us
            raise Rejected("not_a_reader", f"{self._role} may not read this payload")
        wrap, private = self._ours(record.wraps)
        return _unwrap(wrap, private, self._wrap_info(record.session_id, record.key_id, record.data_class, sealer))

    def _ours(self, wraps: tuple[WrappedKey, ...]) -> tuple[WrappedKey, X25519PrivateKey]:
        """The wrap that one of our keys opens. Who sealed may have had the newer ring, and we not yet our new keys."""
        if not any(wrap.reader_key_id in self._private for wrap in wraps):
            if not any(self._may_be_ours(wrap.reader_key_id) for wrap in wraps):
                raise Rejected("not_a_reader", f"{self._role} may not read this payload")
            self._take_up_new_keys()
        for wrap in wraps:
            private = self._private.get(wrap.reader_key_id)
            if private is not None:
                return wrap, private
        raise self._key_away("sealed to a newer key than this service holds")

    def _take_up_new_keys(self) -> None:
        try:
            self._private |= self._reload()
        except ConfigurationError as error:  # those in hand still count
            logger.error("the service's new sealing key cannot be read", extra={"code": error.code})

    def _key_away(self, why: str) -> Retryable:
        logger.warning(why, extra={"service": self._role})
        return Retryable("sealing_key_away", f"{self._role}'s keys were rotated; give it the new ones")

    def _may_be_ours(self, key_id: str) -> bool:
        """Whether the ring says that a sealing key is ours, or knows nothing of it, since it may lag too."""
        key = self._ring.key(key_id)
        return key is None or (key.use, key.role) == ("seal", self._role)

    def _associated(self, place: Place, key_id: str) -> bytes:
        parts = (self._ring.deployment, str(place.ref), place.event_id, place.field, key_id)
        return "\0".join(("callgate payload", *parts)).encode()

    def _wrap_info(self, session_id: str, key_id: str, data_class: DataClass, sealer: Role) -> bytes:
        return "\0".join(("callgate data key", self._ring.deployment, session_id, key_id, data_class, sealer)).encode()


def _unwrap(wrap: WrappedKey, private: X25519PrivateKey, info: bytes) -> bytes:
    try:
        key = _SUITE.decrypt(base64.b64decode(wrap.wrapped, validate=True), private, info=info)
    except (InvalidTag, binascii.Error, ValueError):
        raise Rejected("key_broken", "the data key does not unwrap") from None
    if len(key) != _KEY_BITS // 8:
        raise Rejected("key_broken", "the data key is not of 256 bits")
    return key


def _remember(cache: OrderedDict[K, V], key: K, value: V) -> None:
    cache[key] = value
    if len(cache) > _KEYS_KEPT:
        cache.popitem(last=False)
