"""What the operator says about a function's arguments: `x-callgate-mask` in its JSON Schema, and which keys it names.

At a property it names an entity (the whole leaf is masked as that) or `never` (the leaf is not inspected). An
annotation of an object or array holds for all that is below, until a deeper one says otherwise. Where several
schemas apply to one place (allOf, anyOf, oneOf, a `$ref` with siblings), an entity outweighs `never`.

`x-callgate-accepts`, a list of entities, says of which entities a reversible token (`tokens`) is resolved there; an
entity that masks a place is accepted in it without saying so. It holds for what is below like the other.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from callgate.schema_annotations import ACCEPTS, ENTITY, MASK, NEVER, Place, subschemas

_IN_PLACE = ("allOf", "anyOf", "oneOf")
_CONDITIONAL = ("if", "then", "else")


@dataclass(eq=False, slots=True)
class _Node:
    """One schema with all that applies to the same value through references and combinations."""

    mask: str | None = None
    accepts: frozenset[str] = frozenset()
    properties: dict[str, "_Node"] = field(default_factory=dict)
    patterns: list[tuple[re.Pattern[str], "_Node"]] = field(default_factory=list)
    other_properties: "_Node | None" = None
    first_items: list["_Node"] = field(default_factory=list)
    items: "_Node | None" = None
    same_value: list["_Node"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hints:
    """What applies to one value: `mask` and `declares` for itself, `property` and `item` for what is below it."""

    mask: str | None = None
    """An entity's name, `never`, or None where nothing is said."""
    accepts: frozenset[str] = frozenset()
    """The entities whose tokens are resolved here."""
    _nodes: tuple[_Node, ...] = ()
    _annotated: bool = True
    """Whether there is an annotation anywhere."""

    @classmethod
    def _of(cls, nodes: list[_Node], mask: str | None, accepts: frozenset[str]) -> Self:
        """What the nodes say of one value; where they say nothing, what was said above it."""
        applying = list(_closure(nodes))
        said = sorted({node.mask for node in applying if node.mask is not None} - {NEVER})
        accepted = frozenset(said).union(*(node.accepts for node in applying))
        if not said and any(node.mask == NEVER for node in applying):
            said = [NEVER]
        return cls(said[0] if said else mask, accepted if said or accepted else accepts, tuple(applying))

    @property
    def of_values(self) -> "Hints":
        """The same for masking values: costs nothing where no annotation says anything."""
        return self if self._annotated else NO_HINTS

    def declares(self, key: str) -> bool:
        """Whether `properties` names the key here, so that it is the operator's word and nobody's value."""
        return any(key in node.properties for node in self._nodes)

    def property(self, key: str) -> "Hints":
        if not self._nodes:
            return self
        found: list[_Node] = []
        for node in self._nodes:
            matching = [node.properties[key]] if key in node.properties else []
            matching += [child for pattern, child in node.patterns if pattern.search(key)]
            if not matching and node.other_properties is not None:
                matching = [node.other_properties]
            found += matching
        return Hints._of(found, self.mask, self.accepts)

    def item(self, index: int) -> "Hints":
        if not self._nodes:
            return self
        found: list[_Node] = []
        for node in self._nodes:
            if index < len(node.first_items):
                found.append(node.first_items[index])
            elif node.items is not None:
                found.append(node.items)
        return Hints._of(found, self.mask, self.accepts)


NO_HINTS = Hints()


def hints_of(schema: Mapping[str, Any]) -> Hints:
    """The hints in a JSON Schema (2020-12; references within the document only, cycles allowed).

    Raises ValueError, which names the place, for a mask that is neither an entity's name (capitals, digits,
    underscores) nor `never`, for what accepts and is no list of such names, and for a reference that leads nowhere: a
    hint that is not understood is not ignored.
    """
    builder = _Builder(schema)
    root = builder.node(schema, "#")
    return replace(Hints._of([root], None, frozenset()), _annotated=builder.annotated)


