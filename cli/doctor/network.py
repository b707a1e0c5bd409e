"""What can be reached from here: upstreams and token issuers."""

import asyncio
import contextlib
import time
from urllib.parse import urlsplit

import aiohttp

from callgate.errors import ConfigurationError
from callgate.identity.errors import Unauthenticated
from callgate.identity.fetch import AiohttpFetcher, FetchFailed
from callgate.identity.keys import IssuerKeys
from callgate.identity.settings import IssuerSettings
from callgate.settings import Settings
from cli import output
from cli.doctor.findings import Finding
from services.approval.oidc import parse_metadata
from services.approval.sign_in import clients_of

TIMEOUT = 3.0
"""Seconds."""
PORTS = {"http": 80, "https": 443}


async def examine_connections(settings: Settings, *, up: bool) -> list[Finding]:
    """A TCP connection to each address, and no request. `up`: whether an embedded deployment runs here."""
    found = await asyncio.gather(
        *(
            _reach(settings, name, connection.address, up)
            for name, connection in settings.connections.items()
            if connection.address is not None
        )
    )
    return list(found)


async def _reach(settings: Settings, name: str, base_url: str, up: bool) -> Finding:
    parts = urlsplit(base_url)
    try:
        await connect(parts.hostname or "", parts.port or PORTS[parts.scheme])
    except (OSError, TimeoutError, ValueError):
        development = settings.development
        if not up and development is not None and parts.netloc == development.upstream:
            return Finding("note", name, f"{base_url} is the demo upstream, which `callgate up` starts")
        return Finding(
            "FAIL", name, f"nothing answers at {base_url} within {TIMEOUT:.0f} s; check base_url, and the way there"
        )
    return Finding("ok", name, f"{base_url} takes connections")


async def connect(host: str, port: int) -> None:
    """A TCP connection, and no word. OSError, TimeoutError."""
    async with asyncio.timeout(TIMEOUT):
        _, writer = await asyncio.open_connection(host, port)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def examine_issuers(settings: Settings, *, up: bool) -> list[Finding]:
    """Each issuer's key set, and where people sign in, fetched as the services do."""
    issuers = settings.identity.issuers
    development = settings.development
    own = development.issuer if development is not None else None
    if not issuers and own is None:
        return [Finding("FAIL", "issuers", "no token issuer is configured, so nobody can call; set `identity.issuers`")]
    async with aiohttp.ClientSession() as http:
        found = list(await asyncio.gather(*(_keys(issuer, http) for issuer in issuers)))
        found += _clients(settings)
        found += await asyncio.gather(*(_sign_in(issuer, http) for issuer in issuers if issuer.sign_in is not None))
        if own is not None and up and not own.endswith(":0"):
            embedded = IssuerSettings(issuer=f"http://{own}", audience="callgate", algorithms=("ES256",))
            found.append(await _keys(embedded, http))
        elif own is not None:
            found.append(Finding("note", "issuers", f"the development issuer at {own} runs while `callgate up` does"))
    return found


async def _keys(issuer: IssuerSettings, http: aiohttp.ClientSession) -> Finding:
    keys = IssuerKeys(issuer, clock=time.monotonic, http=AiohttpFetcher(http, timeout=TIMEOUT))
    try:
        usable = (await keys.current()).usable
    except Unauthenticated:
        where = issuer.jwks_url or " or ".join(issuer.discovery_urls)
        return Finding("FAIL", "issuers", f"no usable key set at {where}; nobody whom {issuer.issuer} names gets in")
    finally:
        await keys.aclose()
    return Finding("ok", "issuers", f"{issuer.issuer}: {output.count(len(usable), 'key')}")


def _clients(settings: Settings) -> list[Finding]:
    """What approval would refuse to start with."""
    try:
        clients_of(settings)
    except ConfigurationError as error:
        return [Finding("FAIL", "sign-in", error.detail)]
    return []


async def _sign_in(issuer: IssuerSettings, http: aiohttp.ClientSession) -> Finding:
    """Signing in takes more of an issuer than its keys: its endpoints are in its OpenID Connect discovery document."""
    where = issuer.discovery_urls[0]
    try:
        parse_metadata(await AiohttpFetcher(http, timeout=TIMEOUT).get(where), issuer)
    except (FetchFailed, ValueError):
        told = f"no usable discovery document of {issuer.issuer} at {where}; nobody can sign in to the pages there"
        return Finding("FAIL", "sign-in", told)
    return Finding("ok", "sign-in", f"{issuer.issuer} says where people sign in")
