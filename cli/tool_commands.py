"""`callgate functions changes | accept`: tools of MCP servers that are held, over the HTTP API."""

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cli.control_commands import JsonOption
from cli.reviewers import DEFAULT_URL, TokenFileOption, TokenOption, UrlOption


def register(app: typer.Typer) -> None:
    """Adds the commands. What they need is imported where they run."""
    app.command("changes")(changes)
    app.command("accept")(accept)


def changes(
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """List the tools that changed at their MCP servers, or are new there, and wait for you to accept them."""
    from cli import controlling, deciding, output, running  # noqa: PLC0415
    from cli.api import Api  # noqa: PLC0415

    async def work(api: Api) -> None:
        document = await api.get("/v1/functions/changes")
        if as_json:
            output.say(json.dumps(document))
            return
        for change in document["changes"]:
            for line in _lines(change):
                output.say(line)
        held = output.count(len(document["changes"]), "tool")
        output.say(f"{held} held" if document["changes"] else "nothing is held that you may accept")

    running.run(controlling.asked(url, deciding.read_token(token, token_file), work))


def accept(
    function: Annotated[str, typer.Argument(help="The function, as `callgate functions changes` lists it.")],
    definition: Annotated[str, typer.Option(help="The digest that `callgate functions changes` showed with it.")],
    as_json: JsonOption = False,
    url: UrlOption = DEFAULT_URL,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
) -> None:
    """Accept a tool as its server describes it now; exits 1 where that is refused, or it is described otherwise."""
    from cli import controlling, deciding, output, running  # noqa: PLC0415
    from cli.api import Api  # noqa: PLC0415
    from cli.output import printable, styled  # noqa: PLC0415

    async def work(api: Api) -> None:
        path = f"/v1/functions/changes/{quote(function, safe='')}/accept"
        accepted = await api.post(path, {"definition": definition})
        told = f"{styled('accepted', 'green', bold=True)}: {printable(accepted['function'])}"
        output.say(json.dumps(accepted) if as_json else told)

    doubt = "whether it is accepted, `callgate functions changes` tells"
    running.run(controlling.asked(url, deciding.read_token(token, token_file), work, doubt))


def _lines(change: Mapping[str, Any]) -> list[str]:
    from cli.output import printable, styled  # noqa: PLC0415

    now, was = change["now"], change["was"]
    lines = [f"{styled(printable(change['function']), 'cyan')}  {printable(change['kind'])}"]
    lines += [f"  {styled('beware', 'red', bold=True)}: {printable(warning)}" for warning in change["warnings"]]
    for name in ("title", "description", "input", "output", "hints"):
        before, after = (None if one is None else _text(one[name]) for one in (was, now))
        if after != before:
            lines += [f"  {name} was: {printable(before)}"] if before else []
            label = f"{name} now" if was else name
            lines += [f"  {label}: {printable(after)}"] if after else [f"  {name} is gone"] if before else []
    accepting = f"callgate functions accept {change['function']} --definition {change['definition']}"
    return [*lines, f"  `{printable(accepting)}` accepts it"]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        kept = {name: part for name, part in value.items() if part is not None}
        return json.dumps(kept, ensure_ascii=False, sort_keys=True) if kept else ""
    return value or ""
