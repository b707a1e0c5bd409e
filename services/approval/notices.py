"""What approval tells people about, and to whom: one small interface, which every channel implements.

Approval says *when* something happened on the log; where reviewers are, and what they are shown, is the channels' own.
"""

from typing import Protocol

from contracts.subjects import CallRef
from services.approval.domain import Question


class Notices(Protocol):
    """Hears of every question. The facts are those of the log at that moment, read from the leader.

    At least once, on any replica: a redelivery, a restart or a wiped timer tells again. What must be sent once is
    keyed by `notice_key`, which is the same each time. BrokerAway is passed on, and the notice comes again; everything
    else that goes wrong with a channel is the channel's, and must not be raised.
    """

    async def waiting(self, ref: CallRef, facts: Question) -> None:
        """People are asked: the groups of `facts.asked_groups` at this moment."""

    async def reminder(self, ref: CallRef, facts: Question) -> None:
        """Nobody has decided, and the time of `facts.expires_at` comes near: whoever has not voted."""

    async def escalated(self, ref: CallRef, facts: Question, groups: tuple[str, ...]) -> None:
        """From now on these groups may approve as well."""

    async def decided(self, ref: CallRef, facts: Question) -> None:
        """The waiting ended as `facts.state` says. Where there is `facts.broken_glass`, one person approved alone, and
        everyone in `facts.concerned` is told who."""


def notice_key(kind: str, facts: Question, *more: str) -> str:
    """Names one notice for ever: of this kind, about this question; `more` tells several of a kind apart."""
    return ":".join((kind, str(facts.ref), facts.digest, *more))
