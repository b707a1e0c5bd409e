"""What every test shares: how hard Hypothesis looks, and that no test waits for ever."""

import asyncio
import faulthandler
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# No deadline: a busy machine is no defect. `HYPOTHESIS_PROFILE=thorough pytest …` looks longer.
_SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile("quick", max_examples=50, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("thorough", max_examples=2000, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

GRACE = 180.0
"""Seconds after its time-out in which a test must clean up; then its process ends, and xdist goes on with another."""
_STDERR = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        # Ended from outside (CI's limit), pytest still tells what has failed so far, as it does for Ctrl-C.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The standard error that was there before pytest captured it: what is written as the process ends must be seen.
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        config.stash[_STDERR] = os.dup(2)


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Iterator[Any]:
    """pytest-timeout fails the test; here: where each task stood, and an end for what does not end even then.

    pytest-timeout's alarm cannot help where the test swallows it or its clean-up waits too, and is given up at the
    first failure. So a watchdog of C runs beside it, until the test is over.
    """
    done = yield
    _watch(item.session, settings.timeout + GRACE)
    alarm = signal.getsignal(signal.SIGALRM)
    if settings.method == "signal" and callable(alarm):

        def told(number: int, frame: FrameType | None) -> None:
            _tell_where_tasks_stand()
            alarm(number, frame)

        signal.signal(signal.SIGALRM, told)
    return done


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    if isinstance(node, pytest.Item):  # pytest has just ended every watchdog, and the clean-up is yet to come
        _watch(node.session, GRACE)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _watch(session: pytest.Session, seconds: float) -> None:
    faulthandler.dump_traceback_later(seconds, exit=True, file=session.config.stash[_STDERR])


def _tell_where_tasks_stand() -> None:
    """The stack of each asyncio task on standard error, as pytest-timeout has those of the other threads there."""
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:
        return  # no loop runs in this thread
    for task in tasks:
        sys.stderr.write(f"\ntask {task.get_name()}:\n")
        task.print_stack(file=sys.stderr)
