"""The Cedar type of a function's input, read from its JSON Schema.

    string → String · integer → Long · number → decimal · boolean → Bool · array → Set<item>
    object with properties → a record; ["string", "null"] → an optional attribute

What has no such type (anyOf without a type, several types, items that may be null, an object without properties…)
is left out of the record and reported; a call that passes it anyway gets no decision.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from callgate.jsontext import pointer_token
from contracts.model import JsonValue

MAX_DEPTH = 32
"""How deep arguments may nest: the arguments themselves are depth 1."""

ScalarName = Literal["String", "Long", "decimal", "Bool"]

_SCALARS: dict[str, ScalarName] = {"string": "String", "integer": "Long", "number": "decimal", "boolean": "Bool"}
# Cedar reads records with these keys as something else, so an argument may never be one.
_ESCAPES = frozenset({"__entity", "__extn", "__expr"})


@dataclass(frozen=True, slots=True)
class Scalar:
    name: ScalarName

    @property
    def numeric(self) -> bool:
        return self.name in ("Long", "decimal")


@dataclass(frozen=True, slots=True)
class SetOf:
    item: "Shape"


@dataclass(frozen=True, slots=True)
class Attribute:
    shape: "Shape"
    required: bool
    """Present in every valid input: required by the schema and never null."""
    nullable: bool


@dataclass(frozen=True, slots=True)
class Record:
    attributes: Mapping[str, Attribute]
    untypable: frozenset[str] = field(default_factory=frozenset)
    """Declared properties that Cedar cannot type."""


Shape = Scalar | SetOf | Record


@dataclass(frozen=True, slots=True)
class Untypable:
    """A part of a function's input that policies cannot see. `pointer` leads into the JSON Schema."""

    function: str
    pointer: str
    why: str


class _NoType(Exception):
    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def input_shape(function: str, schema: Mapping[str, JsonValue]) -> tuple[Record, tuple[Untypable, ...]]:
    """The record that a function's arguments form, with what had to be left out of it."""
    left_out: list[tuple[str, str]] = []
    record = _record(schema, "", 1, left_out)
    return record, tuple(Untypable(function, pointer, why) for pointer, why in left_out)


def safe_pointer(shape: Shape, path: Iterable[str | int]) -> str:
    """A JSON pointer to `path`, where each step that the schema does not declare, and so the caller chose, is `*`.

    A validator may tell an object's key `"4111…"` as a number, so a number is shown as the index of an array only.
    """
    pointer = ""
    at: Shape = shape
    for step in path:
        name = str(step)
        if isinstance(at, SetOf) and isinstance(step, int):
            pointer, at = pointer + f"/{step}", at.item
        elif isinstance(at, Record) and name in at.attributes:
            pointer, at = pointer + pointer_token(name), at.attributes[name].shape
        else:
            known = isinstance(at, Record) and name in at.untypable
            pointer, at = pointer + (pointer_token(name) if known else "/*"), _OPAQUE
    return pointer


_OPAQUE = Record({})


def _record(schema: Mapping[str, JsonValue], pointer: str, depth: int, left_out: list[tuple[str, str]]) -> Record:
    for keyword in ("additionalProperties", "patternProperties"):
        if isinstance(schema.get(keyword), dict) and schema[keyword]:
            left_out.append((f"{pointer}/{keyword}", "properties without a declared name"))
    required = schema.get("required", [])
    attributes: dict[str, Attribute] = {}
    untypable: set[str] = set()
    for name, declared in schema.get("properties", {}).items():
        at = f"{pointer}/properties{pointer_token(name)}"
        try:
            if name in _ESCAPES:
                raise _NoType("a name that Cedar reserves")
            shape, nullable = _shape(declared, at, depth + 1, left_out)
        except _NoType as refusal:
            untypable.add(name)
            left_out.append((at, refusal.why))
        else:
            attributes[name] = Attribute(shape, required=name in required and not nullable, nullable=nullable)
    return Record(attributes, frozenset(untypable))


def _shape(schema: JsonValue, pointer: str, depth: int, left_out: list[tuple[str, str]]) -> tuple[Shape, bool]:
    """The shape of a subschema, and whether null is a value of it too."""
    if not isinstance(schema, dict) or "type" not in schema:
        raise _NoType("no type")
    if depth > MAX_DEPTH:
        raise _NoType(f"nested deeper than {MAX_DEPTH}")
    declared = schema["type"]
    types = list(declared) if isinstance(declared, list) else [declared]
    nullable = "null" in types
    types = [name for name in types if name != "null"]
    if len(types) != 1:
        raise _NoType("several types" if types else "nothing but null")
    if types[0] == "array":
        return SetOf(_item(schema, pointer, depth, left_out)), nullable
    if types[0] == "object":
        if not schema.get("properties"):
            raise _NoType("an object without declared properties")
        return _record(schema, pointer, depth, left_out), nullable
    if types[0] not in _SCALARS:
        raise _NoType("an unknown type")
    return Scalar(_SCALARS[types[0]]), nullable


def _item(schema: Mapping[str, JsonValue], pointer: str, depth: int, left_out: list[tuple[str, str]]) -> Shape:
    if "prefixItems" in schema:
        raise _NoType("a tuple")
    if "items" not in schema:
        raise _NoType("an array without items")
    try:
        item, nullable = _shape(schema["items"], f"{pointer}/items", depth + 1, left_out)
    except _NoType as refusal:
        raise _NoType(f"items: {refusal.why}") from None
    if nullable:
        raise _NoType("items that may be null")
    return item
