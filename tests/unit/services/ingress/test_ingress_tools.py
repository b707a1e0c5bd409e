"""Names of tools, and schemas of their results that hold whatever comes back."""

import re
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.functions import Function, FunctionSpec
from services.ingress.tools import output_schema_of, tool_name

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,62}", fullmatch=True)


@given(NAMES, NAMES)
def test_every_model_takes_the_name(connection: str, function: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", tool_name(f"{connection}.{function}"))


@given(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=2, unique=True))
def test_no_two_names_meet(pairs: list[tuple[str, str]]) -> None:
    first, second = (tool_name(".".join(pair)) for pair in pairs)
    assert first != second


def test_names_that_differ_after_what_is_kept() -> None:
    long = "a" * 63 + "." + "b" * 62
    names = {tool_name(long + last) for last in "xyz"}
    assert len(names) == 3
    assert all(len(name) == 64 for name in names)
    assert tool_name("payments.refund") == "payments-refund"


def schema_of(output: dict[str, Any] | None) -> dict[str, Any] | None:
    return output_schema_of(Function(name="a.b", connection="a", spec=FunctionSpec(path="/", output=output)))


def test_a_function_that_declares_nothing_promises_nothing() -> None:
    assert schema_of(None) is None


CARD = {
    "type": "object",
    "properties": {"card": {"$ref": "#/$defs/card"}, "amount": {"type": "number"}},
    "required": ["card"],
    "additionalProperties": False,
    "$defs": {"card": {"type": "string", "pattern": "^[0-9]{16}$"}},
}


@pytest.mark.parametrize("output", [CARD, {"properties": {"id": {"type": "integer"}}}, {"type": "array"}])
@pytest.mark.parametrize(
    "result",
    [
        {"card": "4111111111111111", "amount": 4},
        {"card": "[CREDIT_CARD]", "amount": "[AMOUNT]"},
        {"result": [1]},
        {"callgate": {"status": "waiting_for_approval"}},
        {"error": "of the function"},
    ],
)
def test_results_that_masking_or_people_changed_keep_to_the_schema(output: dict[str, Any], result: Any) -> None:
    schema = schema_of(output)
    assert schema is not None
    assert schema["type"] == "object"
    assert jsonschema_rs.Draft202012Validator(schema).is_valid(result)


def test_the_declared_schema_is_still_told() -> None:
    schema = schema_of(CARD)
    assert schema is not None
    assert schema["anyOf"][0]["properties"] == CARD["properties"]
    assert schema["$defs"] == CARD["$defs"]
