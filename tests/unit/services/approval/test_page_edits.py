"""The arguments as a form, and what a filled-in form changes."""

import html
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.json_patch import apply_patch, checked_patch
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from services.approval.pages.edits import BadField, Edit, edits_of, patch_of
from services.approval.pages.grant import conditions_in, conditions_of

ARGUMENTS = {"amount": 250, "to": {"a/b": ["x", "y", "z"]}, "vip": True, "note": "a\nb", "none": None, "odd": "\u200b"}

LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"]))
DOCUMENTS = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab/~"), inner, max_size=3)
    ),
    max_size=5,
)


def sent(edits: list[Edit], **changed: str) -> dict[str, str]:
    """What a browser sends of the form as it was shown: line ends as CR LF."""
    return {f"value:{edit.pointer}": edit.text.replace("\n", "\r\n") for edit in edits} | changed


@given(DOCUMENTS)
def test_a_form_sent_as_it_was_shown_changes_nothing(document: dict[str, Any]) -> None:
    edits = edits_of(document, ())
    assert patch_of(edits, sent(edits)) == []
    # What a browser makes of the text of an attribute or a text area is that text.
    assert all(html.unescape(html.escape(edit.text)) == edit.text and "\r" not in edit.text for edit in edits)


@given(DOCUMENTS, st.data())
def test_what_is_changed_is_what_the_patch_changes(document: dict[str, Any], data: st.DataObject) -> None:
    edits = edits_of(document, ())
    texts = [edit for edit in edits if edit.how == "text"]
    if not texts:
        return
    edit = data.draw(st.sampled_from(texts))
    patch = patch_of(edits, sent(edits, **{f"value:{edit.pointer}": edit.text + "!"}))
    assert patch == [{"op": "replace", "path": edit.pointer, "value": edit.text + "!"}]
    after = {one.path: one.text for one in edits_of(apply_patch(document, checked_patch(patch)), ())}
    assert after == {one.path: one.text for one in edits} | {edit.path: edit.text + "!"}


def test_fields_say_how_they_are_written() -> None:
    assert [(edit.pointer, edit.how, edit.text) for edit in edits_of(ARGUMENTS, ())] == [
        ("/amount", "json", "250"),
        ("/to/a~1b/0", "text", "x"),
        ("/to/a~1b/1", "text", "y"),
        ("/to/a~1b/2", "text", "z"),
        ("/vip", "choice", "true"),
        ("/note", "text", "a\nb"),
        ("/none", "json", "null"),
        ("/odd", "json", '"\\u200b"'),
    ]


def test_removing_goes_backwards_and_adding_comes_last() -> None:
    edits = edits_of(ARGUMENTS, ())
    form = sent(
        edits,
        **{
            "remove:/to/a~1b/0": "yes",
            "remove:/to/a~1b/2": "yes",
            "value:/to/a~1b/0": "what is removed is not changed",
            "value:/vip": "false",
            "value:/amount": " 12.5 ",
            "add:name": "/to/c/d",
            "add:value": "[1]",
            "add:as": "json",
        },
    )
    assert patch_of(edits, form) == [
        {"op": "replace", "path": "/amount", "value": 12.5},
        {"op": "replace", "path": "/vip", "value": False},
        {"op": "remove", "path": "/to/a~1b/2"},
        {"op": "remove", "path": "/to/a~1b/0"},
        {"op": "add", "path": "/to/c/d", "value": [1]},
    ]


def test_a_name_to_add_is_a_name_unless_it_is_a_pointer() -> None:
    assert patch_of([], {"add:name": "a~b", "add:value": "x\r\ny"}) == [{"op": "add", "path": "/a~0b", "value": "x\ny"}]


@pytest.mark.parametrize(
    "form",
    [
        {"value:/amount": "4O"},
        {"value:/amount": "true"},
        {"value:/amount": '"40"'},
        {"value:/amount": ""},
        {"value:/vip": "perhaps"},
        {"value:/odd": "no quotes"},
        {"add:value": "of no name"},
        {"add:name": "x", "add:value": "{nonsense", "add:as": "json"},
    ],
)
def test_what_means_nothing_is_said_and_not_guessed(form: dict[str, str]) -> None:
    edits = edits_of(ARGUMENTS, ())
    with pytest.raises(BadField) as refused:
        patch_of(edits, sent(edits) | form)
    assert form.get("add:value") is None or form["add:value"] not in refused.value.detail


def test_what_a_page_does_not_show_whole_is_not_changed_there() -> None:
    edits = edits_of({"long": "x" * 30_000, "short": "y"}, ())
    assert [edit.pointer for edit in edits] == ["/short"]
    assert edits_of({}, ()) == []


SCHEMA = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "card": {"type": "string", "x-callgate-mask": "CREDIT_CARD"},
        "order": {"type": "object", "properties": {"currency": {"type": "string"}}},
        "lines": {"type": "array", "items": {"type": "string"}},
        "vip": {"type": "boolean"},
    },
}
CATALOG = Catalog(
    {
        "shop": HttpConnection(
            base_url="https://shop.example",
            functions={"buy": FunctionSpec.model_validate({"path": "/", "input": SCHEMA})},
        )
    }
)


def test_conditions_are_offered_on_what_a_policy_sees_in_clear() -> None:
    document = {"amount": 5, "card": "x", "order": {"currency": "EUR", "x": 1}, "lines": ["a"], "vip": True, "more": 1}
    function = CATALOG.get("shop.buy")
    assert function is not None
    offered = conditions_in(edits_of(document, ()), function)
    assert [one.name for one in offered] == ["amount", "/order/currency", "vip"]
    assert all(one.can_be_exact for one in offered)
    (odd,) = conditions_in(edits_of({"order": {"currency": "Rosa Díaz, 4111"}}, ()), function)
    assert not odd.can_be_exact, "no text that masking might want to hide stands in a grant"
    form = {"test:amount": "lte", "than:amount": "40", "test:/order/currency": "eq", "than:/order/currency": "EUR"}
    assert conditions_of(offered, form | {"test:vip": "lte", "than:vip": "1", "test:card": "eq"}) == {
        "amount": {"lte": 40},
        "/order/currency": {"eq": "EUR"},
    }
    with pytest.raises(BadField):
        conditions_of(offered, {"test:amount": "lte", "than:amount": "forty"})
