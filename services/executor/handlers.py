"""The executor's shell: steps 5 and 6 of docs/call-lifecycle.md."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from callgate.control import FreezeBook
from callgate.delivery import Delivery
from callgate.errors import BrokerAway, LostRace, Rejected, Retryable
from callgate.http_mapping.errors import MappingError
from callgate.http_mapping.received import Received
from callgate.ids import uuid7
from callgate.jsontext import JsonTextError, dump, parse
from callgate.log import Draft, Log
from callgate.sealing import Place, Sealer
from contracts.events import (
    EventData,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    OutcomeSettled,
    OutcomeUnknown,
    Recorded,
    Sealed,
)
from contracts.freezes import FROZEN
from contracts.functions import Catalog
from contracts.lifecycle import Call
from contracts.subjects import CallRef
from services.executor.credentials import CredentialError
from services.executor.domain import (
    Authorised,
    GiveUp,
    Resume,
    Run,
    WaitUntil,
    after_unknown,
    authorise,
    next_step,
)
from services.executor.grants import GrantChecks
from services.executor.outcomes import Attempt, Completed, NotSent, Outcome, Runner, Send

logger = logging.getLogger("services.executor")

T = TypeVar("T")

_PAUSE = 0.1, 1.0
"""Seconds between tries to record a result while the broker is away."""


_UNSENT_KEPT = 1024


class Refused(NamedTuple):
    """Why a call cannot be run; `freeze` is the id of the one that stops it, where one does."""

    code: str
    freeze: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that can fail without effect has been done: only the call itself is left."""

    function: str
    send: Send
    timeout: float
    idempotent: bool
    proxied: bool
    """Whether the agent is to have the answer's headers too."""


