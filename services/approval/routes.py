"""The reviewers' API: what waits, one call, voting, and amending."""

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Query, Request, Response

from callgate.http import Problem
from callgate.identity.authenticator import Authenticator
from callgate.jsontext import JsonTextError, dump, parse
from callgate.openapi import Answer
from contracts.identity import Principal
from contracts.model import JsonValue, rfc3339
from contracts.subjects import CallRef
from services.approval import domain, request_bodies
from services.approval.aggregate import NobodyAsked
from services.approval.amending import Amending, Amendment
from services.approval.call_documents import (
    ApprovalDocument,
    ApprovalList,
    ApprovalWithVotes,
    DecidedDocument,
    VotedDocument,
    call_members,
    decided,
    requirements_of,
    voted,
)
from services.approval.changes import Changes
from services.approval.domain import DECISIONS, CallFacts, Decision, DecisionRefused, Intent, Question
from services.approval.handlers import Deciding
from services.approval.looks import LIST, Looks
from services.approval.outcomes import Unsettled
from services.approval.people import person_of
from services.approval.refusals import as_problems
from services.approval.views import View, Views
from services.approval.waiting import QUESTIONS

REASON_LIMIT = 2000
"""Characters of a reason."""
BODY_LIMIT = 16 * 1024
AMENDMENT_LIMIT = 256 * 1024
PAGE, PAGE_LIMIT = 50, 200
WAIT_LIMIT = 30
"""Seconds."""
_UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "As it was when `If-None-Match` was given."}}
_MISSING = "No approval of such a call was ever asked for."
_WHERE = "GET /v1/approvals, or /v1/approvals/{id},"
_VOTE_MEMBERS = ("decision", "reason", "digest", "break_glass")
_VOTE = (
    'Send {"decision": "approve" or "reject", "reason": text or null, "digest": the digest you saw}, '
    'and "break_glass": true to approve alone.'
)
_AMENDMENT_MEMBERS = ("digest", "patch", "reason")
_AMENDMENT = 'Send {"digest": the digest you saw, "patch": a JSON Patch on the arguments, "reason": text or null}.'


def api_routes(
    deciding: Deciding,
    amending: Amending,
    views: Views,
    looks: Looks,
    changes: Changes,
    authenticator: Authenticator,
) -> APIRouter:
    router = APIRouter(prefix="/v1/approvals", tags=["approval"])

    @router.get(
        "", summary="What waits and you may decide, by expiry", response_model=ApprovalList, responses=_UNCHANGED
    )
    async def waiting(
        request: Request,
        limit: int = Query(PAGE, ge=1, le=PAGE_LIMIT),
        after: str = Query("", max_length=300, description="`next` of the page before"),
        brief: bool = Query(False, description="Without the arguments"),
        wait: int = Query(0, ge=0, le=WAIT_LIMIT, description="With If-None-Match: seconds to wait for a change"),
    ) -> Response:
        person = await person_of(authenticator, request)
        questions, tag = await _news(deciding, changes, person, request.headers.get("if-none-match"), wait)
        headers = {"ETag": tag}
        if questions is None:
            return Response(status_code=304, headers=headers)
        if after:
            questions = [question for question in questions if QUESTIONS.position(question) > after]
        page = questions[:limit]
        opened = await opened_list(views, looks, page, person, LIST, brief=brief)
        now = deciding.now()
        items = (
            ApprovalDocument(**_members(question, view, person, now))
            for question, view in zip(page, opened, strict=True)
        )
        following = QUESTIONS.position(page[-1]) if len(questions) > limit else None
        return told(ApprovalList(approvals=tuple(items), next=following), headers=headers)

    @router.get("/{call_id}", summary="One call, with the votes so far", response_model=ApprovalWithVotes)
    async def one(request: Request, call_id: str) -> Response:
        person = await person_of(authenticator, request)
        question = await looked_at(deciding, call_id, person)
        recorded = looks.at_call(person, question.ref)
        _, view, votes = await asyncio.gather(recorded, views.of(question), votes_of(views, question))
        return told(ApprovalWithVotes(**_members(question, view, person, deciding.now()), votes=votes))

    @router.post(
        "/{call_id}/votes",
        summary="Approve or reject",
        status_code=201,
        response_model=VotedDocument,
        openapi_extra=request_bodies.VOTE,
    )
    async def vote(request: Request, call_id: str) -> Response:
        person = await person_of(authenticator, request)
        intent = _intent(await read_members(request, BODY_LIMIT, _VOTE_MEMBERS, _VOTE, max_depth=1))
        question = await cast(
            deciding, call_id, person, intent.decision, intent.reason, intent.digest, break_glass=intent.break_glass
        )
        return told(voted(question), 201)

    @router.post(
        "/{call_id}/amendments",
        summary="Change the arguments; votes start over",
        status_code=201,
        response_model=DecidedDocument,
        openapi_extra=request_bodies.AMENDMENT,
    )
    async def amendment(request: Request, call_id: str) -> Response:
        person = await person_of(authenticator, request)
        document = await read_members(request, AMENDMENT_LIMIT, _AMENDMENT_MEMBERS, _AMENDMENT)
        reason = text_of(document, "reason", _AMENDMENT)
        digest = digest_of(document, _WHERE)
        question = await amend(amending, call_id, person, document.get("patch"), reason, digest)
        return told(decided(question), 201)

    return router


