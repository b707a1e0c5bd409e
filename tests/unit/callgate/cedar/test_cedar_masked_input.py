"""What policies on `approve` and `settle` see of a call's masked arguments: typed, exact, or not there."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.cedar.entities import call_entity
from callgate.cedar.masked_input import NOTHING_SEEN, Reads, are_about, input_reads, masked_input, mistaken_reads
from callgate.cedar.people import may
from callgate.cedar.policies import PolicySet
from callgate.cedar.schema import cedar_schema
from callgate.cedar.shapes import input_shape
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from contracts.identity import Principal

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "amount": {"type": "number"},
        "count": {"type": "integer"},
        "note": {"type": "string"},
        "express": {"type": "boolean"},
        "cards": {"type": "array", "items": {"type": "string"}},
        "order": {
            "type": "object",
            "properties": {"total": {"type": "number"}, "lines": {"type": "array", "items": {"type": "integer"}}},
            "required": ["total"],
        },
    },
    "required": ["amount", "order"],
}
SPECS = {"refund": FunctionSpec(path="/r", input=SCHEMA), "look": FunctionSpec(path="/l", input=SCHEMA)}
CATALOG = Catalog({"pay": HttpConnection(base_url="http://127.0.0.1:1", functions=SPECS)})
SHAPE, _ = input_shape("pay.refund", SCHEMA)
ALL: Reads = frozenset({()})
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
JUNIOR = Principal(id="june", issuer="i", groups=("juniors",))
LIMIT = """
@id("juniors-up-to-500") permit(principal in Group::"juniors", action == Action::"approve", resource)
when { context.input has "pay.refund" && context.input["pay.refund"] has amount
       && context.input["pay.refund"].amount.lessThanOrEqual(decimal("500.0")) };
"""
ABOVE = """
@id("juniors") permit(principal in Group::"juniors", action == Action::"approve", resource);
@id("not-above-500") forbid(principal in Group::"juniors", action == Action::"approve", resource)
when { resource.function == "pay.refund" }
unless { context.input has "pay.refund" && context.input["pay.refund"] has amount
         && context.input["pay.refund"].amount.lessThanOrEqual(decimal("500.0")) };
