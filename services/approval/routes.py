"""The reviewers' API: what waits, one call, and voting."""

import asyncio
from datetime import datetime
from typing import Any, NoReturn

from fastapi import APIRouter, Query, Request, Response

from callgate.cedar.published import NoPolicies
from callgate.http import Problem
from callgate.identity.authenticator import Authenticator
from callgate.jsontext import JsonTextError, dump, parse
from contracts.events import Escalation
from contracts.identity import Principal
from contracts.model import JsonValue, rfc3339
from contracts.subjects import CallRef
from services.approval import domain
from services.approval.domain import DECISIONS, Decision, DecisionRefused, Intent, Question
from services.approval.handlers import Deciding, NotFound
from services.approval.looks import Looks
from services.approval.people import person_of
from services.approval.views import View, Views

REASON_LIMIT = 2000
"""Characters of a vote's reason."""
BODY_LIMIT = 16 * 1024
PAGE, PAGE_LIMIT = 50, 200

_REFUSALS: dict[domain.Refusal, tuple[int, str]] = {
    domain.Refusal.DELEGATED: (403, "A vote is a person's own; sign in yourself, not through an agent."),
    domain.Refusal.OWN_CALL: (403, "Nobody decides on their own call, nor on one made on their behalf."),
    domain.Refusal.NOT_PERMITTED: (403, "No policy permits you to decide on this call."),
    domain.Refusal.NOT_AN_APPROVER: (403, "This call asks for a group that you are not in."),
    domain.Refusal.NOT_WAITING: (409, "The call does not wait for a decision any more."),
    domain.Refusal.CALL_CHANGED: (409, "The call has changed since you looked; look at it again."),
    domain.Refusal.EXPIRED: (409, "The time for a decision is over."),
    domain.Refusal.VOTED_ALREADY: (409, "You have voted so on this call already."),
    domain.Refusal.VOTED_MEANWHILE: (409, "You have voted on this call elsewhere at this moment; look at it again."),
    domain.Refusal.REASON_REQUIRED: (422, "An approval of this call needs a reason; say why."),
    domain.Refusal.ONLY_BY_BREAKING_GLASS: (
        403,
        "You may approve this call only by breaking the glass, with a reason.",
    ),
    domain.Refusal.NO_GLASS_TO_BREAK: (403, "No policy lets you approve this call alone."),
}


def api_routes(approval: Deciding, views: Views, looks: Looks, authenticator: Authenticator) -> APIRouter:
    router = APIRouter(prefix="/v1/approvals", tags=["approval"])

    @router.get("", summary="What waits and you may decide, by expiry")
    async def waiting(
        request: Request,
        limit: int = Query(PAGE, ge=1, le=PAGE_LIMIT),
        after: str = Query("", max_length=300, description="`next` of the page before"),
    ) -> Response:
        person = await person_of(authenticator, request)
        questions = [question for question in listed(approval, person) if _position(question) > after]
        page = questions[:limit]
        opening = asyncio.gather(*(views.of(question) for question in page))
        opened, _ = await asyncio.gather(opening, looks.at_list(person, "arguments", len(page)))
        items = [_item(question, view, person, approval.now()) for question, view in zip(page, opened, strict=True)]
        return _json({"approvals": items, "next": _position(page[-1]) if len(questions) > limit else None})

    @router.get("/{call_id}", summary="One call, with the votes so far")
    async def one(request: Request, call_id: str) -> Response:
        person = await person_of(authenticator, request)
        question = await looked_at(approval, call_id, person)
        recorded = looks.at_call(person, question.ref)
        _, view, votes = await asyncio.gather(recorded, views.of(question), votes_of(views, question))
        return _json(_item(question, view, person, approval.now()) | {"votes": votes})

    @router.post("/{call_id}/votes", summary="Approve or reject", status_code=201)
    async def vote(request: Request, call_id: str) -> Response:
        person = await person_of(authenticator, request)
        intent = _ballot(await read_body(request, BODY_LIMIT))
        question = await cast(
            approval, call_id, person, intent.decision, intent.reason, intent.digest, break_glass=intent.break_glass
        )
        return _json(_outcome(question), 201)

    return router


# What the pages share with the API.


def listed(approval: Deciding, person: Principal) -> list[Question]:
    """What waits and this person may decide. Problem."""
    if not approval.is_ready:
        raise Problem(503, "starting", "What waits is still being read from the log.", {"Retry-After": "2"})
    try:
        return approval.for_reviewer(person)
    except NoPolicies as none:
        raise Problem(503, none.code, none.detail, {"Retry-After": "2"}) from None


async def looked_at(approval: Deciding, call_id: str, person: Principal) -> Question:
    """The question about a call that this person may decide, or might have. Problem."""
    try:
        question, decider = await approval.look(_ref(call_id), person)
    except NotFound:
        _not_found()
    except NoPolicies as none:
        raise Problem(503, none.code, none.detail, {"Retry-After": "2"}) from None
    refusal = domain.authority(question, person, decider.permitted, approval.now())
    if refusal is not None:
        raise refused(DecisionRefused(refusal, question))
    return question


async def cast(
    approval: Deciding,
    call_id: str,
    person: Principal,
    decision: Decision,
    reason: str | None,
    digest: str,
    *,
    break_glass: bool = False,
) -> Question:
    """A vote, and the question after it. Problem."""
    try:
        return await approval.vote(_ref(call_id), person, Intent(decision, digest, reason, break_glass))
    except NotFound:
        _not_found()
    except NoPolicies as none:
        raise Problem(503, none.code, none.detail, {"Retry-After": "2"}) from None
    except DecisionRefused as error:
        raise refused(error) from None