# What the pages share with the API.


async def listed(deciding: Deciding, person: Principal) -> list[Question]:
    """What waits and this person may decide. Problem."""
    require_ready(deciding.is_ready)
    with as_problems(_MISSING):
        return await deciding.for_reviewer(person)


async def looked_at(deciding: Deciding, call_id: str, person: Principal) -> Question:
    """The question about a call that this person may decide, or might have. Problem."""
    with as_problems(_MISSING):
        question, decider = await deciding.look(call_ref(call_id), person)
        refusal = domain.authority(question, person, decider.permitted, deciding.now())
        if refusal is not None:
            raise DecisionRefused(refusal, question)
        return question


async def cast(
    deciding: Deciding,
    call_id: str,
    person: Principal,
    decision: Decision,
    reason: str | None,
    digest: str,
    *,
    break_glass: bool = False,
) -> Question:
    """A vote, and the question after it. Problem."""
    with as_problems(_MISSING):
        return await deciding.vote(call_ref(call_id), person, Intent(decision, digest, reason, break_glass))


async def amend(
    amending: Amending, call_id: str, person: Principal, patch: JsonValue, reason: str | None, digest: str
) -> Question:
    """A change of the arguments by a JSON Patch as it was parsed, and the question after it. Problem."""
    with as_problems(_MISSING):
        return await amending.amend(call_ref(call_id), person, Amendment(digest, patch, reason))


def require_ready(is_ready: bool) -> None:
    """Problem where what waits is not known yet."""
    if not is_ready:
        raise Problem(503, "starting", "What waits is still being read from the log.", {"Retry-After": "2"})


async def votes_of(views: Views, call: Question | Unsettled) -> list[dict[str, Any]]:
    """The votes on the last question, reasons opened."""
    reasons = await asyncio.gather(*(views.reason(call.ref, ballot) for ballot in call.ballots))
    return [
        {
            "reviewer": ballot.reviewer,
            "decision": ballot.decision,
            "at": rfc3339(ballot.at),
            "reason": reason,
            "break_glass": ballot.break_glass,
        }
        for ballot, reason in zip(call.ballots, reasons, strict=True)
    ]


async def read_body(request: Request, limit: int) -> bytes:
    """The request's body, at most `limit` bytes. Problem 413."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise Problem(413, "too_large", f"What you send here has at most {limit} bytes.")
    return bytes(body)


async def read_json(request: Request, limit: int, max_depth: int) -> JsonValue:
    """The JSON body. Problem where it is none."""
    try:
        return parse(await read_body(request, limit), max_depth=max_depth)
    except JsonTextError as error:
        problem = Problem(400, "invalid_json", "Send one JSON object in UTF-8.", extra={"problem": error.code})
    raise problem


async def read_members(
    request: Request, limit: int, members: Collection[str], expected: str, max_depth: int = 64
) -> dict[str, JsonValue]:
    """The JSON object in the body, with no other members. Problem; `expected` says how to send it."""
    document = await read_json(request, limit, max_depth)
    if not isinstance(document, dict) or not document.keys() <= set(members):
        raise Problem(422, "invalid_request", expected)
    return document


def call_ref(call_id: str) -> CallRef:
    """NobodyAsked for what is no call's id."""
    try:
        return CallRef.parse(call_id)
    except ValueError:
        raise NobodyAsked from None


