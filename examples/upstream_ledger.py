"""What the demo upstream remembers of the requests it got, and how it was told to misbehave."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Mode = Literal["slow", "status", "drop_before", "drop_after", "echo_error", "huge", "redirect", "answer"]

_EXECUTES: frozenset[Mode] = frozenset({"slow", "drop_after", "huge", "answer"})


class Behaviour(BaseModel):
    """What the next `times` requests of `route` meet, in place of (or, for `slow`, before) their answer.

    `drop_before` closes the connection before the request is executed, `drop_after` afterwards: from outside
    nobody can tell them apart. `slow` executes first and then takes `seconds` to answer; `huge` executes and
    answers something large instead, `answer` what `status`, `headers` and `text` say. `status`, `echo_error` and
    `redirect` execute nothing.
    """

    model_config = ConfigDict(extra="forbid")

    route: str
    """As counted, e.g. `POST /refunds`."""
    mode: Mode
    times: Annotated[int, Field(gt=0)] = 1
    seconds: Annotated[float, Field(ge=0)] = 0.0
    status: Annotated[int, Field(ge=200, le=599)] = 500
    size: Annotated[int, Field(gt=0, le=64 * 1024 * 1024)] = 8 * 1024 * 1024
    """Bytes of the body of `huge`."""
    location: str = "/ping"
    headers: tuple[tuple[str, str], ...] = ()
    text: str = ""

    @property
    def executes(self) -> bool:
        return self.mode in _EXECUTES


class Ledger:
    """Counts of arrivals (authenticated requests) and executions (those that succeeded), in memory.

    With a journal, each execution is also one line `{"route", "key"}` on disk before it is answered: the
    operating system has it even when this process is killed the next moment.
    """

    def __init__(self, journal: Path | None = None) -> None:
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if journal else None
        self._behaviours: list[Behaviour] = []
        self.clear()

    def clear(self) -> None:
        self.serial = 0
        self.refused = 0
        self.arrived: Counter[str] = Counter()
        self.executed: Counter[str] = Counter()
        self.keys_arrived: Counter[str] = Counter()
        self.keys_executed: Counter[str] = Counter()
        self.last: dict[str, dict[str, Any]] = {}
        self._behaviours.clear()

    def arrive(self, route: str, key: str | None, request: dict[str, Any]) -> None:
        self.arrived[route] += 1
        if key is not None:
            self.keys_arrived[key] += 1
        self.last[route] = request

    def execute(self, route: str, key: str | None) -> None:
        self.serial += 1
        self.executed[route] += 1
        if key is not None:
            self.keys_executed[key] += 1
        if self._journal is not None:
            os.write(self._journal, json.dumps({"route": route, "key": key}).encode() + b"\n")

    def misbehave(self, behaviour: Behaviour) -> None:
        self._behaviours.append(behaviour)

    def next_behaviour(self, route: str) -> Behaviour | None:
        """What this request of the route meets; spends one of its times."""
        for i, behaviour in enumerate(self._behaviours):
            if behaviour.route == route:
                if behaviour.times > 1:
                    self._behaviours[i] = behaviour.model_copy(update={"times": behaviour.times - 1})
                else:
                    del self._behaviours[i]
                return behaviour
        return None

    def seen(self) -> dict[str, Any]:
        """Everything above, as `GET /_seen` answers it. `idempotency_keys` counts arrivals, `executions` effects."""
        return {
            "refused": self.refused,
            "arrived": dict(self.arrived),
            "executed": dict(self.executed),
            "idempotency_keys": dict(self.keys_arrived),
            "executions": dict(self.keys_executed),
            "last": self.last,
        }


def journalled_executions(journal: Path) -> Counter[str]:
    """How often each idempotency key was executed, by the journal; a torn last line (power loss) is no execution."""
    lines = journal.read_text().split("\n")[:-1] if journal.exists() else []
    return Counter(key for line in lines if (key := json.loads(line)["key"]) is not None)
