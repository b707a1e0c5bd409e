"""The agent's use cases: ask for a call, look at it, follow it, withdraw it. Step 1, and the answer after 7."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from callgate.control import FreezeBook
from callgate.errors import BrokerAway, LostRace, Rejected, TooLarge
from callgate.identity.claims import Verified
from callgate.identity.errors import Refusal
from callgate.ids import mint_session, uuid7
from callgate.log import Draft, Log
from callgate.sealing import Place, Sealer
from callgate.telemetry import Tracer
from contracts.events import Cancelled, Recorded, Requested, ResultMasked
from contracts.freezes import Freeze
from contracts.functions import Catalog
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.subjects import CallRef, Partition
from services.ingress.amendments import amendments_of, told
from services.ingress.domain import (
    ANSWER_EVENTS,
    CallRequest,
    Secret,
    is_answered,
    is_over,
    is_own,
    may_cancel,
    outcome_of,
    own_ref,
    recorded_name,
    secret_of,
    session_of,
)
from services.ingress.leaving import bearer_of
from services.ingress.limiting import Limits, Unlimited
from services.ingress.reservations import Reservations
from services.ingress.session_pages import Page, page_of
from services.ingress.waiting import FOLLOWED, Cues, Gone, Told, Waiting

logger = logging.getLogger("services.ingress")

_HEARTBEAT = 15.0

Begun = Callable[[CallRef], None]
"""Is told the id of a call as soon as it stands."""


Followed = Recorded | Refusal | None
"""An event; why its reader may read on no longer, as the last; or None now and then, to show that the line lives."""


class UnknownCall(Exception):
    """There is no such call, or it is somebody else's: the caller is not told which."""


class Frozen(Exception):
    """A freeze stops such calls; nothing was recorded."""

    def __init__(self, freeze: Freeze) -> None:
        super().__init__(freeze.freeze_id)
        self.freeze = freeze


class NotBound(Exception):
    """The function's connection takes only tokens that are bound to a key of their holder; nothing was recorded."""


class TooLate(Exception):
    """The call has begun or is over, and can no longer be withdrawn."""

    def __init__(self, call: Call) -> None:
        super().__init__(call.state)
        self.call = call


class PerhapsRecorded(Exception):
    """The broker went away while the call was recorded: it may stand, under the id that `ref` gives."""

    def __init__(self, ref: CallRef) -> None:
        super().__init__(str(ref))
        self.ref = ref


