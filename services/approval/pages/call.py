"""One call: who asks for what, why people are asked, what they said; and voting on it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from callgate.errors import BrokerAway
from callgate.http import Problem
from contracts.events import Cancelled
from services.approval import rendering
from services.approval.domain import DECISIONS, Question, may_break_glass, must_say_why
from services.approval.frame import HOME
from services.approval.freezing import NotAllowed
from services.approval.history import Decided, Past
from services.approval.pages import sentences
from services.approval.pages.amended import amendments_of, first_asked, question_before_own_change
from services.approval.pages.freezes import cancelled_how
from services.approval.pages.in_force import freezable
from services.approval.pages.parts import Case, Parts, Visitor
from services.approval.routes import REASON_LIMIT, cast, checked_reason, votes_of
from services.approval.scopes import BadScope

_EARLIER = 5
"""Decisions on the same function that a page shows."""
Typed = Mapping[str, str]
"""The fields of a form that was refused, to be shown again."""


def call_routes(parts: Parts) -> APIRouter:
    """To be included last: it takes every name under /approvals for a call's."""
    router = parts.router()

    @router.get("/{call_id}")
    async def call(request: Request, call_id: str) -> Response:
        visitor = parts.visitor(request)
        return await call_page(parts, visitor, await parts.case(visitor, call_id))

    @router.post("/{call_id}/vote")
    async def vote(request: Request, call_id: str) -> Response:
        visitor = parts.visitor(request)
        form = await parts.sessions.form(request)
        decision, digest = DECISIONS.get(form.get("decision")), form.get("digest", "")
        visitor.check(f"vote {call_id} {digest}", form.get("code"))
        if decision is None:
            raise Problem(422, "invalid_request", "Choose Approve or Reject.")
        try:
            # Browsers send a line's end as CR LF, and count it as one character.
            reason = checked_reason(form.get("reason", "").replace("\r\n", "\n"))
            await _require_why(parts, visitor, call_id, decision, reason)
            alone = decision == "approve" and form.get("break_glass") == "yes"
            await cast(parts.deciding, call_id, visitor.person, decision, reason, digest, break_glass=alone)
        except Problem as problem:
            return await call_page(parts, visitor, await parts.case(visitor, call_id), problem, form)
        return RedirectResponse(f"{HOME}/{call_id}", 303)

    return router


async def _require_why(parts: Parts, visitor: Visitor, call_id: str, decision: str, reason: str | None) -> None:
    """Problem where somebody is about to reject without a word; what is decided by now says so itself."""
    if decision == "reject" and reason is None and (await parts.case(visitor, call_id)).question.waiting:
        raise Problem(422, "reason_required", "Say why: the agent is told.")


async def call_page(
    parts: Parts,
    visitor: Visitor,
    case: Case,
    problem: Problem | None = None,
    typed: Typed | None = None,
) -> Response:
    question, person, now = case.question, visitor.person, parts.now()
    _, view, votes, past, amendments = await asyncio.gather(
        parts.looks.at_call(person, question.ref),
        parts.views.of(question),
        votes_of(parts.views, question),
        _session_so_far(parts, question),
        _amendments(parts, question, person.id),
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
        **parts.head(case) | await _cancelled(parts, question),
        page=f"{HOME}/{question.ref}",
        view=view,
        rows=rows,
        more=more,
        votes=votes,
        policies=parts.pages.reasons(question.policies),
        past=past,
        **amendments,
        may_grant=_may_grant(parts, visitor, question),
        may_freeze=bool(freezable(parts, visitor, question)),
        earlier=_earlier(parts, question),
        problem=problem,
        sentences=sentences,
        **form,
    )


async def _amendments(parts: Parts, question: Question, person: str) -> dict[str, Any]:
    """What reviewers changed, and what the page says for that."""
    if not question.amenders:
        return {"amended": [], "first_asked": None, "follows": None}
    call = (await parts.approvals.get(question.ref)).call
    return {
        "amended": await amendments_of(parts.views, call),
        "first_asked": first_asked(call),
        "follows": question_before_own_change(call, person),
    }


async def _cancelled(parts: Parts, question: Question) -> dict[str, Any]:
    """How a cancelled call stands: who ended it, and by what."""
    if question.state != Cancelled.NAME:
        return {}
    how = cancelled_how(parts.freezing, question, (await parts.approvals.get(question.ref)).call)
    return {"standing": sentences.Standing("cancelled", how, open=False)} if how is not None else {}


def _earlier(parts: Parts, question: Question) -> list[Decided]:
    known = parts.history.earlier(question.function, _EARLIER + 1)
    return [one for one in known if one.ref != question.ref][:_EARLIER]


def _may_grant(parts: Parts, visitor: Visitor, question: Question) -> bool:
    try:
        parts.granting.scope_of(question, visitor.person, to_session=False)
    except (NotAllowed, BadScope):
        return False
    return True


async def _session_so_far(parts: Parts, question: Question) -> tuple[Past, ...] | None:
    """None where it cannot be read now: that keeps nobody from deciding."""
    try:
        return await parts.history.session_so_far(question.ref)
    except BrokerAway:
        return None
