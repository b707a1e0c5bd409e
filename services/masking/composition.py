"""Puts together what masks: built-in and the operator's own detectors, lists and strategies."""

from collections.abc import Callable
from dataclasses import dataclass

from callgate.settings import MaskingSettings
from services.masking.machine import Machine, default_machine
from services.masking.strategies import Disguise, Strategies
from services.masking.tokens import SessionSecrets


@dataclass(frozen=True, slots=True)
class Tools:
    machine: Machine
    strategies: Strategies

    def disguise(self, session: SessionSecrets | None) -> Disguise:
        return self.strategies.disguise(session)


def tools_of(settings: MaskingSettings | None) -> Tools:
    settings = settings or MaskingSettings()
    return Tools(default_machine(), Strategies.of(settings.strategies))
