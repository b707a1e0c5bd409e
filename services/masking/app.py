"""Puts masking together. What it does with which event is the table at the end."""

from typing import Final

from callgate.catalog import Derived, LiveCatalog
from callgate.platform import Platform
from callgate.service import Service
from contracts.identity import Role
from services.masking.composition import Side, hints_by_name, tools_of
from services.masking.domain import mask
from services.masking.handlers import THREAD_ABOVE, Masking
from services.masking.hints import NO_HINTS, Hints

_WARMING: Final = "+44 20 7946 0958"


async def build(platform: Platform) -> Service:
    tools = tools_of(platform.settings.masking, platform.catalog)
    masking = Masking(
        platform.log,
        platform.sealer,
        LiveHints(platform.catalog, "input"),
        LiveHints(platform.catalog, "output"),
        platform.clock,
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


class LiveHints:
    """By a function's name, what its input's or its output's schema says to masking at this moment.

    Others may have met a function that we have not heard of yet, an MCP server's tool: we hear of it before anything is
    masked for it, since without its annotations more would be shown.
    """

    def __init__(self, catalog: LiveCatalog, side: Side) -> None:
        self._catalog = catalog
        self._hints = Derived(catalog, lambda known: hints_by_name(known, side))

    async def __call__(self, function: str) -> Hints:
        """BrokerAway."""
        await self._catalog.look_up(function)
        return self._hints().get(function, NO_HINTS)
