"""What limits count, without clock or I/O: a rate as the time at which its budget is whole again (GCRA), and the calls
in progress by their ids."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import orjson

from callgate.limit_settings import LimitSettings
from contracts.functions import Function
from contracts.identity import Principal

LEASE_SECONDS = 1.0
"""How long calls may be taken in advance by one replica. In any time t a rate then admits at most
burst + rate x (t + this), however many replicas there are."""
_ROUNDING = 1e-9

Lacking = Literal["rate_limited", "too_many_calls"]


class Rate(NamedTuple):
    """`interval` seconds of budget a call; `burst` calls of it at most."""

    interval: float
    burst: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What stands on ADMISSION of one limit and principal. `whole_at` in Unix seconds; `calls` are public ids."""

    whole_at: float = 0.0
    calls: tuple[str, ...] = ()


def rate_of(limit: LimitSettings) -> Rate | None:
    if limit.calls is None:
        return None
    return Rate(limit.seconds / limit.calls, limit.burst or limit.calls)


def concerns(limit: LimitSettings, principal: Principal, function: Function | None) -> bool:
    """Whether such a call counts. One of a function that nobody declared counts where no tag is named."""
    anybody = not limit.principals and not limit.groups
    whom = anybody or principal.id in limit.principals or not set(limit.groups).isdisjoint(principal.groups)
    return whom and (not limit.tags or (function is not None and not set(limit.tags).isdisjoint(function.spec.tags)))


def take(taken: Taken, rate: Rate, wanted: int, now: float) -> tuple[Taken, int]:
    """The counts after up to `wanted` calls, and how many there were."""
    start = max(taken.whole_at, now)
    room = rate.burst * rate.interval - (start - now)
    granted = max(0, min(wanted, int(room / rate.interval + _ROUNDING)))
    return replace(taken, whole_at=start + granted * rate.interval), granted


def room_in(taken: Taken, rate: Rate, now: float) -> float:
    """Seconds until there is room for one call; 0 where there is."""
    return max(0.0, taken.whole_at - now - (rate.burst - 1) * rate.interval)


def lease_size(former: int, exhausted: bool, rate: Rate) -> int:
    """How many calls to take at once: one at first, twice as many whenever that was too few, and never more than a
    lease's time brings back or a tenth of the burst: what one replica holds and does not use, others lack."""
    most = max(1, min(int(LEASE_SECONDS / rate.interval), rate.burst // 10))
    return min(most, former * 2) if exhausted else max(1, min(most, former // 2))


@dataclass(frozen=True, slots=True)
class Lease:
    """What one replica took ahead: `left` calls until `ends`, of `size` that it took.

    What is left then is lost. Time has brought it back to the budget already: given back as well, the leftovers of
    many replicas would add up to more than the rate.
    """

    left: int = 0
    ends: float = 0.0
    size: int = 1

    def at(self, now: float) -> int:
        """How many calls it still covers."""
        return self.left if now < self.ends else 0


class Decision(NamedTuple):
    """The counts with as many of those who asked as there was room for, the lease then, and what lacked the others."""

    taken: Taken
    admitted: int
    lease: Lease
    lacking: Lacking | None


def decide(limit: LimitSettings, taken: Taken, asked: Sequence[str], lease: Lease, now: float) -> Decision:
    """Counts the calls `asked` for, in their order."""
    room = len(asked)
    lacking: Lacking | None = None
    if limit.concurrent is not None and (free := max(0, limit.concurrent - len(taken.calls))) < room:
        room, lacking = free, "too_many_calls"
    rate = rate_of(limit)
    if rate is not None and room:
        leased = min(room, lease.at(now))
        lease = replace(lease, left=lease.left - leased)
        if leased < room:
            wanted = room - leased
            # Calls that are listed are written one by one anyway.
            size = lease_size(lease.size, now < lease.ends, rate) if limit.concurrent is None else 1
            taken, granted = take(taken, rate, max(wanted, size), now)
            lease = Lease(max(0, granted - wanted), now + LEASE_SECONDS, size)
            if granted < wanted:
                room, lacking = leased + granted, "rate_limited"
    if limit.concurrent is not None:
        taken = replace(taken, calls=(*taken.calls, *asked[:room]))
    return Decision(taken, room, lease, lacking)


def encode(taken: Taken) -> bytes:
    return orjson.dumps({"whole_at": taken.whole_at, "calls": taken.calls})


def decode(body: bytes) -> Taken:
    """What stands there; nothing taken for what only another version, or nobody of ours, can have written."""
    try:
        found = orjson.loads(body)
        calls: Sequence[str] = found["calls"]
        return Taken(float(found["whole_at"]), tuple(str(call) for call in calls))
    except (ValueError, KeyError, TypeError):
        return Taken()
