"""Text in chunks with the real machine: as the whole text, however it is cut, and closed where something fails."""

import base64
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.masking.domain import mask
from services.masking.machine import Machine, default_machine
from services.masking.recogniser import Detectors, Finder
from services.masking.strategies import REDACTED, Strategies
from services.masking.streaming import UNINSPECTABLE, mask_stream
from services.masking.text_stream import replacing

CARD, MAIL = "4111 1111 1111 1111", "jane.roe@example.com"
WRAPPED = base64.b64encode(f"card {CARD} of {MAIL}".encode()).decode()
WORDS = st.sampled_from(
    [f"{CARD},", MAIL, "Lorem ipsum dolor sit amet.", "ssn: 536-22-8726;", "é 😀 我们", WRAPPED]
) | (
    st.sampled_from(
        ["trace=7c9e6679-7425-40de-944b-e07fc1f90ae7", "mail%3A jane%40example.com", "2026-03-14T09:26:53Z"]
    )
)
TEXT = st.lists(WORDS, max_size=80).map(" \n".join)


def streamed(text: str, size: int, strategies: Strategies) -> str:
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    machine = replacing(default_machine(), strategies.disguise(None))
    return "".join(piece.text for piece in mask_stream(chunks, machine))


@given(TEXT, st.integers(1, 3000))
def test_however_a_text_is_cut_it_is_masked_as_a_whole(text: str, size: int) -> None:
    whole = mask([text, ""]).view[0]
    assert streamed(text, size, Strategies()) == whole


def test_strategies_count() -> None:
    strategies = Strategies(entities={"CREDIT_CARD": "partial", "EMAIL_ADDRESS": "keep", "US_SSN": "drop"})
    text = f"paid by {MAIL} with {CARD}; ssn: 536-22-8726."
    assert streamed(text, 7, strategies) == f"paid by {MAIL} with **** **** **** 1111; ssn: [US_SSN]."


def test_what_is_wrapped_is_redacted_whatever_the_strategy() -> None:
    card = base64.b64encode(f"my card is {CARD}".encode()).decode()
    assert streamed(f"see {card} there", 7, Strategies(default="partial")) == "see [CREDIT_CARD] there"


def test_a_detector_that_fails_lets_nothing_go() -> None:
    def broken(_leaf: object) -> list[object]:
        raise RuntimeError(CARD)

    finder = Finder(("CREDIT_CARD",), "4111", broken)  # type: ignore[arg-type]
    machine = Machine.of(Detectors(finders=(finder,)))
    pieces = list(mask_stream(["a text with " + CARD], replacing(machine, REDACTED)))
    assert [(piece.text, piece.uninspectable) for piece in pieces] == [(UNINSPECTABLE, "detector_failed")]
    allowing = replace(default_machine(), allows=lambda _entity, _text: True)
    assert replacing(allowing, REDACTED)(CARD) == []
