"""`callgate freeze | freezes | unfreeze | grant | grants`: what people decide ahead of calls, over the HTTP API."""

from typing import Annotated

import typer

from cli.reviewers import DEFAULT_URL, TokenFileOption, TokenOption, UrlOption

JsonOption = Annotated[bool, typer.Option("--json", help="JSON, one document.")]


def register(app: typer.Typer) -> None:
    """Adds the commands. What they need is imported where they run."""
    commands = (("freeze", freeze), ("freezes", freezes), ("unfreeze", unfreeze), ("grant", grant))
    for name, command in commands:
        app.command(name, rich_help_panel="Review")(command)
    grants = typer.Typer(invoke_without_command=True)
    grants.callback()(list_grants)
    grants.command("revoke")(revoke)
    app.add_typer(grants, name="grants", rich_help_panel="Review", help="List what is granted now, or end a grant.")


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


def grant(
    reason: Annotated[str, typer.Option(help="Why; kept sealed with the grant.")],
    call_id: Annotated[str | None, typer.Argument(help="Approve calls like this one, which waits for you.")] = None,
    agent: Annotated[str | None, typer.Option(help="Without a call: the agent, by its identity.")] = None,
    function: Annotated[str | None, typer.Option(help="Without a call: the function.")] = None,
    on_behalf_of: Annotated[str | None, typer.Option(help="Without a call: the user for whom the agent acts.")] = None,
    issuer: Annotated[str | None, typer.Option(help="Without a call: the agent's issuer; yours otherwise.")] = None,
    session: Annotated[str | None, typer.Option(help="Without a call: in this session only.")] = None,
    same_session: Annotated[bool, typer.Option("--same-session", help="With a call: in its session only.")] = False,
    when: Annotated[
        list[str] | None,
        typer.Option(help="A condition, e.g. 'amount<=40', 'currency=USD', 'currency=USD|EUR'; repeatable."),
    ] = None,
    uses: Annotated[int, typer.Option(min=1, max=1000, help="For how many calls.")] = 10,
    lasts: Annotated[str, typer.Option("--for", help="How long, 24h at most.")] = "30m",
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Approve such calls in advance, for a while; exits 1 where that is refused.

    A grant counts as your one approval: it lifts what you could approve alone, and nothing else.
    """
    from cli import controlling, deciding, running  # noqa: PLC0415

    named = {"agent": agent, "function": function, "on_behalf_of": on_behalf_of, "issuer": issuer, "session": session}
    scope = controlling.grant_scope(call_id, same_session, named)
    wish = {**scope, "conditions": controlling.conditions(when or ()), "uses": uses, "for": lasts, "reason": reason}
    running.run(controlling.grant(url, deciding.read_token(token, token_file), wish, as_json))


def list_grants(
    context: typer.Context,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """List what is granted now, of what you gave or could have given."""
    if context.invoked_subcommand is not None:
        return
    from cli import controlling, deciding, running  # noqa: PLC0415

    running.run(controlling.list_grants(url, deciding.read_token(token, token_file), as_json))


def revoke(
    grant_id: Annotated[str, typer.Argument(help="The grant's id, from `callgate grants`.")],
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """End a grant at once. What it let through stays so."""
    from cli import controlling, deciding, running  # noqa: PLC0415

    running.run(controlling.revoke(url, deciding.read_token(token, token_file), grant_id, as_json))
