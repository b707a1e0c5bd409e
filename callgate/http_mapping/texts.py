"""What texts of a path, a query or a form stand for, by JSON Schema: only what can be read in one way is read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

from callgate.http_mapping.errors import MappingError
from callgate.jsontext import JsonTextError, parse
from contracts.model import JsonValue

_ALL: Final = frozenset({"null", "boolean", "integer", "fraction", "string", "array", "object"})
"""The types of values, no two of which have a value in common: JSON Schema's `number` is two of them."""
_NAMED: Final = {name: frozenset({name}) for name in _ALL - {"fraction"}} | {
    "number": frozenset({"integer", "fraction"})
}
_NONE: Final[frozenset[str]] = frozenset()
_DEEPEST: Final = 16
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Kinds:
    """The types that a schema admits, and those of an array's items."""

    types: frozenset[str] = _ALL
    items: frozenset[str] = _ALL

    def __and__(self, other: "Kinds") -> "Kinds":
        return Kinds(self.types & other.types, self.items & other.items)

    def __or__(self, other: "Kinds") -> "Kinds":
        items = [one.items for one in (self, other) if "array" in one.types]
        return Kinds(self.types | other.types, frozenset().union(*items))


_NOTHING: Final = Kinds(_NONE, _NONE)


def kinds_of(schema: JsonValue, root: Mapping[str, JsonValue], depth: int = 0) -> Kinds:
    """What the schema admits, as far as types go; everything where it says nothing. References lead into `root`."""
    if schema is False:
        return _NOTHING
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return Kinds()

    def of(part: JsonValue) -> Kinds:
        return kinds_of(part, root, depth + 1)

    found = Kinds()
    if "type" in schema:
        named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        found &= Kinds(_NONE.union(*(_NAMED.get(name, _NONE) for name in named)))
    if "const" in schema:
        found &= Kinds(frozenset({_type_of(schema["const"])}))
    if "enum" in schema:
        found &= Kinds(frozenset(_type_of(value) for value in schema["enum"]))
    if "items" in schema and "prefixItems" not in schema:
        found &= Kinds(items=of(schema["items"]).types)
    if "$ref" in schema:
        found &= of(_referred(schema["$ref"], root))
    for part in schema.get("allOf", ()):
        found &= of(part)
    for word in ("anyOf", "oneOf"):
        if word in schema:
            found &= reduce(Kinds.__or__, map(of, schema[word]), _NOTHING)
    return found


def value_of(texts: Sequence[str], kinds: Kinds, name: str) -> JsonValue:
    """What one or several texts under a name stand for. MappingError: `parameter_repeated`, `parameter_mistyped`,
    `parameter_ambiguous`, `number_precision`."""
    readings: list[JsonValue] = []
    if len(texts) == 1:
        readings += _scalars(texts[0], kinds.types, name)
    if "array" in kinds.types:
        items = [list(_scalars(text, kinds.items, name)) for text in texts]
        if any(len(found) > 1 for found in items):
            raise MappingError("parameter_ambiguous", name)
        if all(items):
            readings.append([found[0] for found in items])
    elif len(texts) > 1:
        raise MappingError("parameter_repeated", name)
    if not readings:
        raise MappingError("parameter_mistyped", name)
    if len(readings) > 1:
        raise MappingError("parameter_ambiguous", name)
    return readings[0]


def _scalars(text: str, types: frozenset[str], name: str) -> Iterator[JsonValue]:
    """Each scalar of these types that is written so. None among them: null is left out of a request."""
    if "boolean" in types and text in ("true", "false"):
        yield text == "true"
    if ("fraction" in types and _NUMBER.fullmatch(text)) or ("integer" in types and _INTEGER.fullmatch(text)):
        yield _number(text, name)
    if "string" in types:
        yield text


def _number(text: str, name: str) -> JsonValue:
    try:
        return parse(text, numbers="exact")
    except JsonTextError as error:
        code = error.code
    raise MappingError(code, name)


def _type_of(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "fraction"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _referred(reference: JsonValue, root: Mapping[str, JsonValue]) -> JsonValue:
    """What a reference within the document names; True, which says nothing, where that is not to be found."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return True
    found: JsonValue = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return True
        found = found[name]
    return found
