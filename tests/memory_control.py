"""What stands on CONTROL of MCP servers' tools, in the place of the feed that reads it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from callgate.records import Standing
from contracts.identity import Role
from contracts.records import RecordData, ToolFound, make_record
from contracts.tools import ToolDefinition

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Control:
    """Put in the place of `callgate.catalog.Feed`; what is put here is read with the next refresh."""

    def __init__(self) -> None:
        self.waiting: list[Standing] = []
        self.asked = 0
        self._take: Callable[[Standing], None] = lambda _: None

    def feed(self, _client: Any, _records: Any, _filter: str, take: Callable[[Standing], None]) -> "Control":
        self._take = take
        return self

    def put(self, data: RecordData, subject: str) -> None:
        record = make_record("r", "test", subject, NOW, data)
        self.waiting.append(Standing(record, Role.EXECUTOR, "d" * 64, len(self.waiting) + 1))

    def found(self, function: str, description: str | None, subject: str | None = None) -> ToolDefinition | None:
        definition = None
        if description is not None:
            definition = ToolDefinition(tool=function, description=description, input={"type": "object"})
        data = ToolFound(connection="notes", function=function, definition=definition)
        self.put(data, subject or f"control.tool.notes.{function}.found")
        return definition

    async def refresh(self) -> None:
        self.asked += 1
        waiting, self.waiting = self.waiting, []
        for standing in waiting:
            self._take(standing)
