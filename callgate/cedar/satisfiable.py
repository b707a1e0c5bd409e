"""Whether any value of a JSON Schema could meet the conditions of a grant on one parameter. Pure."""

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jsonschema_rs

from contracts.model import JsonValue

_COMPARED: Mapping[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


def satisfiable(tests: Mapping[str, JsonValue], schema: dict[str, JsonValue], *, whole: bool) -> bool:
    """False where no value of this JSON Schema meets all the tests; `whole`: only integers are values of it.

    True where it cannot be told: a test of every value one by one is not what this is.
    """
    named: list[JsonValue] = [tests["eq"]] if "eq" in tests else list(tests.get("in", []))
    declared = [schema["const"]] if "const" in schema else list(schema.get("enum", []))
    if schema.get("type") == "boolean":
        declared = declared or [True, False]
    if not named and not declared:
        return _in_range(tests, schema, whole=whole)
    valid = _validity(schema)
    return any(valid(value) and _meets(value, tests) for value in named or declared)


def _meets(value: JsonValue, tests: Mapping[str, JsonValue]) -> bool:
    if not all(_holds(value, name, tests[name]) for name in tests.keys() & _COMPARED.keys()):
        return False
    return "in" not in tests or any(_holds(value, "eq", one) for one in tests["in"])


def _holds(value: JsonValue, comparison: str, than: JsonValue) -> bool:
    """As JSON compares: `true` is not 1, and what cannot be ordered is not less."""
    alike = isinstance(value, bool) == isinstance(than, bool)
    try:
        return bool(_COMPARED[comparison](value, than)) if alike else comparison == "ne"
    except TypeError:
        return False


def _in_range(tests: Mapping[str, JsonValue], schema: Mapping[str, JsonValue], *, whole: bool) -> bool:
    """Whether a number is left between the bounds of schema and tests; True where nothing is bounded."""
    lows = [*_bounds(schema, "minimum", "exclusiveMinimum"), *_bounds(tests, "gte", "gt")]
    highs = [*_bounds(schema, "maximum", "exclusiveMaximum"), *_bounds(tests, "lte", "lt")]
    low = max(lows, default=None)
    high = min(((bound, not strict) for bound, strict in highs), default=None)
    if low is None or high is None:
        return True
    (least, above), (most, at_most) = low, high
    if whole:
        first = math.floor(least) + 1 if above else math.ceil(least)
        return first <= (math.floor(most) if at_most else math.ceil(most) - 1)
    return least < most or (least == most and not above and at_most)


def _bounds(of: Mapping[str, JsonValue], inclusive: str, exclusive: str) -> list[tuple[float, bool]]:
    """The bounds given, and whether each excludes itself."""
    named = ((of.get(inclusive), False), (of.get(exclusive), True))
    return [(bound, strict) for bound, strict in named if isinstance(bound, int | float)]


def _validity(schema: dict[str, JsonValue]) -> Callable[[JsonValue], bool]:
    """Whether a value is valid; always, where the property's schema does not stand by itself."""
    try:
        return jsonschema_rs.Draft202012Validator(schema, offline=True).is_valid
    except ValueError:
        return lambda _: True
