import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from growth import superlinear
from hypothesis import example, given
from hypothesis import strategies as st

from services.masking.entities.payment import PAYMENT
from services.masking.leaf import Leaf
from services.masking.recogniser import Detectors, Finder, Recogniser
from services.masking.scanning import Scanner
from services.masking.streaming import UNINSPECTABLE, Piece, Replacement, StreamMasker, mask_async_stream, mask_stream

CARD = "4111 1111 1111 1111"
MAIL = "john.doe@example.com"
KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkq hkiG9w0BAQEFAASC\n" * 6 + "-----END PRIVATE KEY-----"
TOKEN = "eyJ" + "hbGciOiJI" * 40 + ".eyJ" + "abc_DEF-1" * 30 + ".x"
LINES = "\n".join(["QUFB" * 19] * 5) + "\nQUE="

_SENSITIVE = re.compile(
    r"(?P<CARD>\b\d{4} \d{4} \d{4} \d{4}\b)|(?P<MAIL>\b[a-z.]{1,30}@[a-z.]{1,30}\.com)|(?P<SSN>(?<=ssn: )\d{9})"
    r"|(?P<KEY>-----BEGIN PRIVATE KEY-----[^-]*-----END PRIVATE KEY-----)|(?P<JWT>eyJ[\w-]+\.eyJ[\w-]+\.[\w-]*)"
    r"|(?P<BASE64>(?:[A-Z]{76}\n)+[A-Z]+=*)"
)


def mask(text: str) -> list[Replacement]:
    return [
        Replacement(*match.span(), f"[{match.lastgroup}]", match.lastgroup or "") for match in _SENSITIVE.finditer(text)
    ]


def masked(text: str) -> str:
    return _SENSITIVE.sub(lambda match: f"[{match.lastgroup}]", text)


def cut(text: str, sizes: Sequence[int]) -> Iterator[str]:
    position = 0
    for size in sizes:
        yield text[position : position + size]
        position += size
    yield text[position:]


