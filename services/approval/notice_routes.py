"""For operators: how the sending of notices goes, and sending a dead letter once more."""

from typing import Any, Literal

from fastapi import APIRouter, Query, Request, Response

from callgate.errors import LostRace
from callgate.http import Problem, json_response
from callgate.identity.authenticator import Authenticator
from contracts.identity import Principal
from contracts.model import rfc3339
from contracts.records import NoticeOutcome
from contracts.subjects import CallRef
from services.approval.channels import EVENT_TYPES, Channels

PAGE_LIMIT = 500


def notice_routes(channels: Channels, authenticator: Authenticator, operators: frozenset[str]) -> APIRouter:
    router = APIRouter(prefix="/v1/notices", tags=["approval"])

    @router.get("/deliveries", summary="How the sending of notices goes, the latest attempt first")
    async def deliveries(
        request: Request,
        endpoint: str | None = Query(None, max_length=50),
        outcome: Literal["pending", "delivered", "skipped", "dead"] | None = None,
        limit: int = Query(100, ge=1, le=PAGE_LIMIT),
    ) -> Response:
        await _operator(request, authenticator, operators)
        names = [name for name in channels.endpoints if endpoint in (None, name)]
        found: list[dict[str, Any]] = []
        for name in names:
            async for key, standing, data in channels.outcomes(name):
                if outcome in (None, data.outcome):
                    found.append(_item(key, rfc3339(standing.record.at), data))
        found.sort(key=lambda one: str(one["at"]), reverse=True)
        return json_response({"deliveries": found[:limit], "more": max(0, len(found) - limit)})

    @router.post("/deliveries/{delivery_id}/again", summary="Send a dead letter once more", status_code=202)
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
        return json_response({"id": delivery_id, "outcome": "pending"}, 202)

    return router


async def _operator(request: Request, authenticator: Authenticator, operators: frozenset[str]) -> Principal:
    person = await authenticator.identify(request)
    if person.actors or person.on_behalf_of is not None or operators.isdisjoint(person.groups):
        raise Problem(403, "not_an_operator", "Only the groups that `approval.operators` names may look at this.")
    return person


def _item(key: str, at: str, data: NoticeOutcome) -> dict[str, Any]:
    return {
        "id": f"{data.endpoint}.{data.call}.{key}",
        "endpoint": data.endpoint,
        "call": data.call,
        "type": EVENT_TYPES.get(data.kind, data.kind),
        "outcome": data.outcome,
        "attempts": data.attempts,
        "at": at,
        "code": data.code,
        "status": data.status,
        "next_at": rfc3339(data.next_at) if data.next_at else None,
    }


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
