"""Calls built event by event, as the log would hold them, without a log."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from callgate.ids import mint_session, uuid7
from callgate.signing import digest_of
from contracts.events import (
    Allowed,
    ApprovalRequired,
    ArgumentsAmended,
    ArgumentsMasked,
    EventData,
    ExecutionStarted,
    Finding,
    OutcomeSettled,
    OutcomeUnknown,
    Proof,
    Recorded,
    Requested,
    Requirement,
    Sealed,
    encode_event,
    make_event,
)
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
GENESIS = "0" * 64
SEALED = Sealed(key_id="k", nonce="AAAAAAAAAAAAAAAA", ciphertext="AAAA")
AGENT = Principal(id="bot", issuer="https://issuer.example", on_behalf_of="rosa", actors=("bot",))


def person(name: str, *groups: str) -> Principal:
    return Principal(id=name, issuer="https://issuer.example", groups=groups)


def requirement(
    *approvers: str, quorum: int = 1, expires: timedelta = timedelta(minutes=15), **more: Any
) -> Requirement:
    return Requirement(policies=("p",), approvers=approvers, quorum=quorum, expires_at=START + expires, **more)


@dataclass
class Story:
    """A call to which events are added; `call` is its fold."""

    ref: CallRef = field(default_factory=lambda: CallRef(Partition(1, 0), mint_session("bot"), uuid7()))
    call: Call = field(init=False)
    sequence: int = 0

    def __post_init__(self) -> None:
        self.call = Call(self.ref, GENESIS)

    def recorded(
        self, data: EventData, at: datetime, follows: str | None = None, event_id: str | None = None
    ) -> Recorded:
        """The next message on the call's subjects; not yet folded."""
        self.sequence += 1
        event = make_event(event_id or uuid7(), self.ref, at, follows or self.call.head_digest, data)
        digest = digest_of(data.TYPE, encode_event(event))
        return Recorded(self.ref, self.sequence, at, digest, "key", event)

    def add(self, data: EventData, at: datetime = START) -> Recorded:
        recorded = self.recorded(data, at)
        self.call = self.call.apply(recorded)
        return recorded


def asked(*requirements: Requirement, requester: Principal = AGENT) -> Story:
    """A call that waits for people."""
    story = masked(requester)
    ask(story, *requirements)
    return story


def masked(requester: Principal = AGENT) -> Story:
    """A call on which policy is to decide."""
    story = Story()
    story.add(Requested(function="payments.refund", principal=requester, arguments=SEALED))
    findings = (Finding(path="/card", entity="CREDIT_CARD", start=0, end=19),)
    story.add(
        ArgumentsMasked(
            function="payments.refund", principal=requester, arguments=SEALED, view=SEALED, findings=findings
        )
    )
    return story


def amend(story: Story, author: Principal, at: datetime = START) -> None:
    """The arguments change, and the same is asked again."""
    before = story.call.last(ApprovalRequired)
    assert before is not None
    proof = Proof(issuer=author.issuer, subject=author.id, digest=story.call.open_question)
    story.add(ArgumentsAmended(author=author, patch=SEALED, proof=proof), at)
    masked = story.call.last(ArgumentsMasked)
    assert masked is not None
    story.add(masked.model_copy(update={"amended": True, "findings": ()}), at)
    ask(story, *before.requirements, at=at)


def ask(story: Story, *requirements: Requirement, at: datetime = START) -> None:
    story.add(
        ApprovalRequired(
            policy_set="a" * 64,
            policies=("large-refunds",),
            function_digest="b" * 64,
            requirements=requirements or (requirement("finance"),),
        ),
        at,
    )


def lost() -> Story:
    """A call about which nobody was asked, and of whose outcome nobody knows."""
    story = masked()
    story.add(Allowed(policy_set="a" * 64, function_digest="b" * 64))
    run(story, attempt=1)
    return story


def run(story: Story, attempt: int) -> Recorded:
    """It runs, and nobody knows what came of it."""
    story.add(ExecutionStarted(instance="e", attempt=attempt, deadline=START))
    return story.add(OutcomeUnknown(code="timeout"))


def settle(story: Story, by: Principal, outcome: Literal["done", "not_done", "run_again"]) -> Recorded:
    """Somebody says what came of it."""
    unknown = story.call.last_recorded(OutcomeUnknown)
    assert unknown is not None
    proof = Proof(issuer=by.issuer, subject=by.id, digest=unknown.digest)
    return story.add(OutcomeSettled(by=by, outcome=outcome, reason=SEALED, proof=proof))
