"""Freezes and grants in force: seeing them, ending them, and freezing."""

import asyncio
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from callgate.http import Problem
from contracts.model import JsonValue
from services.approval import rendering
from services.approval.domain import Question
from services.approval.frame import HOME
from services.approval.freeze_routes import Refusals
from services.approval.freeze_targets import has_been_seen
from services.approval.granting import UnknownGrant
from services.approval.pages import sentences
from services.approval.pages.freezes import named, offered_to
from services.approval.pages.parts import Parts, Visitor
from services.approval.routes import REASON_LIMIT
from services.approval.scopes import freeze_wanted

LASTS = {"": "until somebody lifts it", "30m": "30 minutes", "4h": "4 hours", "24h": "24 hours", "7d": "7 days"}
SCOPES = ("agent", "session", "function", "connection", "everything")
PATH = f"{HOME}/in-force"


def in_force_routes(parts: Parts) -> APIRouter:
    router = parts.router()

    @router.get("/in-force")
    async def in_force(request: Request) -> Response:
        visitor = parts.visitor(request)
        return await _page(parts, visitor, frozen=_just_frozen(visitor, request.query_params))

    @router.post("/in-force/freeze")
    async def freeze(request: Request) -> Response:
        visitor = parts.visitor(request)
        fields = await parts.sessions.form(request)
        visitor.check("freeze", fields.get("code"))
        try:
            with Refusals():
                wanted = freeze_wanted(_document(fields), parts.catalog)
                seen = has_been_seen(parts.history, parts.freezing, wanted.scope, wanted.target)
                freeze, stopped = await parts.freezing.freeze(visitor.person, wanted)
        except Problem as problem:
            return await _page(parts, visitor, problem, fields)
        return RedirectResponse(f"{PATH}?{_told(visitor, freeze.freeze_id, stopped, seen)}", 303)

    @router.post("/in-force/lift")
    async def lift(request: Request) -> Response:
        visitor = parts.visitor(request)
        fields = await parts.sessions.form(request)
        freeze_id = fields.get("id", "")
        visitor.check(f"lift {freeze_id}", fields.get("code"))
        with Refusals():
            await parts.freezing.lift(visitor.person, freeze_id)
        return RedirectResponse(PATH, 303)

    @router.post("/in-force/revoke")
    async def revoke(request: Request) -> Response:
        visitor = parts.visitor(request)
        fields = await parts.sessions.form(request)
        grant_id = fields.get("id", "")
        visitor.check(f"revoke {grant_id}", fields.get("code"))
        try:
            with Refusals():
                await parts.granting.revoke(visitor.person, grant_id)
        except UnknownGrant:
            raise Problem(404, "unknown_grant", "There is no such grant.") from None
        return RedirectResponse(PATH, 303)

    @router.get("/{call_id}/freeze")
    async def of_call(request: Request, call_id: str) -> Response:
        visitor = parts.visitor(request)
        case = await parts.case(visitor, call_id)
        return parts.show(
            "freeze.html",
            visitor,
            **parts.head(case),
            choices=freezable(parts, visitor, case.question),
            lasts=LASTS,
            reason_limit=REASON_LIMIT,
        )

    return router


@dataclass(frozen=True, slots=True)
class JustFrozen:
    """What somebody is told who has just frozen something."""

    freeze_id: str
    stopped: int
    seen: bool


def _told(visitor: Visitor, freeze_id: str, stopped: int, seen: bool) -> str:
    """A query that tells it to nobody but this session."""
    told = {"frozen": freeze_id, "stopped": str(stopped), "seen": "yes" if seen else "no"}
    return urlencode(told | {"code": visitor.code(f"frozen {' '.join(told.values())}")})


def _just_frozen(visitor: Visitor, query: Mapping[str, str]) -> JustFrozen | None:
    freeze_id, stopped, seen = (query.get(name, "") for name in ("frozen", "stopped", "seen"))
    expected = visitor.code(f"frozen {freeze_id} {stopped} {seen}")
    if not hmac.compare_digest(expected.encode(), query.get("code", "").encode(errors="replace")):
        return None
    return JustFrozen(freeze_id, int(stopped), seen == "yes")


def freezable(parts: Parts, visitor: Visitor, question: Question) -> list[tuple[str, str, str]]:
    """What this person may freeze of what the call belongs to: scope, target, and how it is called. Problem."""
    asked = question.requester
    targets = [
        ("agent", asked.id, f"the agent {asked.id}"),
        ("session", question.ref.session_id, "this session"),
        ("function", question.function, f"the function {question.function}"),
    ]
    if asked.on_behalf_of is not None:
        targets.insert(1, ("agent", asked.on_behalf_of, f"everything asked for {asked.on_behalf_of}"))
    with Refusals():
        return [one for one in targets if parts.freezing.may("freeze", visitor.person, one[0], one[1])]


def _document(fields: Mapping[str, str]) -> dict[str, JsonValue]:
    """The body of `POST /v1/freezes` that the form means."""
    scope, target = fields.get("scope", ""), fields.get("target", "").strip()
    if fields.get("of"):  # one of the choices of a call's page
        scope, _, target = fields["of"].partition(":")
    return {
        "scope": scope,
        "target": None if scope == "everything" and not target else target,
        "for": fields.get("lasts") or None,
        "reason": fields.get("reason", "").replace("\r\n", "\n"),
    }


async def _page(
    parts: Parts,
    visitor: Visitor,
    problem: Problem | None = None,
    typed: Mapping[str, str] | None = None,
    frozen: JustFrozen | None = None,
) -> Response:
    seen, now = parts.changes.position, parts.now()
    with Refusals():
        offered = offered_to(parts.freezing, parts.history, visitor.person)
        freezes = await parts.freezing.listed(visitor.person)
        grants = await parts.granting.listed(visitor.person)
    frozen_why, granted_why = await asyncio.gather(
        asyncio.gather(*(parts.freezing.reason(one) for one in freezes)),
        asyncio.gather(*(parts.granting.reason(one) for one in grants)),
    )
    return parts.show(
        "in_force.html",
        visitor,
        problem.status if problem else 200,
        seen=seen,
        events=f"{HOME}/events?of=in-force",
        page=PATH,
        freezes=list(zip(freezes, frozen_why, strict=True)),
        may_lift={one.freeze_id for one in freezes if _may_lift(parts, visitor, one.scope, one.target)},
        grants=list(zip(grants, granted_why, strict=True)),
        covers=sentences.covers,
        until=lambda at: rendering.until(at, now),
        frozen=next(((one, frozen) for one in freezes if frozen and one.freeze_id == frozen.freeze_id), None),
        named=named,
        offered=offered,
        scopes=SCOPES,
        lasts=LASTS,
        problem=problem,
        typed=typed or {},
        reason_limit=REASON_LIMIT,
    )


def _may_lift(parts: Parts, visitor: Visitor, scope: str, target: str | None) -> bool:
    with Refusals():
        return parts.freezing.may("unfreeze", visitor.person, scope, target)
