"""A document taken apart and put together again, and numbers as detectors read them."""

import time
from decimal import Decimal
from typing import Any

import pytest
from growth import superlinear
from hypothesis import given
from hypothesis import strategies as st

from callgate.jsontext import RawNumber
from services.masking.document import DROPPED, Document, NotInspectableError, decimal_text


def entered(document: Document, value: Any, parent: int = -1, key: Any = None) -> dict[tuple[Any, ...], int]:
    """The number of every container by its path."""
    numbers = {document.path(parent, key): (here := document.enter(value, parent, key))}
    for below, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(item, (dict, list)):
            numbers |= entered(document, item, here, below)
    return numbers


def test_what_did_not_change_is_the_same_object() -> None:
    value = {"a": {"b": [1, 2]}, "c": {"d": 3}}
    document = Document(value)
    numbers = entered(document, value)
    document.change(numbers["a", "b"], 1, "[X]")
    view = document.view()
    assert view == {"a": {"b": [1, "[X]"]}, "c": {"d": 3}}
    assert view["c"] is value["c"]
    assert value == {"a": {"b": [1, 2]}, "c": {"d": 3}}


def test_a_document_without_changes_is_itself() -> None:
    value = {"a": [1]}
    document = Document(value)
    entered(document, value)
    assert document.view() is value


def test_a_document_that_is_a_leaf() -> None:
    document = Document("secret")
    document.change(-1, None, "[X]")
    assert document.view() == "[X]"


def test_dropped_members_and_items_are_left_out() -> None:
    value = {"a": [1, 2, 3], "b": 4}
    document = Document(value)
    numbers = entered(document, value)
    document.change(numbers[()], "b", DROPPED)
    document.change(numbers["a",], 1, DROPPED)
    assert document.view() == {"a": [1, 3]}


def test_keys_of_one_name_stay_distinct_and_in_order() -> None:
    value = {"x@a.example": 1, "[E]": 2, "y@a.example": [3], "z@a.example": 4, "[E]#3": 5}
    document = Document(value)
    root = entered(document, value)[()]
    for key in ("x@a.example", "y@a.example", "z@a.example"):
        document.rename(root, key, "[E]")
    assert document.view() == {"[E]#2": 1, "[E]": 2, "[E]#4": [3], "[E]#5": 4, "[E]#3": 5}
    assert list(document.view().values()) == [1, 2, [3], 4, 5]


def test_paths_lead_into_the_view() -> None:
    value = {"jane@a.example": {"ssn": ["1"]}}
    document = Document(value)
    numbers = entered(document, value)
    document.rename(numbers[()], "jane@a.example", "[E]")
    assert document.path(numbers["jane@a.example", "ssn"], 0) == ("[E]", "ssn", 0)


LEAVES = st.integers() | st.text(max_size=3)
DOCUMENTS = st.recursive(
    st.lists(LEAVES, max_size=3) | st.dictionaries(st.text(max_size=3), LEAVES, max_size=3),
    lambda inner: (
        st.lists(inner | LEAVES, max_size=3) | st.dictionaries(st.text(max_size=3), inner | LEAVES, max_size=3)
    ),
    max_leaves=8,
)


@given(DOCUMENTS, st.data())
def test_a_view_is_what_changing_each_leaf_by_hand_gives(value: Any, data: st.DataObject) -> None:
    document = Document(value)
    numbers = entered(document, value)

    def changed(of: Any, path: tuple[Any, ...]) -> Any:
        if not isinstance(of, (dict, list)):
            return of
        members = list(of.items() if isinstance(of, dict) else enumerate(of))
        new = {}
        for key, item in members:
            if not isinstance(item, (dict, list)) and data.draw(st.booleans()):
                document.change(numbers[path], key, "[X]")
                new[key] = "[X]"
            else:
                new[key] = changed(item, (*path, key))
        return new if isinstance(of, dict) else list(new.values())

    expected = changed(value, ())
    assert document.view() == expected


@pytest.mark.parametrize("shape", ["renamed keys", "changed containers"])
def test_the_cost_is_linear(shape: str) -> None:
    def cost(count: int) -> float:
        value: Any = {str(n): n for n in range(count)} if shape == "renamed keys" else [[n] for n in range(count)]
        document = Document(value)
        numbers = list(entered(document, value).values())
        begin = time.process_time()
        if shape == "renamed keys":
            for key in value:
                document.rename(0, key, "[E]")
        for number in numbers[1:]:
            document.change(number, 0, "[X]")
        document.view()
        return time.process_time() - begin

    assert not superlinear(cost, 4000, least=0.01)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (4111111111111111, "4111111111111111"),
        (-5, "-5"),
        (4.111111111111111e15, "4111111111111111"),
        (536228726.0, "536228726"),
        (1.5, "1.5"),
        (1e-7, "0.0000001"),
        (1e300, "1e+300"),
        (RawNumber("4111111111111111e0"), "4111111111111111"),
        (RawNumber("41111111.11111111E8"), "4111111111111111"),
        (RawNumber("1.00"), "1"),
        (RawNumber("1E400"), "1E400"),
    ],
)
def test_a_number_as_decimal_text(number: Any, text: str) -> None:
    assert decimal_text(number) == text


@pytest.mark.parametrize(
    ("number", "code"), [(1 << 3000, "too_large"), (RawNumber("1" * 500), "too_large"), (object(), "not_json")]
)
def test_what_is_no_number_to_read(number: Any, code: str) -> None:
    with pytest.raises(NotInspectableError) as caught:
        decimal_text(number)
    assert caught.value.code == code
    assert str(caught.value) == code


@given(st.integers(-(10**30), 10**30))
def test_integers_read_as_they_are_in_every_spelling(number: int) -> None:
    assert decimal_text(number) == decimal_text(RawNumber(f"{Decimal(number):e}")) == str(number)
