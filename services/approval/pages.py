"""The reviewers' pages: server-rendered, no script, a strict content security policy."""

import asyncio

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from callgate.http import Problem
from contracts.identity import Principal
from services.approval import rendering
from services.approval.domain import DECISIONS, Question, may_break_glass, must_say_why
from services.approval.frame import HOME, Pages, page_route_class
from services.approval.handlers import Deciding
from services.approval.looks import Looks
from services.approval.routes import REASON_LIMIT, cast, checked_reason, listed, looked_at, votes_of
from services.approval.sessions import Sessions, check_form_code, form_code
from services.approval.views import Views

LISTED = 100
"""Calls on one page of the list."""


def page_routes(
    approval: Deciding,
    views: Views,
    looks: Looks,
    sessions: Sessions,
    pages: Pages,
) -> APIRouter:
    """The pages under /approvals."""
    clock = pages.clock
    router = APIRouter(prefix=HOME, include_in_schema=False, route_class=page_route_class(pages, sessions))

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
        return RedirectResponse(f"{HOME}/{call_id}", 303)

    return router
