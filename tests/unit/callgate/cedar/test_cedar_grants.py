"""The Cedar that a grant's form becomes: strictly valid, and true of just the arguments that the form means."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callgate.cedar.entities import datetime_value
from callgate.cedar.facts import facts_of
from callgate.cedar.grants import BadCondition, grant_text, require_satisfiable
from callgate.cedar.policies import PolicySet, Request
from callgate.cedar.satisfiable import satisfiable
from callgate.cedar.schema import cedar_schema
from callgate.cedar.shapes import input_shape
from callgate.cedar.values import cedar_input
from contracts.events import Sealed
from contracts.functions import Catalog, Function, FunctionSpec, HttpConnection
from contracts.identity import Principal
from contracts.records import Granted

INPUT: dict[str, Any] = {
    "type": "object",
    "required": ["amount"],
    "properties": {
        "amount": {"type": "number"},
        "count": {"type": "integer"},
        "currency": {"type": "string"},
        "urgent": {"type": "boolean"},
        'odd "name"': {"type": "integer"},
        "plan": {"type": "string", "enum": ["gold plan", "basic"]},
        "card": {"type": "string", "x-callgate-mask": "CREDIT_CARD"},
        "lines": {"type": "array", "items": {"type": "number"}},
        "order": {"type": "object", "properties": {"a/b": {"type": "integer"}}},
    },
}
CATALOG = Catalog(
    {"pay": HttpConnection(base_url="http://p.test", functions={"refund": FunctionSpec(path="/r", input=INPUT)})}
)
AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
SCHEMA = cedar_schema(CATALOG)


def function() -> Function:
    found = CATALOG.get("pay.refund")
    assert found is not None
    return found


def grant(conditions: Any, agent: str | None = "bot") -> Granted:
    return Granted(
        grant_id="g1",
        by=Principal(id="rita", issuer="i"),
        agent=agent,
        issuer="i",
        session_id="s",
        function="pay.refund",
        conditions=conditions,
        policy="",
        uses=1,
        expires_at=AT + timedelta(minutes=1),
        reason=Sealed(key_id="k", nonce="n", ciphertext="c"),
    )


def holds(conditions: Any, agent: str = "bot", granted_to: str = "bot", **arguments: Any) -> bool:
    policies = PolicySet.load({"grant.cedar": grant_text(grant(conditions, granted_to), function())}, SCHEMA)
    assert policies.validate() == []
    shape, _ = input_shape("pay.refund", INPUT)
    context = {
        "input": cedar_input(shape, arguments),
        "facts": facts_of(shape, [arguments]),
        "findings": [],
        "session": {"calls": 0, "executed": 0, "denied": 0},
        "now": datetime_value(AT),
        "approved": True,
    }
    request = Request(agent, "pay.refund", ("Connection", "pay"), json.dumps(context))
    return policies.evaluate([request], policies.agent(agent, ()))[0].decision


@pytest.mark.parametrize(
    ("conditions", "good", "bad"),
    [
        ({"amount": {"lte": 40}}, {"amount": 40}, {"amount": 40.01}),
        ({"amount": {"lt": 40.5}}, {"amount": 40.4999}, {"amount": 40.5}),
        ({"amount": {"gt": 1, "lt": 3}}, {"amount": 2}, {"amount": 3}),
        ({"currency": {"eq": "USD"}}, {"amount": 1, "currency": "USD"}, {"amount": 1, "currency": "usd"}),
        ({"currency": {"in": ["USD", "EUR"]}}, {"amount": 1, "currency": "EUR"}, {"amount": 1}),
        ({"currency": {"ne": "USD"}}, {"amount": 1, "currency": "EUR"}, {"amount": 1}),
        ({"count": {"gte": 2}}, {"amount": 1, "count": 2}, {"amount": 1, "count": 1}),
        ({"urgent": {"eq": False}}, {"amount": 1, "urgent": False}, {"amount": 1, "urgent": True}),
        ({'odd "name"': {"eq": 1}}, {"amount": 1, 'odd "name"': 1}, {"amount": 1, 'odd "name"': 2}),
        ({"plan": {"eq": "gold plan"}}, {"amount": 1, "plan": "gold plan"}, {"amount": 1, "plan": "basic"}),
        ({"/order/a~1b": {"lt": 3}}, {"amount": 1, "order": {"a/b": 2}}, {"amount": 1, "order": {}}),
    ],
)
def test_conditions(conditions: Any, good: dict[str, Any], bad: dict[str, Any]) -> None:
    assert holds(conditions, **good)
    assert not holds(conditions, **bad)


def test_it_is_of_one_agent() -> None:
    assert holds({}, amount=1)
    assert not holds({}, "another", amount=1)


@given(st.text(max_size=30))
def test_no_name_breaks_out_of_its_quotes(name: str) -> None:
    text = grant_text(grant({}, name), function())
    assert text.isascii()
    assert len(PolicySet.load({"grant.cedar": text}, SCHEMA)) == 1
    if not any("\ud800" <= c <= "\udfff" for c in name):
        assert holds({}, name, name, amount=1)
        assert not holds({}, name + "x", name, amount=1)


@pytest.mark.parametrize(
    ("conditions", "code"),
    [
        ({"amonut": {"lte": 40}}, "unknown_parameter"),
        ({"/order": {"eq": 1}}, "bad_parameter"),
        ({"/amount/x": {"eq": 1}}, "unknown_parameter"),
        ({"": {"eq": 1}}, "unknown_parameter"),
        ({"lines": {"eq": 1}}, "bad_parameter"),
        ({"amount": {}}, "bad_comparison"),
        ({"amount": {"le": 40}}, "bad_comparison"),
        ({"amount": {"lte": "40"}}, "bad_value"),
        ({"amount": {"lte": 0.00001}}, "bad_value"),
        ({"amount": {"lte": 10**30}}, "bad_value"),
        ({"amount": {"lte": True}}, "bad_value"),
        ({"count": {"lte": 1.5}}, "bad_value"),
        ({"count": {"lte": 2**63}}, "bad_value"),
        ({"urgent": {"lt": True}}, "bad_comparison"),
        ({"currency": {"lt": "USD"}}, "bad_comparison"),
        ({"currency": {"in": []}}, "bad_value"),
        ({"currency": {"in": "USD"}}, "bad_value"),
        ({"currency": {"in": ["A"] * 51}}, "bad_value"),
        ({"card": {"eq": "USD"}}, "masked_parameter"),
        ({"currency": {"eq": "4111111111111111"}}, "value_not_plain"),
        ({"currency": {"eq": "Jane Doe"}}, "value_not_plain"),
        ({"currency": {"eq": "jane@doe.test"}}, "value_not_plain"),
        ({f"p{i}": {"eq": 1} for i in range(17)}, "bad_conditions"),
    ],
)
def test_what_cannot_be_meant_is_refused(conditions: Any, code: str) -> None:
    with pytest.raises(BadCondition) as refused:
        grant_text(grant(conditions), function())
    assert refused.value.code == code
    assert "4111" not in str(refused.value)
    assert "Jane" not in str(refused.value)


LIMITED: dict[str, Any] = {
    "type": "object",
    "$defs": {"money": {"minimum": 1}},
    "properties": {
        "amount": {"type": "number", "minimum": 0, "exclusiveMaximum": 100},
        "share": {"type": "number", "$ref": "#/$defs/money"},
        "count": {"type": "integer"},
        "currency": {"type": "string", "enum": ["USD", "EUR"]},
        "size": {"type": "integer", "enum": [1, 2, 3]},
        "kind": {"type": "string", "const": "refund"},
        "code": {"type": "string", "pattern": "^[A-Z]{3}$"},
        "urgent": {"type": "boolean"},
        "order": {"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}},
    },
}


def limited() -> Function:
    spec = FunctionSpec(path="/r", input=LIMITED)
    return Function(name="pay.limited", connection="pay", spec=spec)


@pytest.mark.parametrize(
    "conditions",
    [
        {"amount": {"gte": 100}},
        {"amount": {"lt": 0}},
        {"amount": {"gt": 40, "lt": 40}},
        {"amount": {"gte": 40, "lt": 40}},
        {"amount": {"eq": 40, "gt": 40}},
        {"amount": {"eq": -1}},
        {"amount": {"in": [100, 200]}},
        {"share": {"eq": 0}},
        {"count": {"gt": 1, "lt": 2}},
        {"count": {"eq": 1, "ne": 1}},
        {"count": {"in": [1, 2], "gt": 2}},
        {"currency": {"eq": "GBP"}},
        {"currency": {"in": ["GBP", "CHF"]}},
        {"currency": {"eq": "USD", "in": ["EUR"]}},
        {"currency": {"eq": "USD", "ne": "USD"}},
        {"size": {"gt": 3}},
        {"kind": {"ne": "refund"}},
        {"code": {"eq": "usd"}},
        {"/order/n": {"gt": 5}},
        {"amount": {"lte": 40}, "currency": {"eq": "GBP"}},
    ],
)
def test_what_no_call_could_meet_is_refused(conditions: Any) -> None:
    with pytest.raises(BadCondition) as refused:
        require_satisfiable(conditions, limited())
    assert refused.value.code == "never_holds"
    assert "GBP" not in str(refused.value)


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"amount": {"gte": 99.99}},
        {"amount": {"gte": 40, "lte": 40}},
        {"amount": {"ne": 40}},
        {"share": {"eq": 1}},
        {"count": {"gt": 1, "lt": 3}},
        {"currency": {"ne": "USD"}},
        {"size": {"gt": 2}},
        {"kind": {"eq": "refund"}},
        {"code": {"ne": "USD"}},
        {"urgent": {"ne": True}},
        {"/order/n": {"lte": 9}},
    ],
)
def test_what_a_call_could_meet_is_not(conditions: Any) -> None:
    require_satisfiable(conditions, limited())


_TESTS = st.fixed_dictionaries(
    {},
    optional={name: st.integers(-3, 3) for name in ("eq", "ne", "lt", "lte", "gt", "gte")}
    | {"in": st.lists(st.integers(-3, 3), min_size=1, max_size=3)},
)
_BOUNDS = st.fixed_dictionaries(
    {},
    optional={name: st.integers(-3, 3) for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")}
    | {"enum": st.lists(st.integers(-3, 3), min_size=1, max_size=3)},
)


@given(tests=_TESTS, bounds=_BOUNDS, value=st.integers(-4, 4))
def test_nothing_that_some_call_meets_is_refused(tests: Any, bounds: Any, value: int) -> None:
    valid = jsonschema_rs.Draft202012Validator(bounds).is_valid(value)
    meets = all(_OPS[name](value, than) for name, than in tests.items() if name != "in")
    if valid and meets and value in tests.get("in", [value]):
        assert satisfiable(tests, {"type": "integer", **bounds}, whole=True)


_AMOUNTS = st.integers(-50000, 50000).map(lambda n: n / 100)
_OPS = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
}


@settings(max_examples=60, deadline=None)
@given(
    bounds=st.dictionaries(st.sampled_from(sorted(_OPS)), _AMOUNTS, min_size=1),
    counts=st.none() | st.tuples(st.sampled_from(sorted(_OPS)), st.integers(-3, 3)),
    amount=_AMOUNTS,
    count=st.none() | st.integers(-3, 3),
)
def test_it_holds_of_just_what_it_says(
    bounds: dict[str, float], counts: tuple[str, int] | None, amount: float, count: int | None
) -> None:
    conditions: dict[str, Any] = {"amount": bounds}
    if counts is not None:
        conditions["count"] = {counts[0]: counts[1]}
    expected = all(_OPS[op](Decimal(repr(amount)), Decimal(repr(bound))) for op, bound in bounds.items())
    expected = expected and (counts is None or (count is not None and _OPS[counts[0]](count, counts[1])))
    arguments: dict[str, Any] = {"amount": amount} | ({"count": count} if count is not None else {})
    assert holds(conditions, **arguments) is expected
