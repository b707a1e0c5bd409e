"""What approval has people told that no event on the log tells: one small interface to the channels.

That people are asked, and what they decided, the channels take from the log themselves.
"""

from typing import Protocol

from contracts.subjects import CallRef
from services.approval.domain import Question


class Notices(Protocol):
    """Hears of what time does to a question. The facts are those of the log at that moment, read from the leader.

    At least once, on any replica: a redelivery, a restart or a wiped timer tells again. Question, kind and groups name
    what must be sent once. BrokerAway is passed on, and the notice comes again; everything
    else that goes wrong with a channel is the channel's, and must not be raised.
    """

    async def reminder(self, ref: CallRef, facts: Question) -> None:
        """Nobody has decided, and the time of `facts.expires_at` comes near: whoever has not voted."""

    async def escalated(self, ref: CallRef, facts: Question, groups: tuple[str, ...]) -> None:
        """From now on these groups may approve as well."""
