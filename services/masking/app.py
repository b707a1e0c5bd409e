"""Puts masking together. What it does with which event is the table at the end."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

from callgate.catalog import Derived, LiveCatalog
from callgate.delivery import Delivery, Handler
from callgate.errors import ConfigurationError
from callgate.platform import Platform
from callgate.service import Service
from contracts.events import ExecutionCompleted, Recorded, Requested
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
        platform.clock,
        outputs=LiveHints(platform.catalog, "output"),
        machine=tools.machine,
        strategies=tools.strategies,
        thread_above=-1 if tools.slow else THREAD_ABOVE,
    )
    mask(_WARMING, machine=tools.machine)  # loads the numbering plans now, and not with the first number that comes
    return Service(
        role=Role.MASKING,
        events={
            "requested": _knowing(platform.catalog, masking.on_requested),
            "arguments_amended": masking.on_arguments_amended,
            "execution_completed": _knowing(platform.catalog, masking.on_execution_completed),
            "outcome_settled": masking.on_outcome_settled,
        },
    )


class LiveHints(Mapping[str, Hints]):
    """By a function's name, what its input's or its output's schema says to masking at this moment."""

    def __init__(self, catalog: Catalog, which: str) -> None:
        def read(known: Catalog) -> Mapping[str, Hints]:
            return {function.name: _hints(function, which, _schema(function, which)) for function in known}

        self._hints = Derived(catalog, read)

    def __getitem__(self, name: str) -> Hints:
        return self._hints()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._hints())

    def __len__(self) -> int:
        return len(self._hints())


def _knowing(catalog: LiveCatalog, handler: Handler) -> Handler:
    """Others may have met a function that we have not heard of yet: what its schema says must be known first."""

    async def handle(recorded: Recorded, delivery: Delivery) -> None:
        if isinstance(recorded.data, Requested | ExecutionCompleted):
            await catalog.look_up(recorded.data.function)
        await handler(recorded, delivery)

    return handle


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
