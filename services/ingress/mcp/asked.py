"""What the door knows of a request before the SDK sees it, handed past the SDK in the request's own scope."""

from dataclasses import dataclass, field
from typing import Any

from mcp.server import ServerRequestContext
from starlette.requests import Request
from starlette.types import Scope

from contracts.identity import Principal
from services.ingress.mcp.waits import RequestKey

_KEY = "callgate.mcp"


@dataclass(slots=True)
class Asked:
    """Who asks, in which Callgate session, and with which arguments (the JSON of an object)."""

    principal: Principal
    arguments: bytes = field(repr=False)
    session: str
    traceparent: str | None
    key: RequestKey | None
    """None where the protocol knows no sessions, and so no request that could be taken back."""


def put(scope: Scope, asked: Asked) -> None:
    scope[_KEY] = asked


def asked_of(ctx: ServerRequestContext[Any, Any]) -> Asked:
    """What `put` was given for this request. LookupError where the request did not come through the door."""
    request = ctx.request
    if not isinstance(request, Request):
        raise LookupError("no request")
    asked = request.scope[_KEY]
    if not isinstance(asked, Asked):
        raise LookupError("not asked here")
    return asked
