"""What comes back: an outcome, an event of a call, or an error that says what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from callgate.errors import CallgateError


class Problem(CallgateError):
    """Callgate refused the request (RFC 9457): nothing ran. `code` is for programs, `detail` says what to do."""

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        code, detail = str(document.get("code", "unknown")), str(document.get("detail", ""))
        super().__init__(code, f"{detail} ({status} {code})" if detail else f"{status} {code}")
        self.status = status
        self.document = document


class Unreachable(CallgateError):
    """No Callgate answered, however often it was tried. A call that was sent may stand: the same key finds it."""

    def __init__(self, url: str, idempotency_key: str | None = None) -> None:
        super().__init__("unreachable", f"no Callgate answers at {url}; is the address right, and is it up?")
        self.idempotency_key = idempotency_key
        """Of what may have been recorded; `call` or `tools.run` with `idempotency_key=` it runs nothing twice."""


class NotCompleted(CallgateError):
    """The call ended in another way than with a result: denied, rejected, expired, failed, unknown or cancelled."""

    def __init__(self, outcome: "Outcome") -> None:
        named = f" (policies: {', '.join(outcome.policies)})" if outcome.policies else ""
        given = f" Reason: {outcome.reason}" if outcome.reason else ""
        said = f"{outcome.function}: {outcome.status}. {outcome.detail}{named}{given}"
        super().__init__(outcome.code or outcome.status, said)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Outcome:
    """A call, as far as it is. `document` is all that Callgate said of it (docs/codes.md)."""

    document: Mapping[str, Any] = field(repr=False)
    id: str
    session: str
    function: str
    status: str
    """completed, denied, rejected, expired, failed, unknown or cancelled; pending, waiting_for_approval or running
    while it goes on."""
    answered: bool
    """Whether there is nothing more to wait for."""

    @classmethod
    def of(cls, document: Mapping[str, Any], *, answered: bool) -> "Outcome":
        """KeyError where it is no document of a call."""
        id_, session, function, status = (str(document[name]) for name in ("id", "session", "function", "status"))
        return cls(document, id_, session, function, status, answered)

    @property
    def ok(self) -> bool:
        """The function answered, whatever its own status code (`function_status`)."""
        return self.status == "completed"

    @property
    def result(self) -> Any:
        """The body of the function's answer, masked; None where there is none, or it is withheld."""
        return self._result.get("body")

    @property
    def function_status(self) -> int | None:
        """The HTTP status of the function's own answer."""
        return self._result.get("status")

    @property
    def code(self) -> str | None:
        """Why it did not complete, for programs."""
        return self.document.get("code")

    @property
    def detail(self) -> str:
        """The same for people and models."""
        return str(self.document.get("detail") or "")

    @property
    def reason(self) -> str:
        """What a person said who rejected it, or settled that it was not done; empty where nobody said anything."""
        return str(self.document.get("reason") or "")

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies that decided so, by their ids, where any did."""
        return tuple(map(str, self.document.get("policies") or ()))

    def value(self) -> Any:
        """The result. NotCompleted for a call that has none."""
        if not self.ok:
            raise NotCompleted(self)
        return self.result

    @property
    def _result(self) -> Mapping[str, Any]:
        return self.document.get("result") or {}


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a call, as its agent may see it."""

    name: str
    sequence: int
    document: Mapping[str, Any] = field(repr=False)
