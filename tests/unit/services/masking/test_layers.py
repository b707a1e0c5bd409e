import json
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from html import escape
from urllib.parse import quote, quote_plus

import pytest
import re2
from growth import superlinear
from hypothesis import example, given
from hypothesis import strategies as st

from services.masking import layers
from services.masking.layers import TRIGGER, Layer, unwrap

CARD = "4111 1111 1111 1111"
MAIL = "john.doe@example.com"


def base64(text: str) -> str:
    return b64encode(text.encode()).decode()


def url_safe(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def hexadecimal(text: str) -> str:
    return text.encode().hex()


def percent(text: str) -> str:
    return "".join(f"%{octet:02X}" for octet in text.encode())


def entities(text: str) -> str:
    return "".join(f"&#{ord(character)};" for character in text)


def hex_entities(text: str) -> str:
    return "".join(f"&#x{ord(character):x};" for character in text)


def escapes(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


def quoted_printable(text: str) -> str:
    return "".join(f"={octet:02X}" for octet in text.encode())


def tags(text: str) -> str:
    return "".join(chr(0xE0000 + ord(character)) for character in text)


EXACT = [percent, entities, hex_entities, escapes, quoted_printable, tags, quote]
OPAQUE = [base64, url_safe, hexadecimal]


def holding(text: str, value: str) -> list[Layer]:
    return [layer for layer in unwrap(text).layers if value in layer.text]


def masked(text: str, value: str) -> str:
    """The leaf with the value replaced in the first layer that shows it."""
    layer = holding(text, value)[0]
    at = layer.text.index(value)
    start, end = layer.original(at, at + len(value))
    return text[:start] + layer.written("[X]") + text[end:]


@pytest.mark.parametrize("encode", EXACT)
def test_spelled_out_characters_are_replaced_exactly(encode: Callable[[str], str]) -> None:
    for value in (CARD, "jöhn@example.com" if encode not in (tags,) else MAIL):
        if encode(value) != value:
            assert masked(f"see {encode(value)}, please", value) == "see [X], please"


@pytest.mark.parametrize("encode", OPAQUE)
def test_an_encoded_run_is_replaced_whole(encode: Callable[[str], str]) -> None:
    assert masked(f"see {encode('card ' + CARD)}, please", CARD) == "see [X], please"
    assert masked(f"data:text/plain;base64,{encode(MAIL)}", MAIL) == "data:text/plain;base64,[X]"
    assert masked(f"/users/{encode(MAIL)}/orders", MAIL) == "/users/[X]/orders"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("card=4111+1111+1111+1111&x=1", CARD),
        ("q=%2B49+30+901820", "+49 30 901820"),
        ("mail=a+b%40example.com", "a+b@example.com"),
        ("john.doe&commat;example&period;com", MAIL),
        ("&#52&#49&#49&#49 1111 1111 1111", CARD),
        (r"cut off: {\"a\": \"x\n4111 1111 1111 1111\n", CARD),
        (r"\x34111 \u{31}111 1111 1111", CARD),
        (r"\\\\u0034111 1111 1111 1111", CARD),
        (r"\ud835\udfdc111", "\U0001d7dc111"),
        ("%u0034111 1111 1111 1111", CARD),
        ("Dear = sir, 4=31=31=31 1111 1111 1=\r\n111", CARD),
        ("%34&#49;\\u00311 1111 1111 1111", CARD),
        ("34 31 31 31 20 31 31 31 31 20 31 31 31 31 20 31 31 31 31", CARD),
        (base64("x" * 90 + CARD)[:76] + "\r\n" + base64("x" * 90 + CARD)[76:], CARD),
    ],
)
def test_other_spellings(written: str, read: str) -> None:
    assert holding(written, read)


