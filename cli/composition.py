"""Everything in one process: the embedded broker, the six services, and what development adds."""

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from callgate import keys
from callgate.errors import ConfigurationError, Fatal
from callgate.host import Build, bind, run_services, serve_http, url_of
from callgate.identity.client_settings import SignInSettings
from callgate.identity.settings import IssuerSettings
from callgate.platform import Platform, open_platform
from callgate.settings import Settings
from callgate.telemetry import describe
from cli.children import start_listening, start_python
from cli.dev_issuer import CLIENT_ID, DevIssuer, dev_issuer_app
from cli.dev_issuer.people import DEMO_PEOPLE
from cli.embedded import EmbeddedBroker
from cli.provisioning import provision_deployment
from contracts.functions import HttpConnection, McpConnection
from contracts.identity import Role

logger = logging.getLogger("cli.composition")

SERVICES: tuple[Role, ...] = (
    # In the order in which they start: who answers before who asks.
    Role.AUDIT,
    Role.EXECUTOR,
    Role.POLICY,
    Role.MASKING,
    Role.APPROVAL,
    Role.INGRESS,
)


def builder(role: Role) -> Build:
    """The service's `build`, imported only where it runs: one by itself need not carry the others' libraries."""
    build: Build = import_module(f"services.{role}.app").build
    return build


AUDIENCE = "callgate"
RESTART_PAUSES = (1.0, 3.0, 10.0)
"""Seconds before each further try to start an embedded broker that died and did not start again at once."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A running deployment."""

    settings: Settings
    url: str
    broker_url: str
    issuer: DevIssuer | None
    upstream_url: str | None
    failed: asyncio.Future[BaseException]

    @property
    def people(self) -> tuple[str, ...]:
        return tuple(person.sub for person in DEMO_PEOPLE)


@contextlib.asynccontextmanager
async def running(settings: Settings, *, upgrade: bool = False) -> AsyncIterator[Deployment]:
    """The whole deployment while the context lasts. ConfigurationError or Fatal with what to do."""
    async with contextlib.AsyncExitStack() as stack:
        ensure_keys(settings)
        settings, broker = await _with_broker(settings, stack, upgrade)
        issuer: DevIssuer | None = None
        upstream_url: str | None = None
        if settings.development is not None:
            settings, issuer = await _with_issuer(settings, stack)
            settings, upstream_url = await _with_upstream(settings, stack)
            settings = await _with_mcp_server(settings, stack)
        url, failed = await _with_services(settings, SERVICES, stack)
        if broker is not None:
            watch = asyncio.create_task(keep_running(broker, failed))
            stack.callback(watch.cancel)
        yield Deployment(settings, url, settings.broker.url or "", issuer, upstream_url, failed)


@contextlib.asynccontextmanager
async def serving(
    settings: Settings, roles: tuple[Role, ...]
) -> AsyncIterator[tuple[str, asyncio.Future[BaseException]]]:
    """Some services, against the broker that the settings name. Gives the base URL and the fatal error to come."""
    async with contextlib.AsyncExitStack() as stack:
        yield await _with_services(settings, roles, stack)


def ensure_keys(settings: Settings) -> None:
    """Makes the keys of a new embedded deployment; an existing ring is left as it is."""
    if not (settings.keys_folder / "ring.json").exists():
        keys.init(settings.keys_folder, settings.deployment)


async def _with_broker(
    settings: Settings, stack: contextlib.AsyncExitStack, upgrade: bool
) -> tuple[Settings, EmbeddedBroker | None]:
    if settings.broker.url is not None:
        return settings, None
    passwords = {role: keys.read_password(settings.keys_folder, role) for role in Role}
    broker = EmbeddedBroker(settings.state / "broker", passwords=passwords, port=settings.broker.port, upgrade=upgrade)
    await stack.enter_async_context(broker)
    settings = _changed(settings, broker={"url": broker.url})
    report = await provision_deployment(settings, upgrade=upgrade)
    if not report.complete:
        differences = "; ".join(map(str, report.differs))
        raise ConfigurationError("broker_differs", f"{differences}. To change it, run `callgate up --upgrade`")
    return settings, broker


