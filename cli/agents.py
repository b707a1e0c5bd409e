"""`callgate call | calls | watch | functions`: an agent at a terminal, over the public HTTP API alone."""

from pathlib import Path
from typing import Annotated

import typer

from cli import tool_commands
from cli.completing import function_names
from cli.reviewers import DEFAULT_URL, TokenFileOption, TokenOption, UrlOption

_PANEL = "Call"
CallId = Annotated[str, typer.Argument(help="The call's id, from `callgate call` or `callgate calls`.")]
SessionOption = Annotated[
    str | None,
    typer.Option("--session", envvar="CALLGATE_SESSION", help="The session: a name of yours, or its id."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON, as the API gives it.")]


def register(app: typer.Typer) -> None:
    """Adds the agents' commands. What they need is imported where they run."""
    listing = typer.Typer(invoke_without_command=True)
    listing.callback()(functions)
    tool_commands.register(listing)
    app.add_typer(
        listing, name="functions", rich_help_panel=_PANEL, help="List what there is to call, or accept held tools."
    )
    for name, command in (("call", call), ("calls", calls), ("watch", watch)):
        app.command(name, rich_help_panel=_PANEL)(command)


def functions(
    context: typer.Context,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what there is to call, with the arguments that each takes."""
    if context.invoked_subcommand is not None:
        return
    from cli import calling, deciding  # noqa: PLC0415

    calling.list_functions(calling.client(url, deciding.read_token(token, token_file)), as_json)


def call(
    function: Annotated[
        str,
        typer.Argument(help="As `callgate functions` lists it, e.g. payments.refund.", autocompletion=function_names),
    ],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...", help="Arguments, read as the function's schema types them; `NAME:=JSON` as JSON."
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="A JSON object of arguments, under NAME=VALUE; - is standard input.", allow_dash=True),
    ] = None,
    session: SessionOption = None,
    wait: Annotated[
        float | None, typer.Option(min=0, help="Seconds to wait for the outcome; for ever where it is not given.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key and arguments are one call, however often sent.")
    ] = None,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have a function run, and show what came of it; how it stands meanwhile is on standard error.

    Exits 0 where it completed, also where the function itself answered 400 or more, which is shown; 1 where it ended
    otherwise; and 3 while it goes on, also after Ctrl-C: `callgate watch` takes it up then.
    """
    from cli import arguments as written  # noqa: PLC0415
    from cli import calling, deciding  # noqa: PLC0415

    callgate = calling.client(url, deciding.read_token(token, token_file), session)
    given = written.Given(tuple(arguments or ()), file)
    raise typer.Exit(calling.call(callgate, function, given, wait, key, as_json=as_json))


def calls(
    session: SessionOption = None,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the calls of a session of yours, the latest last."""
    from cli import calling, deciding  # noqa: PLC0415

    calling.list_calls(calling.client(url, deciding.read_token(token, token_file), session), as_json)


def watch(
    call_id: CallId,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, one event a line, then the outcome.")] = False,
) -> None:
    """Follow a call of yours, event by event, to its outcome. Exits as `callgate call` does."""
    from cli import calling, deciding  # noqa: PLC0415

    callgate = calling.client(url, deciding.read_token(token, token_file))
    raise typer.Exit(calling.watch(callgate, call_id, as_json=as_json))
