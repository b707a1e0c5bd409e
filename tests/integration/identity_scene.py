"""Ingress before an issuer whose keys the test holds, so that it can sign what no honest issuer would."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from deployment import running_deployment
from doors import serving
from identity_fakes import EC_KEY, ISSUER, RSA_KEY, ec_jwk, rsa_jwk

from callgate.host import Build
from callgate.log import reading
from callgate.platform import Platform
from contracts.identity import Role

PUBLIC_URL = "https://callgate.example"
FUNCTION: dict[str, Any] = {"path": "/x", "input": {"type": "object"}}


@dataclass
class Door:
    """`urls` are those of the replicas."""

    urls: list[str]
    http: aiohttp.ClientSession
    audit: Platform

    async def ask(self, headers: dict[str, str], function: str = "crm.look", replica: int = 0) -> tuple[int, Any, Any]:
        body = {"function": function, "arguments": {}}
        sent = {"Prefer": "wait=0", **headers}
        async with self.http.post(f"{self.urls[replica]}/v1/calls", json=body, headers=sent) as response:
            return response.status, await response.json(content_type=None), response.headers

    async def recorded(self) -> int:
        """The last sequences of the calls' streams together: 0 where nothing ever stood there."""
        return sum([await reading.last_sequence(self.audit.client, one.stream) for one in self.audit.partitions])


@contextlib.asynccontextmanager
async def published_keys() -> AsyncIterator[str]:
    """The issuer's key set on a real socket."""

    async def keys(_: web.Request) -> web.Response:
        return web.json_response({"keys": [ec_jwk(EC_KEY, "k1"), rsa_jwk(RSA_KEY, "r1", alg="RS256")]})

    app = web.Application()
    app.router.add_get("/keys", keys)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    await runner.cleanup()


@contextlib.asynccontextmanager
async def door_of(folder: Path, build: Build, replicas: int = 1, **identity: Any) -> AsyncIterator[Door]:
    """`crm.look` takes any token, `vault.look` only bound ones."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        issuer = {"issuer": ISSUER, "jwks_url": await enter(published_keys()), "audience": "callgate"}
        plain = {"base_url": "http://127.0.0.1:1", "functions": {"look": FUNCTION}}
        overrides = {
            "identity": {"issuers": [issuer], **identity},
            "public_url": PUBLIC_URL,
            "connections": {"crm": plain, "vault": {**plain, "sender_constrained": True}},
        }
        here = await enter(running_deployment(folder, overrides=overrides))
        urls = [await enter(serving(here, (Role.INGRESS, build))) for _ in range(replicas)]
        audit = await enter(here.platform(Role.AUDIT))
        yield Door(urls, await enter(aiohttp.ClientSession()), audit)
