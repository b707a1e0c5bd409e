"""What votes come to: one pure function, by which approval concludes, the fold checks `approved`, and policy recounts.

A person is everyone who stands behind a vote, so somebody who votes once in person and once through an agent is one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from contracts.events import Recorded, Requirement, VoteCast
from contracts.identity import Principal


@dataclass(frozen=True, slots=True)
class Tally:
    """How far the votes meet the requirements."""

    met: bool
    rejected_by: str | None
    """Who cast the vote that ended it, where enough people rejected."""
    rejection: str | None
    """The event id of that vote."""
    votes: tuple[str, ...]
    """Event ids of the approvals that count towards a requirement."""
    missing: tuple[int, ...]
    """For each requirement, how many approvals it still lacks."""


@dataclass(frozen=True, slots=True)
class CountedVote:
    """The one vote of a person that counts."""

    people: frozenset[str]
    vote: VoteCast
    event_id: str
    at: datetime

    @property
    def groups(self) -> frozenset[str]:
        return frozenset(self.vote.reviewer.groups)


def may_vote(requester: Principal, reviewer: Principal) -> bool:
    """Four eyes: nobody who stands behind the call decides on it, nor anyone acting for them."""
    return not (requester.people & reviewer.people)


def standing_votes(votes: Iterable[Recorded], requester: Principal) -> tuple[CountedVote, ...]:
    """One vote a person, in the order of casting: the first, unless a later one names it as what it replaces."""
    standing: list[CountedVote] = []
    for recorded in votes:
        vote = recorded.data
        if not isinstance(vote, VoteCast) or not may_vote(requester, vote.reviewer):
            continue
        people, event_id = vote.reviewer.people, recorded.event.event_id
        earlier = [one for one in standing if one.people & people]
        if [one.event_id for one in earlier] != ([] if vote.replaces is None else [vote.replaces]):
            continue
        for one in earlier:
            standing.remove(one)
            people |= one.people
        standing.append(CountedVote(people, vote, event_id, recorded.event.at))
    return tuple(standing)


def tally(
    requirements: Iterable[Requirement],
    votes: Iterable[Recorded],
    requester: Principal,
    authors: Sequence[Principal] = (),
) -> Tally:
    """Counts the votes, never the requester's. `authors` amended the arguments: they count, but none of them alone."""
    needed = tuple(requirements)
    standing = standing_votes(votes, requester)
    rejection = _rejection(needed, [one for one in standing if one.vote.decision == "reject"])
    approvals = [one for one in standing if one.vote.decision == "approve"]
    counted: set[str] = set()
    missing: list[int] = []
    for requirement in needed:
        meeting = [one for one in approvals if approves(requirement, one)]
        counted.update(one.event_id for one in meeting)
        missing.append(_missing(requirement, meeting, authors))
    return Tally(
        met=bool(missing) and not any(missing) and rejection is None,
        rejected_by=rejection.vote.reviewer.id if rejection else None,
        rejection=rejection.event_id if rejection else None,
        votes=tuple(one.event_id for one in approvals if one.event_id in counted),
        missing=tuple(missing),
    )


def asked_groups(requirement: Requirement, at: datetime) -> frozenset[str]:
    """The groups whose members' approval counts at that time."""
    escalation = requirement.escalation
    more = escalation.approvers if escalation is not None and at >= escalation.at else ()
    return frozenset((*requirement.approvers, *more))


def breaks_glass(requirement: Requirement, vote: VoteCast) -> bool:
    """Whether this vote approves alone: by a group that the requirement names, and with a reason."""
    named = not set(requirement.break_glass).isdisjoint(vote.reviewer.groups)
    return named and vote.break_glass and vote.decision == "approve" and vote.reason is not None


def approves(requirement: Requirement, one: CountedVote) -> bool:
    """Whether the approval counts towards the requirement at all."""
    if breaks_glass(requirement, one.vote):
        return True
    if requirement.reason_required and one.vote.reason is None:
        return False
    return not asked_groups(requirement, one.at).isdisjoint(one.groups)


def _rejection(requirements: Sequence[Requirement], rejections: Sequence[CountedVote]) -> CountedVote | None:
    """The first vote with which enough people said no to a requirement that asks them.

    Whom none asks says no to all: a vote that should not be here never helps a call on.
    """
    against = [0] * len(requirements)
    for one in rejections:
        unasked = not any(_asks(requirement, one) for requirement in requirements)
        for number, requirement in enumerate(requirements):
            against[number] += unasked or _asks(requirement, one)
            if against[number] >= requirement.rejections:
                return one
    return None


def _asks(requirement: Requirement, one: CountedVote) -> bool:
    return not (asked_groups(requirement, one.at) | set(requirement.break_glass)).isdisjoint(one.groups)


def _missing(requirement: Requirement, meeting: Sequence[CountedVote], authors: Sequence[Principal]) -> int:
    """Approvals that the requirement lacks: of its quorum, and of anybody beside each author of the arguments."""
    beside_authors = all(any(not (one.people & author.people) for one in meeting) for author in authors)
    if any(breaks_glass(requirement, one.vote) for one in meeting):
        lacking = 0
    elif requirement.each:
        lacking = requirement.people - _seated(requirement, meeting)
    else:
        lacking = max(0, requirement.quorum - len(meeting))
    return lacking if beside_authors else max(1, lacking)


def _seated(requirement: Requirement, meeting: Sequence[CountedVote]) -> int:
    """How many of the seats distinct people fill at most, `quorum` for each group; an escalated member fills any.

    A maximum matching (Kuhn's algorithm): whoever is in two groups sits where they are needed.
    """
    seated: dict[str, list[CountedVote]] = {group: [] for group in requirement.approvers}

    def seat(one: CountedVote, tried: set[str]) -> bool:
        for group in _open_to(requirement, one):
            if group in tried:
                continue
            tried.add(group)
            sitting = seated[group]
            if len(sitting) < requirement.quorum:
                sitting.append(one)
                return True
            for other in sitting:
                if seat(other, tried):
                    sitting[sitting.index(other)] = one
                    return True
        return False

    return sum(seat(one, set()) for one in meeting)


def _open_to(requirement: Requirement, one: CountedVote) -> Sequence[str]:
    """The groups of the requirement for which this person may sit."""
    own = [group for group in requirement.approvers if group in one.groups]
    came_later = asked_groups(requirement, one.at) - set(requirement.approvers)
    return own if came_later.isdisjoint(one.groups) else requirement.approvers
