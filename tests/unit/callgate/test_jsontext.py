"""JSON text: strict reading, numbers kept, and bytes that are the same again."""

import json
import traceback
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.jsontext import JsonTextError, Numbers, RawNumber, dump, parse

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)
NUMBER_TEXT = st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)


@given(JSON)
def test_what_is_dumped_is_read_as_the_same_value(value: object) -> None:
    assert parse(dump(value)) == value
    assert dump(parse(dump(value), numbers="lossless")) == dump(value)


@given(NUMBER_TEXT)
def test_lossless_writes_every_number_as_it_came(text: str) -> None:
    source = f'{{"a":[{text},"x"],"b":{text}}}'.encode()
    assert dump(parse(source, numbers="lossless")) == source


@given(NUMBER_TEXT)
def test_exact_keeps_the_value_or_refuses(text: str) -> None:
    value = _parsed(text)
    if isinstance(value, JsonTextError):
        number = float(text)
        assert value.code == "number_precision"
        assert number in (float("inf"), float("-inf")) or Decimal(text) != Decimal(repr(number))
    else:
        assert Decimal(value if isinstance(value, int) else repr(value)) == Decimal(text)


def _parsed(data: str | bytes) -> Any:
    try:
        return parse(data)
    except JsonTextError as error:
        return error


@given(st.binary(max_size=200) | TEXT.map(str.encode))
def test_any_bytes_give_a_value_or_our_error(data: bytes) -> None:
    value = _parsed(data)
    if isinstance(value, JsonTextError):
        assert value.code in {
            "not_utf8", "byte_order_mark", "syntax", "too_deep", "duplicate_key", "not_a_number", "lone_surrogate",
            "number_precision", "number_too_long",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "pointer"),
    [
        ('{"a":1,"a":2}', "duplicate_key", "/a"),
        ('{"x":[{"a":1,"\\u0061":2}]}', "duplicate_key", "/x/0/a"),
        ('{"x":[1,NaN]}', "not_a_number", "/x/1"),
        ("-Infinity", "not_a_number", ""),
        ('{"amount":0.1234567890123456789}', "number_precision", "/amount"),
        ('{"a":{"amount":1e400}}', "number_precision", "/a/amount"),
        ('{"a":1e-400}', "number_precision", "/a"),
        ('{"a":' + "9" * 401 + "}", "number_too_long", "/a"),
        ('{"a":0.' + "1" * 401 + "}", "number_too_long", "/a"),
        ('{"4111 1111 1111 1111":NaN}', "not_a_number", "/*"),
        (r'{"a":"\ud800"}', "lone_surrogate", "/a"),
        (r'{"\udc00":1}', "lone_surrogate", "/*"),
        ("[" * 65 + "]" * 65, "too_deep", "/0" * 64),
        ("[" * 200_000, "too_deep", None),
        ('{"a":' * 200_000, "too_deep", None),
        ("", "syntax", None),
        ('{"a":1} x', "syntax", None),
        ('"\t"', "syntax", None),
        ("[01]", "syntax", None),
        ("\ufeff1", "byte_order_mark", None),
    ],
)
def test_refusals_say_what_and_where(text: str, code: str, pointer: str | None) -> None:
    with pytest.raises(JsonTextError) as caught:
        parse(text.encode())
    assert (caught.value.code, caught.value.pointer) == (code, pointer)


@pytest.mark.parametrize("numbers", ["exact", "lossless"])
def test_duplicates_and_nan_are_refused_in_either_mode(numbers: Numbers) -> None:
    for text, code in (('{"p":1.10,"a":1,"a":2}', "duplicate_key"), ("[NaN]", "not_a_number")):
        with pytest.raises(JsonTextError) as caught:
            parse(text, numbers=numbers)
        assert caught.value.code == code


def test_refuses_bytes_and_sizes() -> None:
    for data, limit, code in ((b'"\xff"', None, "not_utf8"), (b'"12345"', 6, "too_large"), ('"äää"', 7, "too_large")):
        with pytest.raises(JsonTextError) as caught:
            parse(data, max_bytes=limit)
        assert caught.value.code == code
    with pytest.raises(JsonTextError) as caught:
        parse('"\ud800"')
    assert caught.value.code == "lone_surrogate"
    assert parse('"äää"'.encode(), max_bytes=8) == "äää"


@pytest.mark.parametrize(
    "text", ['{"ssn": "078-05-1120", }', '{"078-05-1120":1,"078-05-1120":2}', '["078-05-1120\ud800"]']
)
def test_no_error_quotes_its_input(text: str) -> None:
    with pytest.raises(JsonTextError) as caught:
        parse(text)
    assert "078" not in "".join(traceback.format_exception(caught.value)) + repr(caught.value.__dict__)
    assert caught.value.__context__ is None


def test_depth_counts_arrays_and_objects_not_brackets_in_strings() -> None:
    assert parse("[" * 64 + "]" * 64, max_depth=64)
    assert parse(json.dumps("[{" * 100), max_depth=0) == "[{" * 100
    with pytest.raises(JsonTextError):
        parse("[1]", max_depth=0)


def test_escaped_pairs_are_no_lone_surrogates() -> None:
    assert parse(r'"\ud83d\ude00"') == "😀"


def test_integers_of_any_size() -> None:
    big = 10**399
    assert parse(str(big)) == big
    assert dump({"a": [big, -big, 1, True]}) == f'{{"a":[{big},-{big},1,true]}}'.encode()
    assert parse("18446744073709551615", numbers="lossless") == 2**64 - 1
    assert parse("18446744073709551616", numbers="lossless") == RawNumber("18446744073709551616")
    assert parse("-0", numbers="lossless") == RawNumber("-0")
    assert parse("1.10", numbers="lossless") == RawNumber("1.10")


@pytest.mark.parametrize("value", [object(), {1: 2}, {"a": b"x"}, [10**5000], [[[object()]]]])
def test_dump_refuses_what_is_no_json(value: object) -> None:
    with pytest.raises(JsonTextError) as caught:
        dump(value)
    assert caught.value.code == "not_json"


def test_dump_refuses_lone_surrogates_and_endless_values() -> None:
    with pytest.raises(JsonTextError) as caught:
        dump(["\ud800"])
    assert caught.value.code == "lone_surrogate"
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(JsonTextError):
        dump(endless)
