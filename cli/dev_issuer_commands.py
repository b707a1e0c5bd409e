"""`callgate dev-issuer`: development tokens where services run apart, in containers for instance.

`callgate up` has an issuer that gives a token to whoever reaches it, so it answers on loopback only. Between
containers there is no loopback. Here, then, the network gets the public keys and nothing else, and a token is had
only by whoever may run commands where the private key lies: `docker compose exec issuer callgate dev-issuer token ada`.
"""

import asyncio
import contextlib
import sys
from typing import Annotated

import typer
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from callgate.errors import ConfigurationError
from callgate.host import bind, serve_http
from callgate.settings import Settings, load
from cli import output
from cli.dev_issuer import DevIssuer
from cli.dev_issuer.issuer import RefusedRequest
from cli.dev_issuer.keys import DevKeys
from cli.options import DEFAULT_CONFIG, ConfigOption
from cli.running import run, until_signalled

AUDIENCE = "callgate"

app = typer.Typer(
    help="Development tokens for services that run apart. Never for production.",
    no_args_is_help=True,
)


@app.command()
def token(
    sub: Annotated[str, typer.Argument(help="Whose: support-bot, kim, rosa, sam, fay, finn, dora or ada.")],
    act: Annotated[str | None, typer.Option(help="The agent that acts for them.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Print a token of one of the demo's people, valid for a working day."""
    issuer = _issuer(load(config))
    try:
        granted = issuer.grant(sub, None, act)
    except RefusedRequest as refused:
        raise ConfigurationError(refused.error, refused.description) from None
    output.say(granted)


@app.command()
def keys(
    listen: Annotated[str, typer.Option(help="host:port.")] = "127.0.0.1:8082",
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Serve the public keys, at /jwks.json, to the services that check tokens. It gives no tokens."""
    run(_serve(_issuer(load(config)).keys, listen))


async def _serve(keys: DevKeys, listen: str) -> int:
    never: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    with contextlib.closing(bind(listen, "--listen")) as listener:
        async with serve_http(keys_app(keys), listener) as url:
            print(f"development keys at {url}/jwks.json", file=sys.stderr)
            return await until_signalled(never)


def keys_app(keys: DevKeys) -> FastAPI:
    app = FastAPI(title="Callgate development keys", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/jwks.json")
    async def jwks() -> JSONResponse:
        return JSONResponse(keys.jwks)

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return app


def _issuer(settings: Settings) -> DevIssuer:
    """Its `iss` names loopback, where nobody else can stand for it; services are told where the keys really are."""
    development = settings.development
    if development is None or development.issuer is None:
        raise ConfigurationError(
            "no_development_issuer", "set development.issuer, e.g. 127.0.0.1:8082, or ask your own issuer for tokens"
        )
    folder = settings.state / "development" / "issuer"
    return DevIssuer.open(folder, issuer_url=f"http://{development.issuer}", audience=AUDIENCE)
