"""What the commands of `callgate audit` open: the broker as the audit service does, and its database."""

import getpass
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from callgate.errors import ConfigurationError
from callgate.platform import Platform, open_platform
from callgate.settings import Settings, load
from callgate.telemetry import configure_logging
from cli import output
from cli.running import run
from cli.state_folder import StateFolder
from contracts.identity import Principal, Role
from services.audit.app import open_store
from services.audit.store import DatabaseAway, Store

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LimitOption = Annotated[int, typer.Option(min=1, max=10_000, help="How many, at most.")]


def with_platform(config: Path, work: Callable[[Platform], Awaitable[int]]) -> None:
    settings = reachable(load(config))
    configure_logging("audit", "error", "text")

    async def opened() -> int:
        async with open_platform(settings, Role.AUDIT) as platform:
            return await work(platform)

    run(opened())


def reachable(settings: Settings) -> Settings:
    """The settings, with the address of the embedded broker where none is configured. ConfigurationError without."""
    if settings.broker.url is not None:
        return settings
    port = StateFolder(settings.state / "broker").noted_port()
    if port is None:
        raise ConfigurationError(
            "no_broker", "no broker runs here: start one with `callgate up`, or set broker.url in the configuration"
        )
    broker = settings.broker.model_copy(update={"url": f"nats://127.0.0.1:{port}"})
    return settings.model_copy(update={"broker": broker})


def projected(config: Path, query: Callable[[Store], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    store = open_store(load(config))
    try:
        store.require_version()
        return query(store)
    except DatabaseAway:
        raise ConfigurationError(
            "database_away", "the audit database does not answer; check audit.database, or run `callgate audit rebuild`"
        ) from None
    finally:
        store.close()


def operator() -> Principal:
    """Who runs the command, as the operating system knows them; they hold the audit service's keys."""
    return Principal(id=f"local:{getpass.getuser()}", issuer="callgate audit")


def print_json(value: Any) -> None:
    output.say(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
