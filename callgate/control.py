"""Following part of CONTROL from its leader: what was acknowledged before one asks is known afterwards.

CONTROL is not republished, so whoever must know its last word asks for what came since: one request while nothing did.
Those who ask at the same time share one; each waits for a reading that began after it asked.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from nats.aio.client import Client

from callgate.errors import BrokerAway
from callgate.ids import name_session
from callgate.keyring import UNKNOWN_KEY, BadSignature
from callgate.log import reading
from callgate.log.messages import Message
from callgate.records import Records, Standing
from callgate.sealing import Place
from contracts.freezes import Freeze, Freezes, first_stopping
from contracts.grants import Grant, Grants
from contracts.identity import Principal
from contracts.records import Frozen, FrozenV1, Granted, GrantRevoked, GrantUsed, Unfrozen
from contracts.subjects import ALL_FREEZES, ALL_GRANTS, CONTROL, CallRef, Partition

logger = logging.getLogger("callgate.control")

LOOK_EVERY = 0.5
"""Seconds between looks of those who only keep up."""
_RING_LAG_LIMIT = timedelta(days=1)
_UNKNOWN_KEPT = 64


class Feed:
    """Every record of CONTROL that fits a filter, handed to `take` once, in order, verified."""

    def __init__(
        self,
        client: Client,
        records: Records,
        subject_filter: str,
        take: Callable[[Standing], None],
        saw: Callable[[Message], None] = lambda _: None,
    ) -> None:
        """`saw` is told of every message first, whether it verifies or not."""
        self._client = client
        self._records = records
        self._filter = subject_filter
        self._take = take
        self._saw = saw
        self._next = 1
        self._reading = asyncio.Lock()
        self._queued: asyncio.Task[None] | None = None
        self._unknown: dict[int, Message] = {}
        """Of keys that our ring does not have (yet): it may lag behind a rotation, so they are looked at again."""

    async def refresh(self) -> None:
        """Afterwards everything is taken that was acknowledged before. BrokerAway."""
        if self._queued is None:
            self._queued = asyncio.create_task(self._read_after())
            self._queued.add_done_callback(_retrieved)
        await asyncio.shield(self._queued)

    async def follow(self) -> None:
        """Keeps up for ever; waits out a broker that is away."""
        while True:
            try:
                await self.refresh()
            except BrokerAway:
                logger.warning("CONTROL cannot be read now; what it said before holds")
            await asyncio.sleep(LOOK_EVERY)

    async def _read_after(self) -> None:
        async with self._reading:  # a reading that is under way may have passed what must be seen
            self._queued = None
            await self._read()

    async def _read(self) -> None:
        for message in list(self._unknown.values()):
            self._verify(message)
        if self._next == 1:  # the past in batches from any replica, the rest below from the leader
            async for message in reading.direct_all(self._client, CONTROL, self._filter):
                self._pass(message)
        while (message_ := await reading.leader_next(self._client, CONTROL, self._filter, self._next)) is not None:
            self._pass(message_)

    def _pass(self, message: Message) -> None:
        self._saw(message)
        self._verify(message)
        self._next = message.sequence + 1

    def _verify(self, message: Message) -> None:
        before = self._unknown.pop(message.sequence, None)
        try:
            standing = self._records.verify(message)
        except BadSignature as bad:
            if before is None:
                logger.error(
                    "an alien message stands on CONTROL", extra={"sequence": message.sequence, "code": bad.code}
                )
            recent = message.recorded_at > _now() - _RING_LAG_LIMIT
            if bad.code == UNKNOWN_KEY and recent and len(self._unknown) < _UNKNOWN_KEPT:
                self._unknown[message.sequence] = message
            return
        self._take(standing)


class FreezeBook:
    """The freezes of a deployment. Ask from memory, or `refresh` before for the leader's last word."""

    def __init__(self, client: Client, records: Records, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._freezes = Freezes()
        self._feed = Feed(client, records, ALL_FREEZES, self._apply)
        self.refresh = self._feed.refresh
        self.follow = self._feed.follow

    def _apply(self, standing: Standing) -> None:
        if isinstance(standing.data, Frozen | FrozenV1 | Unfrozen):
            self._freezes = self._freezes.apply(standing.record)

    def get(self, freeze_id: str) -> Freeze | None:
        return self._freezes.all.get(freeze_id)

    def known(self) -> tuple[Freeze, ...]:
        """Those that are over too."""
        return tuple(self._freezes.all.values())

    def in_force(self) -> tuple[Freeze, ...]:
        return self._freezes.in_force(self._clock())

    def stopping(self, principal: Principal, session_id: str | None, function: str) -> Freeze | None:
        """The freeze that stops such a call at this moment, as far as is known."""
        return first_stopping(self.in_force(), principal, session_id, function)


class GrantBook:
    """The grants of a deployment, with what was counted on them."""

    def __init__(self, client: Client, records: Records, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._grants: dict[str, Grants] = {}
        """Folded one by one: a use must not cost more the more grants there are."""
        self._last: dict[str, int] = {}
        feed = Feed(client, records, ALL_GRANTS, self._apply, self._saw)
        self.refresh = feed.refresh
        self.follow = feed.follow

    def _saw(self, message: Message) -> None:
        self._last[_grant_of(message.subject)] = message.sequence

    def _apply(self, standing: Standing) -> None:
        if isinstance(standing.data, Granted | GrantUsed | GrantRevoked):
            grant_id = standing.data.grant_id
            self._grants[grant_id] = self._grants.get(grant_id, Grants()).apply(standing.record, standing.digest)

    def get(self, grant_id: str) -> Grant | None:
        return self._grants.get(grant_id, Grants()).all.get(grant_id)

    def standing(self) -> tuple[Grant, ...]:
        """Those that count at this moment, used up or not, the soonest to expire first."""
        now = self._clock()
        found = (grant for one in self._grants.values() for grant in one.all.values() if grant.stands(now))
        return tuple(sorted(found, key=lambda grant: (grant.data.expires_at, grant.data.grant_id)))

    def last_sequence(self, grant_id: str) -> int:
        """Of all that is known to stand about the grant, aliens included."""
        return self._last.get(grant_id, 0)


def _grant_of(subject: str) -> str:
    return subject.split(".")[2]


def reason_place(kind: str, record_id: str) -> Place:
    """Where the reason of a freeze or grant is sealed: under a session of its own, so that it can be erased alone."""
    ref = CallRef(Partition(1, 0), name_session(f"callgate {kind}", record_id), record_id)
    return Place(ref, record_id, "reason")


def _now() -> datetime:
    return datetime.now(UTC)


def _retrieved(task: "asyncio.Task[None]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        task.exception()
