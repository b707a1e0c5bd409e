"""The `eventsourcing` library on NATS JetStream: recorders, subscriptions and a factory. See docs/eventstore.md.

What stands on the stream: one message an event, on `<prefix>.<originator id>`; topic and version in headers, the state
as the body. What holds:

- **insert_events** is all or nothing, whatever number of originators it spans: one message, or one atomic batch. It
  returns when the events are on disk. Of several writers that give an originator the same version exactly one wins,
  the others get `IntegrityError`. Versions of an originator grow; they may leave gaps (snapshots do), never fill them.
- An acknowledgement that is lost is looked up: the insert's own id on the stream is success, so nothing is stored
  twice. `OperationalError` after the time is up: the events may or may not stand.
- **Notification ids** are the stream's sequences: they grow in the order of recording, what was read up to an id is all
  that will ever stand there, and they may have gaps (other subjects share the stream).
- What was acknowledged before a read began is in it, on every replica: a look at the leader ends each read.
- **Subscriptions** are told by the broker, in order, without gaps; nothing polls. They outlive reconnects.
- A message under the prefix that is no event of this library is a `DataError` wherever it is met, never skipped.
"""

from callgate.eventstore.connection import Connection
from callgate.eventstore.factory import JetStreamFactory
from callgate.eventstore.provisioning import create_stream, rights
from callgate.eventstore.recorders import (
    JetStreamAggregateRecorder,
    JetStreamApplicationRecorder,
    JetStreamProcessRecorder,
    JetStreamTrackingRecorder,
)
from callgate.eventstore.subscription import JetStreamSubscription

__all__ = [
    "Connection",
    "JetStreamAggregateRecorder",
    "JetStreamApplicationRecorder",
    "JetStreamFactory",
    "JetStreamProcessRecorder",
    "JetStreamSubscription",
    "JetStreamTrackingRecorder",
    "create_stream",
    "rights",
]
