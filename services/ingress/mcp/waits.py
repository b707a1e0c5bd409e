"""Tool calls that this process waits for. The waiting ends with its request; the call itself goes on.

The SDK ends a handler whose client is gone in a way in which nothing can be awaited any more, not even giving back a
subscription. So each waiting is a task of its own, which is ended only once the call stands on the log.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from callgate.errors import CallgateError
from callgate.http import Problem
from callgate.telemetry import describe
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.subjects import CallRef
from services.ingress.calls import Begun
from services.ingress.doors import FrontDesk

logger = logging.getLogger("services.ingress")

T = TypeVar("T")
RequestKey = tuple[str, str]
"""An MCP session's id and a request's, which is the client's own and unique only there."""


class Waits:
    """What is waited for, and which request of which session asked for it."""

    def __init__(self, desk: FrontDesk) -> None:
        self._desk = desk
        self._tasks: set[asyncio.Task[Any]] = set()
        self._asked: dict[RequestKey, CallRef] = {}

    async def recorded(self, work: Callable[[Begun], Coroutine[Any, Any, Call]], key: RequestKey | None) -> Call:
        """What `work` gives, which tells when its call stands. Cancelled, it leaves the call to itself."""
        stands, left = False, False

        def begun(ref: CallRef) -> None:
            nonlocal stands
            stands = True
            if key is not None:
                self._asked[key] = ref
            if left:
                task.cancel()

        task = self._started(work(begun))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            left = True
            if stands:
                task.cancel()
            raise
        finally:
            if key is not None:
                self._asked.pop(key, None)

    async def watched(self, work: Coroutine[Any, Any, Call]) -> Call:
        """What `work` gives; ended with whoever waits."""
        task = self._started(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            raise

    def withdraw(self, key: RequestKey, principal: Principal) -> None:
        """Withdraws the call of a request that its client takes back, where it stands and has not begun."""
        ref = self._asked.get(key)
        if ref is not None:
            self._started(self._withdraw(principal, ref))

    async def drained(self, seconds: float) -> None:
        """Once nothing is waited for, or after these seconds."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=seconds)

    async def _withdraw(self, principal: Principal, ref: CallRef) -> None:
        try:
            await self._desk.cancel(principal, str(ref))
        except Problem as problem:
            logger.info("a call that its client took back goes on", extra={"call": str(ref), "code": problem.code})
        except CallgateError as error:
            logger.warning("a call could not be withdrawn", extra={"call": str(ref), "error": describe(error)})

    def _started(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        with contextlib.suppress(asyncio.CancelledError):
            task.exception()  # whoever left does not read it
