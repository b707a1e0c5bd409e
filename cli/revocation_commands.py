"""`callgate revoke | revocations | unrevoke`: whose tokens count no more, over the HTTP API."""

from typing import Annotated

import typer

from cli.control_commands import JsonOption
from cli.reviewers import DEFAULT_URL, TokenFileOption, TokenOption, UrlOption


def register(app: typer.Typer) -> None:
    """Adds the commands. What they need is imported where they run."""
    for name, command in (("revoke", revoke), ("revocations", revocations), ("unrevoke", unrevoke)):
        app.command(name, rich_help_panel="Review")(command)


def revoke(
    reason: Annotated[str, typer.Option(help="Why; kept sealed with the revocation.")],
    subject: Annotated[str | None, typer.Option(help="An agent or a person, by the identity policies see.")] = None,
    jti: Annotated[str | None, typer.Option(help="One token, by its `jti`; with --issuer.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Of this issuer only.")] = None,
    so_far: Annotated[
        bool, typer.Option("--so-far", help="With --subject: only tokens issued until now; its issuer's leeway counts.")
    ] = False,
    lasts: Annotated[str | None, typer.Option("--for", help="How long, e.g. 2h; until it is lifted otherwise.")] = None,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Take a token, or all of a subject's, for nobody's any more; exits 1 where that is refused.

    Every door refuses it from then on. What was asked before goes on; `callgate freeze` stops that too.
    """
    from cli import deciding, revoking, running  # noqa: PLC0415

    wish = {**revoking.aim(subject, jti, issuer, so_far), "reason": reason, "for": lasts}
    running.run(revoking.revoke(url, deciding.read_token(token, token_file), wish, as_json))


def revocations(
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """List what is revoked now, as far as you may revoke or lift it."""
    from cli import deciding, revoking, running  # noqa: PLC0415

    running.run(revoking.list_revocations(url, deciding.read_token(token, token_file), as_json))


def unrevoke(
    revocation_id: Annotated[str, typer.Argument(help="The revocation's id, from `callgate revocations`.")],
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Lift a revocation: its tokens count again, as long as they are valid otherwise."""
    from cli import deciding, revoking, running  # noqa: PLC0415

    running.run(revoking.lift(url, deciding.read_token(token, token_file), revocation_id, as_json))
