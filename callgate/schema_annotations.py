"""Callgate's own annotations in the JSON Schemas of functions: `x-callgate-mask` and `x-callgate-accepts`.

JSON Schema ignores a keyword that it does not know, so one that is misspelt would silently mask nothing.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

MASK: Final = "x-callgate-mask"
ACCEPTS: Final = "x-callgate-accepts"
NEVER: Final = "never"
ENTITY: Final = re.compile(r"[A-Z][A-Z0-9_]{0,63}")

Place = tuple[str | int, ...]

_KNOWN = (MASK, ACCEPTS)
_OURS = re.compile(r"x[-_]?callgate", re.IGNORECASE)
_ALIKE = 0.85
_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLE = (
    *("items", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "propertyNames", "contains"),
    *("not", "if", "then", "else"),
)


def subschemas(schema: Any) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    """The schema and every schema in it, with where it stands; names of properties and examples are none."""
    waiting: list[tuple[Place, Any]] = [((), schema)]
    while waiting:
        place, part = waiting.pop()
        if not isinstance(part, Mapping):
            continue
        yield place, part
        for key, below in part.items():
            if key in _SINGLE:
                waiting.append(((*place, key), below))
            elif key in _NAMED and isinstance(below, Mapping):
                waiting += [((*place, key, name), one) for name, one in below.items()]
            elif key in _LISTED and isinstance(below, list):
                waiting += [((*place, key, index), one) for index, one in enumerate(below)]


def annotation_problems(schema: Any) -> Iterator[tuple[Place, str]]:
    """Where an annotation is misspelt or says nothing, and what to write instead."""
    for place, part in subschemas(schema):
        for key, said in part.items():
            if key == MASK and not (isinstance(said, str) and (said == NEVER or ENTITY.fullmatch(said))):
                yield (*place, key), f"must be an entity in capitals, such as PERSON, or {NEVER}"
            elif key == ACCEPTS and not _is_entities(said):
                yield (*place, key), "must be a list of entities, such as [CREDIT_CARD]"
            elif key not in _KNOWN and (wrong := _misspelt(key)) is not None:
                yield (*place, key), wrong


def _is_entities(said: Any) -> bool:
    return isinstance(said, list) and bool(said) and all(isinstance(one, str) and ENTITY.fullmatch(one) for one in said)


def _misspelt(key: str) -> str | None:
    near = difflib.get_close_matches(key.lower(), _KNOWN, n=1, cutoff=_ALIKE)
    if near:
        return f"is no annotation; do you mean {near[0]}?"
    return f"is no annotation; there are {' and '.join(_KNOWN)}" if _OURS.match(key) else None
