"""Puts together what masks: built-in and the operator's own detectors, lists and strategies."""

import difflib
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from callgate.errors import ConfigurationError
from callgate.masking_settings import MaskingSettings
from contracts.functions import Function
from services.masking.catalogue import BUILT_IN, entities
from services.masking.custom import compile_custom
from services.masking.hints import accepted_entities, annotated_entities
from services.masking.machine import Machine, default_machine
from services.masking.ner import finder_of
from services.masking.strategies import Disguise, Strategies
from services.masking.tokens import SessionSecrets

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
    masked = {(one.name, entity) for one in catalog for entity in _in_schemas(one, annotated_entities)}
    for function, entity in sorted(masked):
        if entity not in found and difflib.get_close_matches(entity, found, n=1, cutoff=_ALIKE):
            _refuse(f"the schema of {function}", entity, found)
    known = found | {entity for _, entity in masked}
    for one in catalog:
        for entity in _in_schemas(one, accepted_entities):
            if entity not in known:
                _refuse(f"the schema of {one.name}", entity, known)
    for entity in settings.strategies.entities:
        if entity not in known:
            _refuse("masking.strategies.entities", entity, known)


def _in_schemas(function: Function, named: Callable[[Any], Iterable[str]]) -> list[str]:
    return [*named(function.spec.input), *named(function.spec.output)]


def _refuse(place: str, entity: str, known: Set[str]) -> NoReturn:
    near = difflib.get_close_matches(entity, known, n=1)
    hint = f"do you mean {near[0]}?" if near else "`callgate mask entities` lists what is"
    raise ConfigurationError("bad_masking", f"{place}: nothing is found as {entity}; {hint}")