async def votes_of(views: Views, question: Question) -> list[dict[str, Any]]:
    """The votes on the open question, reasons opened."""
    reasons = await asyncio.gather(*(views.reason(question.ref, ballot) for ballot in question.ballots))
    return [
        {
            "reviewer": ballot.reviewer,
            "decision": ballot.decision,
            "at": rfc3339(ballot.at),
            "reason": reason,
            "break_glass": ballot.break_glass,
        }
        for ballot, reason in zip(question.ballots, reasons, strict=True)
    ]


async def read_body(request: Request, limit: int) -> bytes:
    """The request's body, at most `limit` bytes. Problem 413."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Problem(413, "too_large", f"A vote takes at most {limit} bytes.")
    return bytes(body)


def refused(error: DecisionRefused) -> Problem:
    status, detail = _REFUSALS[error.code]
    # Who may not decide is not told how it stands.
    extra = {"state": error.state} if status == 409 else {}
    return Problem(status, error.code.value, detail, extra=extra)


def _ref(call_id: str) -> CallRef:
    try:
        return CallRef.parse(call_id)
    except ValueError:
        _not_found()


def _not_found() -> NoReturn:
    raise Problem(404, "not_found", "No approval of such a call was ever asked for.") from None


def _json(value: JsonValue, status: int = 200) -> Response:
    # Arguments may hold integers beyond 64 bits, which only `dump` writes.
    return Response(dump(value), status, {"Cache-Control": "no-store"}, media_type="application/json")


def _position(question: Question) -> str:
    """Where it stands in the list: text order is the list's order."""
    return f"{rfc3339(question.expires_at)}_{question.ref}"


def _ballot(body: bytes) -> Intent:
    try:
        ballot = parse(body, max_depth=1)
    except JsonTextError as error:
        raise Problem(400, "invalid_json", "Send one JSON object in UTF-8.", extra={"problem": error.code}) from None
    expected = (
        'Send {"decision": "approve" or "reject", "reason": text or null, "digest": the digest you saw}, '
        'and "break_glass": true to approve alone.'
    )
    if not isinstance(ballot, dict) or not ballot.keys() <= {"decision", "reason", "digest", "break_glass"}:
        raise Problem(422, "invalid_request", expected)
    word, reason, digest = ballot.get("decision"), ballot.get("reason"), ballot.get("digest")
    alone = ballot.get("break_glass", False)
    decision = DECISIONS.get(word) if isinstance(word, str) else None
    if decision is None or not all(text is None or isinstance(text, str) for text in (reason, digest)):
        raise Problem(422, "invalid_request", expected)
    if not isinstance(alone, bool):
        raise Problem(422, "invalid_request", expected)
    if not digest:
        where = "GET /v1/approvals, or /v1/approvals/{id}, gives it with the arguments"
        raise Problem(422, "digest_required", f"A vote names by its `digest` the call just as you saw it; {where}.")
    return Intent(decision, digest, checked_reason(reason), alone)


def checked_reason(reason: str | None) -> str | None:
    """The reason without space around it; None for an empty one. Problem where it is too long."""
    text = (reason or "").strip()
    if len(text) > REASON_LIMIT:
        raise Problem(422, "reason_too_long", f"A reason has at most {REASON_LIMIT} characters.")
    return text or None


def _item(question: Question, view: View, person: Principal, now: datetime) -> dict[str, Any]:
    own = question.ballot_of(person.id)
    item = {
        "id": str(question.ref),
        "state": question.state,
        "function": question.function,
        "requester": question.requester.id,
        "on_behalf_of": question.requester.on_behalf_of,
        "arguments": view.arguments,
        "findings": [finding.model_dump() for finding in view.findings],
        "policies": list(question.policies),
        "requirements": _progress(question),
        "asked_at": rfc3339(question.asked_at),
        "expires_at": rfc3339(question.expires_at),
        "digest": question.digest,
        "amended_by": list(question.amenders),
        "reason_required": domain.must_say_why(question, person, now),
        "may_break_glass": domain.may_break_glass(question, person),
        "your_vote": own.decision if own else None,
    }
    return item | {"withheld": view.withheld} if view.withheld else item


def _outcome(question: Question) -> dict[str, Any]:
    return {
        "id": str(question.ref),
        "state": question.state,
        "votes": [{"reviewer": ballot.reviewer, "decision": ballot.decision} for ballot in question.ballots],
        "requirements": _progress(question),
    }


def _progress(question: Question) -> list[dict[str, Any]]:
    return [
        {
            "policies": list(progress.requirement.policies),
            "approvers": list(progress.requirement.approvers),
            "quorum": progress.requirement.quorum,
            "each": progress.requirement.each,
            "missing": progress.missing,
            "rejections": progress.requirement.rejections,
            "reason_required": progress.requirement.reason_required,
            "escalation": _escalation(progress.requirement.escalation),
            "break_glass": list(progress.requirement.break_glass),
            "expires_at": rfc3339(progress.requirement.expires_at),
        }
        for progress in question.progress
    ]


def _escalation(escalation: Escalation | None) -> dict[str, Any] | None:
    return {"approvers": list(escalation.approvers), "at": rfc3339(escalation.at)} if escalation else None
