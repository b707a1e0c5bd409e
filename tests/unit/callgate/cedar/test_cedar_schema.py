"""What the functions' JSON Schemas become, and that Cedar's strict validation holds policies to it."""

from typing import Any

import pytest

from callgate.cedar.policies import PolicySet
from callgate.cedar.schema import cedar_schema, untypable
from contracts.functions import Catalog, FunctionSpec, HttpConnection


def catalog_of(properties: dict[str, Any], required: tuple[str, ...] = (), tags: tuple[str, ...] = ()) -> Catalog:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    function = FunctionSpec(path="/f", input=schema, tags=tags)
    return Catalog({"shop": HttpConnection(base_url="http://127.0.0.1:1", functions={"order": function})})


def problems(catalog: Catalog, condition: str) -> list[str]:
    policy = f'@id("p") permit(principal, action == Action::"shop.order", resource) when {{ {condition} }};'
    return [problem.message for problem in PolicySet.load({"p.cedar": policy}, cedar_schema(catalog)).validate()]


EVERYTHING = catalog_of(
    {
        "text": {"type": "string"},
        "whole": {"type": "integer"},
        "amount": {"type": "number"},
        "flag": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "limits": {"type": "array", "items": {"type": "integer"}},
        "grid": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        "order": {
            "type": "object",
            "properties": {"total": {"type": "number"}, "lines": {"type": "array", "items": {"type": "number"}}},
            "required": ["total"],
        },
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "amount": {"type": "number"},
                    "count": {"type": "integer"},
                    "parts": {"type": "array", "items": {"type": "integer"}},
                },
            },
        },
    },
    required=("text", "whole", "amount", "flag", "note", "tags", "limits", "grid", "order", "items"),
    tags=("money",),
)


@pytest.mark.parametrize(
    "condition",
    [
        'context.input.text == "x" && context.input.whole < 3 && context.input.flag',
        'context.input.amount.lessThan(decimal("3.5"))',
        'context.input has note && context.input.note like "a*"',
        'context.input.tags.contains("a") && context.facts.tags.count > 1',
        "context.facts.limits.sum > 3 && context.facts.limits has max && context.facts.limits.max > 3",
        'context.facts.grid.count == 1 && context.facts.grid.items.sum.lessThan(decimal("1.0"))',
        'context.input.order.total.lessThan(decimal("1.0")) && context.facts.order.lines.count < 3',
        'context.facts.items.count < 3 && context.facts.items.amount.sum.lessThan(decimal("9.0"))',
        "context.facts.items.amount.count == context.facts.items.count && context.facts.items.count_.sum < 4",
        "context.facts.items.parts.sum < 9 && context.facts.items.parts.count < 9",
        'context.findings.contains("US_SSN") && context.session.calls < 9 && !context.approved',
        'context.now < datetime("2030-01-01")',
    ],
)
def test_every_fact_is_typed(condition: str) -> None:
    assert problems(EVERYTHING, condition) == []


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        ("context.input.amonut == 3", "amonut"),
        ("context.input.amount < 3", "decimal"),
        ('context.input.note == "x"', "note"),
        ("context.facts.limits.max > 3", "max"),
        ("context.approvd", "approvd"),
    ],
)
def test_a_mistake_in_a_condition_is_found(condition: str, part: str) -> None:
    found = problems(EVERYTHING, condition)
    assert len(found) == 1
    assert part in found[0]


def test_the_examples_of_the_design_validate() -> None:
    policies = """
    @id("support-may-refund")
    permit(principal in Group::"support", action == Action::"shop.order", resource);
    @id("large-refunds-need-finance") @approvers("finance") @quorum("2") @expires("15m")
    forbid(principal, action == Action::"shop.order", resource)
    unless { context.approved || context.input.amount.lessThanOrEqual(decimal("100.0")) };
    @id("finance-approves") permit(principal in Group::"finance", action == Action::"approve", resource)
    unless { principal == resource.requester };
    @id("money") forbid(principal, action in Action::"tag:money", resource == Connection::"shop")
    when { context.session.calls > 10 };
    @id("own") permit(principal, action in [Action::"audit", Action::"reveal"], resource)
    when { resource has owner && resource.owner == principal };
    @id("call") permit(principal, action == Action::"approve", resource)
    when { resource.tags.contains("money") && resource.connection == Connection::"shop" && resource.function == "f"
           && resource.findings.isEmpty() && !resource.requester_groups.contains("g")
           && context.now < datetime("2030-01-01") };
    """
    assert PolicySet.load({"design.cedar": policies}, cedar_schema(EVERYTHING)).validate() == []


def test_a_tag_that_no_function_carries_is_unknown() -> None:
    policy = '@id("p") permit(principal, action in Action::"tag:mony", resource);'
    assert PolicySet.load({"p.cedar": policy}, cedar_schema(EVERYTHING)).validate()


@pytest.mark.parametrize(
    "declared",
    [
        {},
        True,
        {"enum": ["a", "b"]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": ["string", "integer"]},
        {"type": "null"},
        {"type": "object"},
        {"type": "array"},
        {"type": "array", "items": {}},
        {"type": "array", "items": {"type": ["string", "null"]}},
        {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}},
    ],
)
def test_what_has_no_type_is_left_out_and_reported(declared: Any) -> None:
    catalog = catalog_of({"known": {"type": "string"}, "odd/name": declared})
    (reported,) = untypable(catalog)
    assert (reported.function, reported.pointer) == ("shop.order", "/properties/odd~1name")
    assert reported.why
    action = cedar_schema(catalog)[""]["actions"]["shop.order"]
    record = action["appliesTo"]["context"]["attributes"]["input"]
    assert set(record["attributes"]) == {"known"}


def test_names_that_cedar_reads_as_escapes_are_left_out() -> None:
    catalog = catalog_of({"__extn": {"type": "string"}, "order": {"type": "object", "properties": {}}})
    assert {part.pointer for part in untypable(catalog)} == {"/properties/__extn", "/properties/order"}


def test_free_properties_are_reported() -> None:
    nested = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}
    assert [part.pointer for part in untypable(catalog_of({"o": nested}))] == ["/properties/o/additionalProperties"]
