"""`callgate env`: what to set so that an agent's HTTP client goes through the proxy."""

import json
import re
import shlex
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.options import DEFAULT_CONFIG, ConfigOption
from cli.reviewers import TokenFileOption, TokenOption

_SINGLE_QUOTES: Final = re.compile("['\u2018\u2019\u201a\u201b]")
"""All of them are one to PowerShell."""


class Shell(StrEnum):
    SH = "sh"
    FISH = "fish"
    POWERSHELL = "powershell"


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
    shell: Annotated[Shell, typer.Option(help="Whose lines: sh (also bash and zsh), fish or powershell.")] = Shell.SH,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object of them.")] = False,
) -> None:
    """Print the variables that have a client of a connection go through the proxy.

    To set them: `eval "$(callgate env payments)"`; in fish `callgate env payments --shell fish | source`; in PowerShell
    `callgate env payments --shell powershell | Out-String | Invoke-Expression`.

    No token is printed unless --with-token asks for it: the agent's own, of --token, --token-file or CALLGATE_TOKEN.
    """
    from cli import deciding, output  # noqa: PLC0415

    variables = variables_of(config, connection, url, deciding.read_token(token, token_file) if with_token else None)
    if as_json:
        output.say(json.dumps(variables))
        return
    for name, value in variables.items():
        output.say(_LINES[shell](name, value))


def _fish(name: str, value: str) -> str:
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"set -gx {name} '{quoted}'"


def _powershell(name: str, value: str) -> str:
    quoted = _SINGLE_QUOTES.sub(r"\g<0>\g<0>", value)
    return f"$Env:{name} = '{quoted}'"


_LINES: Final[Mapping[Shell, Callable[[str, str], str]]] = {
    Shell.SH: lambda name, value: f"export {name}={shlex.quote(value)}",
    Shell.FISH: _fish,
    Shell.POWERSHELL: _powershell,
}


def variables_of(config: Path, connection: str, url: str | None, token: str | None) -> Mapping[str, str]:
    """The variables by name. ConfigurationError for a connection that the proxy does not serve, or what is no URL."""
    from callgate.addresses import host_and_port, http_url  # noqa: PLC0415
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
        known = settings.connections.get(connection)
        if known is None:
            why = f"there is no connection {connection}"
        elif isinstance(known, HttpConnection):
            why = f"the proxy serves no connection {connection}; give it `proxy: {{}}`"
        else:
            why = f"{connection} is an MCP server: its tools are called at `/mcp` of Callgate, not by the proxy"
        raise ConfigurationError("no_such_connection", f"{why} (served: {names})")
    host, port = host_and_port(settings.listen)
    here = "127.0.0.1" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    try:
        base = http_url(url or settings.public_url or f"http://{here}:{port}").rstrip("/")
    except ValueError as error:
        raise ConfigurationError("bad_url", f"--url (or CALLGATE_URL) {error}") from None
    address = f"{base}/proxy/{connection}"
    variables = dict.fromkeys(proxy.env or (f"{connection.upper()}_BASE_URL",), address)
    if token is not None:
        variables |= dict.fromkeys(proxy.token_env or (f"{connection.upper()}_API_KEY",), token)
    return variables
