"""Puts ingress together. It takes no deliveries; its map is `routes.py`."""

from pathlib import Path
from urllib.parse import urlsplit

from callgate.cedar.published import PublishedPolicies
from callgate.control import FreezeBook
from callgate.errors import ConfigurationError
from callgate.identity.opening import open_identity
from callgate.identity.settings import is_loopback
from callgate.platform import Platform
from callgate.service import Service
from callgate.settings import Settings
from contracts.identity import Role
from services.ingress.bearers import Bearers
from services.ingress.calls import Calls, Partitions
from services.ingress.disk import Disk
from services.ingress.doors import FrontDesk
from services.ingress.limiting import Limiting
from services.ingress.mcp.door import mcp_door
from services.ingress.mcp.listening import Listeners
from services.ingress.mcp.streams import Streams
from services.ingress.permitted import Permitted
from services.ingress.proxy.door import ProxyDoor
from services.ingress.reservations import Reservations
from services.ingress.room import Room
from services.ingress.routes import routes
from services.ingress.tool_routes import tool_routes
from services.ingress.tools import Tools
from services.ingress.waiting import Waiting


async def build(platform: Platform) -> Service:
    settings = platform.settings
    if not settings.identity.issuers:
        raise ConfigurationError(
            "no_issuer", "identity.issuers is empty, so nobody could call; name a token issuer under `identity:`"
        )
    freezes = FreezeBook(platform.client, platform.records, platform.clock)
    await freezes.refresh()
    identity = await open_identity(platform)
    room = Room(settings.ingress.held, settings.ingress.held_share)
    bearers = Bearers(platform.clock, identity.revocations)
    waiting = Waiting(platform.client, platform.log, platform.verifier, room, bearers)
    disk = Disk(platform.client, settings.broker.disk_limit, _folder_beside_broker(settings))
    calls = Calls(
        log=platform.log,
        sealer=platform.sealer,
        waiting=waiting,
        partitions=Partitions(platform.partition_of, frozenset(platform.partitions)),
        catalog=platform.catalog,
        hear_of=platform.catalog.look_up,
        tracer=platform.tracer,
        freezes=freezes,
        reservations=Reservations(platform.client, platform.sealer, settings.ingress.idempotency_hours, platform.clock),
        clock=platform.clock,
        limits=Limiting(platform.client, platform.log, settings.limits, platform.catalog, platform.clock),
    )
    desk = FrontDesk(calls, admission=lambda: disk.problem)
    policies = PublishedPolicies(platform.records, platform.catalog)
    await policies.refresh()
    permitted = Permitted(Tools(platform.catalog), policies)
    streams = Streams(permitted, room, bearers)

    def stopping() -> None:
        waiting.release()
        streams.release()

    def ready() -> str | None:
        return disk.problem if platform.client.is_connected else "broker_away"

    return Service(
        role=Role.INGRESS,
        routers=(
            routes(desk, identity.authenticator, settings.ingress),
            tool_routes(desk, identity.authenticator, platform.catalog, permitted, settings.ingress),
            mcp_door(desk, identity.authenticator, platform.catalog, permitted, Listeners(streams), settings),
            ProxyDoor(desk, identity.authenticator, platform.catalog.connections, settings.ingress).router(),
        ),
        background=(
            disk.watch,
            waiting.watch_connection,
            waiting.watch_revocations,
            freezes.follow,
            identity.revocations.follow,
            policies.follow,
            streams.follow,
        ),
        ready=ready,
        stopping=stopping,
        close=identity.close,
    )


def _folder_beside_broker(settings: Settings) -> Path | None:
    """The state folder, where the broker is on this machine: an embedded broker keeps its store there."""
    servers = (settings.broker.url or "").split(",")
    local = all(is_loopback(urlsplit(server.strip()).hostname or "") for server in servers)
    return settings.state if local and settings.state.is_dir() else None