async def keep_running(
    broker: EmbeddedBroker, failed: asyncio.Future[BaseException], pauses: Sequence[float] = RESTART_PAUSES
) -> None:
    """Starts a broker that died again: clients reconnect, and what was acknowledged is on disk.

    Where it does not start, after these pauses either, `failed` says so: without its broker a deployment does nothing.
    """
    while not failed.done():
        code = await broker.watch()
        logger.error("the embedded broker ended; starting it again", extra={"exit_code": code})
        if not await _restarted(broker, pauses) and not failed.done():
            failed.set_result(
                Fatal(
                    "broker_ended",
                    f"the embedded broker ended and does not start again; {broker.folder.log} says why (a full disk?). "
                    "Mend that and start Callgate again: what was acknowledged is on disk",
                )
            )


async def _restarted(broker: EmbeddedBroker, pauses: Sequence[float]) -> bool:
    for pause in (0.0, *pauses):
        await asyncio.sleep(pause)
        try:
            await broker.restart()
        except Exception as error:
            logger.error("the embedded broker does not start", extra={"error": describe(error)})
        else:
            return True
    return False


async def _with_issuer(settings: Settings, stack: contextlib.AsyncExitStack) -> tuple[Settings, DevIssuer | None]:
    development = settings.development
    if development is None or development.issuer is None:
        return settings, None
    listener = bind(development.issuer, "development.issuer")
    url = url_of(listener)
    folder = settings.state / "development" / "issuer"
    issuer = DevIssuer.open(folder, issuer_url=url, audience=AUDIENCE, public_url=settings.public_url)
    await stack.enter_async_context(serve_http(dev_issuer_app(issuer), listener))
    client = SignInSettings(client_id=CLIENT_ID, name="development", label="the development issuer")
    accepted = IssuerSettings(issuer=url, audience=AUDIENCE, algorithms=("ES256",), sign_in=client)
    return _changed(settings, identity={"issuers": (*settings.identity.issuers, accepted)}), issuer


async def _with_upstream(settings: Settings, stack: contextlib.AsyncExitStack) -> tuple[Settings, str | None]:
    development = settings.development
    if development is None or development.upstream is None or development.upstream_token is None:
        return settings, None
    token = _token_file(development.upstream_token)
    host, _, port = development.upstream.rpartition(":")
    child = await start_python(
        stack, "-m", "examples.upstream", "--host", host, "--port", port, "--token-file", str(token)
    )
    if child is None:
        raise ConfigurationError(
            "upstream_did_not_start",
            f"the demo upstream cannot listen on {development.upstream}; is the port taken? "
            "Set development.upstream to a free host:port, and the base_url of its connections to the same",
        )
    url = child.url
    connections = {
        name: c.model_copy(update={"base_url": url})
        if isinstance(c, HttpConnection) and _points_at(c.base_url, development.upstream)
        else c
        for name, c in settings.connections.items()
    }
    return settings.model_copy(update={"connections": connections}), url


async def _with_mcp_server(settings: Settings, stack: contextlib.AsyncExitStack) -> Settings:
    """The demo MCP server, in the background: its library takes a second to load, which nobody need wait for."""
    development = settings.development
    if development is None or development.mcp is None:
        return settings
    listener = bind(development.mcp, "development.mcp")
    url = f"{url_of(listener)}/mcp"
    await start_listening(stack, listener, "-m", "examples.mcp_server", "--fd")
    connections = {
        name: c.model_copy(update={"url": url})
        if isinstance(c, McpConnection) and c.url is not None and _points_at(c.url, development.mcp, "/mcp")
        else c
        for name, c in settings.connections.items()
    }
    return settings.model_copy(update={"connections": connections})


def _points_at(url: str, listen: str, path: str = "") -> bool:
    """Whether a connection is one of the demo's own, whose port may have been taken freely."""
    return url in {f"http://{listen}{path}", f"http://{listen.replace('127.0.0.1', 'localhost')}{path}"}


def _token_file(path: Path) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    return path


async def _with_services(
    settings: Settings, roles: tuple[Role, ...], stack: contextlib.AsyncExitStack
) -> tuple[str, asyncio.Future[BaseException]]:
    listener = bind(settings.listen)
    stack.callback(listener.close)
    if settings.public_url is None:
        settings = settings.model_copy(update={"public_url": url_of(listener)})
    parts: list[tuple[Platform, Build]] = []
    for role in roles:
        # One verifier for all: what one service of this process verified, the others need not verify again.
        shared = parts[0][0].verifier if parts else None
        parts.append((await stack.enter_async_context(open_platform(settings, role, shared)), builder(role)))
    return await stack.enter_async_context(run_services(parts, listener))


def _changed(settings: Settings, **sections: dict[str, object]) -> Settings:
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=update) for name, update in sections.items()}
    )
