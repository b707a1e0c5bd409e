"""Puts together what masks: built-in and the operator's own detectors, lists and strategies."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from callgate.errors import ConfigurationError
from callgate.settings import MaskingSettings
from contracts.functions import Function
from services.masking.catalogue import BUILT_IN, entities
from services.masking.custom import compile_custom
from services.masking.hints import annotated_entities
from services.masking.machine import Machine, default_machine
from services.masking.ner import finder_of
from services.masking.strategies import Disguise, Strategies
from services.masking.tokens import SessionSecrets


@dataclass(frozen=True, slots=True)
class Tools:
    machine: Machine
    strategies: Strategies
    slow: bool = False
    """Whether masking may take long even for a small payload, and so must leave the event loop."""

    def disguise(self, session: SessionSecrets | None) -> Disguise:
        return self.strategies.disguise(session)


def tools_of(settings: MaskingSettings | None, catalog: Iterable[Function] = ()) -> Tools:
    """What `masking` in callgate.yaml asks for. Reads the files of its lists; raises ConfigurationError, also for a
    strategy of an entity that nothing finds and no schema in `catalog` names: it is misspelt."""
    settings = settings or MaskingSettings()
    _check_strategies(settings, catalog)
    strategies = Strategies.of(settings.strategies)
    if not (settings.detectors or settings.deny or settings.allow or settings.disable or settings.ner):
        return Tools(default_machine(), strategies)
    custom = compile_custom(settings, entities())
    detectors = custom.joined(BUILT_IN)
    if settings.ner is not None:
        detectors = replace(detectors, finders=(*detectors.finders, finder_of(settings.ner)))
    return Tools(Machine.of(detectors, custom.allows), strategies, slow=settings.ner is not None)


def _check_strategies(settings: MaskingSettings, catalog: Iterable[Function]) -> None:
    if not settings.strategies.entities:
        return
    known = {*entities(), *(one.entity for one in settings.detectors), *(one.entity for one in settings.deny)}
    known.update(settings.ner.entities.values() if settings.ner else ())
    for function in catalog:
        known.update(annotated_entities(function.spec.input), annotated_entities(function.spec.output))
    for entity in settings.strategies.entities:
        if entity not in known:
            near = difflib.get_close_matches(entity, known, n=1)
            raise ConfigurationError(
                "bad_masking",
                f"masking.strategies.entities: nothing is found as {entity}"
                + (f"; do you mean {near[0]}?" if near else "; `callgate mask entities` lists what is"),
            )
