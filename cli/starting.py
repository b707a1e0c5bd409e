"""What `callgate up`, `serve`, `demo`, `provision` and `doctor` do. Each loads what it needs and no more."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from callgate.settings import Settings, load, mistyped
from callgate.telemetry import configure_logging
from cli import output
from cli.options import ServiceName
from cli.running import run, until_signalled
from contracts.identity import Role

logger = logging.getLogger("cli.starting")


def _warn(settings: Settings) -> None:
    """A mistyped variable would be as if it were not there: nobody reads it, and nothing else says so."""
    for line in mistyped(settings, os.environ):
        logger.warning("environment: %s", line)


def up(config: Path, upgrade: bool) -> None:
    settings = load(config)
    configure_logging("callgate", settings.telemetry.level, settings.telemetry.style)
    _warn(settings)
    run(_up(settings, upgrade))


async def _up(settings: Settings, upgrade: bool) -> int:
    from cli.composition import running  # noqa: PLC0415  # imports every service: only where they run
    from cli.welcome import welcome  # noqa: PLC0415

    async with running(settings, upgrade=upgrade) as deployment:
        output.say(welcome(deployment))
        return await until_signalled(deployment.failed)


def serve(services: Sequence[ServiceName], config: Path, listen: str | None) -> None:
    settings = load(config)
    if listen:
        settings = settings.model_copy(update={"listen": listen})  # wins over the environment too
    roles = tuple(Role(service) for service in dict.fromkeys(services))
    configure_logging(roles[0], settings.telemetry.level, settings.telemetry.style)
    _warn(settings)
    run(_serve(settings, roles))


async def _serve(settings: Settings, roles: tuple[Role, ...]) -> int:
    from cli.composition import serving  # noqa: PLC0415

    async with serving(settings, roles) as (url, failed):
        output.say(f"{', '.join(roles)} ready, HTTP at {url}")
        return await until_signalled(failed)


def demo(config: Path, state: Path | None) -> None:
    from cli.demo import run_demo  # noqa: PLC0415

    configure_logging("callgate", "error", "text")
    run(run_demo(config, state))


def provision(config: Path, upgrade: bool) -> None:
    from cli.operators import provision_broker  # noqa: PLC0415

    settings = load(config)
    configure_logging("provision", settings.telemetry.level, settings.telemetry.style)
    _warn(settings)
    run(provision_broker(settings, upgrade))


def nats_config(
    config: Path, target: Path, store: str, listen: str, monitor: str | None, max_store: str | None
) -> None:
    from cli.operators import Server, parse_size, write_nats_config  # noqa: PLC0415

    limit = parse_size(max_store) if max_store is not None else None
    write_nats_config(load(config), target, Server(store, listen, monitor, limit))


def doctor(config: Path, monitors: Sequence[str]) -> None:
    from cli.doctor import examine  # noqa: PLC0415

    settings = load(config)
    configure_logging("doctor", "error", "text")
    run(examine(settings, monitors))
