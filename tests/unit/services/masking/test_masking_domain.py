"""`mask`: only what was found changes, all that was found does, and what cannot be inspected is withheld."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.jsontext import RawNumber, dump, parse
from services.masking.catalogue import BUILT_IN
from services.masking.document import decimal_text
from services.masking.domain import UNINSPECTABLE, Limits, Masked, mask
from services.masking.hints import hints_of
from services.masking.leaf import Leaf
from services.masking.machine import Machine, default_machine
from services.masking.recogniser import Detectors, Finder, Hit
from services.masking.strategies import KEPT

SECRETS = [
    "4111 1111 1111 1111",
    "378282246310005",
    "536-22-8726",
    "jane.roe@example.com",
    "+1 415 555 2671",
    "(415) 555-0132",
    "GB29 NWBK 6016 1331 9268 19",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----",
    "5362287260",
    "phone ",
    "ssn ",
    "[EMAIL_ADDRESS]",
    "@",
    "Bearer ",
]
PIECE = st.sampled_from(SECRETS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
TEXT = st.lists(PIECE, max_size=6).map("".join) | st.text("0123456789 -.()+@aeyJ[]", max_size=60)
KEY = st.sampled_from(["phone", "ssn", "card_number", "order_id", "note"]) | TEXT
DOCUMENT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=12,
)


def texts(old: Any, new: Any, path: str = "") -> Iterator[tuple[Any, Any, str]]:
    """Keys and leaves before and after, in the document's order, with the path that a finding in them must have."""
    if isinstance(old, dict):
        for (key, value), (named, masked) in zip(old.items(), new.items(), strict=True):
            fit = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,39}", named) and sum(map(str.isdigit, named)) <= 4
            below = f"{path}/{named if fit else '*'}"
            yield key, named, below
            yield from texts(value, masked, below)
    elif isinstance(old, list):
        for index, (value, masked) in enumerate(zip(old, new, strict=True)):
            yield from texts(value, masked, f"{path}/{index}")
    else:
        yield old, new, path


def text_of(value: Any) -> str:
    return value if isinstance(value, str) else decimal_text(value)


@given(DOCUMENT)
def test_only_what_was_found_changes(document: Any) -> None:
    masked = mask(document)
    assert not masked.uninspectable
    findings = list(masked.findings)
    for old, new, path in texts(document, masked.view):
        if type(old) is type(new) and old == new:
            continue
        text, rebuilt, position = text_of(old), "", 0
        while not re.fullmatch(re.escape(rebuilt + text[position:]) + r"(#\d+)*", new):
            finding = findings.pop(0)
            assert finding.path == path
            rebuilt += text[position : finding.start] + f"[{finding.entity}]"
            position = finding.end
    assert findings == []


@given(DOCUMENT)
def test_masking_its_own_output_finds_nothing_more(document: Any) -> None:
    once = mask(document)
    again = mask(once.view)
    assert again.view == once.view
    assert again.findings == ()


@given(TEXT)
def test_spans_point_at_what_was_replaced(text: str) -> None:
    masked = mask(text)
    rebuilt, position = "", 0
    for finding in masked.findings:
        assert position <= finding.start < finding.end <= len(text)
        shown = text[finding.start : finding.end] if finding.entity in KEPT else f"[{finding.entity}]"
        rebuilt += text[position : finding.start] + shown
        position = finding.end
    assert masked.view == rebuilt + text[position:]


@given(
    st.sampled_from(SECRETS[:10]),
    st.sampled_from([("", ""), ("see ", ", thanks"), ("'", "'"), ("\n", "\n"), ("=", ";"), ("日本 ", " 語")]),
    st.sampled_from(["leaf", "key", "list", "both"]),
)
def test_no_found_value_is_left_anywhere(secret: str, around: tuple[str, str], place: str) -> None:
    text = secret.join(around)
    document = {
        "leaf": {"a": {"b": text}},
        "key": {"a": {text: {"deep": secret}}},
        "list": [1, [text, secret]],
        "both": {text: secret, f"{text} ": secret},
    }[place]
    masked = mask(document)
    assert masked.findings
    assert not masked.uninspectable
    for written in (json.dumps(masked.view, ensure_ascii=False), repr(masked), repr(masked.findings)):
        assert json.dumps(secret, ensure_ascii=False)[1:-1] not in written
    assert "[" not in repr(masked).partition("findings")[0]


def test_keys_are_masked_in_the_view_and_told_in_no_path() -> None:
    document = {"a@b.io": {"x": "c@d.io"}, "e@f.io": 1, "[EMAIL_ADDRESS]": 2, "plain/key~": "g@h.io"}
    masked = mask(document)
    assert masked.view == {
        "[EMAIL_ADDRESS]#2": {"x": "[EMAIL_ADDRESS]"},
        "[EMAIL_ADDRESS]#3": 1,
        "[EMAIL_ADDRESS]": 2,
        "plain/key~": "[EMAIL_ADDRESS]",
    }
    assert [one.path for one in masked.findings] == ["/*", "/*/x", "/*", "/*"]


