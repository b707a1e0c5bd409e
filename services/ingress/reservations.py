"""Idempotency keys, on ADMISSION: which call a principal's key was first used for, and with which request.

The reservation stands before the call's first event. So whichever replica a retry reaches, before or after a restart,
or in another epoch, it finds the same call where it was begun; where its first event never came to stand, the retry
appends it there, under the same id.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime
from typing import Final

import orjson
from nats.aio.client import Client

from callgate.errors import BrokerAway, LostRace
from callgate.log import reading
from callgate.records import publish_acknowledged
from callgate.sealing import Sealer
from contracts.subjects import ADMISSION, CallRef, reservation_subject

_PURPOSE: Final = "idempotency"


class KeyReused(Exception):
    """The key was used before, for another request."""


class Reservations:
    """Keys are kept for so many `hours`; the broker forgets them by itself then."""

    def __init__(self, client: Client, sealer: Sealer, hours: int, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._sealer = sealer
        self._hours = hours
        self._clock = clock

    async def take(self, owner: str, key: str, request: bytes, unnamed: bytes, ref: CallRef) -> CallRef:
        """`ref` where the owner's key is new; else the call that it was taken for. KeyReused, BrokerAway.

        `request` is a digest of what is asked for. On the stream stands a MAC of it, since arguments can be guessed.
        `unnamed` is the digest without the session: a retry may name the one that the first request opened.
        """
        subject = reservation_subject(_digest(owner, key))
        secrets = self._sealer.role_secrets(_PURPOSE, self._clock())
        newest = next(iter(secrets))
        record = {"call": str(ref), "key_id": newest, "mac": _mac(secrets[newest], subject, ref, request)}
        headers = {"Nats-Expected-Last-Subject-Sequence": "0", "Nats-TTL": f"{self._hours}h"}
        try:
            await publish_acknowledged(self._client, subject, orjson.dumps(record), headers)
        except LostRace:
            return await self._taken(subject, secrets, request, unnamed, ref)
        return ref

    async def _taken(
        self, subject: str, secrets: dict[str, bytes], request: bytes, unnamed: bytes, wanted: CallRef
    ) -> CallRef:
        message = await reading.leader_last(self._client, ADMISSION, subject)
        if message is None:
            raise BrokerAway("the reservation of a key cannot be read yet")  # its time was up at this moment
        try:
            record = orjson.loads(message.body)
            ref = CallRef.parse(record["call"])
            same = (request, unnamed) if ref.session_id == wanted.session_id else (request,)
            macs = (_mac(secrets[record["key_id"]], subject, ref, one) for one in same)
            if not any(hmac.compare_digest(mac, record["mac"]) for mac in macs):
                raise KeyReused
        except (ValueError, KeyError, TypeError):
            # None of ours, or of a key that was rotated away since: whether it is the same request cannot be told.
            raise KeyReused from None
        return ref


def _digest(owner: str, key: str) -> str:
    digest = hashlib.sha256(len(owner.encode()).to_bytes(8) + owner.encode() + key.encode()).digest()
    return base64.b32encode(digest).decode().rstrip("=").lower()


def _mac(secret: bytes, subject: str, ref: CallRef, request: bytes) -> str:
    return hmac.new(secret, f"{subject}\0{ref}\0".encode() + request, hashlib.sha256).hexdigest()
