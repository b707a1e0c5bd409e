"""A command's own connection to the broker, as one role: it comes at once or says that it does not."""

import asyncio
import ssl

from nats.aio.client import Client
from nats.errors import Error as NatsError

from callgate.errors import BrokerAway
from callgate.rights import inbox_prefix
from callgate.settings import Settings
from contracts.identity import Role

PATIENCE = 15.0
"""Seconds to get in at one of the servers."""


async def connect(settings: Settings, url: str, role: Role, password: str) -> Client:
    """A connected client, which the caller closes. BrokerAway where no server lets the role in."""
    ca = settings.broker.tls_ca
    client = Client()
    try:
        async with asyncio.timeout(PATIENCE):
            await client.connect(
                [server.strip() for server in url.split(",")],
                user=role.value,
                password=password,
                inbox_prefix=inbox_prefix(role).encode(),
                allow_reconnect=False,
                # nats-py tries a server that is away 60 times, every 2 s, before it says so.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=3,
                error_cb=_quiet,
                tls=ssl.create_default_context(cafile=str(ca)) if ca is not None else None,
            )
    except (NatsError, OSError, TimeoutError):
        await client.close()
        raise BrokerAway(f"no broker at {url} lets {role} in") from None
    return client


async def _quiet(_error: Exception) -> None:
    """What goes wrong is told by the exception."""
