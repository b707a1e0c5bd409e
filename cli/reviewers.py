"""`callgate approvals | approve | reject`: reviewers at a terminal, over the public HTTP API alone."""

from pathlib import Path
from typing import Annotated

import typer

UrlOption = Annotated[str, typer.Option("--url", envvar="CALLGATE_URL", help="Where Callgate's API is.")]
TokenOption = Annotated[
    str | None, typer.Option("--token", envvar="CALLGATE_TOKEN", help="Your token; others can see it in `ps`.")
]
TokenFileOption = Annotated[Path | None, typer.Option("--token-file", help="The file that holds your token.")]
DEFAULT_URL = "http://127.0.0.1:8080"


def register(app: typer.Typer) -> None:
    """Adds the reviewers' commands. What they need is imported where they run."""
    for name, command in (("approvals", approvals), ("approve", approve), ("reject", reject)):
        app.command(name, rich_help_panel="Review")(command)


def approvals(
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on and show what changes, until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, max=3600, help="With --watch: seconds between looks.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="JSON, one document a line.")] = False,
) -> None:
    """List the calls that wait for your decision, soonest expiry first."""
    from cli import deciding, running  # noqa: PLC0415

    held = deciding.read_token(token, token_file)
    listing = (
        deciding.watch_approvals(url, held, every, as_json) if watch else deciding.list_approvals(url, held, as_json)
    )
    running.run(listing)


def approve(
    call_id: Annotated[str, typer.Argument(help="The call's id, from `callgate approvals`.")],
    reason: Annotated[str | None, typer.Option(help="Why; kept sealed with the vote.")] = None,
    digest: Annotated[
        str | None,
        typer.Option(help="The digest that you saw, 8 characters of it: refused where the call changed."),
    ] = None,
    break_glass: Annotated[
        bool,
        typer.Option(
            "--break-glass", help="Approve alone, where a policy lets you; needs --reason, and others are told."
        ),
    ] = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Approve a call, as it is shown then; exits 1 where that is refused. While it waits you may still reject it."""
    from cli import deciding, running  # noqa: PLC0415

    held = deciding.read_token(token, token_file)
    running.run(deciding.vote(url, held, call_id, "approve", reason, digest, break_glass=break_glass))


def reject(
    call_id: Annotated[str, typer.Argument(help="The call's id, from `callgate approvals`.")],
    reason: Annotated[str, typer.Option(help="Why; the agent is told.")],
    digest: Annotated[str | None, typer.Option(help="As for `callgate approve`.")] = None,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Reject a call, and say why; exits 1 where that is refused."""
    from cli import deciding, running  # noqa: PLC0415

    held = deciding.read_token(token, token_file)
    running.run(deciding.vote(url, held, call_id, "reject", reason, digest))
