"""The masked arguments and the reasons of votes, opened when somebody looks; the list holds none of them."""

from collections import OrderedDict
from dataclasses import dataclass, field

from nats.aio.client import Client

from callgate.errors import Rejected
from callgate.jsontext import JsonTextError, parse
from callgate.log import reading
from callgate.log.messages import Verifier
from callgate.sealing import Place, Sealer
from contracts.events import ArgumentsMasked, Finding, Recorded, Sealed
from contracts.model import JsonValue
from contracts.subjects import CallRef
from services.approval.domain import Ballot, CallFacts

KEPT = 512
KEPT_BYTES = 64 * 1024
"""Views of at most this size are kept, so all of them take 32 MB."""


@dataclass(frozen=True, slots=True)
class View:
    """The masked arguments, or why they are withheld."""

    arguments: JsonValue = field(default=None, repr=False)
    findings: tuple[Finding, ...] = ()
    withheld: str | None = None


class Views:
    """Opens views, the last 512 kept in memory."""

    def __init__(self, client: Client, verifier: Verifier, sealer: Sealer) -> None:
        self._client = client
        self._verifier = verifier
        self._sealer = sealer
        self._kept: OrderedDict[str, View] = OrderedDict()

    async def of(self, call: CallFacts) -> View:
        """The arguments that policy judged, masked. BrokerAway."""
        kept = self._kept.get(call.masked.digest)
        if kept is not None:
            self._kept.move_to_end(call.masked.digest)
            return kept
        try:
            view, size = await self._open(call)
        except Rejected as rejected:  # a session's keys may have been erased while its call waited
            return View(withheld=rejected.code)
        if size <= KEPT_BYTES:
            self._kept[call.masked.digest] = view
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return view

    async def reason(self, ref: CallRef, ballot: Ballot) -> str | None:
        """The reason of a vote; None where it has none, or none that opens. BrokerAway."""
        return await self.text(Place(ref, ballot.event_id, "reason"), ballot.reason)

    async def text(self, place: Place, sealed: Sealed | None) -> str | None:
        """What a person wrote, sealed there; None where there is nothing, or nothing that opens. BrokerAway."""
        if sealed is None:
            return None
        try:
            return (await self._sealer.open(sealed, place, "view")).decode(errors="replace")
        except Rejected:
            return None

    async def _open(self, call: CallFacts) -> tuple[View, int]:
        recorded = await self._read(call)
        masked = recorded.data
        if not isinstance(masked, ArgumentsMasked) or masked.view is None:
            raise Rejected("no_view", "the arguments could not be inspected")
        place = Place(recorded.ref, recorded.event.event_id, "view")
        plaintext = await self._sealer.open(masked.view, place, "view")
        try:
            return View(parse(plaintext), masked.findings), len(plaintext)
        except JsonTextError as error:
            raise Rejected(error.code, "the view is no JSON that we accept") from None

    async def _read(self, call: CallFacts) -> Recorded:
        """The one event by its sequence: its chain was verified when the call was read."""
        stream, subject = call.ref.partition.stream, call.ref.subject(ArgumentsMasked.NAME)
        message = await reading.leader_next(self._client, stream, subject, call.masked.sequence)
        verified = self._verifier.verify(message) if message is not None else None
        if not isinstance(verified, Recorded) or verified.digest != call.masked.digest:
            raise Rejected("view_missing", "the event of the masked arguments is not where it was")
        return verified
