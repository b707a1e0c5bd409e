"""An event as a message, and back.

subject  <prefix>.<originator id, percent-encoded where it is no plain token>
headers  es-version, es-topic, es-insert (the id of the insert, by which a writer finds its own events)
body     the event's state, as the mapper made it
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote
from uuid import UUID

from eventsourcing.persistence import DataError, Notification, StoredEvent

VERSION = "es-version"
TOPIC = "es-topic"
INSERT = "es-insert"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to stand on a subject at a version."""

    subject: str
    version: int
    topic: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Shape:
    """How originators of one recorder are written as subjects."""

    prefix: str
    id_type: type[UUID] | type[str]

    @property
    def all_events(self) -> str:
        return f"{self.prefix}.*"

    def subject(self, originator_id: UUID | str) -> str:
        """DataError for an id that is not of the recorder's type, or empty."""
        if not isinstance(originator_id, self.id_type) or not str(originator_id):
            raise DataError(f"an originator id of this recorder is a {self.id_type.__name__}")
        return f"{self.prefix}.{token(str(originator_id))}"

    def entry(self, event: StoredEvent) -> Entry:
        """DataError for what no header can hold as it is."""
        if not event.topic or event.topic.strip() != event.topic or not event.topic.isprintable():
            raise DataError("a topic is printable text on one line")
        return Entry(self.subject(event.originator_id), event.originator_version, event.topic, event.state)

    def notification(self, subject: str, headers: Mapping[str, str], body: bytes, sequence: int) -> Notification:
        """DataError for a message that no recorder of this shape wrote."""
        head, _, last = subject.rpartition(".")
        text = unquote(last, errors="strict") if last.isascii() else ""
        try:
            originator_id = self.id_type(text)
            if head != self.prefix or self.subject(originator_id) != subject:
                raise ValueError("another recorder's subject")
            return Notification(
                originator_id=originator_id,
                originator_version=version_of(headers),
                topic=headers[TOPIC],
                state=body,
                id=sequence,
            )
        except (ValueError, KeyError, DataError):
            raise DataError(f"message {sequence} is no event of this recorder") from None


def token(text: str) -> str:
    """Text as one token of a subject, reversibly: `.`, `*`, `>`, white space and the like percent-encoded."""
    return quote(text, safe="").replace(".", "%2E").replace("~", "%7E")


def version_of(headers: Mapping[str, str]) -> int:
    """ValueError or KeyError for a message without."""
    return int(headers[VERSION])


def stored(notification: Notification) -> StoredEvent:
    """Without its place in the application's sequence, as the library compares stored events."""
    return StoredEvent(
        notification.originator_id, notification.originator_version, notification.topic, notification.state
    )
