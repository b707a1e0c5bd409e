"""Where arguments break a function's schema, told without quoting them."""

import pytest

from callgate.errors import ConfigurationError
from callgate.inputs import InputSchema
from contracts.events import InputProblem
from contracts.functions import Function, FunctionSpec
from contracts.model import JsonValue

SCHEMA: dict[str, JsonValue] = {
    "type": "object",
    "properties": {
        "amount": {"type": "number", "maximum": 100},
        "items": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["amount"],
    "additionalProperties": {"type": "string"},
}


def schema(document: dict[str, JsonValue] | None = None) -> InputSchema:
    spec = FunctionSpec.model_validate({"path": "/refunds", "input": document or SCHEMA})
    return InputSchema(Function(name="payments.refund", connection="payments", spec=spec))


@pytest.mark.parametrize(
    ("arguments", "pointer", "keyword"),
    [
        ({"amount": 101}, "/amount", "maximum"),
        ({"amount": "4111 1111"}, "/amount", "type"),
        ({}, "/amount", "required"),
        ({"amount": 1, "items": ["a", 2]}, "/items/1", "type"),
        ({"amount": 1, "4111111111111111": 2}, "/*", "type"),
    ],
)
def test_the_place_and_the_keyword(arguments: JsonValue, pointer: str, keyword: str) -> None:
    assert not schema().takes(arguments)
    assert schema().problems(arguments, 8) == (InputProblem(pointer=pointer, keyword=keyword),)


def test_at_most_so_many() -> None:
    arguments: JsonValue = {"amount": 1, "items": [*range(20)]}
    assert len(schema().problems(arguments, 8)) == 8
    assert schema().takes({"amount": 1})
    assert schema().problems({"amount": 1}, 8) == ()


def test_what_cannot_be_read_is_not_taken() -> None:
    deep: JsonValue = "x"
    for _ in range(2000):
        deep = [deep]
    assert not schema().takes({"amount": 1, "deep": deep})
    assert schema().problems({"amount": 1, "deep": deep}, 8) == ()


def test_a_schema_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match=r"payments\.refund"):
        schema({"type": "object", "properties": {"amount": {"type": "strin"}}})
