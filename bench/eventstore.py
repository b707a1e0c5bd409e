"""How fast `callgate.eventstore` is on one nats-server that syncs every write: `python -m bench.eventstore`.

Appending from 1 and from 16 threads, in batches; replaying everything as notifications and by subscription; loading
aggregates. No figure here decides whether anything passes.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

from eventsourcing.persistence import StoredEvent

from bench import bare_server
from callgate.eventstore import Connection, JetStreamApplicationRecorder, create_stream

STATE = b'{"amount":"12.50","currency":"EUR","to":"acct-4711","reason":"goods came back","by":"agent-7"}'
STREAM, PREFIX = "BENCH", "bench.events"
LENGTH = 10
"""Events of an aggregate."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.eventstore", description=__doc__)
    parser.add_argument("--events", type=int, default=20_000, help="how many stand when reading is measured")
    events: int = parser.parse_args().events
    with (
        tempfile.TemporaryDirectory(prefix="callgate-bench-") as folder,
        bare_server.running(Path(folder)) as url,
        Connection.open(url) as connection,
    ):
        create_stream(connection, STREAM, "bench.>")
        measure(JetStreamApplicationRecorder(connection, STREAM, PREFIX), events)


def measure(recorder: JetStreamApplicationRecorder, events: int) -> None:
    """Prints a line a measurement."""
    originators: list[UUID] = []

    def append(_: int, count: int = 1) -> None:
        originator = uuid4()
        recorder.insert_events([_event(originator, version) for version in range(1, count + 1)])
        originators.append(originator)

    append(0)  # warms up
    alone = [_seconds(lambda: append(0)) for _ in range(1000)]
    _say("append, 1 thread", len(alone) / sum(alone), f"p50 {_p50(alone)}")
    _say("append, 16 threads", _pooled(append, 4000))
    together = [_seconds(lambda: append(0, LENGTH)) for _ in range(100)]
    _say("append, 1 thread, 10 a batch", LENGTH * len(together) / sum(together), f"p50 {_p50(together)} a batch")
    _say("append, 16 threads, 10 a batch", LENGTH * _pooled(lambda number: append(number, LENGTH), 400))
    _say("append, 4 threads, 100 a batch", 100 * _pooled(lambda number: append(number, 100), 80, threads=4))
    standing = recorder.max_notification_id() or 0
    missing = max(0, events - standing) // 500
    _pooled(lambda number: append(number, 500), missing, threads=4)
    standing = recorder.max_notification_id() or 0
    _say(
        "replay, select_notifications", standing / _seconds(lambda: _replayed(recorder, standing)), f"{standing} events"
    )
    _say("replay, subscription", standing / _seconds(lambda: _subscribed(recorder, standing)), f"{standing} events")
    _load(recorder)


def _load(recorder: JetStreamApplicationRecorder) -> None:
    aggregates = [uuid4() for _ in range(200)]
    for originator in aggregates:
        recorder.insert_events([_event(originator, version) for version in range(1, LENGTH + 1)])
    times = [_seconds(lambda each=originator: recorder.select_events(each)) for originator in aggregates]  # type: ignore[misc]
    _say(
        f"load {LENGTH} events of one originator",
        len(times) / sum(times),
        f"p50 {_p50(times)}",
    )


def _replayed(recorder: JetStreamApplicationRecorder, standing: int) -> None:
    start, seen = 1, 0
    while page := recorder.select_notifications(start, 1000):
        start, seen = page[-1].id + 1, seen + len(page)
    if seen != standing:
        raise RuntimeError("the replay is not what stands")


def _subscribed(recorder: JetStreamApplicationRecorder, standing: int) -> None:
    with recorder.subscribe() as notifications:
        for _ in itertools.islice(notifications, standing):
            pass


def _event(originator: UUID, version: int) -> StoredEvent:
    return StoredEvent(originator, version, "bench:Account.Credited", STATE)


def _p50(seconds: Sequence[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.2f} ms"


def _seconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def _pooled(act: Callable[[int], None], times: int, threads: int = 16) -> float:
    """How often a second."""

    def all_of_them() -> Sequence[None]:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(act, range(times)))

    return times / _seconds(all_of_them)


def _say(what: str, rate: float, beside: str = "") -> None:
    print(f"{what:34} {rate:8,.0f}/s  {beside}".rstrip())


if __name__ == "__main__":
    main()
