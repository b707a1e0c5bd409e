"""For operators: how the sending of notices goes, and sending a dead letter once more."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Query, Request, Response

from callgate.errors import LostRace
from callgate.http import Problem, answer
from callgate.identity.authenticator import Authenticator
from callgate.openapi import Answer
from contracts.identity import Principal
from contracts.model import Timestamp
from contracts.records import NoticeOutcome
from contracts.subjects import CallRef
from services.approval.channels import EVENT_TYPES, Channels

PAGE_LIMIT = 500

Outcome = Literal["pending", "delivered", "skipped", "dead"]


class Delivery(Answer):
    """How the sending of one notice goes."""

    id: str
    endpoint: str
    call: str
    type: str
    outcome: Outcome
    attempts: int
    at: Timestamp
    """Of the last attempt, or of what came of it."""
    code: str | None
    """Why the last attempt failed, or why the notice was skipped."""
    status: int | None
    """What the receiver answered last."""
    next_at: Timestamp | None
    """Of the next attempt, while pending."""


class DeliveryList(Answer):
    deliveries: tuple[Delivery, ...]
    more: int
    """As many are not shown; name an endpoint or an outcome, or a higher limit."""


class SentAgain(Answer):
    id: str
    outcome: Literal["pending"] = "pending"


def notice_routes(channels: Channels, authenticator: Authenticator, operators: frozenset[str]) -> APIRouter:
    router = APIRouter(prefix="/v1/notices", tags=["approval"])

    @router.get(
        "/deliveries", summary="How the sending of notices goes, the latest attempt first", response_model=DeliveryList
    )
    async def deliveries(
        request: Request,
        endpoint: str | None = Query(None, max_length=50),
        outcome: Outcome | None = None,
        limit: int = Query(100, ge=1, le=PAGE_LIMIT),
    ) -> Response:
        await _operator(request, authenticator, operators)
        names = [name for name in channels.endpoints if endpoint in (None, name)]
        found: list[Delivery] = []
        for name in names:
            async for key, standing, data in channels.outcomes(name):
                if outcome in (None, data.outcome):
                    found.append(_delivery(key, standing.record.at, data))
        found.sort(key=lambda one: one.at, reverse=True)
        return answer(DeliveryList(deliveries=tuple(found[:limit]), more=max(0, len(found) - limit)))

    @router.post(
        "/deliveries/{delivery_id}/again",
        summary="Send a dead letter once more",
        status_code=202,
        response_model=SentAgain,
    )
    async def again(request: Request, delivery_id: str) -> Response:
        await _operator(request, authenticator, operators)
        endpoint, ref, key = _parsed(delivery_id)
        if endpoint not in channels.endpoints:
            raise Problem(404, "not_found", "The settings name no such endpoint.")
        try:
            sent = await channels.again(endpoint, ref, key)
        except LostRace:
            sent = False
        if not sent:
            raise Problem(409, "no_dead_letter", "This delivery is no dead letter; only those are sent again.")
        return answer(SentAgain(id=delivery_id), 202)

    return router


async def _operator(request: Request, authenticator: Authenticator, operators: frozenset[str]) -> Principal:
    person = await authenticator.identify(request)
    if person.actors or person.on_behalf_of is not None or operators.isdisjoint(person.groups):
        raise Problem(403, "not_an_operator", "Only the groups that `approval.operators` names may look at this.")
    return person


def _delivery(key: str, at: datetime, data: NoticeOutcome) -> Delivery:
    return Delivery(
        id=f"{data.endpoint}.{data.call}.{key}",
        endpoint=data.endpoint,
        call=data.call,
        type=EVENT_TYPES.get(data.kind, data.kind),
        outcome=data.outcome,
        attempts=data.attempts,
        at=at,
        code=data.code,
        status=data.status,
        next_at=data.next_at,
    )


def _parsed(delivery_id: str) -> tuple[str, CallRef, str]:
    """`<endpoint>.<call>.<key>`. Problem."""
    endpoint, _, rest = delivery_id.partition(".")
    call, _, key = rest.rpartition(".")
    try:
        ref = CallRef.parse(call)
    except ValueError:
        raise Problem(404, "not_found", "There is no such delivery.") from None
    if not key or not key.replace("-", "").replace("_", "").isalnum() or not key.isascii():
        raise Problem(404, "not_found", "There is no such delivery.")
    return endpoint, ref, key
