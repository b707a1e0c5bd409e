"""One request of an MCP client, as the door hands it past the SDK to our own handlers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp.server import ServerRequestContext

from contracts.identity import Principal
from services.ingress.calls import Begun

Context = ServerRequestContext[Any, Any]


@dataclass(slots=True)
class Asked:
    """Who asks, in which Callgate session, and with which arguments (the JSON of an object).

    `session` is the one that the client names, `default_session` that of its agent run where it names none. The SDK
    carries it as the transport's own request: `ctx.request`.
    """

    principal: Principal
    headers: Mapping[str, str] = field(repr=False)
    session: str | None
    default_session: str
    keys: Sequence[str] = field(default=(), repr=False)
    """Idempotency keys, as they were sent: not checked yet."""
    arguments: bytes = field(default=b"{}", repr=False)
    traceparent: str | None = None
    begun: Begun = lambda _: None
    """Is told the id of the call that this request becomes."""
    result: Any = None
    """Of a tool call: what the SDK's handler is to answer. The call is waited for before, outside of the SDK, whose
    frames and tasks around each waiting call would take more memory than the call."""


def asked_of(ctx: Context) -> Asked:
    """LookupError where the request did not come through the door."""
    if not isinstance(ctx.request, Asked):
        raise LookupError("not asked at the door")
    return ctx.request
