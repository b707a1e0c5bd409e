"""What every page shares: templates, headers, errors that are pages too, and the way to the sign-in."""

import re
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined

from callgate.cedar.published import PublishedPolicies
from callgate.errors import BrokerAway
from callgate.http import Problem
from callgate.identity.errors import Refusal, Unauthenticated
from contracts.identity import Principal
from contracts.model import rfc3339
from services.approval import rendering
from services.approval.assets import addresses, read_assets
from services.approval.sessions import Sessions, form_code

HOME = "/approvals"
SIGN_IN = f"{HOME}/sign-in"
SIGN_OUT = f"{HOME}/sign-out"
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`, which would take the Origin from our own forms too.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NEXT = re.compile(r"/approvals(?!/sign-(in|out)(/|$))(/[0-9a-z][0-9a-z._-]{0,149}){0,2}")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Pages:
    """Renders the templates with what every page needs."""

    def __init__(self, policies: PublishedPolicies, clock: Callable[[], datetime], shared: Mapping[str, Any]) -> None:
        """`shared`: what every template may use beside its own values."""
        self.policies = policies
        self.clock = clock
        self._templates = Environment(
            loader=PackageLoader("services.approval", "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"visible": rendering.visible, "rfc3339": rfc3339, "moment": _moment}
        self.assets = read_assets()
        self._templates.globals |= {"assets": addresses(self.assets), "now": clock, **shared}

    def page(self, name: str, status: int = 200, person: Principal | None = None, **values: Any) -> HTMLResponse:
        html = self._templates.get_template(name).render(person=person, **values)
        return HTMLResponse(html, status)

    def error(self, status: int, detail: str, signed_in: tuple[Principal, str] | None) -> HTMLResponse:
        person, session = signed_in or (None, "")
        code = form_code(session, "sign out")
        title = HTTPStatus(status).phrase
        return self.page("error.html", status, person, title=title, detail=detail, sign_out_code=code)

    def reasons(self, names: tuple[str, ...]) -> list[tuple[str, str | None]]:
        """The policies with their `@reason`, as far as they are still in force."""
        current = self.policies.current
        known = current.policies if current else {}
        return [(name, known[name].reason if name in known else None) for name in names]


def page_route_class(pages: Pages, sessions: Sessions) -> type[APIRoute]:
    """Routes whose errors are pages too; who is not signed in is led to where they can."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            handle = super().get_route_handler()

            async def page(request: Request) -> Response:
                try:
                    response = await handle(request)
                except Unauthenticated as error:
                    response = _unauthenticated(pages, request, error)
                except (Problem, BrokerAway, RequestValidationError) as error:
                    response = pages.error(*_told(error), _signed_in(sessions, request))
                response.headers.update(_HEADERS)
                return response

            return page

    return PageRoute


def safe_next(path: str) -> str:
    """One of our own pages: a link to the sign-in must not lead on to elsewhere."""
    return path if _NEXT.fullmatch(path) else HOME


def _told(error: Problem | BrokerAway | RequestValidationError) -> tuple[int, str]:
    """Status and sentence of an error, for people."""
    if isinstance(error, Problem):
        return error.status, error.detail
    if isinstance(error, BrokerAway):
        return 503, "The event log is out of reach; nothing was lost. Try again."
    return 422, "The address is not one of ours."


def _signed_in(sessions: Sessions, request: Request) -> tuple[Principal, str] | None:
    try:
        return sessions.person(request)
    except Unauthenticated:
        return None


def _unauthenticated(pages: Pages, request: Request, error: Unauthenticated) -> Response:
    to = safe_next(request.url.path)
    if error.code is Refusal.MISSING_TOKEN and request.method == "GET":
        return RedirectResponse(f"{SIGN_IN}?next={quote(to)}", 303)
    alert = "Sign in first." if error.code is Refusal.MISSING_TOKEN else f"Signed out: {error.detail}."
    return pages.page("sign_in.html", error.status, next=to, alert=alert)


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
