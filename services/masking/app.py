"""Puts masking together. What it does with which event is the table at the end."""

from collections.abc import Mapping
from typing import Any, Final

from callgate.errors import ConfigurationError
from callgate.platform import Platform
from callgate.service import Service
from contracts.functions import Function
from contracts.identity import Role
from services.masking.composition import tools_of
from services.masking.domain import mask
from services.masking.handlers import THREAD_ABOVE, Masking
from services.masking.hints import NO_HINTS, Hints, hints_of

_WARMING: Final = "+44 20 7946 0958"


async def build(platform: Platform) -> Service:
    inputs = {function.name: _hints(function, "input", function.spec.input) for function in platform.catalog}
    outputs = {function.name: _hints(function, "output", function.spec.output) for function in platform.catalog}
    tools = tools_of(platform.settings.masking, platform.catalog)
    masking = Masking(
        platform.log,
        platform.sealer,
        inputs,
        platform.clock,
        outputs=outputs,
        machine=tools.machine,
        strategies=tools.strategies,
        thread_above=-1 if tools.slow else THREAD_ABOVE,
    )
    mask(_WARMING, machine=tools.machine)  # loads the numbering plans now, and not with the first number that comes
    return Service(
        role=Role.MASKING,
        events={
            "requested": masking.on_requested,
            "arguments_amended": masking.on_arguments_amended,
            "execution_completed": masking.on_execution_completed,
            "outcome_settled": masking.on_outcome_settled,
        },
    )


def _hints(function: Function, which: str, schema: Mapping[str, Any] | None) -> Hints:
    if schema is None:
        return NO_HINTS
    try:
        return hints_of(schema)
    except ValueError as error:  # its text is ours, and quotes the schema alone
        raise ConfigurationError("bad_annotation", f"the {which} of {function.name}: {error}") from None
