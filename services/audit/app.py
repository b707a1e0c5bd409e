"""Puts audit together: it answers no event, so there is no table of handlers but what follows the log."""

import asyncio
import time
from collections.abc import Sequence

from callgate.cedar.published import PublishedPolicies
from callgate.errors import ConfigurationError
from callgate.identity.opening import open_identity
from callgate.platform import Platform
from callgate.service import Service
from callgate.settings import Settings
from contracts.identity import Role
from services.audit.access import Access
from services.audit.alarms import Alarms
from services.audit.control_projection import ControlProjection
from services.audit.control_routes import control_routes
from services.audit.projection import Projection
from services.audit.reasons import Reasons
from services.audit.routes import Audited, audit_routes
from services.audit.store import DatabaseAway, Store

DATABASE_WAIT = 30.0
"""Seconds that a database may take to answer at the start: it may be started beside us."""


async def build(platform: Platform) -> Service:
    settings = platform.settings
    if not settings.identity.issuers:
        raise ConfigurationError("no_issuers", "identity.issuers is empty, so nobody could look at anything")
    store = open_store(settings)
    await _prepared(store, [str(partition) for partition in platform.partitions])
    alarms = Alarms(platform.records, platform.clock)
    projections = [
        Projection(platform.log, store, partition, platform.genesis[partition], alarms.raise_all)
        for partition in platform.partitions
    ]
    control = ControlProjection(platform.client, platform.records, store)
    policies = PublishedPolicies(platform.records, platform.catalog)
    identity = await open_identity(platform)

    async def close() -> None:
        await identity.close()
        await asyncio.to_thread(store.close)

    audited = Audited(
        authenticator=identity.authenticator,
        access=Access(policies, platform.records, platform.clock),
        store=store,
        log=platform.log,
        sealer=platform.sealer,
        records=platform.records,
        ring=platform.ring,
        partitions=platform.partitions,
    )
    return Service(
        role=Role.AUDIT,
        routers=(
            audit_routes(audited),
            control_routes(audited, Reasons(platform.records, platform.sealer), platform.clock),
        ),
        background=(
            policies.follow,
            identity.revocations.follow,
            control.follow,
            *(projection.follow for projection in projections),
        ),
        ready=lambda: control.waits_for or _waits(projections),
        close=close,
    )


def open_store(settings: Settings) -> Store:
    """The configured database; nothing is read yet."""
    if settings.audit.database is not None:
        return Store.open(settings.audit.database)
    settings.state.mkdir(parents=True, exist_ok=True)
    return Store.in_file(settings.state / "audit.db")


def _waits(projections: Sequence[Projection]) -> str | None:
    return next((projection.waits_for for projection in projections if projection.waits_for is not None), None)


async def _prepared(store: Store, partitions: Sequence[str]) -> None:
    until = time.monotonic() + DATABASE_WAIT
    while True:
        try:
            await asyncio.to_thread(store.prepare, partitions)
        except DatabaseAway:
            if time.monotonic() > until:
                raise ConfigurationError("database_away", "the database of audit.database does not answer") from None
            await asyncio.sleep(0.5)
        else:
            return
