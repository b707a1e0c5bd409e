"""A body never grows beyond its limit, and says whether it is whole."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.executor.body import BoundedBody


def collect(limit: int, encoding: str, wire: bytes, step: int = 7) -> tuple[bytes, bool]:
    body = BoundedBody(limit, encoding)
    for start in range(0, len(wire), step):
        wanted = body.feed(wire[start : start + step])
        assert len(body.data) <= limit + 1
        if not wanted:
            break
    return body.finish()


@given(
    st.binary(max_size=200), st.integers(1, 200), st.sampled_from(["", "gzip", "deflate", "GZIP"]), st.integers(1, 50)
)
def test_whole_or_cut_at_the_limit(data: bytes, limit: int, encoding: str, step: int) -> None:
    wire = {"": data, "gzip": gzip.compress(data), "deflate": zlib.compress(data)}[encoding.lower()]
    assert collect(limit, encoding, wire, step) == (data[:limit], len(data) <= limit)


def test_members_of_a_gzip_series_are_one_body() -> None:
    assert collect(100, "gzip", gzip.compress(b"one ") + gzip.compress(b"two")) == (b"one two", True)


def test_bomb_is_inflated_to_the_limit_and_no_further() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    data, whole = collect(1000, "gzip", bomb, len(bomb))
    assert (len(data), whole) == (1000, False)


def test_endless_empty_members_end() -> None:
    body = BoundedBody(1000, "gzip")
    member = gzip.compress(b"")
    fed = 0
    while body.feed(member):
        fed += len(member)
        assert fed < 100_000
    assert body.finish() == (b"", False)


@pytest.mark.parametrize(
    "wire",
    [b"not gzip at all", gzip.compress(b"x" * 50)[:-1], gzip.compress(b"x") + b"tail"],
    ids=["no gzip", "cut short", "with a tail"],  # of its own: gzip's bytes hold the time
)
def test_damage_is_not_whole(wire: bytes) -> None:
    assert collect(100, "gzip", wire)[1] is False


def test_unknown_coding_yields_nothing() -> None:
    assert collect(100, "br", b"anything") == (b"", False)
    assert collect(100, "gzip, gzip", gzip.compress(b"x")) == (b"", False)


def test_empty_body_is_whole_in_any_coding() -> None:
    for encoding in ("", "gzip", "br"):
        assert collect(100, encoding, b"") == (b"", True)
