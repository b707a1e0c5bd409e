"""`x-callgate-mask` in a function's JSON Schema."""

from typing import Any

import pytest

from services.masking.domain import mask
from services.masking.hints import NO_HINTS, hints_of

MARK = "x-callgate-mask"
PERSON = {"type": "string", MARK: "PERSON"}


def view(schema: dict[str, Any], document: Any) -> Any:
    return mask(document, hints_of(schema)).view


def test_an_entity_masks_the_whole_leaf_whatever_it_is() -> None:
    schema = {"properties": dict.fromkeys("abcdef", PERSON)}
    masked = mask({"a": "Jo", "b": 1.5, "c": True, "d": None, "e": "", "f": "see a@b.io", "g": "Jo"}, hints_of(schema))
    assert masked.view == {
        "a": "[PERSON]", "b": "[PERSON]", "c": "[PERSON]", "d": None, "e": "", "f": "[PERSON]", "g": "Jo",
    }  # fmt: skip
    assert [(one.path, one.start, one.end) for one in masked.findings] == [
        ("/a", 0, 2), ("/b", 0, 3), ("/c", 0, 4), ("/f", 0, 10),
    ]  # fmt: skip


def test_never_leaves_a_leaf_alone() -> None:
    schema = {"properties": {"sender": {MARK: "never"}}}
    assert view(schema, {"sender": "a@b.io", "to": "c@d.io"}) == {"sender": "a@b.io", "to": "[EMAIL_ADDRESS]"}


def test_an_annotation_holds_below_until_a_deeper_one() -> None:
    schema = {"properties": {"who": {MARK: "PERSON", "properties": {"id": {MARK: "never"}}}}}
    assert view(schema, {"who": {"id": "x1", "name": ["Jo"], "more": {"y": 1}}}) == {
        "who": {"id": "x1", "name": ["[PERSON]"], "more": {"y": "[PERSON]"}}
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"items": PERSON}}},
        {"properties": {"a": {"prefixItems": [PERSON], "items": {}}}},
        {
            "properties": {"a": {"$ref": "#/$defs/names"}},
            "$defs": {"names": {"items": {"$ref": "#/$defs/n"}}, "n": PERSON},
        },
        {"patternProperties": {"^a": {"items": PERSON}}},
        {"additionalProperties": {"items": PERSON}},
        {"allOf": [{"properties": {"a": {"anyOf": [{"type": "null"}, {"items": PERSON}]}}}, {"properties": {"a": {}}}]},
        {"if": {}, "then": {"properties": {"a": {"items": PERSON}}}},
        {"oneOf": [{"properties": {"a": {MARK: "never"}}}, {"properties": {"a": {MARK: "PERSON"}}}]},
    ],
)
def test_found_through_every_keyword(schema: dict[str, Any]) -> None:
    assert view(schema, {"a": ["Jo"], "b": None}) == {"a": ["[PERSON]"], "b": None}


def test_a_recursive_schema() -> None:
    schema = {"properties": {"name": PERSON, "children": {"items": {"$ref": "#"}}, "self": {"$ref": "#"}}}
    assert view(schema, {"children": [{"name": "Jo", "self": {"name": "Al"}}], "x": "y"}) == {
        "children": [{"name": "[PERSON]", "self": {"name": "[PERSON]"}}],
        "x": "y",
    }


def test_a_schema_without_annotations_costs_nothing() -> None:
    hints = hints_of({"type": "object", "properties": {"a": {"type": "string"}}})
    assert hints.of_values is NO_HINTS
    assert hints.declares("a")
    assert not hints.declares("b")


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a b": {}}},
        {"$ref": "#/$defs/x", "$defs": {"x": {"properties": {"a b": True}}}},
        {"anyOf": [{}, {"oneOf": [{"properties": {"a b": {}}}]}]},
        {"if": {}, "else": {"properties": {"a b": {}}}},
    ],
)
def test_declared_by_every_keyword_that_names_properties(schema: dict[str, Any]) -> None:
    assert hints_of(schema).declares("a b")
    assert not hints_of(schema).property("a b").declares("a b")


@pytest.mark.parametrize("schema", [{"additionalProperties": True}, {"patternProperties": {"a b": {}}}, {}])
def test_a_key_that_is_only_let_through_is_not_declared(schema: dict[str, Any]) -> None:
    assert not hints_of(schema).declares("a b")


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {MARK: "person"}}},
        {"properties": {"a": {MARK: True}}},
        {"properties": {"a": {"$ref": "#/$defs/none"}}},
        {"properties": {"a": {"$ref": "https://example.com/schema"}}},
        {"patternProperties": {"(": PERSON}},
    ],
)
def test_what_is_not_understood_is_not_ignored(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="#"):
        hints_of(schema)


# What a place accepts tokens of

ACCEPTS = "x-callgate-accepts"


def test_a_place_accepts_what_masks_it_and_what_it_lists() -> None:
    hints = hints_of({"properties": {"a": {MARK: "CREDIT_CARD", ACCEPTS: ["IBAN_CODE"]}, "b": {"type": "string"}}})
    assert hints.property("a").accepts == {"CREDIT_CARD", "IBAN_CODE"}
    assert hints.property("b").accepts == hints.property("c").accepts == hints.accepts == frozenset()


def test_what_is_accepted_holds_below_until_a_deeper_word() -> None:
    schema = {
        ACCEPTS: ["CREDIT_CARD"],
        "properties": {"a": {"items": {}}, "b": {ACCEPTS: ["US_SSN"]}, "c": {MARK: "PERSON"}, "d": {MARK: "never"}},
    }
    hints = hints_of(schema)
    assert hints.property("a").item(0).accepts == {"CREDIT_CARD"}
    assert hints.property("b").accepts == {"US_SSN"}
    assert hints.property("c").accepts == {"PERSON"}
    assert hints.property("d").accepts == frozenset()


def test_schemas_of_one_place_accept_together() -> None:
    one, other = {ACCEPTS: ["CREDIT_CARD"]}, {ACCEPTS: ["IBAN_CODE"], MARK: "never"}
    assert hints_of({"anyOf": [one, other]}).accepts == {"CREDIT_CARD", "IBAN_CODE"}


@pytest.mark.parametrize("said", ["CREDIT_CARD", [], ["card"], [1], {}, True, ["CREDIT_CARD", "never"]])
def test_what_accepts_must_be_a_list_of_entities(said: Any) -> None:
    with pytest.raises(ValueError, match=r"#/properties/a: x-callgate-accepts must be a list of entities"):
        hints_of({"properties": {"a": {ACCEPTS: said}}})
