"""How much one principal may ask for: what the operator writes under `limits:`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from contracts.functions import Name
from contracts.model import Contract

CONCURRENT_MAX = 200


class LimitSettings(Contract):
    """One limit. Every limit that concerns a call must have room for it."""

    name: Name
    """What callers are told, and under what the counts stand: a renamed limit counts anew."""
    principals: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    """Whom it concerns: these principals and the members of these groups; everybody where both are empty."""
    tags: tuple[Name, ...] = ()
    """Which functions: those with one of these tags; all where empty."""
    per: Literal["principal", "everyone"] = "principal"
    """Whether each of them has it for themselves, or all of them together."""
    calls: int | None = Field(default=None, ge=1, le=1_000_000)
    """In `seconds`, on average; None: as many as they like."""
    seconds: float = Field(default=60.0, ge=1, le=86_400)
    burst: int | None = Field(default=None, ge=1, le=1_000_000)
    """At once, after a pause; `calls` where absent."""
    concurrent: int | None = Field(default=None, ge=1, le=CONCURRENT_MAX)
    """Calls in progress or waiting for people at the same time; None: as many as they like."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.calls is None and self.concurrent is None:
            raise ValueError("limits nothing: give `calls` (in `seconds`), or `concurrent`")
        if self.burst is not None and self.calls is None:
            raise ValueError("`burst` goes with `calls`")
        return self
