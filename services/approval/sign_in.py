"""Signing in to the reviewers' pages and out of them: at an issuer, or with a token where no issuer has a client."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from callgate.errors import ConfigurationError
from callgate.http import Problem
from callgate.identity.authenticator import Authenticator
from callgate.identity.client_settings import SignInSettings
from callgate.identity.errors import Unauthenticated
from callgate.identity.settings import IssuerSettings
from callgate.identity.token import parse_object
from callgate.settings import Settings
from services.approval.cookies import CookieExpired, Cookies, CookieTooLong, Kind
from services.approval.frame import HOME, SIGN_IN, SIGN_OUT, Pages, page_route_class, safe_next
from services.approval.oidc import Attempt, Http, Provider, SignInFailed
from services.approval.secret_files import require_secret
from services.approval.sessions import Sessions, check_form_code

logger = logging.getLogger("services.approval")

ATTEMPT = Kind("callgate-sign-in")
"""A sign-in under way. Lax: the issuer sends the browser back from another site."""
HINT = Kind("callgate-issuer", SIGN_OUT, "strict")
"""The ID token, for signing out of the issuer too; no other site can have it sent there."""
_ATTEMPT_LASTS, _HINT_LASTS = timedelta(minutes=10), timedelta(days=1)
_ANSWER = frozenset({"code", "state", "iss", "error", "error_description", "error_uri", "session_state"})
_BEGAN_ELSEWHERE = (
    "This sign-in is none of this browser's, is over ten minutes old, or gave way to another. Sign in again."
)


class Way(NamedTuple):
    """One way to sign in, for the page."""

    label: str
    url: str


Clients = Sequence[tuple[IssuerSettings, SignInSettings]]


def clients_of(settings: Settings) -> Clients:
    """The issuers with our client at each. ConfigurationError where nobody could sign in with it."""
    clients = [(issuer, issuer.sign_in) for issuer in settings.identity.issuers if issuer.sign_in is not None]
    if clients and settings.public_url is None:
        raise ConfigurationError(
            "no_public_url", "set public_url: an issuer sends who signed in back to an address registered there"
        )
    for _, client in clients:
        if client.client_secret_file is not None:
            require_secret(client.client_secret_file, "identity.issuers[].sign_in.client_secret_file")
    return clients


class Ways:
    """Every way to sign in that the settings give."""

    def __init__(self, clients: Clients, settings: Settings, http: Http) -> None:
        self.public_url = (settings.public_url or "").rstrip("/")
        self.providers = {client.name: Provider(issuer, client, self.public_url, http) for issuer, client in clients}
        self.paste = len(clients) < len(settings.identity.issuers)
        """Whether a token may be pasted: only while some issuer has no client here."""

    @property
    def shown(self) -> Sequence[Way]:
        """Under our public address, since the answer comes back there and must find the cookie."""
        return [Way(one.label, f"{self.public_url}{SIGN_IN}/{one.name}") for one in self.providers.values()]

    async def aclose(self) -> None:
        for provider in self.providers.values():
            await provider.aclose()


class Desk(NamedTuple):
    """What signing in and out needs."""

    ways: Ways
    sessions: Sessions
    cookies: Cookies
    authenticator: Authenticator
    pages: Pages

    def page(self, to: str, alert: str | None = None, status: int = 200) -> Response:
        return self.pages.page("sign_in.html", status, next=to, alert=alert)

    def failed(self, failed: SignInFailed, name: str, to: str) -> Response:
        logger.warning("a sign-in failed", extra={"code": failed.code, "issuer": name})
        return self.page(to, failed.detail, failed.status)

    def provider(self, name: str) -> Provider:
        """Problem where there is none of this name."""
        provider = self.ways.providers.get(name)
        if provider is None:
            raise Problem(404, "not_found", "Nobody signs in that way here; go back to the sign-in page.")
        return provider

    def attempt(self, request: Request) -> Attempt | None:
        try:
            return Attempt(**(self.cookies.get(request, ATTEMPT) or {}))
        except (CookieExpired, TypeError):  # TypeError: nothing there, or another version's
            return None

    def keep_hint(self, response: Response, name: str, id_token: str | None) -> None:
        """Where there is none, or it does not fit, signing out ends our session alone."""
        if id_token is not None:
            hint = {"provider": name, "id_token": id_token}
            with contextlib.suppress(CookieTooLong):
                self.cookies.put(response, HINT, hint, self.pages.clock() + _HINT_LASTS)
                return
        self.cookies.drop(response, HINT)

    def hint(self, request: Request) -> tuple[Provider | None, str]:
        """Where who uses this browser signed in last, and the ID token."""
        try:
            value: Mapping[str, Any] = self.cookies.get(request, HINT) or {}
        except CookieExpired:
            value = {}
        return self.ways.providers.get(value.get("provider", "")), value.get("id_token", "")


def sign_in_routes(desk: Desk) -> APIRouter:
    """To be included before the pages, one of which takes every name under /approvals for a call's."""
    route_class = page_route_class(desk.pages, desk.sessions)
    router = APIRouter(prefix=HOME, include_in_schema=False, route_class=route_class)
    _at_an_issuer(router, desk)
    _with_a_token(router, desk)
    _signing_out(router, desk)
    return router


