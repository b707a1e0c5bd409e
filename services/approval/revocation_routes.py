"""Revoking over HTTP: `POST`, `GET` and `DELETE /v1/revocations`."""

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Request, Response

from callgate.http import Problem, answer
from callgate.identity.authenticator import Authenticator
from callgate.openapi import Answer
from contracts.model import Timestamp
from contracts.revocations import Revocation
from services.approval.freeze_routes import Refusals, read_document
from services.approval.people import person_of
from services.approval.request_bodies import REVOCATION
from services.approval.revocation_forms import revocation_wanted
from services.approval.revoking import Revoking, UnknownRevocation

_PRIVATE = {"Cache-Control": "no-store"}


class RevocationDocument(Answer):
    """A revocation."""

    id: str
    scope: Literal["subject", "token"]
    target: str
    issuer: str | None
    """None: a subject of that name by any issuer."""
    issued_before: Timestamp | None
    """Of a subject: only tokens issued before; None: all."""
    by: str
    since: Timestamp
    expires_at: Timestamp | None
    """None: until it is lifted."""
    reason: str | None
    """None where it was erased."""


class UnrevokedDocument(RevocationDocument):
    """A revocation that is no more in force."""

    lifted: bool = True


class RevocationList(Answer):
    revocations: tuple[RevocationDocument, ...]


def revocation_routes(revoking: Revoking, authenticator: Authenticator) -> APIRouter:
    router = APIRouter(prefix="/v1/revocations", tags=["revocations"])

    @router.post(
        "",
        summary="Take a token, or a subject's tokens, for nobody's any more",
        status_code=201,
        response_model=RevocationDocument,
        openapi_extra=REVOCATION,
    )
    async def revoke(request: Request) -> Response:
        person = await person_of(authenticator, request)
        with Refusals():
            wanted = revocation_wanted(await read_document(request))
            revoked = await revoking.revoke(person, wanted)
        headers = {**_PRIVATE, "Location": f"/v1/revocations/{revoked.revocation_id}"}
        return answer(RevocationDocument(**_members(revoked, wanted.reason)), 201, headers)

    @router.get("", summary="What is revoked now, as far as you may revoke or lift it", response_model=RevocationList)
    async def listed(request: Request) -> Response:
        person = await person_of(authenticator, request)
        with Refusals():
            found = await revoking.listed(person)
            reasons = await asyncio.gather(*(revoking.reason(one) for one in found))
        items = (RevocationDocument(**_members(one, reason)) for one, reason in zip(found, reasons, strict=True))
        return answer(RevocationList(revocations=tuple(items)), headers=_PRIVATE)

    @router.delete(
        "/{revocation_id}", summary="Lift a revocation: its tokens count again", response_model=UnrevokedDocument
    )
    async def lift(request: Request, revocation_id: str) -> Response:
        person = await person_of(authenticator, request)
        with Refusals():
            try:
                lifted = await revoking.lift(person, revocation_id)
            except UnknownRevocation:
                detail = "There is no such revocation; GET /v1/revocations lists them."
                raise Problem(404, "unknown_revocation", detail) from None
            reason = await revoking.reason(lifted)
        return answer(UnrevokedDocument(**_members(lifted, reason)), headers=_PRIVATE)

    return router


def _members(revocation: Revocation, reason: str | None) -> dict[str, Any]:
    return {
        "id": revocation.revocation_id,
        "scope": revocation.scope,
        "target": revocation.target,
        "issuer": revocation.issuer,
        "issued_before": revocation.issued_before,
        "by": revocation.by.id,
        "since": revocation.since,
        "expires_at": revocation.expires_at,
        "reason": reason,
    }
