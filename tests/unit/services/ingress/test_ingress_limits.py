"""What limits count: the rate that no schedule of calls, replicas and leases exceeds, and who is concerned."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from callgate.limit_settings import LimitSettings
from contracts.functions import Function, FunctionSpec
from contracts.identity import Principal
from services.ingress.limits import (
    LEASE_SECONDS,
    Lease,
    Rate,
    Taken,
    concerns,
    decide,
    decode,
    encode,
    lease_size,
    rate_of,
    room_in,
    take,
)

NOW = 1_800_000_000.0
BOT = Principal(id="bot", issuer="https://issuer.test", groups=("bots",))
REFUND = Function(
    name="payments.refund",
    connection="payments",
    spec=FunctionSpec(path="/refunds", tags=("money",), input={"type": "object"}),
)


def limit(**more: object) -> LimitSettings:
    return LimitSettings.model_validate({"name": "agents", **more})


def test_a_burst_then_the_rate() -> None:
    rate = Rate(interval=2.0, burst=3)
    taken, granted = take(Taken(), rate, 5, NOW)
    assert granted == 3
    assert room_in(taken, rate, NOW) == 2.0
    assert take(taken, rate, 1, NOW + 1.9)[1] == 0
    taken, granted = take(taken, rate, 5, NOW + 4)
    assert granted == 2
    assert room_in(Taken(), rate, NOW) == 0


def test_a_lease_is_used_up_before_more_is_taken() -> None:
    rated = limit(calls=600, seconds=60, burst=100)
    decision = decide(rated, Taken(NOW + 1), ["call"] * 12, Lease(9, NOW + 0.5, 10), NOW)
    assert decision.admitted == 12
    assert decision.taken.whole_at == pytest.approx(NOW + 2)
    assert (decision.lease.left, decision.lease.size) == (7, 10)
    covered = decide(rated, Taken(NOW + 10), ["call"] * 9, Lease(9, NOW + 0.5, 10), NOW)
    assert (covered.admitted, covered.lease.left, covered.taken.whole_at) == (9, 0, NOW + 10)


def test_leases_that_were_left_over_do_not_add_up() -> None:
    """Eight replicas took calls ahead once and used few; an hour later they all get calls at the same moment."""
    rated = limit(calls=600, seconds=60, burst=100)
    taken, admitted = Taken(), 0
    for _ in range(8):
        lease = Lease(9, NOW - 3600, 10)
        while True:
            decision = decide(rated, taken, ["call"], lease, NOW)
            if not decision.admitted:
                break
            taken, lease = decision.taken, decision.lease
            admitted += 1
    assert admitted == 100


@given(
    st.integers(1, 50),
    st.floats(0.01, 5),
    st.lists(st.tuples(st.floats(0, 3), st.integers(0, 2), st.integers(1, 5)), min_size=1, max_size=60),
)
def test_no_schedule_of_replicas_gets_more_than_the_rate(
    burst: int, interval: float, steps: list[tuple[float, int, int]]
) -> None:
    """Three replicas with leases of their own over one count: in any span, at most burst + rate x (span + lease)."""
    rated = LimitSettings(name="x", calls=max(1, int(1000 / interval)), seconds=1000.0, burst=burst)
    rate = rate_of(rated)
    assert rate is not None
    taken, leases, now, used = Taken(), [Lease(), Lease(), Lease()], NOW, []
    for pause, replica, wanted in steps:
        now += pause
        for _ in range(wanted):
            lease = leases[replica]
            if lease.left and now < lease.ends:
                leases[replica] = Lease(lease.left - 1, lease.ends, lease.size)
                used.append(now)
                continue
            decision = decide(rated, taken, ["call"], lease, now)
            if decision.admitted:
                taken, leases[replica] = decision.taken, decision.lease
                used.append(now)
    for first in range(len(used)):
        for last in range(first, len(used)):
            span = used[last] - used[first]
            assert last - first + 1 <= burst + (span + LEASE_SECONDS) / rate.interval + 1e-6


def test_a_lease_grows_with_demand_and_stays_small() -> None:
    quick, slow = Rate(0.01, 1000), Rate(10.0, 6)
    assert [lease_size(size, True, quick) for size in (1, 2, 64, 100)] == [2, 4, 100, 100]
    assert lease_size(64, False, quick) == 32
    assert lease_size(1, False, quick) == 1
    assert lease_size(1, True, slow) == 1


def test_calls_in_progress_are_admitted_in_order_up_to_the_limit() -> None:
    three = limit(concurrent=3)
    decision = decide(three, Taken(0.0, ("a",)), ["b", "c", "d"], Lease(), NOW)
    assert (decision.taken.calls, decision.admitted, decision.lacking) == (("a", "b", "c"), 2, "too_many_calls")
    full = decide(three, decision.taken, ["e"], Lease(), NOW)
    assert (full.admitted, full.taken.calls) == (0, ("a", "b", "c"))


def test_what_the_rate_refuses_is_not_listed() -> None:
    both = limit(concurrent=5, calls=2, seconds=60)
    decision = decide(both, Taken(), ["a", "b", "c"], Lease(), NOW)
    assert (decision.taken.calls, decision.admitted, decision.lacking) == (("a", "b"), 2, "rate_limited")


@pytest.mark.parametrize(
    ("more", "known", "concerned"),
    [
        ({}, True, True),
        ({}, False, True),
        ({"groups": ["bots"]}, True, True),
        ({"groups": ["people"]}, True, False),
        ({"principals": ["bot"], "groups": ["people"]}, True, True),
        ({"principals": ["other"]}, True, False),
        ({"tags": ["money"]}, True, True),
        ({"tags": ["read"]}, True, False),
        ({"tags": ["money"]}, False, False),
        ({"groups": ["people"], "tags": ["money"]}, True, False),
    ],
)
def test_whom_a_limit_concerns(more: dict[str, object], known: bool, concerned: bool) -> None:
    assert concerns(limit(calls=1, **more), BOT, REFUND if known else None) is concerned


@pytest.mark.parametrize("taken", [Taken(), Taken(NOW + 0.25, ("1-0.s.c", "1-0.s.d"))])
def test_counts_are_read_as_written(taken: Taken) -> None:
    assert decode(encode(taken)) == taken


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"whole_at": "x", "calls": []}', b'{"whole_at": 1, "calls": 3}'])
def test_what_is_no_count_counts_nothing(body: bytes) -> None:
    assert decode(body) == Taken()


@pytest.mark.parametrize("wrong", [{}, {"burst": 3, "concurrent": 1}, {"calls": 0}, {"concurrent": 201}, {"per": "x"}])
def test_a_limit_says_something(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        limit(**wrong)
