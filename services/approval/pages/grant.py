"""Approving calls like this one in advance: first what the grant would cover, in words, then the grant."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from callgate.cedar.grants import can_be_said
from callgate.http import Problem
from callgate.jsontext import JsonTextError, dump, parse
from contracts.functions import Function
from contracts.model import JsonValue
from contracts.records import Conditions
from services.approval import rendering
from services.approval.domain import Question
from services.approval.frame import HOME
from services.approval.freeze_routes import Refusals
from services.approval.grant_forms import USES_LIMIT, GrantWanted, grant_wanted
from services.approval.pages import sentences
from services.approval.pages.edits import FIELDS, FORM_LIMIT, BadField, Edit, edits_of, label_of, without_returns
from services.approval.pages.parts import Case, Parts, Visitor
from services.approval.routes import REASON_LIMIT

LASTS = {"15m": "15 minutes", "30m": "30 minutes", "1h": "1 hour", "4h": "4 hours", "8h": "8 hours", "24h": "24 hours"}
_OFFERED = {"number": ("lte", "gte", "eq"), "yes/no": ("eq",), "text": ("eq", "ne")}
"""Comparisons by kind of argument; the API knows them all."""
_WRITTEN = {"number": "a number", "yes/no": "true or false", "text": "text in quotes"}
_MOST = 16
"""Conditions that a grant may have."""


@dataclass(frozen=True, slots=True)
class Condition:
    """An argument on which a grant may depend."""

    name: str
    edit: Edit
    comparisons: tuple[str, ...]
    can_be_exact: bool
    """Whether its present value may stand in a grant: then that is what is granted unless somebody widens it."""


def grant_routes(parts: Parts) -> APIRouter:
    router = parts.router()

    @router.get("/{call_id}/grant")
    async def form(request: Request, call_id: str) -> Response:
        visitor = parts.visitor(request)
        case = await parts.case(visitor, call_id)
        with Refusals():
            parts.granting.scope_of(case.question, visitor.person, to_session=False)
        return await _page(parts, visitor, case, {})

    @router.post("/{call_id}/grant")
    async def grant(request: Request, call_id: str) -> Response:
        visitor = parts.visitor(request)
        fields = await parts.sessions.form(request, FIELDS, FORM_LIMIT)
        visitor.check(f"grant {call_id}", fields.get("code"))
        case = await parts.case(visitor, call_id)
        try:
            offered, _ = await _conditions(parts, case.question)
            document = _document(fields, offered, call_id)
            with Refusals():
                wanted = grant_wanted(document, parts.catalog, visitor.person.issuer)
                scope = parts.granting.scope_of(case.question, visitor.person, to_session=wanted.to_session)
                previewed = visitor.code(_previewed(document))
                if fields.get("step") != "grant" or fields.get("previewed") != previewed:
                    covers = _covers(case.question, wanted, fields)
                    return await _page(parts, visitor, case, fields, covers=covers, previewed=previewed)
                await parts.granting.grant(visitor.person, scope, wanted.terms)
        except Problem as problem:
            return await _page(parts, visitor, case, fields, problem)
        return RedirectResponse(f"{HOME}/in-force", 303)

    return router


def conditions_in(edits: list[Edit], function: Function) -> list[Condition]:
    """The arguments that a policy can see and nothing masks."""
    found = []
    for edit in edits:
        if edit.kind in _OFFERED and not edit.entities and _is_declared(edit.path, function.spec.input):
            name = edit.path[0] if len(edit.path) == 1 and not edit.path[0].startswith("/") else edit.pointer
            exact: Conditions = {name: {"eq": _value(edit, edit.text)}}
            found.append(Condition(name, edit, _OFFERED[edit.kind], can_be_said(exact, function)))
    return found[:_MOST]


def conditions_of(offered: list[Condition], fields: Mapping[str, str]) -> Conditions:
    """What the form demands of arguments. BadField."""
    chosen = {one.name: (one, fields.get(f"test:{one.name}", "")) for one in offered}
    return {
        name: {test: _value(one.edit, fields.get(f"than:{name}", ""))}
        for name, (one, test) in chosen.items()
        if test in one.comparisons
    }


def _is_declared(path: tuple[str, ...], schema: JsonValue) -> bool:
    for step in path:
        properties = schema.get("properties") if isinstance(schema, dict) else None
        if not isinstance(properties, dict) or step not in properties:
            return False
        schema = properties[step]
    return isinstance(schema, dict) and schema.get("x-callgate-mask", "never") == "never"


def _value(edit: Edit, text: str) -> JsonValue:
    if edit.how == "text":
        return without_returns(text)
    try:
        return parse(text.strip())
    except JsonTextError:
        raise BadField(f"{edit.label}: write {_WRITTEN[edit.kind]}.") from None


async def _conditions(parts: Parts, question: Question) -> tuple[list[Condition], list[str]]:
    """What a grant may depend on, and the labels of the arguments on which it cannot."""
    function = parts.catalog.get(question.function)
    view = await parts.views.of(question)
    offered = conditions_in(edits_of(view.arguments, view.findings), function) if function is not None else []
    conditional = {one.edit.path for one in offered}
    shown, _ = rendering.rows(view.arguments, view.findings)
    return offered, [label_of(row.path) for row in shown if row.path and row.path not in conditional]


def _document(fields: Mapping[str, str], offered: list[Condition], call_id: str) -> dict[str, JsonValue]:
    """The body of `POST /v1/grants` that the form means. Problem."""
    uses = fields.get("uses", "").strip()
    try:
        conditions = conditions_of(offered, fields)
    except BadField as bad:
        raise Problem(422, "bad_field", bad.detail) from None
    return {
        "call": call_id,
        "bind": "session" if fields.get("bind") == "session" else "agent",
        "conditions": conditions,
        "uses": int(uses) if uses.isascii() and uses.isdigit() and len(uses) < 6 else None,
        "for": fields.get("lasts"),
        "reason": fields.get("reason", "").replace("\r\n", "\n"),
    }


def _previewed(document: dict[str, JsonValue]) -> str:
    """Names the one grant that was shown in words: another is shown before it is given."""
    return f"previewed {hashlib.sha256(dump(document)).hexdigest()}"


def _covers(question: Question, wanted: GrantWanted, fields: Mapping[str, str]) -> dict[str, Any]:
    asked, terms = question.requester, wanted.terms
    return {
        "text": sentences.covers(question.function, asked.id, asked.on_behalf_of, wanted.to_session, terms.conditions),
        "uses": terms.uses,
        "lasts": LASTS.get(fields.get("lasts", "")),
    }


async def _page(
    parts: Parts,
    visitor: Visitor,
    case: Case,
    typed: Mapping[str, str],
    problem: Problem | None = None,
    **preview: Any,
) -> Response:
    await parts.looks.at_call(visitor.person, case.question.ref)
    conditions, unconditional = await _conditions(parts, case.question)
    return parts.show(
        "grant.html",
        visitor,
        problem.status if problem else 200,
        **parts.head(case),
        conditions=conditions,
        unconditional=unconditional,
        left_open=[one.edit.label for one in conditions if not one.can_be_exact],
        lasts=LASTS,
        uses_limit=USES_LIMIT,
        comparisons=sentences.COMPARISONS,
        typed=typed,
        problem=problem,
        covers=preview.get("covers"),
        previewed=preview.get("previewed"),
        reason_limit=REASON_LIMIT,
    )
