"""`callgate`: every command. Each says what it does and what to do when it cannot.

What a command needs is imported when it runs, so that help, completion and a mistyped command answer at once.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from callgate.errors import CallgateError
from cli import agents, control_commands, env_command, groups, mcp_command, output, reviewers, revocation_commands
from cli.options import DEFAULT_CONFIG, ConfigOption, ServiceName

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


@app.command(rich_help_panel="Run")
def up(
    config: ConfigOption = DEFAULT_CONFIG,
    upgrade: Annotated[bool, typer.Option(help="Bring an existing state folder to this version's layout.")] = False,
) -> None:
    """Run everything on this machine: broker, six services and, if configured, a development issuer and upstream.

    The state folder keeps keys, log and projection; starting again goes on where it stopped. Ctrl-C stops it.
    """
    from cli import starting  # noqa: PLC0415

    starting.up(config, upgrade)


@app.command(rich_help_panel="Run")
def serve(
    services: Annotated[
        list[ServiceName], typer.Argument(help="Which service; several share one process and one address.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    listen: Annotated[str | None, typer.Option(help="host:port of its HTTP; overrides `listen`.")] = None,
) -> None:
    """Run one service by itself (or several) against the broker of `broker.url`, which must be provisioned."""
    from cli import starting  # noqa: PLC0415

    starting.serve(services, config, listen)


@app.command(rich_help_panel="Run")
def demo(
    state: Annotated[
        Path | None, typer.Option(help="Keep the demo's state in this folder; a temporary one otherwise.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Tell the whole story on real parts, step by step; exits 0 only if every step came out as told."""
    from cli import starting  # noqa: PLC0415

    starting.demo(config, state)


@app.command(rich_help_panel="Operate")
def provision(
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
    from cli import starting  # noqa: PLC0415

    if nats_config is not None:
        starting.nats_config(config, nats_config, store, listen, monitor, max_store)
    else:
        starting.provision(config, upgrade)


@app.command(rich_help_panel="Operate")
def doctor(
    config: ConfigOption = DEFAULT_CONFIG,
    monitor: Annotated[
        list[str] | None,
        typer.Option(help="A broker's monitoring, http://server:8222, which tells whether it syncs; repeatable."),
    ] = None,
) -> None:
    """Check broker, durability, streams, keys, policies, connections and clock; exits 1 where something is wrong."""
    from cli import starting  # noqa: PLC0415

    starting.doctor(config, monitor or ())


agents.register(app)
mcp_command.register(app)
env_command.register(app)
reviewers.register(app)
control_commands.register(app)
revocation_commands.register(app)
groups.mount(app)

__all__ = ["app", "main"]

if __name__ == "__main__":
    main()
