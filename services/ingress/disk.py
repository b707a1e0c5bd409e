"""Whether the log has room: ingress stops admitting calls early, so that what has begun can still be recorded."""

import asyncio
import logging
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nats.aio.client import Client

from callgate.errors import BrokerAway
from callgate.log import reading

logger = logging.getLogger("services.ingress")

LOOK_EVERY = 5.0


def share_used(info: Mapping[str, Any]) -> float | None:
    """The fullest share of the file storage that LOG is limited to (of a `$JS.API.INFO` answer, an imported service).

    None without a limit: then the broker tells nobody but its administrator how full its disk is.
    """
    tiers: Iterable[Mapping[str, Any]] = (info, *(info.get("tiers") or {}).values())
    limited = [(tier.get("storage", 0), tier.get("limits", {}).get("max_storage", -1)) for tier in tiers]
    return max((used / limit for used, limit in limited if limit > 0), default=None)


class Disk:
    """The broker's store. `folder` is on the same disk as it, where that is known (an embedded broker)."""

    def __init__(self, client: Client, limit: float, folder: Path | None) -> None:
        self._client = client
        self._limit = limit
        self._folder = folder
        self._used: float | None = None
        self._warned = False

    @property
    def problem(self) -> str | None:
        """None where calls may be admitted, else a code: `log_unknown` before the first look, or `log_full`."""
        if self._used is None:
            return "log_unknown"
        return "log_full" if self._used >= self._limit else None

    async def look(self) -> None:
        """BrokerAway where the broker does not say."""
        info = await reading.request_json(self._client, "$JS.API.INFO", {})
        if "error" in info:
            raise BrokerAway("the broker does not tell how full its store is")
        shares = [share for share in (share_used(info), self._local()) if share is not None]
        if not shares and not self._warned:
            self._warned = True
            logger.warning(
                "how full the log's disk is cannot be seen, so calls are admitted until it is full; "
                "`callgate provision --nats-config … --max-store` gives the broker a limit"
            )
        before, self._used = self.problem, max(shares, default=0.0)
        if self.problem == "log_full" != before:
            logger.error("the log's disk is nearly full: no call is admitted; make room or begin an epoch elsewhere")

    async def watch(self) -> None:
        """Looks again and again; what was seen last counts while the broker is away."""
        while True:
            try:
                await self.look()
            except BrokerAway:
                logger.warning("the broker does not tell how full its store is")
            await asyncio.sleep(LOOK_EVERY)

    def _local(self) -> float | None:
        if self._folder is None:
            return None
        usage = shutil.disk_usage(self._folder)
        return usage.used / (usage.used + usage.free)
