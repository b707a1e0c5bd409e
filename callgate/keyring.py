"""The key ring: which key may sign what, and to whom a payload is sealed. Signed by an offline root.

On disk it is a DSSE envelope, `ring.json`; the root's public key is pinned beside it as `root.pub`.
"""

import base64
import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from pydantic import Field, ValidationError

from callgate.errors import Fatal
from callgate.signing import Signature, Signer, pae
from contracts.identity import Role
from contracts.model import Contract, Timestamp

PAYLOAD_TYPE = "application/vnd.callgate.keyring.v1+json"
CLOCK_SKEW = timedelta(seconds=30)
"""How far two clocks of a deployment may stand apart."""

UNKNOWN_KEY = "unknown_key"
"""The one reason for a signature not to count that a newer ring may take away."""


class BadSignature(Exception):
    """A signature that does not count; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class RingKey(Contract):
    """A public key: whose, for what, and when. `not_after` ends its right to sign or be sealed to, never its past."""

    id: str
    role: Role
    use: Literal["sign", "seal"]
    public: str
    """Base64 of the 32 raw bytes: Ed25519 for `sign`, X25519 for `seal`."""
    not_before: Timestamp
    not_after: Timestamp | None = None

    def valid_at(self, at: datetime, skew: timedelta = timedelta(0)) -> bool:
        return self.not_before - skew <= at and (self.not_after is None or at < self.not_after + skew)

    def stamped(self, at: datetime) -> datetime:
        """When what is signed with this key says that it happened: then, or as early as the key can say.

        What was decided before a rotation and is recorded after it would otherwise verify under neither key.
        """
        return max(at, self.not_before - CLOCK_SKEW)

    def require_valid(self, *times: datetime) -> None:
        """BadSignature unless the key was valid at all these times: the body's and the broker's, so that a retired
        key cannot sign for the past."""
        if not (self.valid_at(min(times), CLOCK_SKEW) and self.valid_at(max(times), CLOCK_SKEW)):
            raise BadSignature("key_not_valid")


class KeyRing(Contract):
    """The document that the root signs."""

    deployment: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    serial: int = Field(ge=1)
    issued_at: Timestamp
    keys: tuple[RingKey, ...]


def sign_ring(ring: KeyRing, root: Ed25519PrivateKey) -> str:
    """The DSSE envelope as JSON text."""
    body = ring.model_dump_json(indent=2).encode()
    signature = base64.b64encode(root.sign(pae(PAYLOAD_TYPE, body))).decode()
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(body).decode(),
        "signatures": [{"keyid": "root", "sig": signature}],
    }
    return json.dumps(envelope, indent=2) + "\n"


def open_ring(envelope: str, root: Ed25519PublicKey) -> KeyRing:
    """Verifies the received bytes, then parses those. Fatal where the root did not sign them."""
    try:
        parsed = json.loads(envelope)
        body = base64.b64decode(parsed["payload"], validate=True)
        signature = base64.b64decode(parsed["signatures"][0]["sig"], validate=True)
        root.verify(signature, pae(PAYLOAD_TYPE, body))
        if parsed["payloadType"] != PAYLOAD_TYPE:
            raise Fatal("ring_unknown", "ring.json is not a key ring of this version")
        return KeyRing.model_validate_json(body)
    except InvalidSignature:
        raise Fatal(
            "ring_forged", "ring.json is not signed by the root in root.pub; restore it from a backup"
        ) from None
    except (ValueError, KeyError, IndexError, TypeError, ValidationError):
        raise Fatal("ring_unreadable", "ring.json is damaged; restore it from a backup") from None


class Ring:
    """A verified key ring, ready to check signatures and to name readers.

    `reload` is asked before every use, so that services follow a rotation without a restart and a retired key loses
    its right as soon as it tells; it returns None where nothing changed, and must be cheap then.
    """

    def __init__(self, ring: KeyRing, reload: Callable[[], KeyRing | None] = lambda: None) -> None:
        self._reload = reload
        self._use(ring)

    def _use(self, ring: KeyRing) -> None:
        self.document = ring
        self._keys = {key.id: key for key in ring.keys}
        self._signing = {
            key.id: Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public))
            for key in ring.keys
            if key.use == "sign"
        }

    @property
    def deployment(self) -> str:
        return self.document.deployment

    def verify(self, payload_type: str, body: bytes, header: str | None, roles: Iterable[Role]) -> RingKey:
        """The key that signed these bytes and may say such things. BadSignature otherwise.

        The caller then reads the body's time and asks `require_valid`.
        """
        self._follow()
        signature = Signature.parse(header)
        if signature is None:
            raise BadSignature("unsigned")
        key = self._keys.get(signature.key_id)
        if key is None or key.use != "sign":
            raise BadSignature(UNKNOWN_KEY)
        if key.role not in roles:
            raise BadSignature("wrong_role")
        try:
            self._signing[key.id].verify(signature.value, pae(payload_type, body))
        except InvalidSignature:
            raise BadSignature("bad_signature") from None
        return key

    def signing(self, signer: Signer, now: datetime) -> tuple[Signer, RingKey]:
        """What a service signs with at this time, and its key: the signer, or the one that a rotation put in its place.

        What a retired key signs is an alien to every reader, though the broker acknowledges it. So its right ends
        here without the skew that readers allow, and `not_before` alone may lie ahead of our clock. Fatal where the
        keys folder holds no key that counts.
        """
        self._follow()
        key = self._own(signer, now)
        if key is None or key.not_after is not None:
            fresh = signer.successor()
            fresh_key = self._own(fresh, now) if fresh is not None else None
            if fresh is not None and fresh_key is not None:
                return fresh, fresh_key
        if key is None:
            raise Fatal("key_retired", f"{signer.role}'s keys were rotated; give it the new ones, restart it")
        return signer, key

    def _own(self, signer: Signer, now: datetime) -> RingKey | None:
        key = self._keys.get(signer.key_id)
        if key is None or (key.use, key.role) != ("sign", signer.role) or now < key.not_before - CLOCK_SKEW:
            return None
        return key if key.not_after is None or now < key.not_after else None

    def require_standing(self, key_id: str, at: datetime, now: datetime) -> None:
        """After an acknowledgement: that readers accept what this key signed. Fatal where it was retired meanwhile."""
        key = self.key(key_id)
        try:
            if key is None:
                raise BadSignature(UNKNOWN_KEY)
            key.require_valid(at, now)
        except BadSignature:
            raise Fatal("key_retired", f"{key_id} was retired while it signed; restart this service") from None

    def readers(self, roles: Iterable[Role], at: datetime) -> tuple[tuple[str, X25519PublicKey], ...]:
        """The sealing keys of those roles that are in force at that time."""
        self._follow()
        wanted = frozenset(roles)
        found = tuple(
            (key.id, X25519PublicKey.from_public_bytes(base64.b64decode(key.public)))
            for key in self.document.keys
            if key.use == "seal" and key.role in wanted and key.valid_at(at)
        )
        missing = wanted - {self._keys[key_id].role for key_id, _ in found}
        if missing:
            raise Fatal("no_reader_key", f"the key ring has no valid sealing key for {', '.join(sorted(missing))}")
        return found

    def key(self, key_id: str) -> RingKey | None:
        self._follow()
        return self._keys.get(key_id)

    def _follow(self) -> None:
        """Takes up a newer ring of this deployment; never an older one, in which a retired key would live again."""
        newer = self._reload()
        if newer is not None and newer.deployment == self.deployment and newer.serial > self.document.serial:
            self._use(newer)
