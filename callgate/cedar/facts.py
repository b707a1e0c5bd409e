"""Facts about arrays: Cedar's sets drop repetitions and have no quantifier, so amounts in arrays would slip by.

`context.facts` mirrors the path of every array parameter (flattened over arrays within arrays):

    input                              facts
    tags:   Set<String>                facts.tags.count                                  Long
    limits: Set<Long>                  facts.limits.{count, sum, max?, min?}             Long
    prices: Set<decimal>               facts.prices.{count: Long, sum, max?, min?}       decimal
    items:  Set<{amount: decimal, …}>  facts.items.count
                                       facts.items.amount.{count: Long, sum, max?, min?} one per numeric property
    items:  Set<{parts: Set<…>}>       facts.items.parts.…, over the parts of all items
    grid:   Set<Set<Long>>             facts.grid.count (rows), facts.grid.items.{count, sum, max?, min?}
    order:  {lines: Set<…>}            facts.order.lines.…

Everything is always there, also for an array that the caller left out (count 0, sum 0), except `max` and `min`, which
an empty array does not have: ask `context.facts.prices has max` first. Repeated elements count. A property of array
elements that is itself called `count` stands under `count_` (and a `count_` under `count__`).
"""

from collections.abc import Sequence
from decimal import Decimal

from callgate.cedar.shapes import Record, Scalar, SetOf, Shape
from callgate.cedar.values import CedarJson, decimal_value, long_value, number
from callgate.jsontext import pointer_token
from contracts.model import JsonValue


def facts_schema(shape: Shape, *, within_array: bool = False) -> dict[str, JsonValue]:
    """The attributes of the facts on `shape`, in Cedar's JSON schema; empty where there are none."""
    if isinstance(shape, Scalar):
        return _number_schema(shape) if within_array and shape.numeric else {}
    if isinstance(shape, Record):
        nested = {name: facts_schema(attr.shape, within_array=within_array) for name, attr in shape.attributes.items()}
        return {name: record_type(attributes) for name, attributes in nested.items() if attributes}
    own = {"count": named_type("Long")}
    item = facts_schema(shape.item, within_array=True)
    if isinstance(shape.item, Record):
        return own | {_key(name): attribute for name, attribute in item.items()}
    if isinstance(shape.item, SetOf):
        return own | {"items": record_type(item)}
    return item | own


def facts_of(
    shape: Shape, values: Sequence[JsonValue], pointer: str = "", *, within_array: bool = False
) -> dict[str, CedarJson]:
    """The facts on `values`, all of `shape`, as `facts_schema` types them.

    `values` have been converted by `values.cedar_value` before, so their types are known to be right.
    `NoDecision` (`number_range`, `integer_range`) where a sum leaves Cedar's range.
    """
    if isinstance(shape, Scalar):
        return _number_facts(shape, values, pointer) if within_array and shape.numeric else {}
    if isinstance(shape, Record):
        facts = {
            name: facts_of(
                attribute.shape,
                [value[name] for value in values if value.get(name) is not None],
                pointer + pointer_token(name),
                within_array=within_array,
            )
            for name, attribute in shape.attributes.items()
        }
        return {name: nested for name, nested in facts.items() if nested}
    elements = [element for value in values for element in value]
    own: dict[str, CedarJson] = {"count": len(elements)}
    item = facts_of(shape.item, elements, pointer, within_array=True)
    if isinstance(shape.item, Record):
        return own | {_key(name): fact for name, fact in item.items()}
    if isinstance(shape.item, SetOf):
        return own | {"items": item}
    return item | own


def named_type(name: str) -> dict[str, JsonValue]:
    return {"type": "EntityOrCommon", "name": name}


def record_type(attributes: dict[str, JsonValue]) -> dict[str, JsonValue]:
    return {"type": "Record", "attributes": attributes}


def _key(name: str) -> str:
    """A property's own name, moved aside where it would hide the array's `count`."""
    return name + "_" if name.rstrip("_") == "count" else name


def _number_schema(shape: Scalar) -> dict[str, JsonValue]:
    kind = named_type(shape.name)
    return {
        "count": named_type("Long"),
        "sum": kind,
        "max": kind | {"required": False},
        "min": kind | {"required": False},
    }


def _number_facts(shape: Scalar, values: Sequence[JsonValue], pointer: str) -> dict[str, CedarJson]:
    numbers = [number(value) for value in values]
    convert = decimal_value if shape.name == "decimal" else long_value
    facts: dict[str, CedarJson] = {"count": len(numbers), "sum": convert(sum(numbers, Decimal(0)), pointer)}
    if numbers:
        facts |= {"max": convert(max(numbers), pointer), "min": convert(min(numbers), pointer)}
    return facts