@pytest.mark.parametrize(
    "number",
    [4111111111111111, 4.111111111111111e15, -4111111111111111, RawNumber("4111111111111111.00"),
     RawNumber("4.111111111111111E+15"), RawNumber("41111111111111110e-1")],
)  # fmt: skip
def test_numbers_are_read_as_decimal_text(number: Any) -> None:
    masked = mask({"n": number, "m": [number]})
    assert [one.entity for one in masked.findings] == ["CREDIT_CARD"] * 2
    assert masked.view["n"] in ("[CREDIT_CARD]", "-[CREDIT_CARD]")
    start = masked.findings[0].start
    assert decimal_text(number)[start : masked.findings[0].end] == "4111111111111111"


def test_numbers_in_which_nothing_is_found_stay_what_they_are() -> None:
    text = b'{"a":1.10,"b":1e400,"c":-0,"d":123456789012345678901,"e":12.5,"f":true,"g":null}'
    assert dump(mask(parse(text, numbers="lossless")).view) == text


def _deep(levels: int) -> Any:
    value: Any = "a@b.io"
    for _ in range(levels):
        value = [value]
    return value


def _raises(_: Leaf) -> list[Hit]:
    raise ValueError("4111 1111 1111 1111")


BROKEN = Machine.of(Detectors(BUILT_IN.recognisers, (*BUILT_IN.finders, Finder(("BROKEN",), "4111", _raises))))
SOUND = default_machine()


@pytest.mark.parametrize(
    ("document", "limits", "machine", "code"),
    [
        (_deep(65), Limits(), SOUND, "too_deep"),
        (_deep(100_000), Limits(), SOUND, "too_deep"),
        (["x" * 101, "ok"], Limits(leaf=100), SOUND, "too_large"),
        (["x" * 101, "ok"], Limits(steps=100), SOUND, "out_of_steps"),
        (["a@b.io " * 4, "ok"], Limits(findings=3), SOUND, "too_many_findings"),
        (["4111 1111 1111 1111", "ok"], Limits(), BROKEN, "detector_failed"),
        ([object(), "ok"], Limits(), SOUND, "not_json"),
        ([{1: 2}, "ok"], Limits(), SOUND, "not_json"),
        ([10**2000, "ok"], Limits(), SOUND, "too_large"),
        ([RawNumber("1" * 500), "ok"], Limits(), SOUND, "too_large"),
        ([{"x" * 101: 1}, "ok"], Limits(leaf=100), SOUND, "too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_inspected_is_replaced_whole(document: Any, limits: Limits, machine: Machine, code: str) -> None:
    masked = mask(document, limits=limits, machine=machine)
    assert masked.uninspectable == (code,)
    assert masked.findings == ()
    view = masked.view
    while isinstance(view, list):
        view = view[0]
    assert view in (UNINSPECTABLE, {UNINSPECTABLE: 1})
    if isinstance(document[-1], str):
        assert masked.view[-1] == "ok"


def test_a_detectors_error_does_not_escape() -> None:
    assert "4111" not in repr(mask({"4111 1111 1111 1111": "4111 1111 1111 1111"}, machine=BROKEN))


def test_hostile_repetition_stays_within_its_steps() -> None:
    limits = Limits(steps=2_000_000)
    for piece in ("a@", "@a", "1 ", "4111-", "sk-", "eyJ", "eyJaaaaaaaaa.", "Bearer ", "+1", "DE89 ", "((", "a.a@a."):
        masked = mask(piece * (100_000 // len(piece)), limits=limits)
        assert isinstance(masked, Masked)
        assert set(masked.uninspectable) <= {"out_of_steps", "too_many_findings"}


def test_a_key_holds_for_the_value_of_the_object_below() -> None:
    masked = mask({"db_password": {"sensitive": True, "type": "string", "value": "hunter2"}})
    assert masked.view == {"db_password": {"sensitive": True, "type": "string", "value": "[PASSWORD]"}}
    assert mask({"password": {"type": "string", "minLength": 8}}).findings == ()


def test_what_is_told_and_kept_is_looked_into() -> None:
    hints = hints_of({"properties": {"page": {"x-callgate-mask": "URL"}}})
    masked = mask({"page": "https://x.example/?card=4111111111111111"}, hints)
    assert masked.view == {"page": "https://x.example/?card=[CREDIT_CARD]"}
    plain = mask({"page": "https://x.example/"}, hints)
    assert plain.view == {"page": "https://x.example/"}
    assert [finding.entity for finding in plain.findings] == ["URL"]
