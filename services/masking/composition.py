"""Puts together what masks: built-in and the operator's own detectors, lists and strategies."""

from dataclasses import dataclass, replace

from callgate.settings import MaskingSettings
from services.masking.catalogue import BUILT_IN, entities
from services.masking.custom import compile_custom
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


def tools_of(settings: MaskingSettings | None) -> Tools:
    """What `masking` in callgate.yaml asks for. Reads the files of its lists; raises ConfigurationError."""
    settings = settings or MaskingSettings()
    strategies = Strategies.of(settings.strategies)
    if not (settings.detectors or settings.deny or settings.allow or settings.disable or settings.ner):
        return Tools(default_machine(), strategies)
    custom = compile_custom(settings, entities())
    detectors = custom.joined(BUILT_IN)
    if settings.ner is not None:
        detectors = replace(detectors, finders=(*detectors.finders, finder_of(settings.ner)))
    return Tools(Machine.of(detectors, custom.allows), strategies, slow=settings.ner is not None)
