"""A NATS connection for synchronous callers: an asyncio loop in a thread of its own. No wait is without a bound."""

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from eventsourcing.persistence import OperationalError, ProgrammingError
from nats.errors import Error as NatsError

from callgate.nats_client import LeanClient

logger = logging.getLogger(__name__)
T = TypeVar("T")

CONNECT_TIMEOUT = 10.0
RUN_TIMEOUT = 30.0
"""Seconds for one piece of work, beyond which it is given up; the work has tighter bounds of its own."""
_CLOSE_TIMEOUT = 5.0
_GRACE = 1.0


class Connection:
    """Shared by recorders of one process; safe to use from any thread but its own. Make one with `open`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: threading.Thread, client: LeanClient) -> None:
        self.client = client
        """Only for work that runs on this connection's loop."""
        self.reconnected: set[asyncio.Event] = set()
        """Set on the loop each time that the connection comes back."""
        self._loop = loop
        self._thread = thread
        self._closing = threading.Lock()
        self._closed = False
        self._working: set[asyncio.Task[Any]] = set()

    @classmethod
    def open(cls, servers: str | list[str], **options: Any) -> Self:
        """Connects; `options` are nats-py's (`user`, `password`, `inbox_prefix`, `tls`, …), but for callbacks.

        OperationalError where no server answers in CONNECT_TIMEOUT.
        """
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="eventstore-nats", daemon=True)
        thread.start()
        connection = cls(loop, thread, LeanClient())
        try:
            connection.run(connection._connect(servers, options), CONNECT_TIMEOUT)
        except BaseException:
            connection.close()
            raise
        return connection

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = RUN_TIMEOUT) -> T:
        """The result of work on the connection's loop. `timeout` None: the work ends when it is told to.

        OperationalError where time is up or the connection is closed.
        """
        if self._closed or threading.get_ident() == self._thread.ident:
            work.close()
            if self._closed:
                raise OperationalError("the connection is closed")
            raise ProgrammingError("waiting for the loop on the loop itself would never end")
        future = asyncio.run_coroutine_threadsafe(self._work(work, timeout), self._loop)
        try:
            return future.result(None if timeout is None else timeout + _GRACE)
        except concurrent.futures.CancelledError:
            raise OperationalError("the connection was closed meanwhile") from None
        except TimeoutError:
            raise OperationalError("the broker did not answer in time") from None
        finally:
            future.cancel()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Work that goes on beside the callers', until it ends or the connection closes. OperationalError."""
        if self._closed:
            work.close()
            raise OperationalError("the connection is closed")
        asyncio.run_coroutine_threadsafe(self._work(work, None), self._loop)

    async def _work(self, work: Coroutine[Any, Any, T], seconds: float | None) -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # it runs as one
        self._working.add(task)
        try:
            async with asyncio.timeout(seconds):
                return await work
        finally:
            self._working.discard(task)

    async def _connect(self, servers: str | list[str], options: dict[str, Any]) -> None:
        async def on_error(error: Exception) -> None:
            # The kind alone: texts of the broker quote subjects, which hold originator ids.
            logger.warning("trouble with the broker", extra={"kind": type(error).__name__})

        async def on_reconnect() -> None:
            for event in self.reconnected:
                event.set()

        settings = {"max_reconnect_attempts": -1, **options, "error_cb": on_error, "reconnected_cb": on_reconnect}
        try:
            await self.client.connect(servers, **settings)
        except (NatsError, OSError):
            raise OperationalError("the broker cannot be reached") from None

    async def _end(self) -> None:
        """All work first: nothing of it is to meet a closed client."""
        try:
            working = set(self._working)
            for task in working:
                task.cancel()
            if working:
                await asyncio.wait(working, timeout=_CLOSE_TIMEOUT)
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self.client.close()
        except (NatsError, OSError, TimeoutError):
            logger.warning("the connection did not close cleanly")
        finally:
            self._loop.call_soon(self._loop.stop)

    def close(self) -> None:
        """Ends all work, the connection and its thread. What waits gets OperationalError. Safe to repeat."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join(3 * _CLOSE_TIMEOUT)
        if not self._thread.is_alive():
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
