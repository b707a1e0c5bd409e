"""What approval tells people about, and to whom: one small interface, which every channel implements.

Approval says *when* something happened on the log; where reviewers are, and what they are shown, is the channels' own.
"""

from typing import Protocol

from contracts.subjects import CallRef
from services.approval.domain import Question


class Notices(Protocol):
    """Hears of every question. The facts are those of the log at that moment, read from the leader.

    At least once, on any replica: a redelivery, a restart or a wiped timer tells again. Question, kind and groups name
    what must be sent once. BrokerAway is passed on, and the notice comes again; everything
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