def test_json_in_a_string_keeps_its_keys_and_stays_json() -> None:
    inner = {"customer": {"ssn": "078-05-1120", "tags": ["a", MAIL]}, "card": 4111111111111111, 'e"\n': f"é\t\\{CARD}"}
    text = json.dumps(inner)
    found = unwrap(text)
    assert found.inspected
    assert [(layer.keys, layer.text) for layer in found.layers if layer.kind != "key"] == [
        (("customer", "ssn"), "078-05-1120"),
        (("customer", "tags", 0), "a"),
        (("customer", "tags", 1), MAIL),
        (("card",), "4111111111111111"),
        (('e"\n',), f"é\t\\{CARD}"),
    ]
    assert json.loads(masked(text, "4111111111111111")) == inner | {"card": "[X]"}
    assert json.loads(masked(text, CARD)) == inner | {'e"\n': "é\t\\[X]"}
    assert json.loads(masked(text, "ssn"))["customer"]["[X]"] == "078-05-1120"


def test_json_in_json_in_json() -> None:
    text = json.dumps({"a": json.dumps({"b": json.dumps({"card": 4111111111111111})})})
    layer = holding(text, "4111111111111111")[0]
    assert layer.keys == ("a", "b", "card")
    assert json.loads(json.loads(json.loads(masked(text, "4111111111111111"))["a"])["b"]) == {"card": "[X]"}


def test_lines_of_json_and_strings_of_json() -> None:
    assert [layer.keys for layer in holding(f'{{"a":1}}\n{{"b":"{MAIL}"}}', MAIL)] == [("b",)]
    assert [layer.keys for layer in holding(json.dumps(json.dumps({"b": MAIL})), MAIL)] == [("b",)]


def test_numbers_are_read_in_digits() -> None:
    assert holding('{"n": 4.111111111111111e15}', "4111111111111111")
    assert holding('{"n": 4111111111111111.00}', "4111111111111111")


def test_a_number_inside_base64_needs_no_quotes() -> None:
    text = base64('{"card": 4111111111111111}')
    assert masked(text, "4111111111111111") == "[X]"


@pytest.mark.parametrize("encode", [base64, percent, escapes, hexadecimal, lambda text: escape(entities(text))])
def test_what_is_deeper_than_three_layers_is_said_to_be(encode: Callable[[str], str]) -> None:
    text = MAIL
    for _ in range(3):
        text = encode(text) if encode is not percent else quote(text, safe="") if "%" in text else percent(text)
        assert unwrap(text).code in ("", "too_deep")
    for _ in range(4):
        text = base64(text)
    assert unwrap(text).code == "too_deep"


def test_what_holds_more_than_it_may_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "%41 " + base64(base64(CARD * 100))
    assert not unwrap(text).code
    monkeypatch.setattr(layers, "FREE", 0)
    monkeypatch.setattr(layers, "SIZE", 2)
    found = unwrap(text)
    assert found.code == "too_large"
    assert sum(len(layer.text) for layer in found.layers) <= 2 * len(text)


@pytest.mark.parametrize(
    "ordinary",
    [
        "Jane Doe",
        "550e8400-e29b-41d4-a716-446655440000",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "2024-01-01T10:00:00.000Z",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqb2huQGV4YW1wbGUuY29tIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
        "InternationalPaymentServiceFactory",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
        "[CREDIT_CARD] was declined (R&D) at 50% [1]",
        "Tom &unknown; Jerry",
        "C:\\Users\\jane\\x",
        "^[0-9]{4}\\d+$",
        "a=b; c = d",
        "4111111111111111",
        "+49 30 901820",
    ],
)
def test_ordinary_leaves_hold_nothing(ordinary: str) -> None:
    found = unwrap(ordinary)
    assert not [layer for layer in found.layers if layer.kind not in ("key", "number")]
    assert not found.code


