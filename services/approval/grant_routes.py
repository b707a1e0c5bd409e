"""Granting over HTTP: `POST`, `GET` and `DELETE /v1/grants`."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from callgate.http import Problem, json_response
from callgate.identity.authenticator import Authenticator
from contracts.functions import Catalog
from contracts.grants import Grant
from contracts.model import rfc3339
from services.approval.freeze_routes import Refusals, read_document
from services.approval.grant_forms import grant_wanted
from services.approval.granting import Granting, UnknownGrant
from services.approval.handlers import Approval
from services.approval.people import person_of
from services.approval.routes import looked_at

_PRIVATE = {"Cache-Control": "no-store"}


def grant_routes(granting: Granting, approval: Approval, catalog: Catalog, authenticator: Authenticator) -> APIRouter:
    router = APIRouter(prefix="/v1/grants", tags=["grants"])

    @router.post("", summary="Approve such calls in advance", status_code=201)
    async def grant(request: Request) -> Response:
        person = await person_of(authenticator, request)
        with Refusals():
            wanted = grant_wanted(await read_document(request), catalog, person.issuer)
            scope = wanted.scope
            if wanted.call is not None:
                question = await looked_at(approval, wanted.call, person)
                scope = granting.scope_of(question, person, to_session=wanted.to_session)
            assert scope is not None  # noqa: S101  # a wish names a call or a scope
            granted = await granting.grant(person, scope, wanted.terms)
        headers = {**_PRIVATE, "Location": f"/v1/grants/{granted.data.grant_id}"}
        return json_response(_item(granted, wanted.terms.reason), 201, headers)

    @router.get("", summary="What is granted now, of what you gave or could have given")
    async def listed(request: Request) -> Response:
        person = await person_of(authenticator, request)
        with Refusals():
            grants = await granting.listed(person)
            reasons = await asyncio.gather(*(granting.reason(one) for one in grants))
        items = [_item(one, reason) for one, reason in zip(grants, reasons, strict=True)]
        return json_response({"grants": items}, headers=_PRIVATE)

    @router.delete("/{grant_id}", summary="End a grant at once")
    async def revoke(request: Request, grant_id: str) -> Response:
        person = await person_of(authenticator, request)
        try:
            with Refusals():
                revoked = await granting.revoke(person, grant_id)
                reason = await granting.reason(revoked)
        except UnknownGrant:
            raise Problem(404, "unknown_grant", "There is no such grant; GET /v1/grants lists them.") from None
        return json_response(_item(revoked, reason) | {"revoked": True}, headers=_PRIVATE)

    return router


def _item(grant: Grant, reason: str | None) -> dict[str, Any]:
    data = grant.data
    return {
        "id": data.grant_id,
        "by": data.by.id,
        "agent": data.agent,
        "issuer": data.issuer,
        "on_behalf_of": data.on_behalf_of,
        "session": data.session_id,
        "function": data.function,
        "conditions": data.conditions,
        "policy": data.policy,
        "uses": data.uses,
        "left": grant.left,
        "calls": sorted(grant.uses, key=lambda call: grant.uses[call]),
        "since": rfc3339(grant.since),
        "expires_at": rfc3339(data.expires_at),
        "reason": reason,
    }