def _at_an_issuer(router: APIRouter, desk: Desk) -> None:
    @router.get("/sign-in")
    async def choose(next: str = HOME) -> Response:
        return desk.page(safe_next(next))

    @router.get("/sign-in/{name}")
    async def begin(name: str, next: str = HOME) -> Response:
        provider, attempt = desk.provider(name), Attempt.new(name, safe_next(next))
        try:
            response = RedirectResponse(await provider.begin(attempt), 303)
        except SignInFailed as failed:
            return desk.failed(failed, name, attempt.next)
        desk.cookies.put(response, ATTEMPT, attempt._asdict(), desk.pages.clock() + _ATTEMPT_LASTS)
        return response

    @router.get("/sign-in/{name}/callback")
    async def finish(request: Request, name: str) -> Response:
        provider, attempt = desk.provider(name), desk.attempt(request)
        if attempt is None or attempt.provider != name:
            return desk.page(HOME, _BEGAN_ELSEWHERE, 400)
        try:
            signed_in = await provider.redeem(attempt, _answer(request))
        except SignInFailed as failed:
            return desk.failed(failed, name, attempt.next)
        response = RedirectResponse(attempt.next, 303)
        desk.cookies.drop(response, ATTEMPT)
        desk.sessions.begin(response, signed_in.principal)
        desk.keep_hint(response, name, signed_in.id_token)
        return response


def _with_a_token(router: APIRouter, desk: Desk) -> None:
    @router.post("/sign-in")
    async def paste(request: Request) -> Response:
        form = await desk.sessions.form(request)
        to = safe_next(form.get("next", HOME))
        if not desk.ways.paste:
            return desk.page(to, "Tokens are not taken here. Sign in at the identity provider.", 403)
        token = form.get("token", "").strip()
        response = RedirectResponse(to, 303)
        try:
            principal = await desk.authenticator.authenticate(f"Bearer {token}")
            desk.sessions.begin(response, principal, _end_of(token))
            desk.cookies.drop(response, HINT)
        except Unauthenticated as error:
            return desk.page(to, f"Not signed in: {error.detail}.", error.status)
        except Problem as problem:
            return desk.page(to, problem.detail, problem.status)
        return response


def _signing_out(router: APIRouter, desk: Desk) -> None:
    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        form = await desk.sessions.form(request)
        _, session = desk.sessions.person(request)
        check_form_code(session, "sign out", form.get("code"))
        response = RedirectResponse(SIGN_OUT, 303)
        desk.sessions.end(response)
        return response

    @router.get("/sign-out")
    async def signed_out(request: Request) -> Response:
        provider, _ = desk.hint(request)
        return desk.pages.page("signed_out.html", issuer=provider.label if provider else None)

    @router.get("/sign-out/issuer")
    async def sign_out_there(request: Request) -> Response:
        """A link, not a form: the policy of our pages lets no form lead to elsewhere."""
        provider, id_token = desk.hint(request)
        to = None
        if provider is not None:
            try:
                to = await provider.end_session(id_token, desk.ways.public_url + SIGN_IN)
            except SignInFailed as failed:
                return desk.failed(failed, provider.name, HOME)
        response = RedirectResponse(to or SIGN_IN, 303)
        desk.cookies.drop(response, HINT)
        return response


def _answer(request: Request) -> dict[str, str]:
    """What the issuer said through the browser. RFC 6749, section 3.1: a parameter must not stand there twice."""
    pairs = [(name, value) for name, value in request.query_params.multi_items() if name in _ANSWER]
    if len(dict(pairs)) != len(pairs):
        raise SignInFailed(400, "repeated_parameter", "The issuer's answer is ambiguous. Sign in again.")
    return dict(pairs)


def _end_of(token: str) -> datetime:
    """When a token ends that was verified. Unauthenticated."""
    return datetime.fromtimestamp(parse_object(token.split(".")[1], "token's claims")["exp"], UTC)
