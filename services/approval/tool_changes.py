"""Tools that changed at their MCP servers, or are new there, and are held until a person accepts them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from callgate.catalog import LiveCatalog
from callgate.cedar.entities import scope_entity
from callgate.cedar.published import PublishedPolicies
from callgate.records import Records
from contracts.functions import Catalog, Function, McpConnection
from contracts.identity import Principal
from contracts.records import ToolAccepted
from contracts.subjects import tool_accepted_subject
from contracts.tools import ToolDefinition, function_of, override_of
from services.approval.freezing import NotAllowed
from services.approval.scopes import is_delegated

logger = logging.getLogger("services.approval")


class UnknownChange(Exception):
    """No tool of that name is held."""


class DefinitionChanged(Exception):
    """The server has said something else since the person looked."""


@dataclass(frozen=True, slots=True)
class ToolChange:
    """A held tool: what its server says now, and what counted before."""

    function: Function
    """As it would be, once accepted."""
    now: ToolDefinition
    was: ToolDefinition | None
    """None where nothing of it was ever accepted."""


class ToolChanges:
    """Everything that people do with held tools. BrokerAway and NoPolicies beside the exceptions named."""

    def __init__(
        self, catalog: LiveCatalog, records: Records, policies: PublishedPolicies, clock: Callable[[], datetime]
    ) -> None:
        self._catalog = catalog
        self._records = records
        self._policies = policies
        self._clock = clock

    async def listed(self, person: Principal) -> list[ToolChange]:
        """What is held of what this person may accept, by name."""
        await self._catalog.refresh()
        held = (self._change(name, short) for name, short in sorted(self._catalog.states))
        return [change for change in held if change is not None and self._may(person, change.function)]

    async def accept(self, person: Principal, function: str, definition: str) -> ToolChange:
        """Accepts what the person saw, by its digest. NotAllowed, UnknownChange, DefinitionChanged."""
        if is_delegated(person):
            raise NotAllowed("delegated")
        await self._catalog.refresh()
        connection, _, short = function.partition(".")
        change = self._change(connection, short)
        if change is None:
            raise UnknownChange
        if not self._may(person, change.function):
            raise NotAllowed("not_permitted")
        if change.now.digest != definition:
            raise DefinitionChanged
        data = ToolAccepted(connection=connection, function=short, definition=definition, by=person)
        await self._records.publish(tool_accepted_subject(connection, short), data, self._clock())
        logger.warning("a tool was accepted", extra={"function": function, "definition": definition})
        await self._catalog.refresh()
        if self._change(connection, short) is not None:  # the server was faster than the record
            raise DefinitionChanged
        return change

    def _change(self, name: str, short: str) -> ToolChange | None:
        connection, state = self._catalog.connections.get(name), self._catalog.states.get((name, short))
        if not isinstance(connection, McpConnection) or state is None or state.found is None:
            return None
        if state.bar(connection) != "function_held" or override_of(connection, state.found.tool).hidden:
            return None
        function = function_of(name, short, connection, state.found)
        return ToolChange(function, state.found, state.in_force(connection))

    def _may(self, person: Principal, function: Function) -> bool:
        resource = scope_entity("function", function.name, Catalog(self._catalog.connections, [function]))
        return not is_delegated(person) and self._policies.may("accept", person, resource, self._clock()).decision
