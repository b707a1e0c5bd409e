"""`callgate approvals | approve | reject | amend | outcomes | settle`: reviewers at a terminal, over the public HTTP
API alone."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cli.completing import approval_ids, outcome_ids

UrlOption = Annotated[str, typer.Option("--url", envvar="CALLGATE_URL", help="Where Callgate's API is.")]
TokenOption = Annotated[
    str | None, typer.Option("--token", envvar="CALLGATE_TOKEN", help="Your token; others can see it in `ps`.")
]
TokenFileOption = Annotated[Path | None, typer.Option("--token-file", help="The file that holds your token.")]
DEFAULT_URL = "http://127.0.0.1:8080"
_ApprovalArgument = Annotated[
    str, typer.Argument(help="The call's id, from `callgate approvals`.", autocompletion=approval_ids)
]
_OutcomeArgument = Annotated[
    str, typer.Argument(help="The call's id, from `callgate outcomes`.", autocompletion=outcome_ids)
]
_DigestOption = Annotated[
    str | None,
    typer.Option(help="The digest that you saw, 8 characters of it: refused where the call changed."),
]
_JsonOption = Annotated[bool, typer.Option("--json", help="Nothing but Callgate's answer, as JSON.")]


class OutcomeWord(StrEnum):
    """What became of a call, as it is typed."""

    DONE = "done"
    NOT_DONE = "not-done"
    RUN_AGAIN = "run-again"


def register(app: typer.Typer) -> None:
    """Adds the reviewers' commands. What they need is imported where they run."""
    commands = (
        ("approvals", approvals),
        ("approve", approve),
        ("reject", reject),
        ("amend", amend),
        ("outcomes", outcomes),
        ("settle", settle),
    )
    for name, command in commands:
        app.command(name, rich_help_panel="Review")(command)


def approvals(
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on and show each change when it happens, until Ctrl-C.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.2, max=3600, help="With --watch: at most one change in so many seconds.")
    ] = 1.0,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help='{"approvals": […]} on one line; with --watch another line, the whole list, for each change.'
        ),
    ] = False,
) -> None:
    """List the calls that wait for your decision, soonest expiry first."""
    from cli import deciding, listing, running  # noqa: PLC0415

    held = deciding.read_token(token, token_file)
    work = listing.watch_approvals(url, held, every, as_json) if watch else listing.list_approvals(url, held, as_json)
    running.run(work)


def approve(
    call_id: _ApprovalArgument,
    reason: Annotated[str | None, typer.Option(help="Why; kept sealed with the vote.")] = None,
    digest: _DigestOption = None,
    break_glass: Annotated[
        bool,
        typer.Option(
            "--break-glass", help="Approve alone, where a policy lets you; needs --reason, and others are told."
        ),
    ] = False,
    as_json: _JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Approve a call, as it is shown then; exits 1 where that is refused. While it waits you may still reject it."""
    from cli import deciding, running  # noqa: PLC0415

    held = deciding.read_token(token, token_file)
    running.run(deciding.vote(url, held, call_id, "approve", reason, digest, break_glass=break_glass, as_json=as_json))


def reject(
    call_id: _ApprovalArgument,
    reason: Annotated[str, typer.Option(help="Why; the agent is told.")],
    digest: _DigestOption = None,
    as_json: _JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Reject a call, and say why; exits 1 where that is refused."""
    from cli import deciding, running  # noqa: PLC0415

    held = deciding.read_token(token, token_file)
    running.run(deciding.vote(url, held, call_id, "reject", reason, digest, as_json=as_json))


def amend(
    call_id: _ApprovalArgument,
    pairs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=VALUE]...",
            help="An argument, or a JSON pointer: amount=40, /items/0/note=late. Read as by `callgate call`: as the "
            "function's schema types it; `NAME:=JSON` as JSON.",
        ),
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="The same as an option.")
    ] = None,
    removes: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NAME", help="An argument, or a JSON pointer.")
    ] = None,
    patch: Annotated[
        Path | None, typer.Option(help="A file with a JSON Patch instead: add, replace and remove.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; the agent is told.")] = None,
    digest: _DigestOption = None,
    as_json: _JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Change the arguments of a call that waits: it is masked and judged anew, and votes start over. Others must
    approve it then: never you alone. Exits 1 where that is refused."""
    from cli import deciding, patching, running  # noqa: PLC0415

    held = deciding.read_token(token, token_file)
    wish = patching.wish_of([*(pairs or ()), *(sets or ())], removes, patch)
    running.run(deciding.amend(url, held, call_id, wish, reason, digest, as_json=as_json))


def outcomes(
    as_json: Annotated[bool, typer.Option("--json", help='{"outcomes": […]} on one line.')] = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """List the calls that may or may not have happened, for you to settle, the oldest first."""
    from cli import deciding, listing, running  # noqa: PLC0415

    running.run(listing.list_outcomes(url, deciding.read_token(token, token_file), as_json))


def settle(
    call_id: _OutcomeArgument,
    outcome: Annotated[
        OutcomeWord, typer.Option(help="It happened, it did not, or it is to be run again as it was allowed.")
    ],
    reason: Annotated[str, typer.Option(help="How you know; kept sealed.")],
    evidence: Annotated[str | None, typer.Option(help="Where others can see it: a ticket, a statement.")] = None,
    result: Annotated[
        Path | None, typer.Option(help="With `done`: a file with what the function would have answered, as JSON.")
    ] = None,
    digest: _DigestOption = None,
    as_json: _JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Say what became of a call whose outcome nobody knows; exits 1 where that is refused."""
    from cli import deciding, patching, running  # noqa: PLC0415

    held = deciding.read_token(token, token_file)
    said = {
        "outcome": outcome.value.replace("-", "_"),
        "reason": reason,
        "evidence": evidence,
        "result": patching.document_in(result, "--result") if result is not None else None,
    }
    running.run(deciding.settle(url, held, call_id, said, digest, as_json=as_json))
