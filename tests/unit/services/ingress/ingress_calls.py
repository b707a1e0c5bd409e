"""Calls in memory: chains of events that follow each other as on the log, their payloads sealed by nobody."""

from datetime import UTC, datetime, timedelta

from callgate.ids import mint_session, uuid7
from callgate.signing import digest_of
from contracts.events import (
    Allowed,
    ApprovalExpired,
    ApprovalRequired,
    Approved,
    ArgumentsAmended,
    ArgumentsMasked,
    Cancelled,
    Denied,
    EventData,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    Finding,
    OutcomeSettled,
    OutcomeUnknown,
    Proof,
    Recorded,
    Rejected,
    Requested,
    Requirement,
    ResultMasked,
    Sealed,
    VoteCast,
    encode_event,
    make_event,
)
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GENESIS = "0" * 64
AGENT = Principal(id="bot", issuer="https://id.example")
REVIEWER = Principal(id="rosa", issuer="https://id.example", groups=("sre",))
SECRET = Sealed(key_id="key-of-nobody", nonce="bm9uY2U=", ciphertext="Y2lwaGVydGV4dA==")
JUDGED = {"policy_set": "a" * 64, "policies": ("p1",), "function_digest": "b" * 64, "facts": {"/x": "fact-of-policy"}}


def new_ref(principal: Principal = AGENT) -> CallRef:
    return CallRef(Partition(1, 0), mint_session(principal.session_owner), uuid7())


def recorded(ref: CallRef, follows: str, sequence: int, data: EventData) -> Recorded:
    event = make_event(uuid7(), ref, NOW + timedelta(seconds=sequence), follows, data)
    digest = digest_of(data.TYPE, encode_event(event))
    return Recorded(ref, sequence, NOW + timedelta(seconds=sequence), digest, "key", event)


def begun() -> Call:
    requested = Requested(function="crm.get", principal=AGENT, arguments=SECRET)
    return then(Call(new_ref(), GENESIS), requested)


def then(call: Call, *more: EventData) -> Call:
    """The call after those events; IllegalTransition where one may not follow."""
    for data in more:
        sequence = call.chain[-1].sequence + 1 if call.chain else 1
        call = call.apply(recorded(call.ref, call.head_digest, sequence, data))
    return call


def masked(amended: bool = False) -> ArgumentsMasked:
    return ArgumentsMasked(function="crm.get", principal=AGENT, arguments=SECRET, view=SECRET, amended=amended)


def question(quorum: int = 1) -> ApprovalRequired:
    requirement = Requirement(
        policies=("p1",), approvers=("sre",), quorum=quorum, expires_at=NOW + timedelta(minutes=15)
    )
    return ApprovalRequired(requirements=(requirement,), **JUDGED)


def asked(quorum: int = 1) -> Call:
    return then(begun(), masked(), question(quorum))


def voted(decision: str = "approve") -> Call:
    call = asked()
    proof = Proof(issuer=REVIEWER.issuer, subject=REVIEWER.id, digest=call.open_question)
    return then(
        call,
        VoteCast(
            reviewer=REVIEWER, decision="approve" if decision == "approve" else "reject", reason=SECRET, proof=proof
        ),
    )


def started() -> Call:
    start = ExecutionStarted(instance="executor-of-nobody", attempt=1, deadline=NOW + timedelta(minutes=1))
    return then(begun(), masked(), Allowed(**JUDGED), start)


def completed() -> Call:
    return then(
        started(),
        ExecutionCompleted(function="crm.get", status=200, result=SECRET, size=2, duration_ms=1.5),
    )


def result(content_type: str | None = "application/json", withheld: str | None = None) -> ResultMasked:
    found = Finding(path="/card", entity="CREDIT_CARD", start=0, end=16)
    view = None if withheld else SECRET
    return ResultMasked(status=200, content_type=content_type, view=view, findings=(found,), withheld=withheld)


def settled(outcome: str, known: Sealed | None = None) -> Call:
    """With a result where that is known."""
    call = then(started(), OutcomeUnknown(code="timed_out"))
    proof = Proof(issuer=REVIEWER.issuer, subject=REVIEWER.id, digest=call.head_digest)
    data = {"by": REVIEWER, "outcome": outcome, "result": known, "reason": SECRET, "proof": proof}
    return then(call, OutcomeSettled.model_validate(data))


def amended(call: Call | None = None, reason: Sealed | None = None) -> Call:
    """A call that waits, the next time after the arguments were changed."""
    call = asked() if call is None else call
    proof = Proof(issuer=REVIEWER.issuer, subject=REVIEWER.id, digest=call.open_question)
    return then(call, ArgumentsAmended(author=REVIEWER, patch=SECRET, reason=reason, proof=proof))


def every_state() -> dict[str, tuple[Call, str]]:
    """A call in each state, with the status that its caller is told."""
    yes, no = voted(), voted("reject")
    return {
        "requested": (begun(), "pending"),
        "arguments_masked": (then(begun(), masked()), "pending"),
        "allowed": (then(begun(), masked(), Allowed(**JUDGED)), "pending"),
        "denied": (then(begun(), masked(), Denied(code="forbidden", **JUDGED)), "denied"),
        "approval_required": (asked(), "waiting_for_approval"),
        "vote_cast": (yes, "waiting_for_approval"),
        "approved": (then(yes, Approved(votes=(yes.chain[-1].event.event_id,))), "pending"),
        "rejected": (then(no, Rejected(by=REVIEWER.id, vote=no.chain[-1].event.event_id)), "rejected"),
        "approval_expired": (then(asked(), ApprovalExpired(expired_at=NOW)), "expired"),
        "arguments_amended": (amended(), "pending"),
        "execution_started": (started(), "running"),
        "execution_completed": (completed(), "running"),
        "execution_failed": (then(started(), ExecutionFailed(code="refused")), "failed"),
        "outcome_unknown": (then(started(), OutcomeUnknown(code="timed_out")), "unknown"),
        "outcome_settled": (settled("done"), "running"),
        "result_masked": (then(completed(), result()), "completed"),
        "cancelled": (then(begun(), Cancelled(by=AGENT.id, code="withdrawn")), "cancelled"),
    }
