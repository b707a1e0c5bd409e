"""Changing a call's arguments: every argument as a field; what was changed becomes a JSON Patch."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from callgate.http import Problem
from services.approval.domain import Question
from services.approval.frame import HOME
from services.approval.pages.edits import FIELDS, FORM_LIMIT, BadField, edits_of, patch_of
from services.approval.pages.parts import Case, Parts, Visitor
from services.approval.routes import REASON_LIMIT, amend, checked_reason


def amend_routes(parts: Parts) -> APIRouter:
    router = parts.router()

    @router.get("/{call_id}/amend")
    async def form(request: Request, call_id: str) -> Response:
        visitor = parts.visitor(request)
        case = await parts.case(visitor, call_id)
        return await _page(parts, visitor, case)

    @router.post("/{call_id}/amend")
    async def change(request: Request, call_id: str) -> Response:
        visitor = parts.visitor(request)
        fields = await parts.sessions.form(request, FIELDS, FORM_LIMIT)
        digest = fields.get("digest", "")
        visitor.check(f"amend {call_id} {digest}", fields.get("code"))
        case = await parts.case(visitor, call_id)
        try:
            patch = await _patch(parts, case.question, fields, digest)
            reason = checked_reason(fields.get("reason", "").replace("\r\n", "\n"))
            await amend(parts.amending, call_id, visitor.person, patch, reason, digest)
        except Problem as problem:
            case = await parts.case(visitor, call_id)
            return await _page(parts, visitor, case, problem, fields)
        return RedirectResponse(f"{HOME}/{call_id}", 303)

    return router


async def _patch(parts: Parts, question: Question, fields: Mapping[str, str], digest: str) -> list[Any]:
    """What the form changes of what it was made from. Problem."""
    if digest != question.digest:
        raise Problem(409, "call_changed", "The call has changed since you looked; these are its arguments now.")
    view = await parts.views.of(question)
    try:
        patch = patch_of(edits_of(view.arguments, view.findings), fields)
    except BadField as bad:
        raise Problem(422, "bad_field", bad.detail) from None
    if not patch:
        raise Problem(422, "changes_nothing", "You changed nothing: change an argument, or go back and approve.")
    return patch


async def _page(
    parts: Parts,
    visitor: Visitor,
    case: Case,
    problem: Problem | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    await parts.looks.at_call(visitor.person, case.question.ref)
    view = await parts.views.of(case.question)
    return parts.show(
        "amend.html",
        visitor,
        problem.status if problem else 200,
        **parts.head(case),
        view=view,
        edits=edits_of(view.arguments, view.findings),
        problem=problem,
        typed=typed or {},
        reason_limit=REASON_LIMIT,
    )
