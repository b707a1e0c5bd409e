"""Puts masking together. What it does with which event is the table at the end."""

import logging
from collections.abc import Mapping
from typing import Any, Final, Literal

from callgate.catalog import Derived, LiveCatalog
from callgate.errors import ConfigurationError
from callgate.platform import Platform
from callgate.service import Service
from contracts.functions import Catalog, Function, ToolSpec
from contracts.identity import Role
from contracts.tools import result_schema
from services.masking.composition import tools_of
from services.masking.domain import mask
from services.masking.handlers import THREAD_ABOVE, Masking
from services.masking.hints import NO_HINTS, Hints, hints_of

logger = logging.getLogger("services.masking")

_ALL_MASKED: Final = Hints(mask="UNREADABLE_SCHEMA")
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

    def __init__(self, catalog: LiveCatalog, which: Literal["input", "output"]) -> None:
        def read(known: Catalog) -> Mapping[str, Hints]:
            return {function.name: _hints(function, which, _schema(function, which)) for function in known}

        self._catalog = catalog
        self._hints = Derived(catalog, read)

    async def __call__(self, function: str) -> Hints:
        """BrokerAway."""
        await self._catalog.look_up(function)
        return self._hints().get(function, NO_HINTS)


def _schema(function: Function, which: str) -> Mapping[str, Any] | None:
    if which == "input":
        return function.spec.input
    return result_schema(function.spec) if isinstance(function.spec, ToolSpec) else function.spec.output


def _hints(function: Function, which: str, schema: Mapping[str, Any] | None) -> Hints:
    if schema is None:
        return NO_HINTS
    try:
        return hints_of(schema)
    except ValueError as error:  # its text is ours, and quotes the schema alone
        if isinstance(function.spec, ToolSpec):  # a server's schema must not stop masking for everybody else
            logger.error("a tool's schema cannot be read; all of it is masked", extra={"function": function.name})
            return _ALL_MASKED
        raise ConfigurationError("bad_annotation", f"the {which} of {function.name}: {error}") from None
