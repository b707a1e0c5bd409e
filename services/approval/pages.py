"""The reviewers' pages: server-rendered, no script, a strict content security policy."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
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
from services.approval.domain import DECISIONS, Question, may_break_glass, must_say_why
from services.approval.handlers import Approval
from services.approval.looks import Looks
from services.approval.routes import REASON_LIMIT, cast, checked_reason, listed, looked_at, votes_of
from services.approval.sessions import Sessions, check_form_code, form_code
from services.approval.views import Views

LISTED = 100
"""Calls on one page of the list."""
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`, which would take the Origin from our own forms too.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NEXT = re.compile(r"/approvals(/[0-9a-z._-]{1,150})?")
_HOME = "/approvals"
_SIGN_IN = "/approvals/sign-in"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Pages:
    """Renders the templates with what every page needs."""

    def __init__(
        self, policies: PublishedPolicies, clock: Callable[[], datetime], development_issuer: str | None
    ) -> None:
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
        self._templates.globals["development_issuer"] = development_issuer
        self.style = self._templates.get_template("style.css").render()

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


def _route_class(pages: Pages, sessions: Sessions) -> type[APIRoute]:
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
                    response = pages.error(*_told(error), await _signed_in(sessions, request))
                response.headers.update(_HEADERS)
                return response

            return page

    return PageRoute


def page_routes(
    approval: Approval,
    views: Views,
    looks: Looks,
    sessions: Sessions,
    policies: PublishedPolicies,
    clock: Callable[[], datetime],
    development_issuer: str | None = None,
) -> APIRouter:
    """The pages under /approvals. `development_issuer` is the address to which who signs in is pointed, if any."""
    pages = Pages(policies, clock, development_issuer)
    router = APIRouter(prefix=_HOME, include_in_schema=False, route_class=_route_class(pages, sessions))

    async def call_page(
        question: Question,
        person: Principal,
        session: str,
        alert: str | None = None,
        status: int = 200,
        reason: str = "",
    ) -> Response:
        recorded = looks.at_call(person, question.ref)
        _, view, votes = await asyncio.gather(recorded, views.of(question), votes_of(views, question))
        shown, more = rendering.rows(view.arguments, view.findings)
        return pages.page(
            "call.html",
            status,
            person,
            question=question,
            view=view,
            rows=shown,
            more=more,
            votes=votes,
            own=question.ballot_of(person.id),
            may_break_glass=may_break_glass(question, person),
            only_by_breaking_glass=question.asked_groups(clock()).isdisjoint(person.groups),
            reason_required=must_say_why(question, person, clock()),
            policies=pages.reasons(question.policies),
            left=rendering.until(question.expires_at, clock()),
            open=question.waiting and clock() < question.expires_at,
            alert=alert,
            reason=reason,
            reason_limit=REASON_LIMIT,
            code=form_code(session, f"vote {question.ref} {question.digest}"),
            sign_out_code=form_code(session, "sign out"),
        )

    @router.get("/style.css")
    async def style() -> Response:
        return Response(pages.style, media_type="text/css")

    @router.get("")
    async def waiting(request: Request) -> Response:
        person, session = await sessions.person(request)
        questions = listed(approval, person)
        await looks.at_list(person, "list", min(LISTED, len(questions)))
        now = clock()
        first = questions[:LISTED]
        opened = await asyncio.gather(*(views.of(question) for question in first))
        return pages.page(
            "list.html",
            person=person,
            questions=[
                (one, rendering.until(one.expires_at, now), rendering.brief(view.arguments))
                for one, view in zip(first, opened, strict=True)
            ],
            more=max(0, len(questions) - LISTED),
            sign_out_code=form_code(session, "sign out"),
        )

    @router.get("/sign-in")
    async def sign_in_page(next: str = _HOME) -> Response:
        return pages.page("sign_in.html", next=_safe_next(next), alert=None)

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        form = await sessions.form(request)
        to = _safe_next(form.get("next", _HOME))
        response = RedirectResponse(to, 303)
        try:
            await sessions.sign_in(form.get("token", "").strip(), response)
        except Unauthenticated as error:
            return pages.page("sign_in.html", error.status, next=to, alert=f"Not signed in: {error.detail}.")
        except Problem as problem:
            return pages.page("sign_in.html", problem.status, next=to, alert=problem.detail)
        return response

    @router.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        form = await sessions.form(request)
        response = RedirectResponse(_SIGN_IN, 303)
        _, session = await sessions.person(request)
        check_form_code(session, "sign out", form.get("code"))
        sessions.sign_out(response)
        return response

    @router.get("/{call_id}")
    async def call(request: Request, call_id: str) -> Response:
        person, session = await sessions.person(request)
        return await call_page(await looked_at(approval, call_id, person), person, session)

    @router.post("/{call_id}/vote")
    async def vote(request: Request, call_id: str) -> Response:
        person, session = await sessions.person(request)
        form = await sessions.form(request)
        decision, digest = DECISIONS.get(form.get("decision")), form.get("digest", "")
        check_form_code(session, f"vote {call_id} {digest}", form.get("code"))
        if decision is None:
            raise Problem(422, "invalid_request", "Choose Approve or Reject.")
        try:
            # Browsers send a line's end as CR LF, and count it as one character.
            reason = checked_reason(form.get("reason", "").replace("\r\n", "\n"))
            alone = decision == "approve" and form.get("break_glass") == "yes"
            await cast(approval, call_id, person, decision, reason, digest, break_glass=alone)
        except Problem as problem:
            question = await looked_at(approval, call_id, person)
            typed = form.get("reason", "")
            return await call_page(question, person, session, problem.detail, problem.status, typed)
        return RedirectResponse(f"{_HOME}/{call_id}", 303)

    return router


def _told(error: Problem | BrokerAway | RequestValidationError) -> tuple[int, str]:
    """Status and sentence of an error, for people."""
    if isinstance(error, Problem):
        return error.status, error.detail
    if isinstance(error, BrokerAway):
        return 503, "The event log is out of reach; nothing was lost. Try again."
    return 422, "The address is not one of ours."


async def _signed_in(sessions: Sessions, request: Request) -> tuple[Principal, str] | None:
    try:
        return await sessions.person(request)
    except Unauthenticated:
        return None


def _unauthenticated(pages: Pages, request: Request, error: Unauthenticated) -> Response:
    to = _safe_next(request.url.path)
    if error.code is Refusal.MISSING_TOKEN and request.method == "GET":
        return RedirectResponse(f"{_SIGN_IN}?next={quote(to)}", 303)
    alert = "Sign in first." if error.code is Refusal.MISSING_TOKEN else f"Signed out: {error.detail}."
    return pages.page("sign_in.html", error.status, next=to, alert=alert)


def _safe_next(path: str) -> str:
    """One of our own pages: a link to the sign-in must not lead on to elsewhere."""
    return path if _NEXT.fullmatch(path) and path not in (_SIGN_IN, "/approvals/sign-out") else _HOME


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
