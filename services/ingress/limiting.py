"""Limits over all replicas: counts on ADMISSION, each change by compare-and-set, so that no two replicas give out the
same room, and a restart forgets nothing.

A rate is leased: a replica takes a few calls ahead for a second at most, and answers from memory meanwhile. Calls in
progress are a list of ids that the log is asked about when it is full; nothing is written when a call ends. Those who
ask while a change is on its way share the next one.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple, Protocol

from nats.aio.client import Client

from callgate.errors import BrokerAway, LostRace
from callgate.limit_settings import LimitSettings
from callgate.log import Log, reading
from callgate.records import publish_acknowledged
from contracts.functions import Catalog
from contracts.identity import Principal
from contracts.subjects import ADMISSION, CallRef, limit_subject
from services.ingress.domain import is_answered
from services.ingress.limits import (
    Decision,
    Lease,
    Taken,
    concerns,
    decide,
    decode,
    encode,
    rate_of,
    room_in,
)

logger = logging.getLogger("services.ingress")

FULL_FOR = 1.0
"""Seconds for which a full list of calls is believed to be full: asking the log of all of them costs a read each."""
_UNRECORDED_FOR = 60.0
"""Seconds after which an id that the log knows nothing of was never recorded, or never will be."""
_ENTRIES = 10_000
_ATTEMPTS = 20
_READS = 16
_KEPT_CALLS = "720h"


class OverLimit(Exception):
    """A limit has no room for the call; nothing was recorded. `retry_after` is in seconds."""

    def __init__(self, limit: str, code: str, retry_after: float) -> None:
        super().__init__(code)
        self.limit = limit
        self.code = code
        self.retry_after = retry_after


class Limits(Protocol):
    """Whether there is room for one more call."""

    async def admit(self, principal: Principal, function: str, ref: CallRef, /) -> None:
        """Counts the call. OverLimit; BrokerAway where nobody can say."""
        ...

    def answered(self, ref: CallRef, /) -> None:
        """The call is over, or was not recorded: it is in progress no more."""
        ...


class Unlimited:
    """Where no limit is configured."""

    async def admit(self, _principal: Principal, _function: str, _ref: CallRef, /) -> None:
        return None

    def answered(self, _ref: CallRef, /) -> None:
        return None


class Limiting:
    """`Limits` by the operator's settings."""

    def __init__(
        self,
        client: Client,
        log: Log,
        limits: Sequence[LimitSettings],
        catalog: Catalog,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._log = log
        self._limits = tuple(limits)
        self._catalog = catalog
        self._clock = clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()
        self._counted: dict[CallRef, tuple[_Count, ...]] = {}

    async def admit(self, principal: Principal, function: str, ref: CallRef) -> None:
        known = self._catalog.get(function)
        concerned = [limit for limit in self._limits if concerns(limit, principal, known)]
        # What is refused must cost others nothing: one's own limits are asked before those that all share.
        concerned.sort(key=lambda limit: limit.per == "everyone")
        counts = [self._count(limit, principal) for limit in concerned]
        if not counts:
            return
        self._counted[ref] = tuple(counts)
        try:
            for count in counts:
                count.require_room()
            for count in counts:
                await count.admit(ref)
        except BaseException as error:
            self.answered(ref)
            if isinstance(error, OverLimit):
                logger.info("a limit has no room", extra={"limit": error.limit, "code": error.code})
            raise
        if not any(count.lists for count in counts):
            del self._counted[ref]

    def answered(self, ref: CallRef) -> None:
        for count in self._counted.pop(ref, ()):
            count.ended(ref)

    def forget(self, refs: Iterable[CallRef]) -> None:
        """What somebody else struck off a list."""
        for ref in refs:
            self._counted.pop(ref, None)

    def _count(self, limit: LimitSettings, principal: Principal) -> "_Count":
        who = [] if limit.per == "everyone" else [principal.issuer, principal.id]
        digest = hashlib.sha256(json.dumps(who).encode()).digest()[:20]
        subject = limit_subject(limit.name, base64.b32encode(digest).decode().lower())
        count = self._counts.get(subject)
        if count is None:
            count = self._counts[subject] = _Count(self._client, self._log, limit, subject, self._clock, self.forget)
            if len(self._counts) > _ENTRIES:
                oldest = next(iter(self._counts))
                if self._counts[oldest].idle:
                    self._counts.pop(oldest).drop()
        self._counts.move_to_end(subject)
        return count


class _Asked(NamedTuple):
    ref: CallRef
    admitted: "asyncio.Future[None]"


class _Count:
    """One limit for one principal, or for all: the counts as last seen, and what is leased of them."""

    def __init__(
        self,
        client: Client,
        log: Log,
        limit: LimitSettings,
        subject: str,
        clock: Callable[[], datetime],
        forget: Callable[[Iterable[CallRef]], None],
    ) -> None:
        self._client = client
        self._log = log
        self._limit = limit
        self._rate = rate_of(limit)
        self._subject = subject
        self._clock = clock
        self._forget = forget
        self._taken = Taken()
        self._sequence: int | None = None
        self._lease = Lease()
        self._full_until = 0.0
        self._over: set[str] = set()
        self._asked: list[_Asked] = []
        self._work: asyncio.Task[None] | None = None

    @property
    def lists(self) -> bool:
        """Whether it has a list of calls in progress."""
        return self._limit.concurrent is not None

    @property
    def idle(self) -> bool:
        return self._work is None and not self._asked

    async def admit(self, ref: CallRef) -> None:
        if not self.lists and self._lease.at(self._now()):
            self._lease = replace(self._lease, left=self._lease.left - 1)
            return
        self.require_room()
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.append(_Asked(ref, admitted))
        if self._work is None:
            self._work = asyncio.create_task(self._settle_all(), name="limits")
        await admitted

    def require_room(self) -> None:
        """OverLimit where there is none as far as is known: others take and do not give back, so what is known to be
        used up is."""
        now = self._now()
        if self._rate is not None and not self._lease.at(now) and (wait := room_in(self._taken, self._rate, now)):
            raise OverLimit(self._limit.name, "rate_limited", wait)
        if now < self._full_until:
            raise OverLimit(self._limit.name, "too_many_calls", self._full_until - now)

    def ended(self, ref: CallRef) -> None:
        if self.lists and str(ref) in self._taken.calls:
            self._over.add(str(ref))
            self._full_until = 0.0

    def drop(self) -> None:
        """Nobody asks any more."""
        self._take_over(Taken())

    async def _settle_all(self) -> None:
        try:
            while self._asked:
                batch, self._asked = self._asked, []
                try:
                    admitted, refusal = await self._settle(batch)
                except Exception as error:
                    admitted, refusal = 0, error
                for position, one in enumerate(batch):
                    if one.admitted.done():  # who asked has gone
                        continue
                    if position < admitted or refusal is None:
                        one.admitted.set_result(None)
                    else:
                        one.admitted.set_exception(refusal)
        finally:
            self._work = None

    async def _settle(self, batch: Sequence[_Asked]) -> tuple[int, Exception | None]:
        """How many of the batch are counted, the first ones, and why not the others. BrokerAway."""
        asked = [str(one.ref) for one in batch]
        for _ in range(_ATTEMPTS):
            if self._sequence is None:
                await self._read()
            kept = await self._kept(len(batch))
            now = self._now()
            decision = decide(self._limit, kept, asked, self._lease, now)
            if decision.admitted:
                try:
                    await self._write(decision.taken)
                except LostRace:
                    self._sequence = None
                    continue
                except BrokerAway:  # it may stand
                    self._sequence = None
                    raise
                self._lease = decision.lease
            return decision.admitted, self._refusal(decision, now)
        raise BrokerAway("too many replicas count at the same time")

    def _refusal(self, decision: Decision, now: float) -> OverLimit | None:
        if decision.lacking == "too_many_calls":
            self._full_until = now + FULL_FOR
            return OverLimit(self._limit.name, decision.lacking, FULL_FOR)
        if decision.lacking is None or self._rate is None:
            return None
        return OverLimit(self._limit.name, decision.lacking, room_in(decision.taken, self._rate, now))

    async def _kept(self, wanted: int) -> Taken:
        """The counts without the calls that are over: those that are known to be, and where it is full, those of
        which the log says so."""
        taken = self._without(self._over)
        if self._limit.concurrent is None or len(taken.calls) + wanted <= self._limit.concurrent:
            return taken
        await self._read()  # somebody else may have made room
        over = set(self._over)
        for start in range(0, len(self._taken.calls), _READS):
            some = [call for call in self._taken.calls[start : start + _READS] if call not in over]
            found = await asyncio.gather(*(self._is_over(call) for call in some))
            over |= {call for call, is_over in zip(some, found, strict=True) if is_over}
        return self._without(over)

    def _without(self, over: set[str]) -> Taken:
        calls = self._taken.calls
        return replace(self._taken, calls=tuple(call for call in calls if call not in over)) if over else self._taken

    async def _is_over(self, call_id: str) -> bool:
        try:
            ref = CallRef.parse(call_id)
        except ValueError:
            return True
        call = (await self._log.read(ref)).call
        if call.chain:
            return is_answered(call)
        asked_at = int(ref.call_id.replace("-", "")[:12], 16) / 1000  # a UUIDv7 begins with its milliseconds
        return self._now() - asked_at > _UNRECORDED_FOR

    async def _read(self) -> None:
        message = await reading.leader_last(self._client, ADMISSION, self._subject)
        self._sequence = message.sequence if message is not None else 0
        self._take_over(decode(message.body) if message is not None else Taken())

    async def _write(self, changed: Taken) -> None:
        headers = {"Nats-Expected-Last-Subject-Sequence": str(self._sequence), "Nats-TTL": self._kept_for}
        self._sequence = await publish_acknowledged(self._client, self._subject, encode(changed), headers)
        self._take_over(changed)

    def _take_over(self, taken: Taken) -> None:
        gone = set(self._taken.calls) - set(taken.calls)
        self._taken = taken
        self._over &= set(taken.calls)
        with contextlib.suppress(ValueError):
            self._forget(CallRef.parse(call) for call in gone)

    @property
    def _kept_for(self) -> str:
        """How long the counts say something: calls may wait for people for weeks, a budget is whole again after."""
        if self.lists or self._rate is None:
            return _KEPT_CALLS
        return f"{int(self._rate.interval * self._rate.burst) + 60}s"

    def _now(self) -> float:
        return self._clock().timestamp()
