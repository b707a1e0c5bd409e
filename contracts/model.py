"""The base of every contract model: immutable, and closed to fields that it does not know."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer

JsonValue = Any
"""A JSON value: None, bool, int, float, str, list or dict with string keys."""


class Contract(BaseModel):
    """A frozen model that refuses unknown fields, so a reader never skips what a newer writer meant."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants", allow_inf_nan=False)


def _utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time without a zone says nothing; write it in UTC, e.g. 2026-01-31T12:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:  # the first or last day of the calendar, in a zone that puts it beyond
        raise ValueError("a time beyond the calendar") from None


def rfc3339(value: datetime) -> str:
    """RFC 3339 in UTC with microseconds, always 27 characters, so that text order is time order."""
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return f"{utc.isoformat(timespec='microseconds')[:26]}Z"


Timestamp = Annotated[datetime, AfterValidator(_utc), PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""An aware time; on the wire RFC 3339 in UTC with microseconds."""
