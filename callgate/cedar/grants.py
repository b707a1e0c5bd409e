"""Grants as Cedar: text generated from a small structured form, never from people's own Cedar.

    {"amount": {"lte": 40}, "/order/currency": {"in": ["USD", "EUR"]}}

A parameter is named by its name, or by a JSON pointer where it lies deeper; comparisons: `eq`, `ne`, `in` for strings,
numbers and booleans, `lt`, `lte`, `gt`, `gte` for numbers. All must hold, and a parameter that is absent meets none.
"""

import re
from collections.abc import Iterable, Mapping

from callgate.cedar.satisfiable import satisfiable
from callgate.cedar.shapes import Record, Scalar, Shape, input_shape
from callgate.cedar.values import NoDecision, decimal_value, long_value, number
from callgate.errors import CallgateError
from callgate.jsontext import pointer_steps
from contracts.functions import Function
from contracts.model import JsonValue
from contracts.records import Conditions, Granted

COMPARISONS = ("eq", "ne", "in", "lt", "lte", "gt", "gte")
CONDITIONS_LIMIT = 16
VALUES_LIMIT = 50
_ORDER = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_DECIMAL_ORDER = {"lt": "lessThan", "lte": "lessThanOrEqual", "gt": "greaterThan", "gte": "greaterThanOrEqual"}
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,31}")
"""Texts that may stand in clear on CONTROL: words such as currencies, never what could be somebody's number or name."""
_DIGITS = re.compile(r"[0-9]")
_DIGITS_LIMIT = 4


class BadCondition(CallgateError):
    """A condition that this function's schema cannot meet, or that cannot be said; the detail quotes no value."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)


def grant_text(grant: Granted, function: Function) -> str:
    """The Cedar policy of a grant; `grant.policy` must be just this. BadCondition."""
    principal = f"principal == Agent::{_string(grant.agent)}" if grant.agent is not None else "principal"
    head = (
        f"@id({_string('grant-' + grant.grant_id)})\n"
        f"permit (\n  {principal},\n  action == Action::{_string(function.name)},\n"
        f"  resource == Connection::{_string(function.connection)}\n)"
    )
    clauses = list(_clauses(grant.conditions, function))
    return head + (f"\nwhen {{ {' && '.join(clauses)} }};" if clauses else ";")


def require_satisfiable(conditions: Conditions, function: Function) -> None:
    """Refuses what no valid call could meet, as far as one parameter by itself tells. BadCondition.

    Of conditions for which `grant_text` has a text.
    """
    record, _ = input_shape(function.name, function.spec.input)
    for name, tests in conditions.items():
        _, _, shape, schema = _find(name, record, function.spec.input)
        definitions = {"$defs": function.spec.input["$defs"]} if "$defs" in function.spec.input else {}
        if not satisfiable(tests, {**definitions, **schema}, whole=isinstance(shape, Scalar) and shape.name == "Long"):
            raise BadCondition(
                "never_holds",
                f"no call could meet the condition on {name}: the function's schema, or another test of the same "
                "parameter, excludes it",
            )


def can_be_said(conditions: Conditions, function: Function) -> bool:
    """Whether `grant_text` has a text for these conditions."""
    try:
        list(_clauses(conditions, function))
    except BadCondition:
        return False
    return True


def _clauses(conditions: Mapping[str, Mapping[str, JsonValue]], function: Function) -> Iterable[str]:
    if not isinstance(conditions, Mapping) or len(conditions) > CONDITIONS_LIMIT:
        raise BadCondition("bad_conditions", f"conditions are an object of at most {CONDITIONS_LIMIT} parameters")
    record, _ = input_shape(function.name, function.spec.input)
    for name in sorted(conditions):
        tests = conditions[name]
        if not isinstance(tests, Mapping) or not tests or not tests.keys() <= set(COMPARISONS):
            raise BadCondition("bad_comparison", f"compare by {', '.join(COMPARISONS)}")
        guards, path, shape, schema = _find(name, record, function.spec.input)
        if not isinstance(shape, Scalar):
            raise BadCondition("bad_parameter", "a condition compares a string, a number or a boolean")
        yield from guards
        for comparison in sorted(tests):
            yield _test(path, shape, comparison, tests[comparison], schema)


def _find(name: str, record: Record, schema: JsonValue) -> tuple[list[str], str, Shape, JsonValue]:
    """The guards, the path, the shape and the schema of a parameter."""
    steps = pointer_steps(name) if name.startswith("/") else (name,)
    guards: list[str] = []
    path, shape = "context.input", record
    found: Shape = record
    for step in steps:
        attribute = shape.attributes.get(step) if isinstance(found, Record) else None
        if attribute is None:
            raise BadCondition("unknown_parameter", "the function has no such parameter that a policy can see")
        if not attribute.required:
            guards.append(f"{path} has {_string(step)}")
        path, found, schema = f"{path}[{_string(step)}]", attribute.shape, schema["properties"][step]
        if isinstance(found, Record):
            shape = found
    return guards, path, found, schema


def _test(path: str, shape: Scalar, comparison: str, value: JsonValue, schema: JsonValue) -> str:
    if comparison == "in":
        if not isinstance(value, list) or not 0 < len(value) <= VALUES_LIMIT:
            raise BadCondition("bad_value", f"`in` takes a list of 1 to {VALUES_LIMIT} values")
        return f"[{', '.join(_literal(shape, one, schema) for one in value)}].contains({path})"
    literal = _literal(shape, value, schema)
    if comparison == "eq":
        return f"{path} == {literal}"
    if comparison == "ne":
        return f"{path} != {literal}"
    if not shape.numeric:
        raise BadCondition("bad_comparison", "only numbers are less or greater")
    if shape.name == "decimal":
        return f"{path}.{_DECIMAL_ORDER[comparison]}({literal})"
    return f"{path} {_ORDER[comparison]} {literal}"


def _literal(shape: Scalar, value: JsonValue, schema: JsonValue) -> str:
    if schema.get("x-callgate-mask", "never") != "never":
        raise BadCondition("masked_parameter", "the parameter is masked, and conditions stand in clear")
    if shape.name == "Bool" and isinstance(value, bool):
        return "true" if value else "false"
    if shape.name == "String" and isinstance(value, str):
        _require_plain(value, schema)
        return _string(value)
    if shape.numeric and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if shape.name == "decimal":
                return f"decimal({_string(decimal_value(number(value), '')['__extn']['arg'])})"
            if value == int(value):
                return str(long_value(number(value), ""))
        except (NoDecision, ValueError, OverflowError, ArithmeticError):
            pass
    raise BadCondition("bad_value", f"the parameter is of type {shape.name}, and so must its values be")


def _require_plain(value: str, schema: JsonValue) -> None:
    """Conditions stand in clear on CONTROL: nothing may that masking could want to hide."""
    declared = value in schema.get("enum", []) or value == schema.get("const")
    if not declared and (not _PLAIN.fullmatch(value) or len(_DIGITS.findall(value)) > _DIGITS_LIMIT):
        raise BadCondition("value_not_plain", "a text in a condition is a plain word, such as USD or production")


def _string(text: str | None) -> str:
    """A Cedar string literal: everything but plain ASCII as its escape."""
    return '"' + "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\u{{{ord(c):x}}}" for c in text or "") + '"'
