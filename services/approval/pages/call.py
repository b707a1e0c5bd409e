"""One call: who asks for what, why people are asked, what they said; and voting on it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from callgate.errors import BrokerAway
from callgate.http import Problem
from services.approval import rendering
from services.approval.domain import DECISIONS, Question, may_break_glass, must_say_why
from services.approval.frame import HOME
from services.approval.history import Past
from services.approval.pages import words
from services.approval.pages.parts import Parts, Visitor
from services.approval.routes import REASON_LIMIT, cast, checked_reason, looked_at, votes_of

Typed = Mapping[str, str]
"""The fields of a form that was refused, to be shown again."""


def call_routes(parts: Parts) -> APIRouter:
    """To be included last: it takes every name under /approvals for a call's."""
    router = parts.router()

    @router.get("/{call_id}")
    async def call(request: Request, call_id: str) -> Response:
        visitor = await parts.visitor(request)
        seen = parts.changes.position
        question = await looked_at(parts.deciding, call_id, visitor.person)
        return await call_page(parts, visitor, question, seen)

    @router.post("/{call_id}/vote")
    async def vote(request: Request, call_id: str) -> Response:
        visitor = await parts.visitor(request)
        form = await parts.sessions.form(request)
        decision, digest = DECISIONS.get(form.get("decision")), form.get("digest", "")
        visitor.check(f"vote {call_id} {digest}", form.get("code"))
        if decision is None:
            raise Problem(422, "invalid_request", "Choose Approve or Reject.")
        try:
            # Browsers send a line's end as CR LF, and count it as one character.
            reason = checked_reason(form.get("reason", "").replace("\r\n", "\n"))
            alone = decision == "approve" and form.get("break_glass") == "yes"
            await cast(parts.deciding, call_id, visitor.person, decision, reason, digest, break_glass=alone)
        except Problem as problem:
            return await refused_page(parts, visitor, call_id, problem, form)
        return RedirectResponse(f"{HOME}/{call_id}", 303)

    return router


async def refused_page(parts: Parts, visitor: Visitor, call_id: str, problem: Problem, typed: Typed) -> Response:
    """The call as it is now, with what was wrong, and what was typed. Problem where it may not be looked at."""
    seen = parts.changes.position
    question = await looked_at(parts.deciding, call_id, visitor.person)
    return await call_page(parts, visitor, question, seen, problem, typed)


async def call_page(
    parts: Parts,
    visitor: Visitor,
    question: Question,
    seen: str,
    problem: Problem | None = None,
    typed: Typed | None = None,
) -> Response:
    person, now = visitor.person, parts.now()
    _, view, votes, past = await asyncio.gather(
        parts.looks.at_call(person, question.ref),
        parts.views.of(question),
        votes_of(parts.views, question),
        _session_so_far(parts, question),
    )
    rows, more = rendering.rows(view.arguments, view.findings)
    form: dict[str, Any] = {
        "may_break_glass": may_break_glass(question, person),
        "only_by_breaking_glass": question.asked_groups(now).isdisjoint(person.groups),
        "reason_required": must_say_why(question, person, now),
        "own": question.ballot_of(person.id),
        "typed": typed or {},
        "reason_limit": REASON_LIMIT,
    }
    return parts.show(
        "call.html",
        visitor,
        problem.status if problem else 200,
        seen=seen,
        events=f"{HOME}/events?call={question.ref}",
        question=question,
        standing=words.standing(question, now),
        left=rendering.until(question.expires_at, now),
        view=view,
        rows=rows,
        more=more,
        votes=votes,
        policies=parts.pages.reasons(question.policies),
        past=past,
        earlier=parts.history.earlier(question.function),
        alert=problem.detail if problem else None,
        words=words,
        **form,
    )


async def _session_so_far(parts: Parts, question: Question) -> tuple[Past, ...] | None:
    """None where it cannot be read now: that keeps nobody from deciding."""
    try:
        return await parts.history.session_so_far(question.ref)
    except BrokerAway:
        return None
