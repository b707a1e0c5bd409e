"""Arguments as Cedar values, under the shape that their JSON Schema gave. Never rounded, never guessed.

A null is left out. A number of a `number` parameter becomes a decimal, `40` too. Whatever Cedar cannot hold exactly,
or the shape does not know, is `NoDecision`, and no decision is a denial.
"""

import math
from decimal import Decimal
from typing import Any, Literal

from callgate.cedar.shapes import MAX_DEPTH, Record, Scalar, SetOf, Shape
from callgate.errors import CallgateError
from callgate.jsontext import pointer_token
from contracts.model import JsonValue

CedarJson = Any
"""A value in Cedar's JSON format: bool, int, str, list, dict, or an `__extn` escape."""

NoDecisionCode = Literal[
    "integer_range",  # beyond 64 bit
    "mixed_array",  # elements of several JSON types
    "not_unicode",  # a lone surrogate
    "number_not_finite",
    "number_precision",  # more than four decimals
    "number_range",  # beyond Cedar's decimal, ±922337203685477.5807
    "too_deep",
    "unknown_attribute",  # not declared; the pointer names the object, since the name is the caller's
    "untypable",  # declared, but of no type that Cedar has
    "wrong_type",
]

_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1
_DECIMAL_MIN, _DECIMAL_MAX = Decimal(_INTEGER_MIN).scaleb(-4), Decimal(_INTEGER_MAX).scaleb(-4)


class NoDecision(CallgateError):
    """Cedar cannot be asked about this value. `pointer` is a JSON pointer to it and carries no name of the caller's."""

    def __init__(self, code: NoDecisionCode, pointer: str) -> None:
        super().__init__(code, pointer)
        self.pointer = pointer


def cedar_input(record: Record, arguments: JsonValue) -> dict[str, CedarJson]:
    """`context.input` for these arguments. `NoDecision` for whatever does not fit."""
    _refuse_too_deep(arguments)
    converted: dict[str, CedarJson] = cedar_value(record, arguments, "")
    return converted


def cedar_value(shape: Shape, value: JsonValue, pointer: str) -> CedarJson:
    if isinstance(shape, Record):
        return _record_value(shape, value, pointer)
    if isinstance(shape, SetOf):
        return _set_value(shape, value, pointer)
    return _scalar_value(shape, value, pointer)


def number(value: int | float) -> Decimal:
    """Exactly the number that was written: the shortest text of a double is what ingress let through."""
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def long_value(value: Decimal, pointer: str) -> int:
    if not _INTEGER_MIN <= value <= _INTEGER_MAX:
        raise NoDecision("integer_range", pointer)
    return int(value)


def decimal_value(value: Decimal, pointer: str) -> CedarJson:
    """Cedar's decimal: at most four places after the point, and always one."""
    if not _DECIMAL_MIN <= value <= _DECIMAL_MAX:
        raise NoDecision("number_range", pointer)
    text = f"{value:f}"
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > 4:
        raise NoDecision("number_precision", pointer)
    return {"__extn": {"fn": "decimal", "arg": f"{whole}.{fraction or '0'}"}}


def _record_value(shape: Record, value: JsonValue, pointer: str) -> dict[str, CedarJson]:
    if not isinstance(value, dict):
        raise NoDecision("wrong_type", pointer)
    converted: dict[str, CedarJson] = {}
    for name, member in value.items():
        attribute = shape.attributes.get(name)
        if attribute is None:
            if name not in shape.untypable:
                raise NoDecision("unknown_attribute", pointer)
            if member is not None:
                raise NoDecision("untypable", pointer + pointer_token(name))
        elif member is not None:
            converted[name] = cedar_value(attribute.shape, member, pointer + pointer_token(name))
        elif not attribute.nullable:
            raise NoDecision("wrong_type", pointer + pointer_token(name))
    return converted


def _set_value(shape: SetOf, value: JsonValue, pointer: str) -> list[CedarJson]:
    if not isinstance(value, list):
        raise NoDecision("wrong_type", pointer)
    if len({_json_type(item) for item in value}) > 1:
        raise NoDecision("mixed_array", pointer)
    return [cedar_value(shape.item, item, f"{pointer}/{index}") for index, item in enumerate(value)]


def _scalar_value(shape: Scalar, value: JsonValue, pointer: str) -> CedarJson:
    if shape.name == "String" and isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise NoDecision("not_unicode", pointer)
        return value
    if shape.name == "Bool" and isinstance(value, bool):
        return value
    if shape.numeric and isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            raise NoDecision("number_not_finite", pointer)
        if shape.name == "decimal":
            return decimal_value(number(value), pointer)
        if value == int(value):  # JSON Schema's integers include 40.0
            return long_value(number(value), pointer)
    raise NoDecision("wrong_type", pointer)


def _json_type(value: JsonValue) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _refuse_too_deep(arguments: JsonValue) -> None:
    """By a stack of its own: what is too deep must not exhaust Python's."""
    stack = [(arguments, 1)]
    while stack:
        value, depth = stack.pop()
        if not isinstance(value, dict | list):
            continue
        if depth > MAX_DEPTH:
            raise NoDecision("too_deep", "")
        stack.extend((member, depth + 1) for member in (value.values() if isinstance(value, dict) else value))
