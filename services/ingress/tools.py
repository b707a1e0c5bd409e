"""Functions as language models know them: tools, under names that every model's API takes. Pure.

APIs take names of A-Z a-z 0-9 _ - and at most 64 characters. `payments.refund` becomes `payments-refund`: no name of a
connection or function holds a hyphen, so no two meet. A name that is too long keeps its beginning, followed by two
hyphens and twelve hex digits of the SHA-256 of the whole.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from callgate.catalog import Derived
from contracts.functions import Catalog, Function

LONGEST = 64
_DIGITS = 12


def tool_name(function: str) -> str:
    """The name of a function's tool."""
    name = function.replace(".", "-")
    if len(name) <= LONGEST:
        return name
    return f"{name[: LONGEST - _DIGITS - 2]}--{hashlib.sha256(function.encode()).hexdigest()[:_DIGITS]}"


class Tools:
    """The functions of a catalog by the names of their tools, as it is now."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._by_name = Derived(catalog, _by_name)

    @property
    def by_name(self) -> Mapping[str, Function]:
        return self._by_name()


def _by_name(catalog: Catalog) -> Mapping[str, Function]:
    return {tool_name(function.name): function for function in sorted(catalog, key=lambda one: one.name)}


def description_of(function: Function, connection: str) -> str:
    """What a model reads of a function; `connection` is what the operator wrote of where it lives."""
    return function.spec.description or f"{function.name}{f' ({connection})' if connection else ''}"


def output_schema_of(function: Function) -> dict[str, Any] | None:
    """A schema of structured results that holds whatever comes back: as declared, or as masking or people changed it.

    Clients check results against it and refuse those that break it. Masking writes texts where numbers stood, errors
    have bodies of their own, and nobody checks what a function answers; so the declared schema is one of two.
    """
    declared = function.spec.output
    if declared is None:
        return None
    definitions: dict[str, Any] = {name: declared[name] for name in ("$defs", "definitions") if name in declared}
    shape: dict[str, Any] = {name: part for name, part in declared.items() if name not in definitions}
    if not is_object_schema(declared):
        shape = {"properties": {"result": shape}, "required": ["result"]}
    other = {"description": "What was masked, an error of the function, or how the call stands while it has no answer."}
    return {"type": "object", "anyOf": [shape, other], **definitions}


def is_object_schema(schema: Mapping[str, Any]) -> bool:
    """Whether a schema describes an object; one that names properties and no type does."""
    return bool(schema.get("type") == "object" or ("type" not in schema and "properties" in schema))
