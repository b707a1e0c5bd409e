"""The development issuer over HTTP: discovery, keys, tokens, and a page that shows tokens to paste."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from callgate.identity.settings import is_loopback
from cli.dev_issuer.issuer import DEFAULT_LIFETIME, DevIssuer, RefusedRequest

_BODY_LIMIT = 8 * 1024
_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Development-Only": "true",
}


def dev_issuer_server(issuer: DevIssuer, host: str, port: int) -> uvicorn.Server:
    """A server for the app on a loopback address; `await server.serve()` runs it. ValueError for any other address."""
    if not is_loopback(host):
        raise ValueError(f"the development issuer gives out identities freely; bind it to 127.0.0.1, not to {host}")
    config = uvicorn.Config(
        dev_issuer_app(issuer),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,  # without it uvicorn waits for every open connection, for ever
    )
    return uvicorn.Server(config)


def dev_issuer_app(issuer: DevIssuer) -> FastAPI:
    """The app; it also refuses whoever is not on this machine, should another server be put before it."""
    templates = Environment(loader=PackageLoader("cli.dev_issuer", "pages"), autoescape=True, undefined=StrictUndefined)
    page, style = templates.get_template("index.html"), templates.get_template("style.css").render()
    app = FastAPI(title="Callgate development issuer", docs_url=None, redoc_url=None, openapi_url=None)
    app.middleware("http")(_local_only)

    @app.get("/.well-known/openid-configuration")
    async def discovery() -> JSONResponse:
        return JSONResponse(issuer.discovery())

    @app.get("/jwks.json")
    async def jwks() -> JSONResponse:
        return JSONResponse(issuer.keys.jwks)

    @app.post("/token")
    async def token(request: Request) -> JSONResponse:
        try:
            granted = _grant(issuer, await _form(request))
        except RefusedRequest as refused:
            return JSONResponse({"error": refused.error, "error_description": refused.description}, 400)
        return JSONResponse(
            {
                "access_token": granted,
                "token_type": "Bearer",
                "expires_in": DEFAULT_LIFETIME,
                "development_only": True,
            }
        )

    @app.get("/", response_class=HTMLResponse)
    async def people() -> str:
        return page.render(people=issuer.people, audience=issuer.audience, shown=None)

    @app.post("/", response_class=HTMLResponse)
    async def show(request: Request) -> Response:
        try:
            form = await _form(request)
            granted = _grant(issuer, form)
        except RefusedRequest as refused:
            return PlainTextResponse(f"{refused.description}\n", 400)
        shown = {"sub": form["sub"], "act": form.get("act"), "token": granted, "hours": DEFAULT_LIFETIME // 3600}
        return HTMLResponse(page.render(people=issuer.people, audience=issuer.audience, shown=shown))

    @app.get("/style.css")
    async def stylesheet() -> Response:
        return Response(style, media_type="text/css")

    return app


async def _local_only(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse other machines, and other names for this one: a web page whose name is rebound to 127.0.0.1 could
    otherwise read tokens through the visitor's browser."""
    client = request.client.host if request.client else ""
    if not is_loopback(client) or not is_loopback(request.url.hostname or ""):
        response: Response = PlainTextResponse("the development issuer answers on 127.0.0.1 only\n", 403)
    else:
        response = await call_next(request)
    for name, value in _SECURITY_HEADERS.items():
        response.headers[name] = value
    return response


def _grant(issuer: DevIssuer, form: dict[str, str]) -> str:
    if form.get("grant_type", "client_credentials") != "client_credentials":
        raise RefusedRequest("unsupported_grant_type", "only client_credentials is supported")
    if "sub" not in form:
        raise RefusedRequest("invalid_request", "name one of the demo people in `sub`")
    groups = form["groups"].split() if "groups" in form else None
    return issuer.grant(form["sub"], groups, form.get("act"))


async def _form(request: Request) -> dict[str, str]:
    """An urlencoded form of known, unrepeated fields. Raises RefusedRequest."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_LIMIT:
            raise RefusedRequest("invalid_request", "the form is too long")
    try:
        pairs: list[tuple[str, Any]] = parse_qsl(body.decode("ascii"), strict_parsing=bool(body), max_num_fields=8)
    except ValueError:
        raise RefusedRequest("invalid_request", "send an urlencoded form") from None
    form = dict(pairs)
    if len(form) != len(pairs) or not form.keys() <= {"grant_type", "sub", "groups", "act"}:
        raise RefusedRequest("invalid_request", "fields are `sub`, and optionally `groups` and `act`, each once")
    return form