"""


def loaded(text: str) -> PolicySet:
    return PolicySet.load({"p.cedar": text}, cedar_schema(CATALOG))


def problems(condition: str, action: str = "approve") -> list[str]:
    policy = f'@id("p") permit(principal, action == Action::"{action}", resource) when {{ {condition} }};'
    policies = loaded(policy)
    return [problem.message for problem in (*policies.validate(), *mistaken_reads(policies, CATALOG))]


def seen(view: Any, *masked: str, reads: Reads = ALL) -> Any:
    return json.loads(masked_input("pay.refund", SHAPE, view, masked, reads))


def dec(text: str) -> dict[str, Any]:
    return {"__extn": {"fn": "decimal", "arg": text}}


# The schema


@pytest.mark.parametrize("action", ["approve", "settle"])
@pytest.mark.parametrize(
    "condition",
    [
        'context.input has "pay.refund" && context.input["pay.refund"] has amount && '
        'context.input["pay.refund"].amount.lessThanOrEqual(decimal("500.0"))',
        'context.input has "pay.refund" && context.input["pay.refund"] has order.total && '
        'context.input["pay.refund"].order.total.lessThan(decimal("1.0"))',
        'context.input has "pay.look" && context.input["pay.look"] has cards && '
        'context.input["pay.look"].cards.contains("x")',
        'context.now < datetime("2030-01-01")',
    ],
)
def test_conditions_on_masked_arguments_are_typed(condition: str, action: str) -> None:
    assert problems(condition, action) == []


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        ('context.input["pay.refund"].amount == decimal("1.0")', "pay.refund"),
        ('context.input has "pay.refund" && context.input["pay.refund"].amount == decimal("1.0")', "amount"),
        ('context.input has "pay.refnd" && context.input["pay.refnd"].amount == decimal("1.0")', "pay.refnd"),
        ('context.input has "pay.refund" && context.input["pay.refund"] has amonut', "amonut"),
        ('context.input has "pay.refund" && context.input["pay.refund"] has order.totl', "totl"),
        (
            'context.input has "pay.refund" && context.input["pay.refund"] has amount && '
            'context.input["pay.refund"].amonut == decimal("1.0")',
            "amonut",
        ),
        (
            'context.input has "pay.refund" && context.input["pay.refund"] has order && '
            'context.input["pay.refund"].order.total == decimal("1.0")',
            "total",
        ),
        (
            'context.input has "pay.refund" && context.input["pay.refund"] has amount && '
            'context.input["pay.refund"].amount < 500',
            "decimal",
        ),
    ],
)
def test_a_mistake_is_found(condition: str, part: str) -> None:
    found = problems(condition)
    assert any(part in one for one in found), found


def test_only_those_who_decide_see_the_input() -> None:
    for action in ("audit", "reveal", "freeze"):
        assert problems('context.input has "pay.refund"', action) != []


# The values


def test_what_is_there_is_exact() -> None:
    view = {
        "amount": 400.25,
        "count": 3,
        "note": "late",
        "express": True,
        "cards": ["a", "b"],
        "order": {"total": 7, "lines": [1, 2]},
    }
    assert seen(view) == {
        "pay.refund": view | {"amount": dec("400.25"), "order": {"total": dec("7.0"), "lines": [1, 2]}}
    }


@pytest.mark.parametrize(
    "view",
    [
        {"amount": "[CREDIT_CARD]"},
        {"amount": 400.00001},
        {"amount": 10**30},
        {"amount": None},
        {"amount": True},
        {"count": 1.5},
        {"count": 2**63},
        {"cards": ["a", 1]},
        {"cards": "a"},
        {"note": "\ud800"},
        {"order": "[UNINSPECTABLE]"},
        {"unknown": 1, "*": {"amount": 1}},
        {},
        "[UNINSPECTABLE]",
        [1],
        None,
    ],
)
def test_what_does_not_fit_is_left_out(view: Any) -> None:
    assert seen(view) == {"pay.refund": {}}


def test_what_masking_replaced_is_left_out() -> None:
    view = {"note": "by [PERSON]", "cards": ["[CREDIT_CARD]", "x"], "count": 1, "order": {"total": 1, "lines": [2]}}
    assert seen(view, "/note", "/cards/0", "/order/total", "/cou") == {
        "pay.refund": {"count": 1, "order": {"lines": [2]}}
    }


def test_only_what_is_read_is_taken() -> None:
    view = {"amount": 1, "note": "x", "order": {"total": 2, "lines": [3]}}
    for reads, taken in (
        ({("pay.refund", "amount")}, {"amount": dec("1.0")}),
        ({("pay.refund", "order", "total"), ("pay.refund", "count")}, {"order": {"total": dec("2.0")}}),
        ({("pay.refund", "order")}, {"order": {"total": dec("2.0"), "lines": [3]}}),
        ({("pay.refund", "order"), ("pay.refund", "order", "total")}, {"order": {"total": dec("2.0"), "lines": [3]}}),
    ):
        assert seen(view, reads=frozenset(reads)) == {"pay.refund": taken}
    assert masked_input("pay.refund", SHAPE, view, (), frozenset({("pay.look", "amount")})) == NOTHING_SEEN


def test_what_policies_read_is_known_by_action() -> None:
    policies = loaded(
        LIMIT
        + '@id("s") permit(principal, action == Action::"settle", resource) when { context.input has "pay.look" };'
        + '@id("c") permit(principal, action == Action::"pay.refund", resource) when { !context.approved };'
    )
    assert policies.validate() == []
    assert input_reads(policies, "approve") == {("pay.refund", "amount")}
    assert input_reads(policies, "settle") == {("pay.look",)}
    assert input_reads(policies, "audit") == frozenset()
    everything = loaded('@id("a") permit(principal, action, resource) when { context == context };')
    assert input_reads(everything, "approve") == {()}
    for reads, about in ((ALL, True), (frozenset({("pay.refund",)}), True), (frozenset({("pay",)}), False)):
        assert are_about(frozenset(reads), "pay.refund") is about


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*SCHEMA["properties"], "total", "lines", "other"]), inner, max_size=4)
    ),
    max_leaves=12,
)
POLICIES = loaded(
    '@id("all") permit(principal, action == Action::"approve", resource) when { context.input == context.input };'
)
FUNCTION = CATALOG.get("pay.refund")
assert FUNCTION is not None
CALL = call_entity("c", FUNCTION, Principal(id="bot", issuer="i"), ())


@given(JSON)
def test_whatever_the_view_cedar_takes_it(view: Any) -> None:
    found = may(POLICIES, "approve", JUNIOR, CALL, NOW, masked_input("pay.refund", SHAPE, view, (), ALL))
    assert found.decision
    assert not found.refused


# The decision


@pytest.mark.parametrize("text", [LIMIT, ABOVE], ids=["permit up to", "forbid unless up to"])
@pytest.mark.parametrize(
    ("view", "permitted"),
    [
        ({"amount": 400}, True),
        ({"amount": 500.0}, True),
        ({"amount": 500.0001}, False),
        ({"amount": 600}, False),
        ({"amount": "[CREDIT_CARD]"}, False),
        ({}, False),
    ],
)
def test_a_right_up_to_a_limit(text: str, view: Any, permitted: bool) -> None:
    policies = loaded(text)
    assert policies.validate() == []
    said = masked_input("pay.refund", SHAPE, view, (), input_reads(policies, "approve"))
    assert may(policies, "approve", JUNIOR, CALL, NOW, said).decision is permitted
    assert not may(policies, "approve", JUNIOR, CALL, NOW).decision
