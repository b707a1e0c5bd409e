"""Paths of findings: they stand in clear on the log, and no key that an agent or upstream chose is quoted in them."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.jsontext import dump
from services.masking.content import mask_bytes
from services.masking.domain import mask
from services.masking.hints import NO_HINTS, hints_of

MAIL = "a@b.io"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "card number": {"type": "string"},
        "items": {"type": "array", "items": {"$ref": "#/$defs/item"}},
        "x/y~z": {"allOf": [{"properties": {"deep 12345": {}}}]},
        "sender": {"x-callgate-mask": "never", "properties": {"né": {"x-callgate-mask": "PERSON"}}},
    },
    "additionalProperties": {"properties": {"below any": {}}},
    "$defs": {"item": {"properties": {"the name": {}, "items": {"$ref": "#/properties/items"}}}},
}
DECLARED = hints_of(SCHEMA)
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


def paths(document: Any, schema: Any = DECLARED) -> list[str]:
    return [one.path for one in mask(document, schema).findings]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"card number": MAIL}, "/card number"),
        ({"items": [0, {"the name": MAIL}]}, "/items/1/the name"),
        ({"items": [{"items": [{"the name": MAIL}]}]}, "/items/0/items/0/the name"),
        ({"x/y~z": {"deep 12345": MAIL}}, "/x~1y~0z/deep 12345"),
        ({"Jane Doe, HIV positive": {"below any": MAIL}}, "/*/below any"),
    ],
)
def test_a_declared_key_stands_as_it_is(document: Any, path: str) -> None:
    assert paths(document) == [path]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"Jane Doe, HIV positive": {"mail": MAIL}}, "/*/mail"),
        ({"the name": MAIL}, "/*"),  # declared, but elsewhere
        ({"items": {"the name": MAIL}}, "/items/*"),
        ({"né": MAIL}, "/*"),
        ({"4111": MAIL}, "/*"),
        ({"": MAIL}, "/*"),
        ({"*": MAIL}, "/*"),
        ({"a\n": MAIL}, "/*"),
        ({"id_1234": MAIL}, "/id_1234"),
        ({"id_12345": MAIL}, "/*"),
        ({"a" * 40: MAIL}, "/" + "a" * 40),
        ({"a" * 41: MAIL}, "/*"),
        ({"billing-Address_2": {"mail": [MAIL]}}, "/billing-Address_2/mail/0"),
        (MAIL, ""),
    ],
)
def test_any_other_key_stands_only_if_it_looks_like_an_identifier(document: Any, path: str) -> None:
    assert paths(document) == [path]


def test_a_key_that_was_found_sensitive_is_not_told_even_in_part() -> None:
    assert paths({f"Jane {MAIL}": {"to": "x"}, f"Jo {MAIL}": {"to": MAIL}}) == ["/*", "/*", "/*/to"]
    key = "AKIAIOSFODNN7EXAMPLE"
    assert paths({key: MAIL}) == ["/*", "/*"]


def test_a_key_that_was_not_inspected_is_told_only_if_it_is_declared() -> None:
    """`never` spares keys from inspection; one of them may be a credential that looks like an identifier."""
    hints = hints_of({"properties": {"raw": {"x-callgate-mask": "never", "additionalProperties": {"properties": {
        "who": {"x-callgate-mask": "PERSON"}}}}}})  # fmt: skip
    assert paths({"raw": {"AKIAIOSFODNN7EXAMPLE": {"who": "Jo"}}}, hints) == ["/raw/*/who"]
    assert paths({"sender": {"né": "Jo"}}) == ["/sender/né"]


def test_a_result_has_no_schema() -> None:
    body = b'{"Jane Doe":{"mail":"a@b.io"},"mail":"a@b.io"}'
    assert [one.path for one in mask_bytes(body, "application/json").findings] == ["/*/mail", "/mail"]


WITNESS = "\u00e9"
STRANGE = st.text(max_size=12).map(lambda text: text + WITNESS) | st.from_regex(r"[a-z]{1,4}[0-9]{5,8}", fullmatch=True)
KEY = STRANGE | st.sampled_from(["card number", "items", "the name", "deep 12345", "x/y~z", "plain", "né"])
DOCUMENT = st.recursive(
    st.just(MAIL) | st.just("4111 1111 1111 1111") | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=12,
)


@given(DOCUMENT, st.sampled_from([NO_HINTS, DECLARED]))
def test_no_key_is_quoted_that_is_neither_declared_nor_an_identifier(document: Any, hints: Any) -> None:
    declared = {"card number", "the name", "deep 12345", "x/y~z", "né"} if hints is DECLARED else set()
    found = mask(document, hints).findings
    assert (hints is not NO_HINTS) or found == mask_bytes(dump(document), "application/json").findings
    for finding in found:
        for step in finding.path.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            fit = IDENTIFIER.fullmatch(step) and sum(map(str.isdigit, step)) <= 4
            assert fit or step in declared or step == "*" or (step.isascii() and step.isdigit() and len(step) < 3)
