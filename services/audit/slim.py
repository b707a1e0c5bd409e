"""Events without their payloads: what the fold and the projection need, at a fraction of the memory."""

import dataclasses
from typing import get_args

from contracts.events import EVENTS, EventData, Recorded, Sealed

SEALED_FIELDS: dict[type[EventData], tuple[str, ...]] = {
    kind: tuple(
        name
        for name, declared in kind.model_fields.items()
        if declared.annotation is Sealed or Sealed in get_args(declared.annotation)
    )
    for kind in EVENTS
}
"""The fields of each event that hold a sealed payload."""
_EXCLUDED = {kind: set(fields) for kind, fields in SEALED_FIELDS.items()}


SMALL = 2048
"""Characters of a ciphertext that may stay: copying an event costs more than it holds."""


def without_payloads(recorded: Recorded) -> Recorded:
    """The same event with large ciphertexts left out; that there is one remains to be seen. For folding only."""
    data = recorded.data
    emptied = {
        name: sealed.model_copy(update={"ciphertext": None})
        for name in SEALED_FIELDS[type(data)]
        if (sealed := getattr(data, name)) is not None and len(sealed.ciphertext or "") > SMALL
    }
    if not emptied:
        return recorded
    event = recorded.event.model_copy(update={"data": data.model_copy(update=emptied)})
    return dataclasses.replace(recorded, event=event)


def public_facts(data: EventData) -> str:
    """The event's data as JSON text without its sealed payloads: those stay on the log, erasable with their keys."""
    return data.model_dump_json(exclude=_EXCLUDED[type(data)])
