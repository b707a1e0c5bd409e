# ruff: noqa: RUF001 (characters that look like others are what is tested)

import time
import unicodedata
from itertools import pairwise

import pytest
from growth import superlinear
from hypothesis import example, given
from hypothesis import strategies as st

from services.masking.folding import fold

CARD = "4111 1111 1111 1111"
HOSTILE = st.text(
    st.sampled_from(
        "41aKе.-@ \x00\x01\x0b\t\n\u200b\u00ad\u202e\ufe0f\u20e3\u0301\u0336\u0308１①⑩¹Ⅳ½𝟜Ａ．＠。–\u00a0\u3000"
        "оЁеαίé\u0e01\u0e48\u0663一三〇零㎏ﬁ™\ud800\U000e0034😀\u1f00"
    )
    | st.characters(),
    max_size=60,
)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("４１１１　１１１１　１１１１　１１１１", CARD),
        ("٤١١١ ١١١١ ١١١١ ١١١١", CARD),
        ("४१११ ११११ ११११ ११११", CARD),
        ("𝟜𝟙𝟙𝟙 𝟏𝟏𝟏𝟏 𝟭𝟭𝟭𝟭 𝟣𝟣𝟣𝟣", CARD),
        ("④①①① ①①①① ❶❶❶❶ ⓵⓵⓵⓵", CARD),
        ("4\u200b1\u200d1\ufeff1 1\u00ad111\u00a01111\u20091\u20601\U000e00651\U000e01001", CARD),
        ("4111\u20101111\u20131111\u22121111", "4111-1111-1111-1111"),
        ("4\u03361\u03361\u03361\u0336 1111 1111 1️⃣1️⃣1️⃣1️⃣", CARD),
        ("4111\x001111\x001111\x001111", "4111111111111111"),
        ("一三八〇〇一三八〇〇〇", "13800138000"),
        ("jоhn@exаmple.com", "john@example.com"),
        ("ｊｏｈｎ＠ｅｘａｍｐｌｅ．ｃｏｍ", "john@example.com"),
        ("john@example。com", "john@example.com"),
        ("DЕ89 3704", "DE89 3704"),
        ("ѕk-proj-1", "sk-proj-1"),
        ("А123ВС77", "A123BC77"),
        ("cafe\u0301", "café"),
    ],
)
def test_what_only_looks_like_ascii_is_read_as_ascii(written: str, read: str) -> None:
    assert fold(written).text == read


@pytest.mark.parametrize(
    "prose",
    [
        "여권번호 M12345678",
        "araç plakası 34 ABC 123",
        "паспорт123456",
        "Иван Петров",
        "иван@пример.рф",
        "αριθμός 12",
        "第一章",
        "nº 5",
    ],
)
def test_prose_stays_as_it_is(prose: str) -> None:
    assert fold(prose).text == prose


def test_a_footnote_is_no_digit_of_the_number_before_it() -> None:
    assert fold("4111111111111111¹").text == "4111111111111111 "
    assert fold("4¹1¹1").text == "41111"
    assert fold("10 m²").text == "10 m2"


def test_control_characters_between_fields_separate_them() -> None:
    assert fold("card=4111111111111111\x0154=1\x01").text == "card=4111111111111111 54=1"


def test_a_hit_covers_the_invisible_inside_it_and_not_around_it() -> None:
    written = "x\u200b4\u200b1\u200b\u200b1\u200b y"
    folded = fold(written)
    start = folded.text.index("411")
    assert folded.original(start, start + 3) == (2, 8)
    assert folded.original(0, 1) == (0, 1)


def test_part_of_an_expansion_is_all_of_it() -> None:
    folded = fold("a ⑩ b")
    assert folded.text == "a 10 b"
    assert folded.original(2, 3) == folded.original(3, 4) == (2, 3)
    assert folded.original(5, 6) == (4, 5)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=50))
def test_printable_ascii_comes_back_itself(text: str) -> None:
    assert fold(text).text is text


@given(HOSTILE)
@example("\u0435\u0308x")
def test_folding_twice_is_folding_once(text: str) -> None:
    once = fold(text).text
    assert fold(once).text == once


@given(HOSTILE)
def test_spans_are_monotone_and_within_the_text(text: str) -> None:
    folded = fold(text)
    spans = [folded.original(index, index + 1) for index in range(len(folded.text))]
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(left[0] <= right[0] and left[1] <= right[1] for left, right in pairwise(spans))
    for start in range(len(spans)):
        for end in range(start + 1, len(spans) + 1):
            assert folded.original(start, end) == (spans[start][0], spans[end - 1][1])


@given(st.text(st.sampled_from("\u200b\u00ad\ufeff\u2060\u034f\ufe0f"), max_size=3), st.data())
def test_a_value_with_anything_invisible_in_it_is_found_and_cut_out_exactly(noise: str, data: st.DataObject) -> None:
    gaps = [data.draw(st.sampled_from(["", noise])) for _ in CARD]
    written = noise + "".join(character + gap for character, gap in zip(CARD, gaps, strict=True)) + noise
    folded = fold(written)
    start, end = folded.original(0, len(folded.text))
    assert folded.text == CARD
    assert written[start] == "4"
    assert written[end - 1] == "1"
    assert written[:start] == noise


@given(st.text(st.characters(categories=["Nd"]), min_size=1, max_size=20))
def test_digits_of_every_script_are_ascii_digits(digits: str) -> None:
    assert fold(digits).text == "".join(str(unicodedata.digit(digit)) for digit in digits)


@pytest.mark.parametrize(
    "unit", ["\u200b", "4\u200b", "\x00", "4\x00", "①", "e\u0301", "\u0301", "аa", "😀", "⑩", "一", "\U000e0031", "１"]
)
def test_the_cost_is_linear(unit: str) -> None:
    def cost(size: int) -> float:
        text = unit * (size // len(unit))
        begin = time.process_time()
        fold(text)
        return time.process_time() - begin

    assert not superlinear(cost, 20_000)
