"""Where the reading of one call's events stands, whatever carries it."""

from typing import Final, Protocol

from callgate.client import flows
from callgate.client.flows import Reply
from callgate.client.outcome import Event, Unreachable

LAST: Final = frozenset({"denied", "rejected", "approval_expired", "execution_failed", "result_masked", "cancelled"})
"""Events after which there is none."""
ENDED: Final = "unauthenticated"
"""None of the call's: the token counts no more, and the stream goes on with another one."""
_PAUSE: Final = 0.2


class Sent(Protocol):
    """A server-sent event."""

    @property
    def event(self) -> str: ...
    @property
    def data(self) -> str: ...
    @property
    def id(self) -> str: ...
    def json(self) -> object: ...


class Following:
    """`address` is where to read on, with `headers`; tell it of each connection that is open, each event, each refusal,
    and each connection lost."""

    def __init__(self, url: str, call_id: str) -> None:
        self.address = f"{url}{flows.call_path(call_id)}/events"
        self.over = False
        """Whether nothing comes any more."""
        self.pause = _PAUSE
        """Seconds before the next connection."""
        self._url = url
        self._after = 0
        self._failed = 0

    @property
    def headers(self) -> dict[str, str]:
        return {"Last-Event-ID": str(self._after)} if self._after else {}

    def opened(self) -> None:
        """Callgate answers; however long nothing happens to the call, that is no failure."""
        self._failed, self.pause = 0, _PAUSE

    def event(self, sent: Sent) -> Event | None:
        """The event that was sent; None for what is none of the call's."""
        document = sent.json() if sent.id and sent.data else None
        if not isinstance(document, dict) or sent.event == ENDED:
            return None
        self._after = int(sent.id)
        self.over = sent.event in LAST or document.get("outcome") == "not_done"
        return Event(sent.event, self._after, document)

    def lost(self) -> None:
        """Nobody answered, or the connection went. Unreachable after as many times as a request is tried."""
        self._failed += 1
        if self._failed >= flows.TRIES:
            raise Unreachable(self._url)
        self.pause = flows.pause_after(self._failed)

    def refused(self, reply: Reply) -> None:
        """Problem, unless it passes by itself."""
        if reply.status not in flows.PASSING:
            flows.accepted(self._url, reply)
        self.lost()
        self.pause = flows.pause_after(self._failed, reply)
