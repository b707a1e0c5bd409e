"""`callgate freeze | freezes | unfreeze`: stopping at once, over the public HTTP API alone."""

from typing import Annotated

import typer

from cli.reviewers import DEFAULT_URL, TokenFileOption, TokenOption, UrlOption

JsonOption = Annotated[bool, typer.Option("--json", help="JSON, one document.")]


def register(app: typer.Typer) -> None:
    """Adds the commands. What they need is imported where they run."""
    for name, command in (("freeze", freeze), ("freezes", freezes), ("unfreeze", unfreeze)):
        app.command(name, rich_help_panel="Review")(command)


def freeze(
    reason: Annotated[str, typer.Option(help="Why; kept sealed with the freeze.")],
    agent: Annotated[str | None, typer.Option(help="An agent, or a user for whom agents act, by its identity.")] = None,
    session: Annotated[str | None, typer.Option(help="A session, by its id or the id of one of its calls.")] = None,
    function: Annotated[str | None, typer.Option(help="A function, e.g. payments.refund.")] = None,
    connection: Annotated[str | None, typer.Option(help="Every function of a connection, e.g. payments.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    issuer: Annotated[str | None, typer.Option(help="With --agent: of this issuer only.")] = None,
    lasts: Annotated[str | None, typer.Option("--for", help="How long, e.g. 2h; until it is lifted otherwise.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Stop an agent, a session, a function, a connection or everything at once; exits 1 where that is refused.

    What waits for approval is cancelled, what is about to start is refused, new calls are not taken.
    """
    from cli import controlling, deciding, running  # noqa: PLC0415

    body = controlling.freeze_body(agent, session, function, connection, everything, issuer)
    wish = {**body, "reason": reason, "for": lasts}
    running.run(controlling.freeze(url, deciding.read_token(token, token_file), wish, as_json))


def freezes(
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """List what is frozen now, as far as you may freeze or lift it."""
    from cli import controlling, deciding, running  # noqa: PLC0415

    running.run(controlling.list_freezes(url, deciding.read_token(token, token_file), as_json))


def unfreeze(
    freeze_id: Annotated[str, typer.Argument(help="The freeze's id, from `callgate freezes`.")],
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Lift a freeze. New calls are taken again; what it cancelled stays cancelled."""
    from cli import controlling, deciding, running  # noqa: PLC0415

    running.run(controlling.unfreeze(url, deciding.read_token(token, token_file), freeze_id, as_json))
