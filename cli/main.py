"""`callgate`: every command. Each says what it does and what to do when it cannot."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from callgate.errors import CallgateError
from callgate.settings import Settings, load
from callgate.telemetry import configure_logging
from cli import output
from cli.options import DEFAULT_CONFIG, ConfigOption
from cli.running import run, until_signalled
from contracts.identity import Role

app = typer.Typer(
    name="callgate",
    help="The enforcement point between AI agents and the functions that they call.\n\n"
    "Start with `callgate up`: it runs everything on this machine and prints what to try. "
    "On servers: `callgate keys init`, `callgate provision`, then `callgate serve <service>` for each service.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def main() -> None:
    """The console script. Our errors are one clear line (or list) and exit code 2; a bug keeps its traceback."""
    try:
        app()
    except CallgateError as error:
        output.error(error.detail or error.code)
        sys.exit(2)


@app.command()
def up(
    config: ConfigOption = DEFAULT_CONFIG,
    upgrade: Annotated[bool, typer.Option(help="Bring an existing state folder to this version's layout.")] = False,
) -> None:
    """Run everything on this machine: broker, six services and, if configured, a development issuer and upstream.

    The state folder keeps keys, log and projection; starting again goes on where it stopped. Ctrl-C stops it.
    """
    settings = load(config)
    configure_logging("callgate", settings.telemetry.level, settings.telemetry.style)
    run(_up(settings, upgrade))


async def _up(settings: Settings, upgrade: bool) -> int:
    from cli.composition import running  # noqa: PLC0415  # imports every service: only where they run
    from cli.welcome import welcome  # noqa: PLC0415

    async with running(settings, upgrade=upgrade) as deployment:
        output.say(welcome(deployment))
        return await until_signalled(deployment.failed)


@app.command()
def serve(
    services: Annotated[list[Role], typer.Argument(help="Which service; several share one process and one address.")],
    config: ConfigOption = DEFAULT_CONFIG,
    listen: Annotated[str | None, typer.Option(help="host:port of its HTTP; overrides `listen`.")] = None,
) -> None:
    """Run one service by itself (or several) against the broker of `broker.url`, which must be provisioned."""
    settings = load(config)
    if listen:
        settings = settings.model_copy(update={"listen": listen})
    configure_logging(services[0], settings.telemetry.level, settings.telemetry.style)
    run(_serve(settings, tuple(dict.fromkeys(services))))


async def _serve(settings: Settings, services: tuple[Role, ...]) -> int:
    from cli.composition import SERVICES, serving  # noqa: PLC0415

    unknown = [service for service in services if service not in SERVICES]
    if unknown:
        output.error(f"{unknown[0]} is no service that runs; choose of {', '.join(SERVICES)}")
        return 2
    async with serving(settings, services) as (url, failed):
        output.say(f"{', '.join(services)} ready, HTTP at {url}")
        return await until_signalled(failed)


@app.command()
def demo(
    state: Annotated[
        Path | None, typer.Option(help="Keep the demo's state in this folder; a temporary one otherwise.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Tell the whole story on real parts, step by step; exits 0 only if every step came out as told."""
    from cli.demo import run_demo  # noqa: PLC0415

    configure_logging("callgate", "error", "text")
    run(run_demo(config, state))


@app.command("provision")
def provision_command(
    config: ConfigOption = DEFAULT_CONFIG,
    upgrade: Annotated[bool, typer.Option(help="Also apply safe changes to what stands already.")] = False,
    nats_config: Annotated[
        Path | None,
        typer.Option(help="Write nats-server's configuration (users, rights, JetStream) to this file, and stop."),
    ] = None,
    store: Annotated[str, typer.Option(help="With --nats-config: the server's store folder.")] = "/data",
    listen: Annotated[str, typer.Option(help="With --nats-config: host:port of the server.")] = "0.0.0.0:4222",
    monitor: Annotated[
        str | None,
        typer.Option(help="With --nats-config: host:port of the server's /healthz; it also tells who is connected."),
    ] = None,
    max_store: Annotated[
        str | None,
        typer.Option(help="With --nats-config: what the log may take on the server's disk, e.g. 50GB."),
    ] = None,
) -> None:
    """Create the broker's streams, consumers and genesis records; changes nothing that stands unless --upgrade."""
    from cli.operators import Server, parse_size, provision_broker, write_nats_config  # noqa: PLC0415

    settings = load(config)
    if nats_config is not None:
        limit = parse_size(max_store) if max_store is not None else None
        write_nats_config(settings, nats_config, Server(store, listen, monitor, limit))
        return
    configure_logging("provision", settings.telemetry.level, settings.telemetry.style)
    run(provision_broker(settings, upgrade))


@app.command()
def doctor(
    config: ConfigOption = DEFAULT_CONFIG,
    monitor: Annotated[
        list[str] | None,
        typer.Option(help="A broker's monitoring, http://server:8222, which tells whether it syncs; repeatable."),
    ] = None,
) -> None:
    """Check broker, durability, streams, keys, policies, connections and clock; exits 1 where something is wrong."""
    from cli.doctor import examine  # noqa: PLC0415

    settings = load(config)
    configure_logging("doctor", "error", "text")
    run(examine(settings, monitor or ()))


def _mount() -> None:
    from cli import audit, dev_issuer_commands, keys_commands, mask_commands, policy_commands, reviewers  # noqa: PLC0415

    app.add_typer(keys_commands.app, name="keys")
    app.add_typer(policy_commands.app, name="policy")
    app.add_typer(mask_commands.app, name="mask")
    app.add_typer(audit.app, name="audit")
    app.add_typer(dev_issuer_commands.app, name="dev-issuer")
    reviewers.register(app)


_mount()

__all__ = ["app", "main", "run"]

if __name__ == "__main__":
    main()
