"""However a document is made, twice as much of it costs about twice as much."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.masking.speed import hostile
from services.masking.domain import mask

HOSTILE = dict(hostile())
PIECES = st.lists(
    st.text('0123456789 -.@+:/%&="{}[]aeAZx_\u200b\uff11', min_size=1, max_size=8)
    | st.sampled_from(["4111 ", "1111", "password", "eyJ", "DE89 ", "http://", "a@b.", "%41", "NDEx", "ssn ", "+49 "]),
    min_size=1,
    max_size=4,
).map("".join)


def cost(document: Any) -> float:
    begin = time.process_time()
    mask(document)
    return time.process_time() - begin


def superlinear(small: Any, large: Any) -> bool:
    """Whether ten times as much costs over thirty times as much; looked at again, since machines have other work."""
    return all(cost(large) > 30 * max(cost(small), 0.003) for _ in range(6))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents(name: str) -> None:
    make = HOSTILE[name]
    assert not superlinear(make(6000), make(60_000))


def test_an_object_of_very_many_keys() -> None:
    make = HOSTILE["an object of many keys"]
    assert not superlinear(make(40_000), make(400_000))


@settings(max_examples=30, deadline=None)
@given(PIECES)
def test_repeated_pieces(piece: str) -> None:
    assert not superlinear(piece * (4000 // len(piece)), piece * (40_000 // len(piece)))


@settings(max_examples=15, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "ssn", "name", "value", "x y", "card"]) | PIECES, PIECES, max_size=3))
def test_repeated_objects(item: dict[str, str]) -> None:
    count = 4000 // (20 + sum(map(len, (*item, *item.values()))))
    assert not superlinear([item] * count, [item] * (10 * count))
    renamed = [{f"{key}{n}": value for key, value in item.items() for n in range(size)} for size in (count, 10 * count)]
    assert not superlinear(*renamed)
