"""Puts masking together. What it does with which event is the table at the end."""

from callgate.platform import Platform
from callgate.service import Service
from contracts.identity import Role
from services.masking.handlers import Masking
from services.masking.hints import hints_of


async def build(platform: Platform) -> Service:
    hints = {function.name: hints_of(function.spec.input) for function in platform.catalog}
    masking = Masking(platform.log, platform.sealer, hints, platform.clock)
    return Service(
        role=Role.MASKING,
        events={
            "requested": masking.on_requested,
            "execution_completed": masking.on_execution_completed,
        },
    )
