"""Settling over HTTP: the calls whose outcome nobody knows, and what people find out about them."""

import asyncio
from collections.abc import Mapping

from fastapi import APIRouter, Query, Request, Response

from callgate.http import Problem
from callgate.identity.authenticator import Authenticator
from callgate.jsontext import dump
from contracts.identity import Principal
from contracts.model import JsonValue
from services.approval.call_documents import (
    DecidedDocument,
    OutcomeDocument,
    OutcomeList,
    OutcomeWithVotes,
    decided,
    outcome_members,
)
from services.approval.looks import OUTCOME_LIST, Looks
from services.approval.outcomes import OUTCOMES, Settlement, Unsettled
from services.approval.people import person_of
from services.approval.refusals import as_problems
from services.approval.request_bodies import SETTLEMENT
from services.approval.routes import (
    PAGE,
    PAGE_LIMIT,
    call_ref,
    digest_of,
    opened_list,
    read_members,
    require_ready,
    text_of,
    told,
    votes_of,
)
from services.approval.settling import Settling
from services.approval.views import Views
from services.approval.waiting import UNSETTLED

BODY_LIMIT = 1024 * 1024
_MISSING = "The outcome of such a call was never unknown."
_MEMBERS = ("digest", "outcome", "reason", "evidence", "result")
_EXPECTED = (
    'Send {"digest": the digest you saw, "outcome": "done", "not_done" or "run_again", "reason": text}, and perhaps '
    '"evidence": text; with "done" also "result": what the function would have answered, as JSON.'
)


def outcome_routes(settling: Settling, views: Views, looks: Looks, authenticator: Authenticator) -> APIRouter:
    router = APIRouter(prefix="/v1/outcomes", tags=["outcomes"])

    @router.get(
        "", summary="Calls whose outcome nobody knows and you may settle, the oldest first", response_model=OutcomeList
    )
    async def waiting(
        request: Request,
        limit: int = Query(PAGE, ge=1, le=PAGE_LIMIT),
        after: str = Query("", max_length=300, description="`next` of the page before"),
        brief: bool = Query(False, description="Without the arguments"),
    ) -> Response:
        person = await person_of(authenticator, request)
        outcomes = [one for one in await unsettled_for(settling, person) if UNSETTLED.position(one) > after]
        page = outcomes[:limit]
        opened = await opened_list(views, looks, page, person, OUTCOME_LIST, brief=brief)
        items = (OutcomeDocument(**outcome_members(one, view)) for one, view in zip(page, opened, strict=True))
        following = UNSETTLED.position(page[-1]) if len(outcomes) > limit else None
        return told(OutcomeList(outcomes=tuple(items), next=following))

    @router.get("/{call_id}", summary="One call, with who approved it", response_model=OutcomeWithVotes)
    async def one(request: Request, call_id: str) -> Response:
        person = await person_of(authenticator, request)
        unsettled = await outcome_of(settling, call_id, person)
        recorded = looks.at_call(person, unsettled.ref)
        _, view, votes = await asyncio.gather(recorded, views.of(unsettled), votes_of(views, unsettled))
        return told(OutcomeWithVotes(**outcome_members(unsettled, view), votes=votes))

    @router.post(
        "/{call_id}/settlement",
        summary="Say what became of it",
        status_code=201,
        response_model=DecidedDocument,
        openapi_extra=SETTLEMENT,
    )
    async def settlement(request: Request, call_id: str) -> Response:
        person = await person_of(authenticator, request)
        said = _settlement(await read_members(request, BODY_LIMIT, _MEMBERS, _EXPECTED))
        unsettled = await settle(settling, call_id, person, said)
        return told(decided(unsettled), 201)

    return router


# What the pages share with the API.


async def unsettled_for(settling: Settling, person: Principal) -> list[Unsettled]:
    """What waits to be settled and this person may settle. Problem."""
    require_ready(settling.is_ready)
    with as_problems(_MISSING):
        return await settling.for_person(person)


async def outcome_of(settling: Settling, call_id: str, person: Principal) -> Unsettled:
    """The call, for whom it may settle, or might have. Problem."""
    with as_problems(_MISSING):
        return await settling.look(call_ref(call_id), person)


async def settle(settling: Settling, call_id: str, person: Principal, settlement: Settlement) -> Unsettled:
    """A person's word on what became of the call, and the call after it. Problem."""
    with as_problems(_MISSING):
        return await settling.settle(call_ref(call_id), person, settlement)


def _settlement(document: Mapping[str, JsonValue]) -> Settlement:
    word, result = document.get("outcome"), document.get("result")
    outcome = OUTCOMES.get(word) if isinstance(word, str) else None
    if outcome is None:
        raise Problem(422, "invalid_request", _EXPECTED)
    return Settlement(
        outcome=outcome,
        digest=digest_of(document, "GET /v1/outcomes, or /v1/outcomes/{id},"),
        reason=text_of(document, "reason", _EXPECTED),
        evidence=text_of(document, "evidence", _EXPECTED),
        result=None if result is None else dump(result),
    )
