"""`callgate env`: what to set so that an agent's HTTP client goes through the proxy."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from cli.options import DEFAULT_CONFIG, ConfigOption
from cli.reviewers import TokenFileOption, TokenOption


def register(app: typer.Typer) -> None:
    app.command("env", rich_help_panel="Agents")(env)


def env(
    connection: Annotated[str, typer.Argument(help="A connection with a `proxy:` section, e.g. payments.")],
    config: ConfigOption = DEFAULT_CONFIG,
    url: Annotated[
        str | None, typer.Option(envvar="CALLGATE_URL", help="Where Callgate's API is; as configured where not given.")
    ] = None,
    with_token: Annotated[
        bool, typer.Option("--with-token", help="Also the variables that its client reads a token from.")
    ] = False,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object of them.")] = False,
) -> None:
    """Print the variables that have a client of a connection go through the proxy: `eval "$(callgate env payments)"`.

    No token is printed unless --with-token asks for it: the agent's own, of --token, --token-file or CALLGATE_TOKEN.
    """
    from cli import deciding, output  # noqa: PLC0415

    variables = variables_of(config, connection, url, deciding.read_token(token, token_file) if with_token else None)
    if as_json:
        output.say(json.dumps(variables))
        return
    for name, value in variables.items():
        output.say(f"export {name}={shlex.quote(value)}")


def variables_of(config: Path, connection: str, url: str | None, token: str | None) -> Mapping[str, str]:
    """The variables by name. ConfigurationError for a connection that the proxy does not serve."""
    from callgate.errors import ConfigurationError  # noqa: PLC0415
    from callgate.settings import load  # noqa: PLC0415
    from contracts.functions import HttpConnection  # noqa: PLC0415

    settings = load(config)
    served = {
        name: one.proxy
        for name, one in settings.connections.items()
        if isinstance(one, HttpConnection) and one.proxy is not None
    }
    proxy = served.get(connection)
    if proxy is None:
        names = ", ".join(sorted(served)) or "none"
        raise ConfigurationError(
            "no_such_connection",
            f"the proxy serves no connection {connection}; give it `proxy: {{}}` (served: {names})",
        )
    base = (url or settings.public_url or f"http://{settings.listen}").rstrip("/")
    address = f"{base}/proxy/{connection}"
    variables = dict.fromkeys(proxy.env or (f"{connection.upper()}_BASE_URL",), address)
    if token is not None:
        variables |= dict.fromkeys(proxy.token_env or (f"{connection.upper()}_API_KEY",), token)
    return variables