def _closure(nodes: list[_Node]) -> Iterator[_Node]:
    seen: set[int] = set()
    waiting = list(reversed(nodes))
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            waiting.extend(reversed(node.same_value))


class _Builder:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root
        self.annotated = False
        self.nodes: dict[int, _Node] = {}

    def node(self, schema: Any, at: str) -> _Node:
        if not isinstance(schema, Mapping):  # true, false: they say nothing
            return _Node()
        if id(schema) in self.nodes:
            return self.nodes[id(schema)]
        node = self.nodes[id(schema)] = _Node(mask=self._annotation(schema, at), accepts=_accepts(schema, at))
        for key in (*_IN_PLACE, *_CONDITIONAL):
            branches = schema.get(key, [])
            for index, branch in enumerate(branches if key in _IN_PLACE else [branches]):
                node.same_value.append(self.node(branch, f"{at}/{key}/{index}"))
        if isinstance(reference := schema.get("$ref"), str):
            node.same_value.append(self.node(self._resolve(reference, at), reference))
        for key, child in schema.get("properties", {}).items():
            node.properties[key] = self.node(child, f"{at}/properties/{key}")
        for pattern, child in schema.get("patternProperties", {}).items():
            node.patterns.append((_compiled(pattern, at), self.node(child, f"{at}/patternProperties")))
        if "additionalProperties" in schema:
            node.other_properties = self.node(schema["additionalProperties"], f"{at}/additionalProperties")
        for index, child in enumerate(schema.get("prefixItems", [])):
            node.first_items.append(self.node(child, f"{at}/prefixItems/{index}"))
        if "items" in schema:
            node.items = self.node(schema["items"], f"{at}/items")
        return node

    def _annotation(self, schema: Mapping[str, Any], at: str) -> str | None:
        said = schema.get(MASK)
        if said is None:
            return None
        if not isinstance(said, str) or (said != NEVER and not ENTITY.fullmatch(said)):
            raise ValueError(f'{at}: {MASK} must be an entity such as "PERSON", or "{NEVER}"')
        self.annotated = True
        return said

    def _resolve(self, reference: str, at: str) -> Any:
        target: Any = self.root
        for raw in reference.removeprefix("#").split("/")[1:]:
            step = raw.replace("~1", "/").replace("~0", "~")
            if isinstance(target, list) and step.isdecimal() and int(step) < len(target):
                target = target[int(step)]
            elif isinstance(target, Mapping) and step in target:
                target = target[step]
            else:
                raise ValueError(f"{at}: $ref leads nowhere")
        if not reference.startswith("#") or (reference != "#" and not reference.startswith("#/")):
            raise ValueError(f"{at}: only references within the schema (#/…) are followed")
        return target


def _accepts(schema: Mapping[str, Any], at: str) -> frozenset[str]:
    said = schema.get(ACCEPTS)
    if said is None:
        return frozenset()
    if (
        not isinstance(said, list)
        or not said
        or not all(isinstance(one, str) and ENTITY.fullmatch(one) for one in said)
    ):
        raise ValueError(f'{at}: {ACCEPTS} must be a list of entities such as ["CREDIT_CARD"]')
    return frozenset(said)


def _compiled(pattern: str, at: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error:
        pass
    raise ValueError(f"{at}/patternProperties: a pattern that cannot be compiled")


def annotated_entities(schema: Any) -> Iterator[tuple[Place, str]]:
    """Every entity that masks a place, by an annotation in a JSON Schema, and where in the schema it says so."""
    for place, part in subschemas(schema):
        said = part.get(MASK)
        if isinstance(said, str) and said != NEVER:
            yield (*place, MASK), said


def accepted_entities(schema: Any) -> Iterator[tuple[Place, str]]:
    """Every entity whose tokens are accepted somewhere, by an annotation in a JSON Schema, and where it says so."""
    for place, part in subschemas(schema):
        yield from (((*place, ACCEPTS), said) for said in part.get(ACCEPTS, ()))