class Executor:
    """Runs allowed calls. `instance` names this replica in what it records.

    `runners` by the kind of connection; `keep_up` has the catalog hold all that was acknowledged before.
    """

    def __init__(
        self,
        log: Log,
        sealer: Sealer,
        runners: Mapping[str, Runner],
        catalog: Catalog,
        keep_up: Callable[[], Awaitable[None]],
        instance: str,
        freezes: FreezeBook,
        grants: GrantChecks,
        clock_skew: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._log = log
        self._sealer = sealer
        self._runners = runners
        self._catalog = catalog
        self._keep_up = keep_up
        self._instance = instance
        self._freezes = freezes
        self._grants = grants
        self._skew = clock_skew
        self._clock = clock
        self._unsent: dict[CallRef, str] = {}
        """Event ids of starts whose acknowledgement never came: they may stand, and nothing was sent on them."""
        self._at_work: set[str] = set()
        """Event ids of starts whose outcome is not recorded yet."""

    async def on_allowed(self, recorded: Recorded, delivery: Delivery) -> None:
        """5. Verifies the whole chain, records the start, and only on its acknowledgement calls out."""
        await self._obey(recorded, delivery)

    async def on_outcome_settled(self, recorded: Recorded, delivery: Delivery) -> None:
        """5, again: a person said that it is to run again. It does under its own `allowed`, with every check anew."""
        settled = recorded.data
        if isinstance(settled, OutcomeSettled) and settled.outcome == "run_again":
            await self._obey(recorded, delivery)

    async def _obey(self, order: Recorded, delivery: Delivery) -> None:
        # At the first delivery nobody else can have it yet; should somebody, the append loses and the leader is asked.
        reading = self._log.read_upto(order) if delivery.number == 1 else self._log.read(order.ref)
        # Freezes at the same time: one that is acknowledged after this is found by the look before the call goes out.
        chain, _ = await asyncio.gather(reading, self._freezes.refresh())
        call = chain.around(order)
        if self._catalog.kind_of(call.requested.function) == "mcp":
            await self._keep_up()  # a definition that was found before this call starts must count for it
        try:
            authorised = authorise(call, order, self._catalog)
        except LookupError:
            # An order that stands in no valid chain is an alien: alarmed by the reading, never acted on.
            logger.error("not executed: no authorised chain", extra={"call": str(order.ref)})
            return None
        if isinstance(authorised, Authorised):
            authorised = await self._grants.refusal(call, authorised.allowed, authorised.function) or authorised
        while True:
            try:
                return await self._proceed(call, order, authorised, delivery)
            except LostRace:
                # Not acknowledged as answered: what won may be a start, and whoever made it may yet die.
                call = (await self._log.read(order.ref)).around(order)

    async def _proceed(self, call: Call, order: Recorded, authorised: Authorised | str, delivery: Delivery) -> None:
        function = authorised.function if isinstance(authorised, Authorised) else None
        idempotent = function.spec.idempotent if function else False
        unsent = self._unsent.get(order.ref)
        step = next_step(call, order, idempotent, self._clock(), self._skew, unsent, self._at_work)
        if isinstance(step, WaitUntil):
            delivery.again_in((step.at - self._clock()).total_seconds())
            return
        if isinstance(step, GiveUp):
            await self._record(OutcomeUnknown(code=step.code), step.after, delivery)
        elif isinstance(step, Run):
            await self._run(call, step, authorised, delivery)
        elif isinstance(step, Resume):
            # Before anything is awaited: of two deliveries only one goes on under a start that stands.
            del self._unsent[order.ref]
            await self._run(call, step, authorised, delivery)
        else:
            self._unsent.pop(order.ref, None)

    async def _run(self, call: Call, step: Run | Resume, authorised: Authorised | str, delivery: Delivery) -> None:
        """Prepares the request and executes it, or records why that cannot be."""
        try:
            prepared = Refused(authorised) if isinstance(authorised, str) else await self._prepare(authorised, call)
            if isinstance(prepared, Refused):
                await self._record(_without_effect(step.attempt == 1, *prepared), step.after, delivery)
                return
        except Retryable:
            if isinstance(step, Resume):
                self._keep_unsent(call.ref, step.after.event.event_id)
            raise
        await self._execute(call, step, prepared, delivery)

    async def _prepare(self, authorised: Authorised, call: Call) -> Prepared | Refused:
        """Opens the arguments, does all that needs no sending."""
        freeze = self._freeze_of(call)
        if freeze is not None:
            return Refused(FROZEN, freeze)
        function = authorised.function
        connection = self._catalog.connections[function.connection]
        try:
            place = Place(call.ref, authorised.sealed_in, "arguments")
            raw = await self._sealer.open(authorised.arguments, place, "raw")
            arguments = parse(raw, numbers="exact")
            if not isinstance(arguments, dict):
                return Refused("arguments_not_an_object")
            received = await self._received(authorised, call.ref)
            send = await self._runners[connection.kind].prepare(function, connection, arguments, received)
        except (Rejected, JsonTextError, MappingError, CredentialError) as error:
            return Refused(error.code)
        timeout = function.spec.timeout or connection.timeout
        return Prepared(function.name, send, timeout, function.spec.idempotent, received is not None)

    async def _received(self, authorised: Authorised, ref: CallRef) -> Received | None:
        """The request as it came through the proxy. Rejected also for what is none: it may hold a condition."""
        if authorised.request is None:
            return None
        raw = await self._sealer.open(authorised.request, Place(ref, authorised.sealed_in, "request"), "raw")
        try:
            return Received.decode(raw)
        except ValueError:
            raise Rejected("request_malformed") from None

    async def _execute(self, call: Call, step: Run | Resume, prepared: Prepared, delivery: Delivery) -> None:
        """5, 6. An idempotent function whose outcome is unknown runs again here at once, a few times."""
        following: Run | Resume | GiveUp = step
        starts: set[str] = set()
        try:
            while not isinstance(following, GiveUp):
                if isinstance(following, Run):
                    started = await self._start(following, prepared.timeout, delivery)
                    call = call.apply(started)
                else:
                    started = following.after
                starts.add(started.event.event_id)
                self._at_work |= starts
                outcome = await self._send(call, started, prepared, delivery)
                if isinstance(outcome, (Completed, NotSent)):
                    await self._record_outcome(outcome, prepared, started, delivery)
                    return
                following = after_unknown(call, started, prepared.idempotent, outcome.code)
            unknown = Draft(uuid7(), self._clock(), OutcomeUnknown(code=following.code))
            await self._insist(unknown, following.after, delivery)
        finally:
            self._at_work -= starts

    async def _start(self, step: Run, seconds: float, delivery: Delivery) -> Recorded:
        """5. The start as it stands on disk; nothing is sent before."""
        at = self._clock()
        deadline = at + timedelta(seconds=seconds)
        start = ExecutionStarted(instance=self._instance, attempt=step.attempt, deadline=deadline)
        draft = Draft(uuid7(), at, start)
        ref = step.after.ref
        try:
            started = await self._log.append(draft, step.after, traceparent=delivery.traceparent)
        except BrokerAway:
            self._keep_unsent(ref, draft.event_id)
            raise
        self._unsent.pop(ref, None)
        return started

    def _keep_unsent(self, ref: CallRef, event_id: str) -> None:
        """What is forgotten, or another replica takes over, is somebody's start, whose deadline is waited for."""
        self._unsent[ref] = event_id
        if len(self._unsent) > _UNSENT_KEPT:
            del self._unsent[next(iter(self._unsent))]

    def _freeze_of(self, call: Call) -> str | None:
        """The id of a freeze that stops the call, of those that were acknowledged before they were last asked for."""
        requested = call.requested
        freeze = self._freezes.stopping(requested.principal, call.ref.session_id, requested.function)
        return freeze.freeze_id if freeze is not None else None

    async def _send(self, call: Call, started: Recorded, prepared: Prepared, delivery: Delivery) -> Outcome:
        """Calls out once, under a start that stands; aborted by its deadline, even where that has passed already.

        Not where a freeze came before the start did: it was acknowledged between the look before and the start.
        """
        start = started.data
        assert isinstance(start, ExecutionStarted)  # noqa: S101
        try:
            await self._freezes.refresh()
            freeze = self._freeze_of(call)
            if freeze is not None:
                return NotSent(FROZEN, freeze)
        except BrokerAway:
            self._keep_unsent(started.ref, started.event.event_id)
            raise
        seconds = (start.deadline - self._clock()).total_seconds()
        return await prepared.send(Attempt(started.ref.call_id, seconds, delivery.traceparent))

    async def _record_outcome(
        self, outcome: Completed | NotSent, prepared: Prepared, started: Recorded, delivery: Delivery
    ) -> None:
        if isinstance(outcome, NotSent):
            # A first attempt that was never sent has no effect; a later one says nothing of those before it.
            first = isinstance(started.data, ExecutionStarted) and started.data.attempt == 1
            failed = _without_effect(first, outcome.code, outcome.freeze)
            await self._insist(Draft(uuid7(), self._clock(), failed), started, delivery)
            return
        event_id, at = uuid7(), self._clock()

        async def sealed(plain: bytes, field: str) -> Sealed:
            return await _patiently(lambda: self._sealer.seal(plain, Place(started.ref, event_id, field), "raw", at))

        data = ExecutionCompleted(
            function=prepared.function,
            status=outcome.status,
            content_type=outcome.content_type[:200] or None,
            result=await sealed(outcome.body, "result"),
            headers=await sealed(dump(outcome.headers), "headers") if prepared.proxied else None,
            size=len(outcome.body),
            truncated=outcome.truncated,
            duration_ms=round(outcome.duration_ms, 3),
        )
        await self._insist(Draft(event_id, at, data), started, delivery)

    async def _record(self, data: EventData, answers: Recorded, delivery: Delivery) -> Recorded:
        draft = Draft(uuid7(), self._clock(), data)
        return await self._log.append(draft, answers, traceparent=delivery.traceparent)

    async def _insist(self, draft: Draft, started: Recorded, delivery: Delivery) -> None:
        """6. Records what became of an execution, however long the broker is away: nobody else knows it.

        Where somebody took us for dead meanwhile, it is late evidence on their `outcome_unknown`.
        """

        async def append() -> None:
            try:
                await self._log.append(draft, started, traceparent=delivery.traceparent)
            except LostRace:
                call = (await self._log.read(started.ref)).call
                head, data = call.head, draft.data
                # That one attempt had no effect says nothing where there were others.
                harmless = isinstance(data, ExecutionFailed) and call.attempts == 1
                evidence = harmless or isinstance(data, ExecutionCompleted)
                if head is None or not isinstance(head.data, OutcomeUnknown) or not evidence:
                    extra = {"call": str(started.ref), "outcome": draft.data.NAME}
                    logger.warning("an outcome came too late to be recorded", extra=extra)
                    raise
                await self._log.append(draft, head, traceparent=delivery.traceparent)

        await _patiently(append)


def _without_effect(first: bool, code: str, freeze: str | None) -> EventData:
    """It was not sent: certainly no effect, unless an attempt went before whose outcome nobody knows."""
    return ExecutionFailed(code=code, freeze=freeze) if first else OutcomeUnknown(code=code, freeze=freeze)


async def _patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Repeats the work until the broker is back."""
    pause = _PAUSE[0]
    while True:
        try:
            return await work()
        except BrokerAway:
            logger.warning("the broker is away; the outcome of an execution waits to be recorded")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _PAUSE[1])
