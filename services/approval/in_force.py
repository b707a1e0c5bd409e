"""Watches what is in force: open pages are told when a freeze or grant was made, ended, used or ran out."""

import asyncio
import logging
from collections.abc import Callable, Hashable

from callgate.control import LOOK_EVERY, FreezeBook, GrantBook
from callgate.errors import BrokerAway

logger = logging.getLogger("services.approval")


class InForce:
    """Run `follow` in the background. What runs out says nothing on CONTROL, so it is looked at as time goes by."""

    def __init__(self, freezes: FreezeBook, grants: GrantBook, tell: Callable[[], None]) -> None:
        self._freezes = freezes
        self._grants = grants
        self._tell = tell

    async def follow(self) -> None:
        """Looks for ever; waits out a broker that is away."""
        before = self._shown()
        while True:
            try:
                await asyncio.gather(self._freezes.refresh(), self._grants.refresh())
            except BrokerAway:
                logger.warning("what is in force cannot be read now; open pages show what was known before")
            if (now := self._shown()) != before:
                before = now
                self._tell()
            await asyncio.sleep(LOOK_EVERY)

    def _shown(self) -> Hashable:
        """What a page could show of it."""
        freezes = frozenset(freeze.freeze_id for freeze in self._freezes.in_force())
        return freezes, frozenset((grant.data.grant_id, grant.left) for grant in self._grants.standing())
