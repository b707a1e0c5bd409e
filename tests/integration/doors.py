"""The HTTP doors of a deployment: services on a real socket, and the tokens of a real issuer to knock with.

async with token_issuer(tmp_path) as issuer:
    async with running_deployment(tmp_path, overrides={"identity": trusting(issuer)}) as here:
        async with serving(here, (Role.INGRESS, build)) as url:
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from deployment import Deployment

from callgate.host import Build, bind, run_services
from cli.dev_issuer import DevIssuer, dev_issuer_server
from contracts.identity import Role

AUDIENCE = "callgate"


@contextlib.asynccontextmanager
async def token_issuer(folder: Path) -> AsyncIterator[DevIssuer]:
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    issuer = DevIssuer.open(folder / "issuer", issuer_url=f"http://127.0.0.1:{port}", audience=AUDIENCE)
    server = dev_issuer_server(issuer, "127.0.0.1", port)
    running = asyncio.create_task(server.serve([listening]))
    try:
        yield issuer
    finally:
        server.should_exit = True
        await running


def trusting(issuer: DevIssuer) -> dict[str, Any]:
    """The section `identity` of settings that accept its tokens."""
    return {"issuers": [{"issuer": issuer.url, "audience": AUDIENCE}]}


def bearer(issuer: DevIssuer, sub: str, act: str | None = None) -> dict[str, str]:
    """The header of one of the development issuer's people."""
    return {"Authorization": f"Bearer {issuer.mint(sub, act=act)}"}


@contextlib.asynccontextmanager
async def serving(here: Deployment, *parts: tuple[Role, Build]) -> AsyncIterator[str]:
    """The base URL of these services, run as `callgate serve` runs them. What is fatal to them fails the test."""
    async with contextlib.AsyncExitStack() as stack:
        opened = [(await stack.enter_async_context(here.platform(role)), build) for role, build in parts]
        url, failed = await stack.enter_async_context(run_services(opened, bind("127.0.0.1:0")))
        yield url
        if failed.done():
            raise failed.result()
