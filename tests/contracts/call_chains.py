"""Chains of recorded events for the fold, without a log: digests are counted up, nothing is signed."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from contract_samples import AGENT, DIGEST, INLINE, REF

from contracts.events import (
    Allowed,
    ApprovalRequired,
    Approved,
    ArgumentsAmended,
    ArgumentsMasked,
    EventData,
    ExecutionCompleted,
    ExecutionStarted,
    OutcomeSettled,
    OutcomeUnknown,
    Proof,
    Recorded,
    Rejected,
    Requested,
    Requirement,
    ResultMasked,
    VoteCast,
    make_event,
)
from contracts.identity import Principal
from contracts.lifecycle import Call, IllegalTransition
from contracts.subjects import CallRef

GENESIS = "9" * 64
START = datetime(2026, 1, 31, 12, tzinfo=UTC)
EXPIRES = START + timedelta(minutes=15)
FUNCTION = "payments.refund"

REQUESTED = Requested(function=FUNCTION, principal=AGENT, arguments=INLINE)
MASKED = ArgumentsMasked(function=FUNCTION, principal=AGENT, arguments=INLINE, view=INLINE)
AMENDED = MASKED.model_copy(update={"amended": True})
ALLOWED = Allowed(policy_set=DIGEST, function_digest=DIGEST)
COMPLETED = ExecutionCompleted(function=FUNCTION, status=200, result=INLINE, size=1, duration_ms=1)
RESULT = ResultMasked(status=200, view=INLINE)


def person(name: str, *groups: str, behind: str | None = None) -> Principal:
    return Principal(id=name, issuer="https://issuer.test", groups=groups, on_behalf_of=behind)


RITA = person("rita", "finance")
SAM = person("sam", "finance", "sre")


def event_id(number: int) -> str:
    return f"019c1234-0000-7000-8000-{number:012x}"


def asked(*requirements: Requirement) -> ApprovalRequired:
    return ApprovalRequired(
        policy_set=DIGEST, function_digest=DIGEST, requirements=requirements or (requirement("finance"),)
    )


def requirement(*approvers: str, quorum: int = 1, expires_at: datetime = EXPIRES, **more: Any) -> Requirement:
    return Requirement(policies=("p",), approvers=approvers, quorum=quorum, expires_at=expires_at, **more)


def started(attempt: int = 1) -> ExecutionStarted:
    return ExecutionStarted(instance="e1", attempt=attempt, deadline=EXPIRES)


@dataclass
class Chain:
    """Grows a call event by event; each follows the head unless told otherwise."""

    call: Call = field(default_factory=lambda: Call(REF, GENESIS))
    number: int = 0

    def recorded(
        self,
        data: EventData,
        *,
        follows: str | None = None,
        ref: CallRef = REF,
        at: datetime = START,
        recorded_at: datetime | None = None,
        sequence: int | None = None,
    ) -> Recorded:
        self.number += 1
        follows = self.call.head_digest if follows is None else follows
        event = make_event(event_id(self.number), ref, at, follows, data)
        digest = hashlib.sha256(f"{self.number}".encode()).hexdigest()
        return Recorded(ref, sequence or self.number, recorded_at or at, digest, "key", event)

    def add(self, *more: EventData) -> "Chain":
        for data in more:
            self.call = self.call.apply(self.recorded(data))
        return self

    def vote(self, reviewer: Principal, decision: str = "approve", **more: Any) -> VoteCast:
        proof = Proof(issuer=reviewer.issuer, subject=reviewer.id, digest=self.call.open_question)
        return VoteCast(
            reviewer=reviewer, decision="approve" if decision == "approve" else "reject", proof=proof, **more
        )

    def voted(self, *reviewers: Principal) -> "Chain":
        for reviewer in reviewers:
            self.add(self.vote(reviewer))
        return self

    def amendment(self, author: Principal, **more: Any) -> ArgumentsAmended:
        """Of the open question, if there is one."""
        asked = self.call.last_recorded(ApprovalRequired)
        proof = Proof(issuer=author.issuer, subject=author.id, digest=asked.digest if asked else DIGEST)
        return ArgumentsAmended.model_validate({"author": author, "patch": INLINE, "proof": proof} | more)

    def settlement(self, by: Principal, outcome: str, **more: Any) -> OutcomeSettled:
        """Of what stands last."""
        proof = Proof(issuer=by.issuer, subject=by.id, digest=self.call.head_digest)
        return OutcomeSettled.model_validate({"by": by, "outcome": outcome, "reason": INLINE, "proof": proof} | more)

    def approved(self) -> Approved:
        """By all votes cast so far, whether they suffice or not."""
        return Approved(votes=tuple(vote.event.event_id for vote in self.call.votes) or (event_id(0),))

    def rejected(self, reviewer: Principal) -> Rejected:
        return Rejected(by=reviewer.id, vote=self.call.votes[-1].event.event_id)


def waiting(*requirements: Requirement) -> Chain:
    return Chain().add(REQUESTED, MASKED, asked(*requirements))


def running() -> Chain:
    return Chain().add(REQUESTED, MASKED, ALLOWED, started())


def unknown() -> Chain:
    return running().add(OutcomeUnknown(code="timed_out"))


def names(call: Call) -> Sequence[str]:
    return [recorded.name for recorded in call.chain]


def refusal(chain: Chain, recorded: Recorded) -> str:
    """The code with which the fold sets the event aside; the chain stays as it was."""
    with pytest.raises(IllegalTransition) as refused:
        chain.call.apply(recorded)
    after = chain.call.accept(recorded)
    assert after.chain == chain.call.chain
    assert after.aliens[-1] == (recorded, refused.value.code)
    return refused.value.code
