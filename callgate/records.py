"""Signed records beside CALLS: publishing and reading them verified, and the stores built on them."""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from pydantic import ValidationError

from callgate.errors import BrokerAway, LostRace, Rejected, TooLarge
from callgate.ids import uuid7
from callgate.keyring import BadSignature, Ring
from callgate.log import reading
from callgate.log.jetstream import WRONG_LAST_SEQUENCE
from callgate.log.messages import CE_TYPE, Message
from callgate.signing import SIGNATURE_HEADER, Signer, digest_of
from contracts.events import DataClass
from contracts.identity import Role
from contracts.records import (
    RECORD_BY_TYPE,
    Record,
    RecordData,
    SessionKey,
    UnknownRecordType,
    encode_record,
    make_record,
    parse_record,
)
from contracts.subjects import PAYLOADS, SESSION_KEYS, payload_subject, session_key_subject

_ACK_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Standing:
    """A verified record as it stands on its stream."""

    record: Record[Any]
    role: Role
    digest: str
    sequence: int

    @property
    def data(self) -> RecordData:
        data: RecordData = self.record.data
        return data


class Records:
    """Publishes as one service and reads what others published, verified."""

    def __init__(self, client: Client, signer: Signer, ring: Ring) -> None:
        self._client = client
        self._signer = signer
        self._ring = ring

    async def publish(
        self,
        subject: str,
        data: RecordData,
        at: datetime,
        expected_last: int | None = None,
        expected_over: str | None = None,
    ) -> int:
        """The sequence under which it stands.

        LostRace where `expected_last` is not the last sequence of the subject, or of all that fit `expected_over`.
        Fatal where the service's key was retired and no new one is there.
        """
        self._signer, key = self._ring.signing(self._signer, datetime.now(UTC))
        record = make_record(uuid7(), self._ring.deployment, subject, key.stamped(at), data)
        body = encode_record(record)
        headers = {CE_TYPE: data.TYPE, SIGNATURE_HEADER: self._signer.sign(data.TYPE, body)}
        if expected_last is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected_last)
        if expected_over is not None:
            headers["Nats-Expected-Last-Subject-Sequence-Subject"] = expected_over
        sequence = await publish_acknowledged(self._client, subject, body, headers)
        self._ring.require_standing(key.id, record.at, datetime.now(UTC))
        return sequence

    def verify(self, message: Message) -> Standing:
        """The record of a message. BadSignature where it is none of ours."""
        kind = RECORD_BY_TYPE.get(message.headers.get(CE_TYPE, ""))
        if kind is None:
            raise BadSignature("unknown_record")
        key = self._ring.verify(kind.TYPE, message.body, message.headers.get(SIGNATURE_HEADER), kind.ROLES)
        try:
            record = parse_record(kind.TYPE, message.body)
        except (ValidationError, UnknownRecordType):
            raise BadSignature("malformed") from None
        key.require_valid(record.at, message.recorded_at)
        if (record.deployment, record.subject) != (self._ring.deployment, message.subject):
            raise BadSignature("misplaced")
        return Standing(record, key.role, digest_of(kind.TYPE, message.body), message.sequence)

    async def last(self, stream: str, subject: str, *, from_leader: bool = True) -> Standing | None:
        """The last verified record on a subject, or None. BadSignature where the last message there is an alien."""
        look = reading.leader_last if from_leader else reading.direct_last
        message = await look(self._client, stream, subject)
        return None if message is None else self.verify(message)

    async def first(
        self, stream: str, subject: str, wanted: Callable[[Standing], bool] = lambda _: True
    ) -> Standing | None:
        """The first wanted record on a subject that verifies, from the nearest replica that has one, or None.

        What verifies first can neither be replaced nor hidden by whoever may write to the subject later. A replica
        that lags lacks the last messages, never the first.
        """
        for look in (reading.direct_first, reading.leader_next):
            start = 1
            while (message := await look(self._client, stream, subject, start)) is not None:
                with contextlib.suppress(BadSignature):
                    standing = self.verify(message)
                    if wanted(standing):
                        return standing
                start = message.sequence + 1
        return None

    async def all(self, stream: str, subject_filter: str) -> AsyncIterator[Standing | BadSignature]:
        """Every record that fits, in order, aliens as the reason why they are."""
        async for message in reading.direct_all(self._client, stream, subject_filter):
            try:
                yield self.verify(message)
            except BadSignature as bad:
                yield bad


async def publish_acknowledged(client: Client, subject: str, body: bytes, headers: dict[str, str] | None = None) -> int:
    """Publishes and waits until it is on disk. BrokerAway, TooLarge, LostRace."""
    try:
        reply = await client.request(subject, body, timeout=_ACK_TIMEOUT, headers=headers)
        answer = json.loads(reply.data)
    except MaxPayloadError:
        raise TooLarge from None
    except (NatsError, ConnectionError, ValueError):
        raise BrokerAway from None
    if "error" in answer:
        if answer["error"].get("err_code") in WRONG_LAST_SEQUENCE:
            raise LostRace
        raise BrokerAway("the broker refused the message")
    return int(answer["seq"])


class JetStreamSessionKeys:
    """`sealing.SessionKeys` on SESSION_KEYS."""

    def __init__(self, client: Client, records: Records, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._records = records
        self._clock = clock

    async def publish(self, key: SessionKey) -> None:
        await self._records.publish(session_key_subject(key.session_id, key.key_id), key, self._clock())

    async def fetch(self, session_id: str, key_id: str) -> tuple[SessionKey, Role]:
        subject = session_key_subject(session_id, key_id)
        standing = await self._records.first(SESSION_KEYS, subject)
        if standing is None or not isinstance(standing.data, SessionKey):
            raise Rejected("key_missing", "the session's keys were erased")
        return standing.data, standing.role

    async def first(self, session_id: str, role: Role, data_class: DataClass) -> SessionKey | None:
        def wanted(standing: Standing) -> bool:
            data = standing.data
            return isinstance(data, SessionKey) and (standing.role, data.data_class) == (role, data_class)

        standing = await self._records.first(SESSION_KEYS, session_key_subject(session_id, "*"), wanted)
        return standing.data if standing is not None and isinstance(standing.data, SessionKey) else None


class JetStreamPayloads:
    """`sealing.Payloads` on PAYLOADS. Chunks are ciphertext, authenticated by the event that names their SHA-256."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def put(self, session_id: str, payload_id: str, chunks: list[bytes]) -> None:
        for number, chunk in enumerate(chunks):
            await publish_acknowledged(self._client, payload_subject(session_id, payload_id, number), chunk)

    async def get(self, session_id: str, payload_id: str, chunks: int) -> list[bytes]:
        found: list[bytes] = []
        for number in range(chunks):
            subject = payload_subject(session_id, payload_id, number)
            message = await reading.direct_last(self._client, PAYLOADS, subject)
            if message is None:
                message = await reading.leader_last(self._client, PAYLOADS, subject)
            if message is None:
                raise Rejected("payload_missing", "a chunk of the payload was erased")
            found.append(message.body)
        return found
