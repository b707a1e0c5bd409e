"""The life of a call: one table of transitions, and one pure fold over verified events.

The fold is fed with everything that stands on a call's subjects and whose signature, role, subject and ids verify.
It takes as head the last event whose `follows` and transition verify too; all else is alien: kept apart,
never part of the chain, and no obstacle to it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from contracts.events import (
    Allowed,
    ApprovalRequired,
    Approved,
    ArgumentsAmended,
    ArgumentsMasked,
    Cancelled,
    EventData,
    ExecutionCompleted,
    ExecutionStarted,
    OutcomeSettled,
    OutcomeUnknown,
    Recorded,
    Rejected,
    Requested,
    Requirement,
    ResultMasked,
    VoteCast,
)
from contracts.identity import Principal
from contracts.subjects import CallRef
from contracts.tally import Tally, may_vote, standing_votes, tally

E = TypeVar("E", bound=EventData)

NOTHING = "nothing"
"""The state before `requested`."""

_WAITING = frozenset({"vote_cast", "approved", "rejected", "approval_expired", "arguments_amended", "cancelled"})

TRANSITIONS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        NOTHING: frozenset({"requested"}),
        "requested": frozenset({"arguments_masked", "cancelled"}),
        "arguments_masked": frozenset({"allowed", "denied", "approval_required", "cancelled"}),
        "approval_required": _WAITING,
        "vote_cast": _WAITING,
        "arguments_amended": frozenset({"arguments_masked", "cancelled"}),
        "approved": frozenset({"allowed", "denied", "cancelled"}),
        "allowed": frozenset({"execution_started", "execution_failed", "cancelled"}),
        "execution_started": frozenset(
            {"execution_started", "execution_completed", "execution_failed", "outcome_unknown"}
        ),
        # Late evidence may follow an unknown outcome; otherwise a person settles it.
        "outcome_unknown": frozenset({"execution_completed", "execution_failed", "outcome_settled"}),
        # What was to run again and cannot be run is as unknown as before: a person settles it anew.
        "outcome_settled": frozenset({"execution_started", "result_masked", "outcome_unknown"}),
        "execution_completed": frozenset({"result_masked"}),
        "denied": frozenset(),
        "rejected": frozenset(),
        "approval_expired": frozenset(),
        "execution_failed": frozenset(),
        "result_masked": frozenset(),
        "cancelled": frozenset(),
    }
)

TERMINAL = frozenset(state for state, following in TRANSITIONS.items() if not following)
"""Nothing may follow these."""

ANSWERING = TERMINAL | {"outcome_unknown"}
"""The agent has its answer here; an unknown outcome waits for a person, not for the agent."""

STATUS_OF = {
    "requested": "pending",
    "arguments_masked": "pending",
    "approval_required": "waiting_for_approval",
    "vote_cast": "waiting_for_approval",
    "arguments_amended": "pending",
    "approved": "pending",
    "allowed": "pending",
    "execution_started": "running",
    "execution_completed": "running",
    "outcome_settled": "running",
    "denied": "denied",
    "rejected": "rejected",
    "approval_expired": "expired",
    "execution_failed": "failed",
    "outcome_unknown": "unknown",
    "result_masked": "completed",
    "cancelled": "cancelled",
}
"""What the agent is told of a call in each state; a call that was settled as not done has failed."""

WAITING_FOR_PEOPLE = frozenset({"approval_required", "vote_cast"})


class IllegalTransition(Exception):
    """The event does not continue the chain. `code` says why, in our own words."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """A call as its chain tells it. Start with `Call(ref, genesis)` and fold with `apply`, or use `replay`."""

    ref: CallRef
    genesis: str
    """Digest of the partition's genesis record, which `requested` follows."""
    chain: tuple[Recorded, ...] = ()
    aliens: tuple[tuple[Recorded, str], ...] = field(default=())
    """Verified messages that are no part of the chain, each with the code that says why."""

    @classmethod
    def replay(cls, ref: CallRef, genesis: str, recorded: Iterable[Recorded]) -> "Call":
        """The fold over everything verified on the call's subjects, in the order of the log."""
        call = cls(ref, genesis)
        for event in recorded:
            call = call.accept(event)
        return call

    @property
    def state(self) -> str:
        return self.chain[-1].event.data.NAME if self.chain else NOTHING

    @property
    def head(self) -> Recorded | None:
        return self.chain[-1] if self.chain else None

    @property
    def head_digest(self) -> str:
        return self.chain[-1].digest if self.chain else self.genesis

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL

    @property
    def settled_as_not_done(self) -> bool:
        """Whether a person found that it did not happen: nothing follows, and the agent is told that it failed."""
        settled = self.last(OutcomeSettled)
        return self.state == OutcomeSettled.NAME and settled is not None and settled.outcome == "not_done"

    @property
    def status(self) -> str:
        """What the agent is told of the call: a word of STATUS_OF. KeyError for a call without events."""
        return "failed" if self.settled_as_not_done else STATUS_OF[self.state]

    def accept(self, recorded: Recorded) -> "Call":
        """The call after the event, which joins the chain or is set aside as alien."""
        try:
            return self.apply(recorded)
        except IllegalTransition as refused:
            return Call(self.ref, self.genesis, self.chain, (*self.aliens, (recorded, refused.code)))

    def apply(self, recorded: Recorded) -> "Call":
        """The call with the event as its head. IllegalTransition where it does not continue the chain."""
        if recorded.ref != self.ref:
            raise IllegalTransition("another_call")
        if recorded.event.follows != self.head_digest:
            raise IllegalTransition("does_not_follow")
        if recorded.name not in TRANSITIONS[self.state]:
            raise IllegalTransition("illegal_transition")
        if self.chain and recorded.sequence <= self.chain[-1].sequence:
            raise IllegalTransition("out_of_order")
        self._check(recorded)
        return Call(self.ref, self.genesis, (*self.chain, recorded), self.aliens)

    def _check(self, recorded: Recorded) -> None:
        data = recorded.data
        if isinstance(data, ArgumentsMasked):
            requested = self.requested
            if (data.function, data.principal) != (requested.function, requested.principal):
                raise IllegalTransition("differs_from_requested")
            if data.request is not None and requested.request is None:
                raise IllegalTransition("differs_from_requested")
            if data.amended != (self.state == ArgumentsAmended.NAME):
                raise IllegalTransition("not_as_amended")
        elif isinstance(data, ExecutionCompleted):
            if data.function != self.requested.function:
                raise IllegalTransition("differs_from_requested")
        elif isinstance(data, (VoteCast, Approved, ArgumentsAmended)):
            self._check_approval(recorded, data)
        elif isinstance(data, Rejected):
            count = self.tally()
            if count.rejection is None or (count.rejected_by, count.rejection) != (data.by, data.vote):
                raise IllegalTransition("no_such_rejection")
        elif isinstance(data, ExecutionStarted):
            self._check_settled("run_again")
            if data.attempt != self.attempts + 1:
                raise IllegalTransition("wrong_attempt")
        elif isinstance(data, Allowed):
            masked = self.last(ArgumentsMasked)
            if masked is None or masked.arguments is None:
                raise IllegalTransition("nothing_to_run")
            if self.amenders and self.state != Approved.NAME:
                # Nobody's change runs on their own word, whatever policy says of the arguments as they are now.
                raise IllegalTransition("amendment_not_approved")
        elif isinstance(data, OutcomeSettled):
            self._check_settlement(data)
        elif isinstance(data, OutcomeUnknown):
            self._check_settled("run_again")
        elif isinstance(data, ResultMasked):
            self._check_settled("done")
        elif isinstance(data, Cancelled) and not data.by:
            raise IllegalTransition("nobody_cancelled")

    def _check_approval(self, recorded: Recorded, data: VoteCast | Approved | ArgumentsAmended) -> None:
        required = self.last(ApprovalRequired)
        if required is None or max(recorded.event.at, recorded.recorded_at) >= required.expires_at:
            raise IllegalTransition("expired")
        if isinstance(data, VoteCast):
            if data.proof.digest != self.open_question:
                raise IllegalTransition("stale_vote")
            if not may_vote(self.requested.principal, data.reviewer):
                raise IllegalTransition("own_call")
            # A vote changes the one that its caster saw stand, or none: of two at the same time, one is refused.
            standing = standing_votes(self.votes, self.requested.principal)
            own = [one.event_id for one in standing if one.people & data.reviewer.people]
            if own != ([] if data.replaces is None else [data.replaces]):
                raise IllegalTransition("voted_already")
        elif isinstance(data, ArgumentsAmended):
            if data.proof.digest != self.open_question:
                raise IllegalTransition("stale_amendment")
            if not may_vote(self.requested.principal, data.author):
                raise IllegalTransition("own_call")
        else:
            count = self.tally()
            if not count.met or data.votes != count.votes:
                raise IllegalTransition("quorum_not_met")

    def _check_settlement(self, data: OutcomeSettled) -> None:
        """By somebody who may decide on the call, on the outcome that they saw, with a result only where it is done."""
        if data.proof.digest != self.head_digest:
            raise IllegalTransition("stale_settlement")
        if not may_vote(self.requested.principal, data.by):
            raise IllegalTransition("own_call")
        if data.result is not None and data.outcome != "done":
            raise IllegalTransition("result_of_what_is_not_done")

    def _check_settled(self, outcome: str) -> None:
        """After a settlement, only what it was settled as may follow."""
        settled = self.last(OutcomeSettled)
        if self.state == OutcomeSettled.NAME and (settled is None or settled.outcome != outcome):
            raise IllegalTransition("illegal_transition")

    @property
    def requested(self) -> Requested:
        """The data of step 1. LookupError for a call without events."""
        if self.chain and isinstance(self.chain[0].data, Requested):
            return self.chain[0].data
        raise LookupError("a call begins with requested")

    @property
    def attempts(self) -> int:
        return sum(isinstance(recorded.data, ExecutionStarted) for recorded in self.chain)

    @property
    def open_question(self) -> str:
        """The digest that a vote speaks of: the last `approval_required`."""
        question = self.last_recorded(ApprovalRequired)
        if question is None:
            raise LookupError("nobody was asked")
        return question.digest

    @property
    def votes(self) -> tuple[Recorded, ...]:
        """The votes since the last `approval_required`, in order."""
        found: list[Recorded] = []
        for recorded in reversed(self.chain):
            if isinstance(recorded.data, ApprovalRequired):
                return tuple(reversed(found))
            if isinstance(recorded.data, VoteCast):
                found.append(recorded)
        return ()

    @property
    def amenders(self) -> tuple[Principal, ...]:
        """Who changed the arguments since they were asked for."""
        return tuple(r.data.author for r in self.chain if isinstance(r.data, ArgumentsAmended))

    def tally(self, requirements: Iterable[Requirement] | None = None) -> Tally:
        """The votes on the last `approval_required`, by its requirements or by those given; not met where nobody was
        asked."""
        if requirements is None:
            required = self.last(ApprovalRequired)
            requirements = required.requirements if required else ()
        return tally(requirements, self.votes, self.requested.principal, self.amenders)

    def last_recorded(self, kind: type[EventData]) -> Recorded | None:
        return next((recorded for recorded in reversed(self.chain) if isinstance(recorded.data, kind)), None)

    def last(self, kind: type[E]) -> E | None:
        recorded = self.last_recorded(kind)
        return recorded.data if recorded is not None and isinstance(recorded.data, kind) else None
