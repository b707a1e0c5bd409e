"""Puts together what masks: built-in and the operator's own detectors, lists and strategies."""

import difflib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NoReturn

from callgate.errors import ConfigurationError
from callgate.jsontext import pointer_token
from callgate.masking_settings import MaskingSettings
from callgate.schema_annotations import Place
from contracts.functions import Function, ToolSpec
from contracts.tools import result_schema
from services.masking.catalogue import BUILT_IN, entities
from services.masking.custom import compile_custom
from services.masking.hints import NO_HINTS, Hints, accepted_entities, annotated_entities, hints_of
from services.masking.machine import Machine, default_machine
from services.masking.ner import finder_of
from services.masking.strategies import Disguise, Strategies
from services.masking.tokens import SessionSecrets

logger = logging.getLogger("services.masking")

Side = Literal["input", "output"]

_ALL_MASKED: Final = Hints(mask="UNREADABLE_SCHEMA")
_ALIKE: Final = 0.85
"""From where on a name is a misspelt one rather than an entity of the schema's own."""


@dataclass(frozen=True, slots=True)
class Tools:
    machine: Machine
    strategies: Strategies
    slow: bool = False
    """Whether masking may take long even for a small payload, and so must leave the event loop."""

    def disguise(self, session: SessionSecrets | None) -> Disguise:
        return self.strategies.disguise(session)


def tools_of(settings: MaskingSettings | None, catalog: Iterable[Function] = ()) -> Tools:
    """What `masking` in callgate.yaml asks for. Reads the files of its lists; raises ConfigurationError, also for an
    entity that is misspelt: of a strategy, or in an annotation of a schema in `catalog`."""
    settings = settings or MaskingSettings()
    _check_entities(settings, tuple(catalog))
    strategies = Strategies.of(settings.strategies)
    if not (settings.detectors or settings.deny or settings.allow or settings.disable or settings.ner):
        return Tools(default_machine(), strategies)
    custom = compile_custom(settings, entities())
    detectors = custom.joined(BUILT_IN)
    if settings.ner is not None:
        detectors = replace(detectors, finders=(*detectors.finders, finder_of(settings.ner)))
    return Tools(Machine.of(detectors, custom.allows), strategies, slow=settings.ner is not None)


def _check_entities(settings: MaskingSettings, catalog: Sequence[Function]) -> None:
    """Schemas may name entities of their own for what they mask; one that nearly is another's name is taken for it."""
    found = {*entities(), *(one.entity for one in settings.detectors), *(one.entity for one in settings.deny)}
    found.update(settings.ner.entities.values() if settings.ner else ())
    masked = [said for one in catalog for said in _in_schemas(one, annotated_entities)]
    for place, entity in masked:
        if entity not in found and difflib.get_close_matches(entity, found, n=1, cutoff=_ALIKE):
            _refuse(place, entity, found)
    known = found | {entity for _, entity in masked}
    for one in catalog:
        for place, entity in _in_schemas(one, accepted_entities):
            if entity not in known:
                _refuse(place, entity, known)
    for entity in settings.strategies.entities:
        if entity not in known:
            _refuse("masking.strategies.entities", entity, known)


def _in_schemas(function: Function, named: Callable[[Any], Iterable[tuple[Place, str]]]) -> Iterator[tuple[str, str]]:
    """Where an entity is named, for people, and the entity."""
    for side, schema in (("input", function.spec.input), ("output", function.spec.output)):
        for place, entity in named(schema):
            yield f"the {side} of {function.name}, at {''.join(pointer_token(str(step)) for step in place)}", entity


def _refuse(place: str, entity: str, known: Set[str]) -> NoReturn:
    near = difflib.get_close_matches(entity, known, n=1)
    hint = f"do you mean {near[0]}?" if near else "`callgate mask entities` lists what is"
    raise ConfigurationError("bad_masking", f"{place}: nothing is found as {entity}; {hint}")


def hints_by_name(catalog: Iterable[Function], side: Side) -> Mapping[str, Hints]:
    """What each function's schema says to masking. ConfigurationError where an operator's cannot be understood."""
    return {function.name: _hints(function, side, _schema(function, side)) for function in catalog}


def _schema(function: Function, side: Side) -> Mapping[str, Any] | None:
    if side == "input":
        return function.spec.input
    return result_schema(function.spec) if isinstance(function.spec, ToolSpec) else function.spec.output


def _hints(function: Function, side: Side, schema: Mapping[str, Any] | None) -> Hints:
    if schema is None:
        return NO_HINTS
    try:
        return hints_of(schema)
    except ValueError as error:  # its text is ours, and quotes the schema alone
        if isinstance(function.spec, ToolSpec):  # a server's schema must not stop masking for everybody else
            logger.error("a tool's schema cannot be read; all of it is masked", extra={"function": function.name})
            return _ALL_MASKED
        raise ConfigurationError("bad_annotation", f"the {side} of {function.name}: {error}") from None
