"""What became of one attempt to run a function, over whichever protocol.

The three outcomes decide what the log says. `Completed`: the upstream answered, whatever its status.
`NotSent`: certainly nothing of the request left, so there is no effect. `Unknown`: it may have happened.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from callgate.http_mapping.received import Received
from contracts.functions import Connection, Function
from contracts.model import JsonValue
from services.executor.credentials import CredentialCode

NotSentCode = (
    Literal[
        "deadline_passed",
        "frozen",
        "header_invalid",
        "dns_failure",
        "connection_refused",
        "connect_failed",
        "connect_timeout",
        "tls_failure",
        "request_invalid",
        "function_changed",
        "function_gone",
        "server_unavailable",
    ]
    | CredentialCode
)
UnknownCode = Literal[
    "timeout", "disconnected", "connection_reset", "response_cut", "protocol_error", "transport_error"
]


Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Completed:
    """The upstream's answer. `content_type` is not sealed where it goes, unlike the body, so no value may be in it.

    `truncated`: `body` is not all of it (longer than the limit, damaged, or in a coding that was not asked for).
    """

    status: int
    content_type: str
    body: bytes = field(repr=False)
    truncated: bool
    duration_ms: float
    headers: Headers = field(default=(), repr=False)
    """What an agent at the proxy may see of the answer's headers, once they are masked (`answer_headers`)."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing reached the upstream."""

    code: NotSentCode
    freeze: str | None = None
    """The id of the freeze that stopped it, where one did."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The request, or part of it, may have reached the upstream; no whole answer came back."""

    code: UnknownCode


Outcome = Completed | NotSent | Unknown


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt: of which call, and within how many seconds."""

    call_id: str
    """For the upstream to know a repetition by."""
    deadline_seconds: float
    traceparent: str | None = None


Send = Callable[[Attempt], Awaitable[Outcome]]
"""Sends what was prepared, at most once a call of it. Raises only on cancellation, whose outcome is unknown."""


class Runner(Protocol):
    """Runs the functions of one kind of connection."""

    async def prepare(
        self,
        function: Function,
        connection: Connection,
        arguments: Mapping[str, JsonValue],
        received: Received | None = None,
    ) -> Send:
        """Does all that can fail without effect. MappingError or CredentialError, whose code says why.

        `received` is the request that came through the proxy, for a connection of `kind: http`."""
        ...