@dataclass(frozen=True, slots=True)
class Answered:
    """What a function answered, masked. Where it is `withheld`, that code says why, and there is no more of it."""

    status: int
    content_type: str | None
    body: bytes = field(default=b"", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    withheld: str | None = None


@dataclass(frozen=True, slots=True)
class Partitions:
    """Where calls are, and where new ones go."""

    current: Callable[[str], Partition]
    known: frozenset[Partition]


class Calls:
    """Whatever is raised beside the exceptions above is BrokerAway, or TooManyHeld where a call is to be held open."""

    def __init__(
        self,
        log: Log,
        sealer: Sealer,
        waiting: Waiting,
        partitions: Partitions,
        catalog: Catalog,
        hear_of: Callable[[str], Awaitable[object]],
        tracer: Tracer,
        freezes: FreezeBook,
        reservations: Reservations,
        clock: Callable[[], datetime],
        limits: Limits = Unlimited(),  # noqa: B008 - it holds nothing
    ) -> None:
        """`hear_of` has the catalog know a function that was met before, if it can be. BrokerAway."""
        self._log = log
        self._sealer = sealer
        self._waiting = waiting
        self._partitions = partitions
        self._catalog = catalog
        self._hear_of = hear_of
        self._tracer = tracer
        self._freezes = freezes
        self._reservations = reservations
        self._clock = clock
        self._limits = limits

    async def submit(
        self,
        principal: Principal,
        request: CallRequest,
        wait: float,
        gone: Gone,
        traceparent: str | None = None,
        begun: Begun | None = None,
        told: Told | None = None,
    ) -> Call:
        """1. Records the call and waits up to `wait` seconds for its answer; `told` hears of what its caller may want
        to know meanwhile. With a key that was used before it is the call of then, as far as that is.

        BadRequest for a foreign session, NotBound, Frozen, OverLimit, KeyReused, PerhapsRecorded, TooLarge. What is
        known of freezes may be half a second old: what slips by here is denied by policy, or by the executor.
        """
        wanted = request.session or request.default_session
        session = session_of(principal, wanted) or mint_session(principal.session_owner)
        ref, fresh = CallRef(self._partitions.current(session), session, uuid7()), True
        if request.key is not None:
            owner, unnamed = principal.session_owner, replace(request, session=None).digest
            taken = await self._reservations.take(owner, request.key, request.digest, unnamed, ref)
            ref, fresh = taken, taken == ref
        if wait <= 0:
            return await self._begin(ref, principal, request, traceparent, begun, fresh=fresh)
        async with self._waiting.hold(ref, principal, bearer_of(gone), _cues(told)) as held:
            call = await self._begin(ref, principal, request, traceparent, begun, fresh=fresh)
            answered = await held.until_answered(call, wait, gone, told)
        if is_answered(answered):
            self._limits.answered(ref)
        return answered

    async def _begin(
        self,
        ref: CallRef,
        principal: Principal,
        request: CallRequest,
        traceparent: str | None,
        begun: Begun | None,
        *,
        fresh: bool,
    ) -> Call:
        """The call: recorded now, or as it stands where its id was reserved before (not `fresh`) and was used."""
        call = None if fresh else await self._standing(ref, principal)
        if call is None:
            await self._hear_of(request.function)
            await self._admit(ref, principal, request.function)
            try:
                recorded = await self._record(ref, principal, request, traceparent)
                call = Call(ref, self._log.origin(ref).digest, (recorded,))
            except LostRace:  # another replica, on the same key
                call = await self._standing(ref, principal)
                if call is None:
                    raise PerhapsRecorded(ref) from None
            except (TooLarge, BrokerAway):  # nothing was recorded
                self._limits.answered(ref)
                raise
        if begun is not None:
            begun(ref)
        return call

    async def _admit(self, ref: CallRef, principal: Principal, function: str) -> None:
        """Whether the call may be recorded at all. NotBound, Frozen, OverLimit."""
        connection = self._catalog.connections.get(function.partition(".")[0])
        if connection is not None and connection.sender_constrained and principal.bound_by is None:
            raise NotBound
        freeze = self._freezes.stopping(principal, ref.session_id, function)
        if freeze is not None:
            raise Frozen(freeze)
        await self._limits.admit(principal, function, ref)

    async def _standing(self, ref: CallRef, principal: Principal) -> Call | None:
        call = (await self._log.read(ref)).call
        return self._own(principal, call) if call.chain else None

    async def _record(
        self, ref: CallRef, principal: Principal, request: CallRequest, traceparent: str | None
    ) -> Recorded:
        event_id, at = uuid7(), self._clock()
        with self._tracer.span("ingress requested", traceparent) as context:
            arguments = await self._sealer.seal(request.arguments, Place(ref, event_id, "arguments"), "raw", at)
            received = None
            if request.received is not None:
                received = await self._sealer.seal(request.received, Place(ref, event_id, "request"), "raw", at)
            function = recorded_name(request.function, self._catalog)
            data = Requested(function=function, principal=principal, arguments=arguments, request=received)
            try:
                return await self._log.append(Draft(event_id, at, data), self._log.origin(ref), traceparent=context)
            except BrokerAway:
                logger.warning("a call may or may not stand on the log", extra={"call": str(ref)})
                raise PerhapsRecorded(ref) from None

    async def look(self, principal: Principal, call_id: str, wait: float, gone: Gone, told: Told | None = None) -> Call:
        """The call now, or once it is answered, within `wait` seconds. UnknownCall."""
        ref = self._ref(principal, call_id)
        if wait <= 0:
            return self._own(principal, (await self._log.read(ref)).call)
        async with self._waiting.hold(ref, principal, bearer_of(gone), _cues(told)) as held:
            call = self._own(principal, (await self._log.read(ref)).call)
            return await held.until_answered(call, wait, gone, told)

    async def of_session(self, principal: Principal, session: str, after: str, limit: int) -> Page:
        """BadRequest as `page_of`."""
        return await page_of(self._log, self._partitions.known, principal, session, after, limit)

    async def cancel(self, principal: Principal, call_id: str) -> Call:
        """Withdraws a call that has not begun; one that is withdrawn already stays so. UnknownCall, TooLate."""
        ref = self._ref(principal, call_id)
        while True:
            call = self._own(principal, (await self._log.read(ref)).call)
            if call.state == "cancelled":
                return call
            if not may_cancel(call):
                raise TooLate(call)
            withdrawal = Draft(uuid7(), self._clock(), Cancelled(by=principal.id, code="withdrawn"))
            try:
                return call.apply(await self._log.append(withdrawal, call.chain[-1]))
            except LostRace:
                continue  # the call went on meanwhile, as often as a call can: look what may be done now

    async def outcome(self, call: Call) -> dict[str, Any]:
        """The outcome document, with what ingress may open of it."""
        secret = secret_of(call)
        opened = None if secret is None else await self._open(call.ref, secret)
        unopened = opened if isinstance(opened, str) else None
        function = self._catalog.get(call.requested.function)
        schema = function.spec.input if function is not None else None
        document = outcome_of(call, opened if isinstance(opened, bytes) else None, unopened, schema)
        amendments = amendments_of(call)
        if amendments:
            secrets = {secret for amendment in amendments for secret in amendment.secrets}
            found = {secret: await self._open(call.ref, secret) for secret in secrets}
            views = {secret: plain for secret, plain in found.items() if isinstance(plain, bytes)}
            document["amendments"] = [told(amendment, views) for amendment in amendments]
        return document

    async def answered(self, call: Call) -> Answered:
        """The function's own answer, masked. LookupError for a call that did not complete."""
        head = call.chain[-1]
        if not isinstance(head.data, ResultMasked):
            raise LookupError("not completed")
        data, event_id = head.data, head.event.event_id
        if data.view is None:
            return Answered(data.status, data.content_type, withheld=data.withheld or "no_view")
        body = await self._open(call.ref, Secret(data.view, event_id, "view"))
        if isinstance(body, str):
            return Answered(data.status, data.content_type, withheld=body)
        listed = None if data.headers is None else await self._open(call.ref, Secret(data.headers, event_id, "headers"))
        headers = orjson.loads(listed) if isinstance(listed, bytes) else ()
        return Answered(data.status, data.content_type, body, tuple((name, value) for name, value in headers))

    async def _open(self, ref: CallRef, secret: Secret) -> bytes | str:
        """What is sealed there, or the code that says why it does not open."""
        try:
            return await self._sealer.open(secret.sealed, Place(ref, secret.event_id, secret.field), "view")
        except Rejected as error:
            logger.warning("an outcome does not open", extra={"call": str(ref), "code": error.code})
            return error.code

    async def events(
        self, principal: Principal, call_id: str, after: int, bearer: Verified | None = None
    ) -> "AsyncIterator[Followed]":
        """The call's events after a sequence, then what comes, to its end or until the token counts no more.
        UnknownCall, TooManyHeld and BrokerAway come out of this, not out of the iteration."""
        ref = self._ref(principal, call_id)
        self._own(principal, (await self._log.read(ref)).call)
        self._waiting.room.require(principal)
        return self._follow(ref, principal, bearer, after)

    async def _follow(
        self, ref: CallRef, principal: Principal, bearer: Verified | None, after: int
    ) -> "AsyncIterator[Followed]":
        async with self._waiting.hold(ref, principal, bearer, cues=None) as held:
            call = Call(ref, self._log.origin(ref).digest)
            held.look_again()  # what stands already
            while True:
                call, _ = await held.next(call, held.within(_HEARTBEAT))
                news = [recorded for recorded in call.chain if recorded.sequence > after]
                for recorded in news:
                    yield recorded
                    after = recorded.sequence
                if is_over(call) or self._waiting.stopping:
                    return
                if (ended := held.ended()) is not None:
                    yield ended
                    return
                if not news:
                    yield None

    def _ref(self, principal: Principal, call_id: str) -> CallRef:
        ref = own_ref(call_id, principal, self._partitions.known)
        if ref is None:
            raise UnknownCall
        return ref

    def _own(self, principal: Principal, call: Call) -> Call:
        if not is_own(call, principal):
            raise UnknownCall
        return call


def _cues(told: Told | None) -> Cues:
    return FOLLOWED if told else ANSWER_EVENTS
