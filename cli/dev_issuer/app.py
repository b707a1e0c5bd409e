"""The development issuer over HTTP: discovery, keys, tokens, a page to sign in, and one that shows tokens to paste."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from callgate.identity.settings import is_loopback
from cli.dev_issuer.codes import BadRequest
from cli.dev_issuer.issuer import DEFAULT_LIFETIME, DevIssuer, RefusedRequest

_BODY_LIMIT = 8 * 1024
_TOKEN_FIELDS = frozenset({"grant_type", "sub", "groups", "act", "code", "redirect_uri", "client_id", "code_verifier"})
_AUTHORIZATION_FIELDS = frozenset(
    {
        "sub",
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
    }
)
_POLICY = "default-src 'none'; style-src 'self'; form-action 'self'{}; base-uri 'none'; frame-ancestors 'none'"
_SECURITY_HEADERS = {
    "Content-Security-Policy": _POLICY.format(""),
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
            tokens = _tokens(issuer, await _form(request))
        except RefusedRequest as refused:
            return JSONResponse({"error": refused.error, "error_description": refused.description}, 400)
        said = {"token_type": "Bearer", "expires_in": DEFAULT_LIFETIME, "development_only": True}
        return JSONResponse(tokens | said)

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

    _add_sign_in(app, issuer, templates)
    return app


def _add_sign_in(app: FastAPI, issuer: DevIssuer, templates: Environment) -> None:
    """The pages that a browser is sent to by a client: signing in as somebody, and out."""
    people = [person for person in issuer.people if person.kind != "agent"]
    page, refused = templates.get_template("sign_in.html"), templates.get_template("refused.html")

    @app.get("/authorize", response_class=HTMLResponse)
    async def choose(request: Request) -> Response:
        try:
            asked = issuer.authorization(_once(request.query_params.multi_items()))
        except BadRequest as bad:
            return HTMLResponse(refused.render(detail=str(bad)), 400)
        origin = _origin(asked.redirect_uri)
        answer = HTMLResponse(page.render(people=people, fields=asked.fields, back=origin))
        # A form's redirect counts as its target: this one page may lead back to the client.
        answer.headers["Content-Security-Policy"] = _POLICY.format(f" {origin}")
        return answer

    @app.post("/authorize")
    async def sign_in(request: Request) -> Response:
        try:
            form = await _form(request, _AUTHORIZATION_FIELDS)
            asked = issuer.authorization(form)
        except (BadRequest, RefusedRequest) as bad:
            return HTMLResponse(refused.render(detail=str(bad)), 400)
        code = issuer.sign_in(form.get("sub", ""), asked)
        if code is None:
            return HTMLResponse(refused.render(detail="sub is none of the demo's people"), 400)
        answer = {"code": code, "state": asked.state, "iss": issuer.url}
        return RedirectResponse(_with_query(asked.redirect_uri, answer), 303)

    @app.get("/end-session")
    async def end_session(post_logout_redirect_uri: str = "", state: str = "") -> Response:
        """RP-Initiated Logout 1.0. Nobody stays signed in here, so there is nothing to end."""
        if not issuer.may_send_to(post_logout_redirect_uri):
            return HTMLResponse(refused.render(detail="post_logout_redirect_uri is not on 127.0.0.1"), 400)
        to = _with_query(post_logout_redirect_uri, {"state": state}) if state else post_logout_redirect_uri
        return RedirectResponse(to, 303)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _with_query(url: str, parameters: dict[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


async def _local_only(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse other machines, and other names for this one: a web page whose name is rebound to 127.0.0.1 could
    otherwise read tokens through the visitor's browser."""
    client = request.client.host if request.client else ""
    if not is_loopback(client) or not is_loopback(request.url.hostname or ""):
        response: Response = PlainTextResponse("the development issuer answers on 127.0.0.1 only\n", 403)
    else:
        response = await call_next(request)
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _tokens(issuer: DevIssuer, form: dict[str, str]) -> dict[str, Any]:
    if form.get("grant_type") == "authorization_code":
        access_token, id_token = issuer.redeem(form)
        return {"access_token": access_token, "id_token": id_token}
    return {"access_token": _grant(issuer, form)}


def _grant(issuer: DevIssuer, form: dict[str, str]) -> str:
    if form.get("grant_type", "client_credentials") != "client_credentials":
        raise RefusedRequest("unsupported_grant_type", "grant_type must be authorization_code or client_credentials")
    if "sub" not in form:
        raise RefusedRequest("invalid_request", "name one of the demo people in `sub`")
    groups = form["groups"].split() if "groups" in form else None
    return issuer.grant(form["sub"], groups, form.get("act"))


async def _form(request: Request, allowed: frozenset[str] = _TOKEN_FIELDS) -> dict[str, str]:
    """An urlencoded form of known, unrepeated fields. Raises RefusedRequest."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_LIMIT:
            raise RefusedRequest("invalid_request", "the form is too long")
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=bool(body), max_num_fields=len(allowed))
    except ValueError:
        raise RefusedRequest("invalid_request", "send an urlencoded form") from None
    form = dict(pairs)
    if len(form) != len(pairs) or not form.keys() <= allowed:
        fields = ", ".join(sorted(allowed))
        raise RefusedRequest("invalid_request", f"the fields are {fields}, each at most once")
    return form


def _once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """RFC 6749, section 3.1: a parameter must not stand there twice. BadRequest."""
    if len(dict(pairs)) != len(pairs):
        raise BadRequest("a parameter stands there twice")
    return dict(pairs)
