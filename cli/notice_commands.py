"""`callgate notices deliveries | again`: how the sending of notices goes, over the public HTTP API alone."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from cli import output
from cli.api import Api
from cli.control_commands import JsonOption
from cli.deciding import read_token
from cli.output import printable, styled
from cli.reviewers import DEFAULT_URL, TokenFileOption, TokenOption, UrlOption
from cli.running import run

app = typer.Typer(no_args_is_help=True, help="See how the sending of notices goes; send dead letters again.")

Outcome = Literal["pending", "delivered", "skipped", "dead"]
_COLOURS = {"delivered": "green", "dead": "red", "pending": "yellow"}


@app.command()
def deliveries(
    endpoint: Annotated[
        str | None,
        typer.Option(help="To this one only, e.g. teams-finance, email-finance, webhook-soc."),
    ] = None,
    outcome: Annotated[Outcome | None, typer.Option(help="pending, delivered, skipped or dead.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most so many.")] = 50,
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """List deliveries of the last month, the latest attempt first."""
    wanted = {"endpoint": endpoint, "outcome": outcome, "limit": str(limit)}
    asked = {name: value for name, value in wanted.items() if value is not None}
    run(list_deliveries(url, read_token(token, token_file), asked, as_json))


@app.command()
def again(
    delivery_id: Annotated[str, typer.Argument(help="The delivery's id, from `callgate notices deliveries`.")],
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Send a dead letter once more."""
    run(send_again(url, read_token(token, token_file), delivery_id))


async def list_deliveries(url: str, token: str, asked: Mapping[str, str], as_json: bool) -> int:
    """Exit code 0."""
    async with Api(url, token) as api:
        answer: Any = await api.get("/v1/notices/deliveries", asked)
    if as_json:
        output.say(json.dumps(answer))
        return 0
    for one in answer["deliveries"]:
        word = styled(f"{one['outcome']:9}", _COLOURS.get(one["outcome"], "white"))
        why = " ".join(str(one[name]) for name in ("code", "status") if one[name] is not None)
        attempts = f"{one['attempts']} attempt{'' if one['attempts'] == 1 else 's'}"
        line = f"{one['at'][:19]}Z  {word}  {printable(one['endpoint'])}  {one['type']}  {attempts}  {why}"
        output.say(line.rstrip())
        output.say(f"    {printable(one['id'])}")
    if not answer["deliveries"]:
        output.say("no deliveries")
    elif answer["more"]:
        output.say(f"{answer['more']} more; narrow with --endpoint and --outcome, or raise --limit")
    return 0


async def send_again(url: str, token: str, delivery_id: str) -> int:
    """Exit code 0 where it is on its way."""
    async with Api(url, token) as api:
        await api.post(f"/v1/notices/deliveries/{quote(delivery_id, safe='')}/again", {})
    output.say("on its way again")
    return 0
