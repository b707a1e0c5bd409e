"""Freezing over HTTP: `POST`, `GET` and `DELETE /v1/freezes`."""

import asyncio
from typing import Any, NoReturn

from fastapi import APIRouter, Request, Response

from callgate.cedar.published import NoPolicies
from callgate.http import Problem, answer
from callgate.identity.authenticator import Authenticator
from contracts.functions import Catalog
from contracts.model import JsonValue
from services.approval.control_documents import (
    FreezeDocument,
    FreezeList,
    FrozenDocument,
    LiftedDocument,
    freeze_members,
)
from services.approval.freeze_targets import has_been_seen
from services.approval.freezing import Freezing, NotAllowed, UnknownFreeze
from services.approval.history import History
from services.approval.people import person_of
from services.approval.request_bodies import FREEZE
from services.approval.routes import read_json
from services.approval.scopes import BadScope, freeze_wanted

BODY_LIMIT = 16 * 1024
_PRIVATE = {"Cache-Control": "no-store"}


def freeze_routes(freezing: Freezing, history: History, catalog: Catalog, authenticator: Authenticator) -> APIRouter:
    router = APIRouter(prefix="/v1/freezes", tags=["freezes"])

    @router.post(
        "",
        summary="Stop an agent, a session, a function, a connection or everything",
        status_code=201,
        response_model=FrozenDocument,
        openapi_extra=FREEZE,
    )
    async def freeze(request: Request) -> Response:
        person = await person_of(authenticator, request)
        with Refusals():
            wanted = freeze_wanted(await read_document(request), catalog)
            frozen, waiting = await freezing.freeze(person, wanted)
            seen = has_been_seen(history, freezing, wanted.scope, wanted.target)
        headers = {**_PRIVATE, "Location": f"/v1/freezes/{frozen.freeze_id}"}
        members = freeze_members(frozen, wanted.reason)
        return answer(FrozenDocument(**members, cancelling=waiting, seen=seen), 201, headers)

    @router.get("", summary="What is frozen now, as far as you may freeze or lift it", response_model=FreezeList)
    async def listed(request: Request) -> Response:
        person = await person_of(authenticator, request)
        with Refusals():
            freezes = await freezing.listed(person)
            reasons = await asyncio.gather(*(freezing.reason(freeze) for freeze in freezes))
        items = (FreezeDocument(**freeze_members(one, reason)) for one, reason in zip(freezes, reasons, strict=True))
        return answer(FreezeList(freezes=tuple(items)), headers=_PRIVATE)

    @router.delete(
        "/{freeze_id}", summary="Lift a freeze; what it cancelled stays cancelled", response_model=LiftedDocument
    )
    async def lift(request: Request, freeze_id: str) -> Response:
        person = await person_of(authenticator, request)
        with Refusals():
            freeze = await freezing.lift(person, freeze_id)
            reason = await freezing.reason(freeze)
        return answer(LiftedDocument(**freeze_members(freeze, reason)), headers=_PRIVATE)

    return router


async def read_document(request: Request) -> JsonValue:
    """What is asked of freezes and the like. Problem where it is no JSON."""
    return await read_json(request, BODY_LIMIT, max_depth=6)


class Refusals:
    """Turns what freezing and granting raise into problem documents."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: Any, error: BaseException | None, _trace: Any) -> None:
        match error:
            case BadScope():
                raise Problem(422, error.code, error.detail) from None
            case NotAllowed():
                _not_allowed(error.code)
            case UnknownFreeze():
                raise Problem(404, "unknown_freeze", "There is no such freeze; GET /v1/freezes lists them.") from None
            case NoPolicies():
                raise Problem(503, error.code, error.detail, {"Retry-After": "2"}) from None
            case _:
                return


def _not_allowed(code: str) -> NoReturn:
    details = {
        "delegated": "This is a person's own decision; sign in yourself, not through an agent.",
        "not_permitted": "No policy permits you to do this.",
        "not_permitted_in_advance": "No policy lets you approve such calls whatever their arguments; decide on each.",
        "own_call": "Nobody grants what is asked by or for themselves.",
        "grant_insufficient": "Your approval alone would not do for such calls, and a grant is no more than that.",
    }
    raise Problem(403, code, details[code]) from None
