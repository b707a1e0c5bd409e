"""What a function's JSON Schema allows at a place, in its own words: nothing of the caller's is quoted. Pure."""

import json
from collections.abc import Mapping
from typing import Final

from contracts.model import JsonValue

_NAMED: Final = 20
"""Values or properties; of more, how many there are is said."""
_LONGEST: Final = 200
"""Characters of one value."""
_BOUNDS: Final = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "pattern",
        "format",
        "const",
    }
)


def allowed(schema: Mapping[str, JsonValue], pointer: str, keyword: str) -> str | None:
    """What the keyword says at the pointer into the arguments; None where the schema does not say it in few words."""
    at = _declared(schema, pointer)
    if at is None:
        return None
    if keyword in ("additionalProperties", "unevaluatedProperties"):
        names = at.get("properties")
        return f"known: {_listed(sorted(names))}" if isinstance(names, dict) and names else None
    value = at.get(keyword)
    if keyword == "enum":
        return f"allowed: {_listed([_json(one) for one in value])}" if isinstance(value, list) and value else None
    if keyword == "type":
        kinds = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        return " or ".join(map(str, kinds)) or None
    return _json(value) if keyword in _BOUNDS and keyword in at else None


def _declared(schema: Mapping[str, JsonValue], pointer: str) -> Mapping[str, JsonValue] | None:
    """The schema of a place, where properties and items lead there."""
    at: JsonValue = dict(schema)
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if not isinstance(at, dict):
            return None
        properties = at.get("properties")
        if isinstance(properties, dict) and name in properties:
            at = properties[name]
        else:
            at = at.get("items") if name.isdecimal() else None
    return at if isinstance(at, dict) else None


def _listed(words: list[str]) -> str:
    rest = len(words) - _NAMED
    return ", ".join(words[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _json(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