def digest_of(document: Mapping[str, JsonValue], where: str) -> str:
    """The digest of what the sender saw, which `where` gives. Problem."""
    digest = document.get("digest")
    if not isinstance(digest, str) or not digest:
        detail = f"A decision names by its `digest` the call just as you saw it; {where} gives it with the arguments."
        raise Problem(422, "digest_required", detail)
    return digest


def text_of(document: Mapping[str, JsonValue], name: str, expected: str) -> str | None:
    """A text of people, or none. Problem."""
    text = document.get(name)
    if text is not None and not isinstance(text, str):
        raise Problem(422, "invalid_request", expected)
    return checked_reason(text)


async def opened_list(
    views: Views, looks: Looks, page: Sequence[CallFacts], person: Principal, name: str, *, brief: bool
) -> list[View | None]:
    """The masked arguments of each, or of none; that they were looked at in this list is on record then."""
    recorded = looks.at_list(person, "list" if brief else "arguments", len(page), name)
    opening = () if brief else (views.of(one) for one in page)
    opened, _ = await asyncio.gather(asyncio.gather(*opening), recorded)
    return [None] * len(page) if brief else list(opened)


async def _news(
    deciding: Deciding, changes: Changes, person: Principal, seen: str | None, wait: int
) -> tuple[list[Question] | None, str]:
    """What waits and its tag; None where that is still the one that was seen, after `wait` seconds. Problem."""
    until = asyncio.get_running_loop().time() + wait
    while True:
        position, questions = changes.position, await listed(deciding, person)
        tag = _tag(questions)
        if tag != seen:
            return questions, tag
        if changes.closed or not wait:
            return None, tag
        try:
            async with asyncio.timeout_at(until):  # the list itself is never cut off
                await changes.after(position)
        except TimeoutError:
            return None, tag


def _tag(questions: Iterable[Question]) -> str:
    """Of all that is listed of them: who waits, since when, and who voted."""
    digest = hashlib.sha256()
    for question in questions:
        digest.update(" ".join((question.digest, *(ballot.event_id for ballot in question.ballots), "\n")).encode())
    return f'"{digest.hexdigest()[:32]}"'


def told(document: Answer, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The document, for whoever asked alone."""
    # Arguments may hold integers beyond 64 bits, which only `dump` writes.
    written = dump(document.model_dump(mode="json", exclude_unset=True))
    private = {"Cache-Control": "no-store", **(headers or {})}
    return Response(written, status, private, media_type="application/json")


def _intent(document: Mapping[str, JsonValue]) -> Intent:
    word, alone = document.get("decision"), document.get("break_glass", False)
    decision = DECISIONS.get(word) if isinstance(word, str) else None
    if decision is None or not isinstance(alone, bool):
        raise Problem(422, "invalid_request", _VOTE)
    return Intent(decision, digest_of(document, _WHERE), text_of(document, "reason", _VOTE), alone)


def checked_reason(reason: str | None) -> str | None:
    """The reason without space around it; None for an empty one. Problem where it is too long."""
    text = (reason or "").strip()
    if len(text) > REASON_LIMIT:
        raise Problem(422, "reason_too_long", f"A reason has at most {REASON_LIMIT} characters.")
    return text or None


def _members(question: Question, view: View | None, person: Principal, now: datetime) -> dict[str, Any]:
    """Of an ApprovalDocument for that person."""
    own = question.ballot_of(person.id)
    return call_members(question, view) | {
        "actors": question.requester.actors,
        "bound_by": question.requester.bound_by,
        "policies": question.policies,
        "requirements": requirements_of(question),
        "asked_at": question.asked_at,
        "expires_at": question.expires_at,
        "amended_by": question.amenders,
        "reason_required": domain.must_say_why(question, person, now),
        "may_break_glass": domain.may_break_glass(question, person),
        "your_vote": own.decision if own else None,
    }
