"""A `FreezeBook` in memory, for the unit tests of handlers."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from callgate.control import FreezeBook
from callgate.errors import BrokerAway
from contracts.freezes import Freeze, first_stopping
from contracts.identity import Principal

SINCE = datetime(2026, 1, 31, 11, tzinfo=UTC)
ROOT = Principal(id="rosa", issuer="https://issuer.test", groups=("sre",))
EVERYTHING = Freeze("f1", "everything", None, None, ROOT, SINCE, None, None)


@dataclass
class MemoryFreezes:
    """`arriving` happens at the next refreshes, in order: a freeze that stands from then on, or an error."""

    known: list[Freeze] = field(default_factory=list)
    arriving: list[Freeze | BrokerAway | None] = field(default_factory=list)
    journal: list[str] = field(default_factory=list)

    async def refresh(self) -> None:
        self.journal.append("freezes")
        arrived = self.arriving.pop(0) if self.arriving else None
        if isinstance(arrived, BrokerAway):
            raise arrived
        if arrived is not None:
            self.known.append(arrived)

    def stopping(self, principal: Principal, session_id: str | None, function: str) -> Freeze | None:
        return first_stopping(self.known, principal, session_id, function)

    @property
    def as_book(self) -> FreezeBook:
        return cast("FreezeBook", self)


def none() -> FreezeBook:
    return MemoryFreezes().as_book
