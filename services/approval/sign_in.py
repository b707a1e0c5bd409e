"""Signing in and out of the reviewers' pages."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from callgate.http import Problem
from callgate.identity.errors import Unauthenticated
from services.approval.frame import HOME, SIGN_IN, Pages, page_route_class, safe_next
from services.approval.sessions import Sessions, check_form_code


def sign_in_routes(sessions: Sessions, pages: Pages) -> APIRouter:
    """To be included before the pages, one of which takes every name under /approvals for a call's."""
    router = APIRouter(prefix=HOME, include_in_schema=False, route_class=page_route_class(pages, sessions))

    @router.get("/sign-in")
    async def sign_in_page(next: str = HOME) -> Response:
        return pages.page("sign_in.html", next=safe_next(next), alert=None)

    @router.post("/sign-in")
    async def sign_in(request: Request) -> Response:
        form = await sessions.form(request)
        to = safe_next(form.get("next", HOME))
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
        response = RedirectResponse(SIGN_IN, 303)
        _, session = await sessions.person(request)
        check_form_code(session, "sign out", form.get("code"))
        sessions.sign_out(response)
        return response

    return router