PIECES = st.sampled_from(
    [
        *('{"', '":', '"', "}", "[", "]", ",", "1", "%34", "%", "&#52;", "&amp;", "&", ";", "\\u0034", "\\", "\\ud835"),
        *("+", "=", "=3D", "=\n", "a", "@", "\U000e0034", "\ud800", "é", " ", "eyJ", "41 " * 9),
        *(base64(CARD), base64('{"a":1}'), hexadecimal(MAIL)),
    ]
)


@given(st.lists(PIECES | st.text(max_size=4), max_size=25).map("".join))
@example("%25%32%35")
def test_whatever_comes_spans_lie_in_the_leaf_and_the_trigger_says_so(text: str) -> None:
    found = unwrap(text)
    for layer in found.layers:
        for start in range(0, len(layer.text), 3):
            low, high = layer.original(start, start + 1)
            assert 0 <= low < high <= len(text)
        assert layer.original(0, len(layer.text))[1] <= len(text)
    if found.layers or found.code:
        assert re2.search(TRIGGER, text.encode("utf-8", "replace").decode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=6), JSON, min_size=1, max_size=3), st.booleans())
def test_every_string_and_number_of_a_json_text_is_found_at_its_place(document: dict[str, object], plain: bool) -> None:
    text = json.dumps(document, ensure_ascii=plain)
    found = unwrap(text)
    if len(text) < 6 or found.code:
        return
    assert found.inspected
    for layer in found.layers:
        if layer.within is None and layer.kind in ("string", "number") and layer.text:
            start, end = layer.original(0, len(layer.text))
            changed = text[:start] + layer.written('a"b') + text[end:]
            assert _at(json.loads(changed), layer.keys) == 'a"b'
            if layer.kind == "string":
                assert _at(document, layer.keys) == layer.text


def _at(document: object, keys: tuple[str | int, ...]) -> object:
    for key in keys:
        document = document[key]  # type: ignore[index]
    return document


# Without what JSON escapes: a quotation around an encoding is just that, and leaves `\"` in what it holds.
PLAIN = st.text(
    st.characters(max_codepoint=0x24F, categories=["L", "N", "P", "S"], exclude_characters='"\\'),
    min_size=12,
    max_size=30,
)


@given(PLAIN, st.data())
def test_three_layers_in_any_order_are_seen_through(value: str, data: st.DataObject) -> None:
    text = value
    for _ in range(3):
        before, text = (
            text,
            data.draw(st.sampled_from([base64, hexadecimal, percent, escapes, quote_plus, json.dumps]))(text),
        )
    found = unwrap(text)
    assert found.code or any(value in layer.text for layer in found.layers) or value in text or before == text


HOSTILE = {
    "percent": "%",
    "encoded percent": "%25",
    "ampersand": "&",
    "entity": "&#52;",
    "long entity": "&abcdefghijklmnopqrstuvwxyzabcde",
    "object": '{"',
    "nested": '{"a":',
    "arrays": "[",
    "items": "[1],",
    "backslash": "\\",
    "escape": "\\u0034",
    "quote": '"',
    "equals": "=",
    "plus": "=a+",
    "octet": "=41",
    "soft break": "=\n",
    "base64": "QUFB",
    "pieces": "QUFBQUFBQUFBQUFBQUFBQQ/",
    "lines": "QUFB" * 19 + "\n",
    "octets": "41 ",
    "wrong octets": "41 41g",
    "hex": "41",
    "tags": "\U000e0034",
    "jwt": "eyJhbGciOiJI.",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("frame", ["{}", '["{}"]', "[{}0]", "\\{}"])
def test_the_cost_is_linear(unit: str, frame: str) -> None:
    def cost(size: int) -> float:
        text = frame.replace("{}", unit * (size // len(unit)))
        begin = time.process_time()
        unwrap(text)
        return time.process_time() - begin

    assert not superlinear(cost, 10_000)


def test_a_bomb_of_layers_costs_no_more_than_its_size_allows() -> None:
    text = MAIL
    while len(text) < 200_000:
        text = base64(text)
    assert unwrap(text).code == "too_deep"
