"""Arguments as Cedar values: exact, or no decision at all."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.cedar.facts import facts_of
from callgate.cedar.policies import PolicySet, Request
from callgate.cedar.schema import cedar_schema
from callgate.cedar.shapes import Record, input_shape, safe_pointer
from callgate.cedar.values import NoDecision, cedar_input
from contracts.functions import Catalog, FunctionSpec, HttpConnection


def shape_of(**properties: Any) -> Record:
    return input_shape("f", {"type": "object", "properties": properties})[0]


def refusal(shape: Record, arguments: Any) -> tuple[str, str]:
    with pytest.raises(NoDecision) as refused:
        cedar_input(shape, arguments)
    return refused.value.code, refused.value.pointer


def dec(text: str) -> dict[str, Any]:
    return {"__extn": {"fn": "decimal", "arg": text}}


NUMBER = shape_of(a={"type": "number"})
INTEGER = shape_of(a={"type": "integer"})
STRINGS = shape_of(a={"type": "array", "items": {"type": "string"}})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (40, "40.0"),
        (0.1, "0.1"),
        (100.25, "100.25"),
        (-0.0001, "-0.0001"),
        (1e5, "100000.0"),
        (922337203685477, "922337203685477.0"),
    ],
)
def test_numbers_become_decimals(value: float, text: str) -> None:
    assert cedar_input(NUMBER, {"a": value}) == {"a": dec(text)}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0.00001, "number_precision"),
        (1.23456, "number_precision"),
        (922337203685478, "number_range"),
        (-1e300, "number_range"),
        (10**400, "number_range"),
        (float("nan"), "number_not_finite"),
        (float("-inf"), "number_not_finite"),
        (True, "wrong_type"),
        ("40", "wrong_type"),
        (None, "wrong_type"),
        ({}, "wrong_type"),
    ],
)
def test_a_number_that_does_not_fit_gives_no_decision(value: Any, code: str) -> None:
    assert refusal(NUMBER, {"a": value}) == (code, "/a")


@given(st.floats(allow_nan=False, allow_infinity=False) | st.decimals(-(10**9), 10**9, places=4).map(float))
def test_no_double_is_ever_rounded(value: float) -> None:
    exact = Decimal(repr(value))
    if abs(exact) > Decimal("922337203685477.5807"):
        assert refusal(NUMBER, {"a": value}) == ("number_range", "/a")
    elif exact != exact.quantize(Decimal("0.0001")):
        assert refusal(NUMBER, {"a": value}) == ("number_precision", "/a")
    else:
        assert Decimal(cedar_input(NUMBER, {"a": value})["a"]["__extn"]["arg"]) == exact


@given(st.integers())
def test_integers_fit_64_bit_or_give_no_decision(value: int) -> None:
    if -(2**63) <= value < 2**63:
        assert cedar_input(INTEGER, {"a": value}) == {"a": value}
    else:
        assert refusal(INTEGER, {"a": value}) == ("integer_range", "/a")


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 1e19])
def test_beyond_64_bit(value: float) -> None:
    assert refusal(INTEGER, {"a": value}) == ("integer_range", "/a")


def test_integers_of_json_schema_include_whole_floats() -> None:
    assert cedar_input(INTEGER, {"a": 40.0}) == {"a": 40}
    assert refusal(INTEGER, {"a": 40.5}) == ("wrong_type", "/a")
    assert refusal(INTEGER, {"a": False}) == ("wrong_type", "/a")
    assert refusal(INTEGER, {"a": float("inf")}) == ("number_not_finite", "/a")


def test_null_is_left_out() -> None:
    shape = shape_of(a={"type": ["string", "null"]}, b={"type": "string"}, odd={"anyOf": []})
    assert cedar_input(shape, {"a": None, "b": "x", "odd": None}) == {"b": "x"}


def test_what_the_shape_does_not_know_gives_no_decision() -> None:
    shape = shape_of(o={"type": "object", "properties": {"a": {"type": "string"}}}, **{"x/~": {}})
    assert refusal(shape, {"o": {"4111111111111111": 1}}) == ("unknown_attribute", "/o")
    assert refusal(shape, {"x/~": 3}) == ("untypable", "/x~1~0")
    assert refusal(shape, []) == ("wrong_type", "")
    assert refusal(shape, {"o": []}) == ("wrong_type", "/o")


def test_an_escape_of_cedars_cannot_be_smuggled_in() -> None:
    shape = shape_of(o={"type": "object", "properties": {"a": {"type": "string"}}}, s={"type": "string"})
    assert refusal(shape, {"o": {"__entity": {"type": "Group", "id": "finance"}}}) == ("unknown_attribute", "/o")
    assert refusal(shape, {"s": dec("1.0")}) == ("wrong_type", "/s")


def test_arrays() -> None:
    assert cedar_input(STRINGS, {"a": ["x", "x"]}) == {"a": ["x", "x"]}
    assert cedar_input(shape_of(a={"type": "array", "items": {"type": "number"}}), {"a": [1, 2.5]}) == {
        "a": [dec("1.0"), dec("2.5")]
    }
    assert refusal(STRINGS, {"a": ["x", 1]}) == ("mixed_array", "/a")
    assert refusal(STRINGS, {"a": ["x", None]}) == ("mixed_array", "/a")
    assert refusal(STRINGS, {"a": [1, 2]}) == ("wrong_type", "/a/0")
    assert refusal(STRINGS, {"a": "x"}) == ("wrong_type", "/a")
    assert refusal(shape_of(a={"type": "array", "items": {"type": "integer"}}), {"a": [1, True]})[0] == "mixed_array"


def test_a_lone_surrogate_is_no_text() -> None:
    assert refusal(STRINGS, {"a": ["\ud800"]}) == ("not_unicode", "/a/0")
    assert cedar_input(STRINGS, {"a": ["é𝄞"]}) == {"a": ["é𝄞"]}


@pytest.mark.parametrize("depth", [32, 5000])
def test_too_deep(depth: int) -> None:
    value: Any = "x"
    for step in range(depth):
        value = [value] if step % 2 else {"a": value}
    assert refusal(STRINGS, {"a": value}) == ("too_deep", "")


def test_a_pointer_shows_no_key_of_the_callers() -> None:
    shape = shape_of(o={"type": "object", "properties": {"a": {"type": "string"}}}, l=STRINGS_DECLARED, **{"1": {}})
    assert safe_pointer(shape, ["o", 4111111111111111]) == "/o/*"
    assert safe_pointer(shape, ["4111111111111111", "a", 0]) == "/*/*/*"
    assert safe_pointer(shape, ["l", 3]) == "/l/3"
    assert safe_pointer(shape, [1, "card"]) == "/1/*"


STRINGS_DECLARED = {"type": "array", "items": {"type": "string"}}


def test_facts_count_what_a_set_would_drop() -> None:
    items = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "amount": {"type": "number"},
                "count": {"type": "integer"},
                "name": {"type": "string"},
                "parts": {"type": "array", "items": {"type": "integer"}},
            },
        },
    }
    shape = shape_of(items=items, tags=STRINGS_DECLARED, plain={"type": "number"})
    arguments = {
        "items": [{"amount": 60.5, "parts": [1, 2]}, {"amount": 60.5, "count": 7}, {"parts": [3]}],
        "tags": ["a", "a"],
    }
    assert facts_of(shape, [arguments]) == {
        "items": {
            "count": 3,
            "amount": {"count": 2, "sum": dec("121.0"), "max": dec("60.5"), "min": dec("60.5")},
            "count_": {"count": 1, "sum": 7, "max": 7, "min": 7},
            "parts": {"count": 3, "sum": 6, "max": 3, "min": 1},
        },
        "tags": {"count": 2},
    }
    assert facts_of(shape, [{}])["items"] == {
        "count": 0,
        "amount": {"count": 0, "sum": dec("0.0")},
        "count_": {"count": 0, "sum": 0},
        "parts": {"count": 0, "sum": 0},
    }


def test_a_sum_that_cedar_cannot_hold_gives_no_decision() -> None:
    for kind, value, code in (("integer", 2**62, "integer_range"), ("number", 9e14, "number_range")):
        shape = shape_of(a={"type": "array", "items": {"type": kind}})
        cedar_input(shape, {"a": [value, value]})
        with pytest.raises(NoDecision) as refused:
            facts_of(shape, [{"a": [value, value]}])
        assert (refused.value.code, refused.value.pointer) == (code, "/a")


# Whatever a schema and a valid value of it may be: Cedar takes the context that we make, or we said NoDecision.

_LEAVES = st.sampled_from(
    [{"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}, {"type": ["string", "null"]}, {}]
)
_NAMES = st.sampled_from(["a", "count", "count_", "sum", "max", "items", "a b", 'q"'])


def _objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(_NAMES, children, min_size=1, max_size=3)
    return st.builds(
        lambda declared, take: {"type": "object", "properties": declared, "required": sorted(declared)[:take]},
        properties,
        st.integers(0, 2),
    )


_SCHEMAS = st.recursive(
    _LEAVES, lambda inner: _objects(inner) | inner.map(lambda item: {"type": "array", "items": item}), max_leaves=6
)


def _value(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    kind = schema.get("type")
    if kind == "object":
        required = set(schema["required"])
        members = {name: _value(declared) for name, declared in schema["properties"].items()}
        return st.fixed_dictionaries(
            {name: value for name, value in members.items() if name in required},
            optional={name: value for name, value in members.items() if name not in required},
        )
    if kind == "array":
        return st.lists(_value(schema["items"]), max_size=3)
    simple: dict[str, st.SearchStrategy[Any]] = {
        "string": st.text(max_size=5),
        "integer": st.integers(),
        "number": st.integers() | st.decimals(-1000, 1000, places=3).map(float),
        "boolean": st.booleans(),
    }
    return simple.get(str(kind), st.none() | st.text(max_size=3))


@given(st.data())
def test_cedar_takes_every_context_that_we_make(data: st.DataObject) -> None:
    schema = data.draw(_objects(_SCHEMAS))
    arguments = data.draw(_value(schema))
    catalog = Catalog(
        {"c": HttpConnection(base_url="http://h", functions={"f": FunctionSpec(path="/", input=schema, tags=("t",))})}
    )
    policies = PolicySet.load(
        {"p.cedar": '@id("p") permit(principal in Group::"g", action in Action::"tag:t", resource);'},
        cedar_schema(catalog),
    )
    shape, _ = input_shape("c.f", schema)
    try:
        context: dict[str, Any] = {"input": cedar_input(shape, arguments), "facts": facts_of(shape, [arguments])}
    except NoDecision:
        return
    context |= {"findings": [], "approved": False, "session": {"calls": 0, "executed": 0, "denied": 0}}
    context["now"] = {"__extn": {"fn": "datetime", "arg": "2026-01-31T12:00:00.000Z"}}
    request = Request("agent", "c.f", ("Connection", "c"), json.dumps(context))
    (evaluation,) = policies.evaluate([request], policies.agent("agent", ["g"]))
    assert evaluation.decision
    assert evaluation.reasons == ("p",)
