"""Structured logs, metrics, traces. A log line carries ids and our own codes, never a raw value.

An exception is logged as its type and the places in the code that it passed, without its text: texts of libraries
quote what they were given.
"""

import contextlib
import functools
import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Protocol

from prometheus_client import Counter, Gauge, Histogram

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_OURS = ("callgate", "services", "cli")

EVENTS_APPENDED = Counter("callgate_events_appended_total", "Events appended to the log.", ["service", "event"])
ALIENS = Counter("callgate_alien_messages_total", "Messages on the log that are none of ours.", ["service", "code"])
DELIVERIES = Counter("callgate_deliveries_total", "Deliveries handled, by what became of them.", ["service", "outcome"])
HANDLING = Histogram(
    "callgate_handling_seconds",
    "Seconds from receipt of a delivery to its acknowledgement.",
    ["service", "event"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
REQUESTS = Counter("callgate_http_requests_total", "HTTP requests.", ["service", "route", "status"])
HELD = Gauge("callgate_held", "Calls and event streams that are held open for who waits.")


@functools.cache
def events_appended(service: str, event: str) -> Counter:
    """The counter of one service and event, looked up once: a look-up costs more than counting."""
    return EVENTS_APPENDED.labels(service, event)


@functools.cache
def deliveries(service: str, outcome: str) -> Counter:
    return DELIVERIES.labels(service, outcome)


@functools.cache
def handling(service: str, event: str) -> Histogram:
    return HANDLING.labels(service, event)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, service, what, and the ids given as `extra`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": getattr(record, "service", self._service),
            "logger": record.name,
            "message": _message(record),
        }
        line |= _extra(record)
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = describe(record.exc_info[1])
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """For a terminal: time, level, service, what, ids."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        extra = " ".join(f"{k}={v}" for k, v in _extra(record).items())
        service = getattr(record, "service", self._service)
        line = f"{at} {record.levelname.lower():7} {service:9} {_message(record)} {extra}".rstrip()
        if record.exc_info and record.exc_info[1] is not None:
            line += f" error={describe(record.exc_info[1])}"
        return line


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in _OURS


def _message(record: logging.LogRecord) -> str:
    """Libraries log the text of errors, and with it what they were given: of theirs, only who and where is kept."""
    return record.getMessage() if _is_ours(record) else f"a library warned at {record.filename}:{record.lineno}"


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    if not _is_ours(record):
        return {}
    return {k: v for k, v in record.__dict__.items() if k not in _STANDARD and k != "service"}


def describe(error: BaseException) -> str:
    """The type of an error and the last three places it passed; never its text."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    code = getattr(error, "code", None)
    coded = f"({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""
    return f"{type(error).__name__}{coded} at {places}" if places else f"{type(error).__name__}{coded}"


def configure_logging(service: str, level: str = "INFO", style: str = "json") -> None:
    """Sends every logger to standard error in one shape. Libraries below WARNING are silent: they quote payloads."""
    formatter: logging.Formatter = JsonFormatter(service) if style == "json" else TextFormatter(service)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for library in logging.Logger.manager.loggerDict.values():
        if isinstance(library, logging.Logger):  # whatever set itself up before would go around this handler
            library.handlers.clear()
            library.propagate = True
    for ours in _OURS:
        logging.getLogger(ours).setLevel(level.upper())
    # On the handler, since a logger's own filter does not see what its children log.
    handler.addFilter(lambda record: _is_ours(record) or record.levelno >= logging.WARNING)


class Tracer(Protocol):
    """A span around a step; gives the `traceparent` to hand on."""

    def span(self, name: str, traceparent: str | None) -> contextlib.AbstractContextManager[str | None]: ...


class PassingTracer:
    """Makes no spans and hands the caller's trace context on, so that a trace is whole where others trace."""

    def span(self, name: str, traceparent: str | None) -> contextlib.AbstractContextManager[str | None]:  # noqa: ARG002
        return contextlib.nullcontext(traceparent)
