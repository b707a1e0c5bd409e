"""The library's recorders on a stream. The contract is the docstring of `callgate.eventstore`."""

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    IntegrityError,
    Notification,
    NotSupportedError,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)

from callgate.eventstore.connection import Connection
from callgate.eventstore.stream import EventStream
from callgate.eventstore.subscription import JetStreamSubscription
from callgate.eventstore.wire import Entry, Shape, stored, token, version_of
from callgate.log.messages import Message

TRACKED: Literal["tracked"] = "tracked"
"""The topic of what a tracking recorder writes."""
_PAGE = 256


class JetStreamAggregateRecorder(AggregateRecorder):
    """Events by originator, on `<prefix>.<originator id>` of a stream that exists.

    `originator_id_type` is the type of the ids, UUID or str, as the aggregates have it.
    """

    def __init__(
        self, connection: Connection, stream: str, prefix: str, originator_id_type: type[UUID] | type[str] = UUID
    ) -> None:
        self.connection = connection
        self.stream_name = stream
        self.shape = Shape(prefix, originator_id_type)
        self._stream = EventStream(connection.client, stream)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        self._insert(stored_events, **kwargs)
        return None

    def _insert(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> list[int]:
        if any(given is not None for given in kwargs.values()):  # an application always names `tracking`
            raise NotSupportedError("this recorder stores events and nothing beside them")
        return self._insert_entries([self.shape.entry(event) for event in stored_events])

    def _insert_entries(self, entries: list[Entry]) -> list[int]:
        return self.connection.run(self._stream.insert(entries)) if entries else []

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        subject = self.shape.subject(originator_id)
        if desc and limit == 1 and lte is None:
            last = self.connection.run(self._stream.last(subject))
            found = [] if last is None else [self._event(last)]
            return [event for event in found if gt is None or event.originator_version > gt]
        # Ascending, the limit ends the reading; descending, the last of all are wanted.
        events = self.connection.run(self._events(subject, gt, lte, None if desc else limit))
        return events[::-1][:limit] if desc else events

    async def _events(self, subject: str, gt: int | None, lte: int | None, limit: int | None) -> list[StoredEvent]:
        events: list[StoredEvent] = []
        if limit is not None and limit <= 0:
            return events
        async for message in self._stream.read(subject, self._stream.start_after(subject, gt)):
            event = self._event(message)
            if lte is not None and event.originator_version > lte:
                break
            self._stream.remember(subject, event.originator_version, message.sequence)
            if gt is None or event.originator_version > gt:
                events.append(event)
                if len(events) == limit:
                    break
        return events

    def _event(self, message: Message) -> StoredEvent:
        return stored(self._notification(message))

    def _notification(self, message: Message) -> Notification:
        return self.shape.notification(message.subject, message.headers, message.body, message.sequence)


class JetStreamApplicationRecorder(JetStreamAggregateRecorder, ApplicationRecorder):
    """Events by originator, and all of them in the order of recording. Notification ids are the stream's sequences."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        return self._insert(stored_events, **kwargs)

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        first = max(1, start if start is not None else 1)
        if start is not None and not inclusive_of_start:
            first = max(1, start + 1)
        return self.connection.run(self._notifications(first, limit, stop, frozenset(topics)))

    async def _notifications(
        self, first: int, limit: int, stop: int | None, topics: frozenset[str]
    ) -> list[Notification]:
        found: list[Notification] = []
        if limit <= 0:
            return found
        # Topics stand in headers, which no filter of the broker knows: they are picked out here.
        page = _PAGE if topics else min(limit, _PAGE)
        async for message in self._stream.read(self.shape.all_events, first, page):
            if stop is not None and message.sequence > stop:
                break
            notification = self._notification(message)
            if not topics or notification.topic in topics:
                found.append(notification)
                if len(found) == limit:
                    break
        return found

    def max_notification_id(self) -> int | None:
        last = self.connection.run(self._stream.last(self.shape.all_events))
        return None if last is None else last.sequence

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        return JetStreamSubscription(self, gt=gt, topics=topics)


class JetStreamTrackingRecorder(TrackingRecorder):
    """How far other applications' events were processed: on `<tracking prefix>.<application>`, ids that only grow."""

    def __init__(self, connection: Connection, stream: str, tracking_prefix: str) -> None:
        self.connection = connection
        self.stream_name = stream
        self.tracking_prefix = tracking_prefix
        self._stream = EventStream(connection.client, stream)

    def insert_tracking(self, tracking: Tracking) -> None:
        self.connection.run(self._stream.insert([self._tracked(tracking)]))

    def max_tracking_id(self, application_name: str) -> int | None:
        last = self.connection.run(self._stream.last(self._tracking_subject(application_name)))
        return None if last is None else version_of(last.headers)

    def _tracking_subject(self, application_name: str) -> str:
        return f"{self.tracking_prefix}.{token(application_name)}"

    def _tracked(self, tracking: Tracking) -> Entry:
        return Entry(self._tracking_subject(tracking.application_name), tracking.notification_id, TRACKED, b"")


class JetStreamProcessRecorder(JetStreamTrackingRecorder, JetStreamApplicationRecorder, ProcessRecorder):
    """Events, and in the same atomic batch how far another application's were processed: exactly once, that is."""

    def __init__(
        self,
        connection: Connection,
        stream: str,
        prefix: str,
        tracking_prefix: str,
        originator_id_type: type[UUID] | type[str] = UUID,
    ) -> None:
        JetStreamApplicationRecorder.__init__(self, connection, stream, prefix, originator_id_type)
        if tracking_prefix == prefix:
            raise IntegrityError("tracking needs a prefix of its own")
        self.tracking_prefix = tracking_prefix

    def _insert(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> list[int]:
        tracking: Tracking | None = kwargs.pop("tracking", None)
        if tracking is None:
            return super()._insert(stored_events, **kwargs)
        if any(given is not None for given in kwargs.values()):
            raise NotSupportedError("this recorder stores events, and the tracking of others")
        events = [self.shape.entry(event) for event in stored_events]
        return self._insert_entries([*events, self._tracked(tracking)])[: len(events)]