def joined(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


WORDS = st.sampled_from(
    [CARD, MAIL, KEY, TOKEN, LINES, "ssn: 536228726", "hello", "ipsum dolor, sit (amet);", "4111 1111"]
)
PROSE = st.lists(WORDS | st.text(st.characters(codec="ascii", exclude_characters="-"), max_size=30), max_size=60)
TEXT = st.tuples(PROSE, st.sampled_from([" ", "\n", ", "]), st.integers(1, 3)).map(
    lambda drawn: drawn[1].join(drawn[0] * drawn[2])
)


@given(TEXT, st.lists(st.integers(0, 700), max_size=40))
@example(("word " * 120 + CARD + " ") * 3, [1] * 300)
@example(KEY + " " + TOKEN + "\n" + LINES, [700, 1, 1])
def test_however_a_text_is_cut_it_is_masked_as_a_whole(text: str, sizes: list[int]) -> None:
    pieces = list(mask_stream(cut(text, sizes), mask, hold=64, cap=4096))
    assert joined(pieces) == masked(text)
    spans = [(one.start, one.end) for piece in pieces for one in piece.replacements]
    assert spans == [match.span() for match in _SENSITIVE.finditer(text)]


WITHHELD = st.sampled_from([CARD, "x" * 300, KEY[:60], "-----END PRIVATE KEY-----", " ", "\n", MAIL])


@given(st.lists(WITHHELD, max_size=40), st.integers(1, 300))
def test_whatever_has_to_be_withheld_nothing_raw_slips_through(parts: list[str], size: int) -> None:
    text = " | ".join(parts)
    stream = StreamMasker(mask, hold=64, cap=400)
    output = ""
    for start in range(0, len(text), size):
        output += joined(list(stream.feed(text[start : start + size])))
        assert len(stream._raw) <= 400 + 128 + 16 * 1024
    output += joined(list(stream.finish()))
    assert "4111 1111" not in output
    assert "@" not in output


def test_most_goes_on_before_the_end_has_come() -> None:
    stream = StreamMasker(mask)
    let_go = sum(len(piece.text) for word in ["lorem "] * 2000 for piece in stream.feed(word))
    assert let_go > 12_000 - 1024


def test_a_token_without_end_is_withheld_and_what_follows_is_not() -> None:
    text = "before " + "x" * 5000 + " after " + CARD + " end"
    pieces = list(mask_stream(cut(text, [100] * 60), mask, hold=64, cap=1000))
    assert joined(pieces) == f"before {UNINSPECTABLE}after [CARD] end"
    assert [piece.uninspectable for piece in pieces if piece.uninspectable] == ["too_large"]


def test_a_block_that_does_not_end_is_withheld_to_the_end() -> None:
    text = "before -----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkq\n" * 1000
    assert joined(list(mask_stream(cut(text, [100] * 300), mask, hold=64, cap=1000))) == f"before {UNINSPECTABLE}"
    ended = text + "-----END PRIVATE KEY----- after"
    assert joined(list(mask_stream(cut(ended, [99] * 300), mask, hold=64, cap=1000))) == f"before {UNINSPECTABLE} after"


def test_text_without_blanks_is_cut_where_tokens_end() -> None:
    text = '{"id":12345,"name":"x"},' * 1000 + f'"{MAIL}"'
    assert joined(list(mask_stream([text], mask))) == masked(text)
    prose = "我们明天再见" * 2000 + "," + MAIL
    assert joined(list(mask_stream([prose], mask))).startswith("我们明天再见" * 1900)


def test_what_cannot_be_inspected_is_withheld() -> None:
    pieces = list(mask_stream(["secret " * 1000], lambda text: None, hold=64))
    assert {piece.text for piece in pieces} == {UNINSPECTABLE}
    assert {piece.uninspectable for piece in pieces} == {"detector_failed"}


def test_an_error_of_the_source_lets_nothing_more_go() -> None:
    def chunks() -> Iterator[str]:
        yield CARD
        raise ConnectionError

    stream = mask_stream(chunks(), mask)
    with pytest.raises(ConnectionError):
        next(stream)
    assert list(stream) == []


async def test_asynchronous_chunks() -> None:
    async def chunks() -> AsyncIterator[str]:
        for chunk in cut("lorem " * 500 + CARD, [77] * 20):
            yield chunk

    assert "".join([piece.text async for piece in mask_async_stream(chunks(), mask)]) == "lorem " * 500 + "[CARD]"


def test_with_detectors_and_their_context() -> None:
    machine = Scanner(
        Detectors(
            tuple(one for one in PAYMENT if isinstance(one, Recogniser)),
            tuple(one for one in PAYMENT if isinstance(one, Finder)),
        )
    )

    def scan(text: str) -> list[Replacement]:
        hits = sorted(machine.hits(Leaf(text, ("message",), lambda _: None)))
        disjoint = [hit for index, hit in enumerate(hits) if index == 0 or hit.start >= hits[index - 1].end]
        return [Replacement(hit.start, hit.end, f"[{hit.entity}]", hit.entity) for hit in disjoint]

    text = (
        "The parcel left on Monday, and arrives soon. " * 9
        + "Pay with card 4111111111111111 or DE89 3704 0044 0532 0130 00. "
    ) * 6
    whole = "".join(piece.text for piece in mask_stream([text], scan))
    assert whole.count("[CREDIT_CARD]") == whole.count("[IBAN_CODE]") == 6
    for size in (1, 7, 100, 613):
        assert joined(list(mask_stream(cut(text, [size] * (len(text) // size)), scan))) == whole


@pytest.mark.parametrize("unit", ["x", "x ", "-----BEGIN A-----", "QUFB" * 19 + "\n", f"{CARD} ", ",", "我"])
@pytest.mark.parametrize("size", [7, 100_000])
def test_the_cost_is_linear(unit: str, size: int) -> None:
    def cost(length: int) -> float:
        text = unit * (length // len(unit))
        begin = time.process_time()
        for _ in mask_stream((text[start : start + size] for start in range(0, len(text), size)), mask):
            pass
        return time.process_time() - begin

    assert not superlinear(cost, 30_000, least=0.02)
