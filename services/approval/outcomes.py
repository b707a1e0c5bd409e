"""6. Calls of which nobody knows whether they happened, and who may say what became of them. Pure: ids and time are
passed in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Literal

from contracts.events import OutcomeSettled, OutcomeUnknown, Sealed
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.model import JsonValue
from services.approval.domain import (
    Ballot,
    CallFacts,
    DecisionRefused,
    Refusal,
    ballots_of,
    facts_of,
    proof_of,
    right_of,
)

Outcome = Literal["done", "not_done", "run_again"]
OUTCOMES: Mapping[JsonValue, Outcome] = MappingProxyType(
    {"done": "done", "not_done": "not_done", "run_again": "run_again"}
)
"""As they are written."""


@dataclass(frozen=True, slots=True)
class Unsettled(CallFacts):
    """A call whose outcome is, or was, unknown; its digest is that of the last `outcome_unknown`."""

    code: str
    """Why nobody knows: a code of docs/codes.md."""
    since: datetime
    attempts: int
    ballots: tuple[Ballot, ...]
    """Of those who approved it, where people were asked."""

    @property
    def waiting(self) -> bool:
        return self.state == OutcomeUnknown.NAME


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a person found out about the outcome that has this digest. `result` is the text of a JSON document."""

    outcome: Outcome
    digest: str
    reason: str | None = field(repr=False)
    evidence: str | None = field(default=None, repr=False)
    result: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SealedSettlement:
    """The same, sealed for the event that is to hold it."""

    reason: Sealed
    evidence: Sealed | None
    result: Sealed | None


def unsettled_of(call: Call) -> Unsettled | None:
    """The last outcome of the call that nobody knew; None where every one was known."""
    unknown, data = call.last_recorded(OutcomeUnknown), call.last(OutcomeUnknown)
    if unknown is None or data is None:
        return None
    return Unsettled(
        **facts_of(call, unknown),
        code=data.code,
        since=unknown.event.at,
        attempts=call.attempts,
        ballots=ballots_of(call),
    )


def check_settlement(unsettled: Unsettled, person: Principal, permitted: bool, settlement: Settlement) -> None:
    """DecisionRefused unless this person may say so of the outcome that they saw. `permitted` is Cedar's word."""
    refusal = right_of(unsettled, person, permitted) or _idle(unsettled, settlement)
    if refusal is not None:
        raise DecisionRefused(refusal, unsettled)


def _idle(unsettled: Unsettled, settlement: Settlement) -> Refusal | None:
    if not unsettled.waiting:
        return Refusal.OUTCOME_KNOWN
    if settlement.digest != unsettled.digest:
        return Refusal.CALL_CHANGED
    if not settlement.reason:
        return Refusal.REASON_REQUIRED
    if settlement.result is not None and settlement.outcome != "done":
        return Refusal.RESULT_OF_NOTHING
    return None


def settled_of(
    unsettled: Unsettled, person: Principal, settlement: Settlement, sealed: SealedSettlement
) -> OutcomeSettled:
    """The word of a person whom `check_settlement` let pass."""
    return OutcomeSettled(
        by=person,
        outcome=settlement.outcome,
        result=sealed.result,
        evidence=sealed.evidence,
        reason=sealed.reason,
        proof=proof_of(person, unsettled),
    )
