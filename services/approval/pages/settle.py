"""Settling: what really became of a call of which nobody knows whether it happened."""

import asyncio
from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from callgate.http import Problem
from callgate.jsontext import JsonTextError, dump, parse
from contracts.functions import HttpConnection
from services.approval import rendering
from services.approval.frame import HOME
from services.approval.outcome_routes import outcome_of, settle
from services.approval.outcomes import OUTCOMES, Settlement, Unsettled
from services.approval.pages.edits import FORM_LIMIT
from services.approval.pages.parts import Parts, Visitor
from services.approval.pages.settled import SAID, settlements_of
from services.approval.routes import REASON_LIMIT, checked_reason, votes_of


def settle_routes(parts: Parts) -> APIRouter:
    router = parts.router()

    @router.get("/outcomes/{call_id}")
    async def outcome(request: Request, call_id: str) -> Response:
        visitor = parts.visitor(request)
        return await _page(parts, visitor, await outcome_of(parts.settling, call_id, visitor.person))

    @router.post("/outcomes/{call_id}")
    async def settlement(request: Request, call_id: str) -> Response:
        visitor = parts.visitor(request)
        fields = await parts.sessions.form(request, limit=FORM_LIMIT)
        digest = fields.get("digest", "")
        visitor.check(f"settle {call_id} {digest}", fields.get("code"))
        try:
            await settle(parts.settling, call_id, visitor.person, _settlement(fields, digest))
        except Problem as problem:
            unsettled = await outcome_of(parts.settling, call_id, visitor.person)
            return await _page(parts, visitor, unsettled, problem, fields)
        return RedirectResponse(f"{HOME}/outcomes/{call_id}", 303)

    return router


def _settlement(fields: Mapping[str, str], digest: str) -> Settlement:
    """What the form says. Problem."""
    outcome, result = OUTCOMES.get(fields.get("outcome")), fields.get("result", "").strip()
    if outcome is None:
        raise Problem(422, "invalid_request", "Choose what became of the call.")
    if result and outcome != "done":
        raise Problem(422, "result_of_nothing", "Give a result only where the call was done.")
    try:
        document = dump(parse(result)) if result else None
    except JsonTextError:
        raise Problem(
            422, "invalid_json", 'The result is JSON, such as {"refund": "re_17"}; or leave it empty.'
        ) from None
    reason, evidence = (checked_reason(fields.get(name, "").replace("\r\n", "\n")) for name in ("reason", "evidence"))
    return Settlement(outcome, digest, reason, evidence, document)


async def _page(
    parts: Parts,
    visitor: Visitor,
    unsettled: Unsettled,
    problem: Problem | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    _, view, votes = await asyncio.gather(
        parts.looks.at_call(visitor.person, unsettled.ref),
        parts.views.of(unsettled),
        votes_of(parts.views, unsettled),
    )
    rows, more = rendering.rows(view.arguments, view.findings)
    function = parts.catalog.get(unsettled.function)
    connection = parts.catalog.connections.get(function.connection) if function is not None else None
    settlements = await settlements_of(parts.views, (await parts.approvals.get(unsettled.ref)).call)
    return parts.show(
        "settle.html",
        visitor,
        problem.status if problem else 200,
        call=unsettled,
        view=view,
        rows=rows,
        more=more,
        votes=votes,
        settlements=settlements,
        said=SAID,
        keyed=isinstance(connection, HttpConnection),
        problem=problem,
        typed=typed or {},
        reason_limit=REASON_LIMIT,
    )
