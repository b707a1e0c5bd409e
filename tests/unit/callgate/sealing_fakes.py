"""The stores that sealing stands on, in memory, and the key rings of a whole deployment without a folder."""

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from callgate.errors import Rejected
from callgate.keyring import KeyRing, Ring, RingKey
from callgate.sealing import Sealer
from callgate.signing import Signer
from contracts.events import DataClass
from contracts.identity import Role
from contracts.records import SessionKey

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@dataclass
class MemoryKeys:
    """`sealing.SessionKeys` that remembers who published, as the signature of the record would tell."""

    stored: dict[tuple[str, str], tuple[SessionKey, Role]] = field(default_factory=dict)

    def of(self, role: Role) -> "_KeysOfRole":
        return _KeysOfRole(self, role)


@dataclass
class _KeysOfRole:
    store: MemoryKeys
    role: Role

    async def publish(self, key: SessionKey) -> None:
        self.store.stored[key.session_id, key.key_id] = (key, self.role)

    async def fetch(self, session_id: str, key_id: str) -> tuple[SessionKey, Role]:
        found = self.store.stored.get((session_id, key_id))
        if found is None:
            raise Rejected("key_missing", "erased")
        return found

    async def first(self, session_id: str, role: Role, data_class: DataClass) -> SessionKey | None:
        stored = self.store.stored.items()
        of_session = (key for (session, _), (key, publisher) in stored if (session, publisher) == (session_id, role))
        return next((key for key in of_session if key.data_class == data_class), None)


@dataclass
class MemoryPayloads:
    """`sealing.Payloads`."""

    stored: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)

    async def put(self, session_id: str, payload_id: str, chunks: list[bytes]) -> None:
        self.stored[session_id, payload_id] = list(chunks)

    async def get(self, session_id: str, payload_id: str, chunks: int) -> list[bytes]:
        found = self.stored.get((session_id, payload_id), [])
        if len(found) < chunks:
            raise Rejected("payload_missing", "erased")
        return found[:chunks]


def public(key: Ed25519PrivateKey | X25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


@dataclass
class Keys:
    """A deployment's keys in memory: one signing and one sealing key a role."""

    deployment: str = "unit"
    sign: dict[Role, Ed25519PrivateKey] = field(default_factory=lambda: {r: Ed25519PrivateKey.generate() for r in Role})
    seal: dict[Role, X25519PrivateKey] = field(default_factory=lambda: {r: X25519PrivateKey.generate() for r in Role})
    session_keys: MemoryKeys = field(default_factory=MemoryKeys)
    payloads: MemoryPayloads = field(default_factory=MemoryPayloads)

    @property
    def document(self) -> KeyRing:
        signing = [
            RingKey(id=f"{role}-sign", role=role, use="sign", public=public(key), not_before=NOW)
            for role, key in self.sign.items()
        ]
        sealing = [
            RingKey(id=f"{role}-seal", role=role, use="seal", public=public(key), not_before=NOW)
            for role, key in self.seal.items()
        ]
        return KeyRing(deployment=self.deployment, serial=1, issued_at=NOW, keys=(*signing, *sealing))

    def ring(self) -> Ring:
        return Ring(self.document)

    def signer(self, role: Role) -> Signer:
        return Signer(role, f"{role}-sign", self.sign[role])

    def sealer(self, role: Role, ring: Ring | None = None) -> Sealer:
        private = {f"{role}-seal": self.seal[role]}
        return Sealer(role, ring or self.ring(), private, self.session_keys.of(role), self.payloads)
