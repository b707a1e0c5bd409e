"""What the demo runs on: callgate.yaml with an embedded broker, free ports and a state folder of its own."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from callgate.development_settings import DevelopmentSettings
from callgate.errors import ConfigurationError
from callgate.settings import Settings
from cli.composition import Deployment
from contracts.functions import Connection, HttpConnection, McpConnection
from examples.demo_agent import Agent, Auditor, Reviewer, development_token

FREE = "127.0.0.1:0"
FUNCTIONS = ("crm.read_customer", "crm.export_customers", "payments.refund", "deploys.start", "firewall.change")
TOOL = "notes.search_notes"
"""Of an MCP server, so that nobody knows it before it was found there."""
PATIENCE = 60.0
"""Seconds that any one request may take."""


def demo_settings(settings: Settings, state: Path) -> Settings:
    """The configuration's functions and policies, nothing of it that is elsewhere. ConfigurationError."""
    development = settings.development
    if development is None or development.issuer is None or development.upstream is None or development.mcp is None:
        raise ConfigurationError(
            "no_demo",
            "the demo needs `development:` with issuer, upstream and mcp, as the example callgate.yaml has it",
        )
    missing = [name for name in FUNCTIONS if settings.catalog.get(name) is None]
    missing += [TOOL] if settings.catalog.kind_of(TOOL) != "mcp" else []
    if missing:
        raise ConfigurationError(
            "no_demo", f"the demo calls {', '.join(missing)}; run it with the example callgate.yaml"
        )
    token = state / "development" / "upstream.token"
    connections = {name: _moved(connection, development, token) for name, connection in settings.connections.items()}
    return settings.model_copy(
        update={
            "state": state,
            "keys": None,
            "listen": FREE,
            "public_url": None,
            "broker": settings.broker.model_copy(update={"url": None, "port": 0, "replicas": 1, "tls_ca": None}),
            "identity": settings.identity.model_copy(update={"issuers": ()}),
            "audit": settings.audit.model_copy(update={"database": None}),
            "development": DevelopmentSettings(issuer=FREE, upstream=FREE, upstream_token=token, mcp=FREE),
            "connections": connections,
        }
    )


def _moved(connection: Connection, development: DevelopmentSettings, token: Path) -> Connection:
    """A connection of the demo's own servers follows them to the port that they take, and to the token there."""
    changed: dict[str, Any] = {}
    if isinstance(connection, McpConnection) and connection.url == f"http://{development.mcp}/mcp":
        changed["url"] = f"http://{FREE}/mcp"
    if isinstance(connection, HttpConnection) and connection.base_url == f"http://{development.upstream}":
        changed["base_url"] = f"http://{FREE}"
    credential = connection.credential
    if credential is not None and credential.file is not None and credential.file == development.upstream_token:
        changed["credential"] = credential.model_copy(update={"file": token})
    return connection.model_copy(update=changed)


class Upstream:
    """The demo upstream as its operator sees it: its own data, and what reached it."""

    def __init__(self, http: aiohttp.ClientSession, url: str, token: str) -> None:
        self.token = token
        self._http = http
        self._url = url

    async def customer(self, customer_id: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        async with self._http.get(f"{self._url}/customers/{customer_id}", headers=headers) as response:
            response.raise_for_status()
            return dict(await response.json())

    async def seen(self) -> dict[str, Any]:
        async with self._http.get(f"{self._url}/_seen") as response:
            response.raise_for_status()
            return dict(await response.json())


@dataclass(frozen=True, slots=True)
class Cast:
    """Who plays. Agent and people use nothing but the public API."""

    agent: Agent
    rosa: Reviewer
    dora: Reviewer
    ada: Auditor
    upstream: Upstream


@contextlib.asynccontextmanager
async def cast(deployment: Deployment, settings: Settings) -> AsyncIterator[Cast]:
    """Everybody with a token of the development issuer, fetched from it over HTTP."""
    if deployment.issuer is None or deployment.upstream_url is None:
        raise ConfigurationError("no_demo", "the demo needs the development issuer and upstream")
    issuer, url = deployment.issuer.url, deployment.url
    token = (settings.state / "development" / "upstream.token").read_text().strip()
    timeout = aiohttp.ClientTimeout(total=PATIENCE, sock_connect=5)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        yield Cast(
            Agent(http, url, await development_token(http, issuer, "support-bot")),
            Reviewer(http, url, await development_token(http, issuer, "rosa")),
            Reviewer(http, url, await development_token(http, issuer, "dora")),
            Auditor(http, url, await development_token(http, issuer, "ada")),
            Upstream(http, deployment.upstream_url, token),
        )
