"""Granting over HTTP: `POST`, `GET` and `DELETE /v1/grants`."""

import asyncio

from fastapi import APIRouter, Request, Response

from callgate.http import Problem, answer
from callgate.identity.authenticator import Authenticator
from contracts.functions import Catalog
from services.approval.control_documents import GrantDocument, GrantList, RevokedDocument, grant_members
from services.approval.freeze_routes import Refusals, read_document
from services.approval.grant_forms import grant_wanted
from services.approval.granting import Granting, UnknownGrant
from services.approval.handlers import Deciding
from services.approval.people import person_of
from services.approval.request_bodies import GRANT
from services.approval.routes import looked_at

_PRIVATE = {"Cache-Control": "no-store"}


def grant_routes(granting: Granting, approval: Deciding, catalog: Catalog, authenticator: Authenticator) -> APIRouter:
    router = APIRouter(prefix="/v1/grants", tags=["grants"])

    @router.post(
        "",
        summary="Approve such calls in advance",
        status_code=201,
        response_model=GrantDocument,
        openapi_extra=GRANT,
    )
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
        document = GrantDocument(**grant_members(granted, granting.state(granted), wanted.terms.reason))
        return answer(document, 201, headers)

    @router.get(
        "", summary="What is granted, used up or not, of what you gave or could have given", response_model=GrantList
    )
    async def listed(request: Request) -> Response:
        person = await person_of(authenticator, request)
        with Refusals():
            grants = await granting.listed(person)
            reasons = await asyncio.gather(*(granting.reason(one) for one in grants))
        items = (
            GrantDocument(**grant_members(one, granting.state(one), reason))
            for one, reason in zip(grants, reasons, strict=True)
        )
        return answer(GrantList(grants=tuple(items)), headers=_PRIVATE)

    @router.delete("/{grant_id}", summary="End a grant at once", response_model=RevokedDocument)
    async def revoke(request: Request, grant_id: str) -> Response:
        person = await person_of(authenticator, request)
        try:
            with Refusals():
                revoked = await granting.revoke(person, grant_id)
                reason = await granting.reason(revoked)
        except UnknownGrant:
            raise Problem(404, "unknown_grant", "There is no such grant; GET /v1/grants lists them.") from None
        return answer(RevokedDocument(**grant_members(revoked, granting.state(revoked), reason)), headers=_PRIVATE)

    return router
