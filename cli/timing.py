"""Processor time of a piece of work, as measurements on busy machines need it. Standard library alone: the benchmark
also runs this in the environments of others."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Times(NamedTuple):
    """Seconds of processor time: the quickest round's and the middle one's, each by its runs."""

    best: float
    median: float


def processor_time(work: Callable[[], object], *, rounds: int = 7, seconds: float = 0.25) -> Times:
    """Each round runs the work again and again for at least so many seconds of processor time."""
    times = sorted(_round(work, seconds) for _ in range(rounds))
    return Times(times[0], statistics.median(times))


def _round(work: Callable[[], object], seconds: float) -> float:
    runs, at_once = 0, 1
    start = time.process_time()
    while (spent := time.process_time() - start) < seconds:
        for _ in range(at_once):
            work()
        runs += at_once
        at_once = min(at_once * 2, 64)  # the clock's own resolution must not count
    return spent / runs
