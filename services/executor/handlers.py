"""The executor's shell: steps 5 and 6 of docs/call-lifecycle.md."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from callgate.delivery import Delivery
from callgate.errors import BrokerAway, LostRace, Rejected
from callgate.ids import uuid7
from callgate.jsontext import JsonTextError, parse
from callgate.log import Draft, Log
from callgate.sealing import Place, Sealer
from contracts.events import (
    EventData,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionStarted,
    OutcomeUnknown,
    Recorded,
)
from contracts.functions import Catalog, HttpConnection
from contracts.lifecycle import Call
from services.executor.credentials import CredentialError, CredentialHeader, read_credential
from services.executor.domain import (
    Authorised,
    GiveUp,
    Nothing,
    Run,
    WaitUntil,
    after_unknown,
    authorise,
    next_step,
)
from services.executor.http import Completed, HttpRunner, NotSent
from services.executor.request import HttpRequest, RequestError, build_request

logger = logging.getLogger("services.executor")

T = TypeVar("T")

_PAUSE = 0.25, 5.0
"""Seconds between tries to record a result while the broker is away."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that can fail without effect has been done: only the call itself is left."""

    function: str
    connection: HttpConnection
    request: HttpRequest
    credential: CredentialHeader | None
    timeout: float
    idempotent: bool


class Executor:
    """Runs allowed calls. `instance` names this replica in what it records."""

    def __init__(
        self,
        log: Log,
        sealer: Sealer,
        runner: HttpRunner,
        catalog: Catalog,
        environ: Mapping[str, str],
        instance: str,
        clock_skew: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._log = log
        self._sealer = sealer
        self._runner = runner
        self._catalog = catalog
        self._environ = environ
        self._instance = instance
        self._skew = clock_skew
        self._clock = clock

    async def on_allowed(self, recorded: Recorded, delivery: Delivery) -> None:
        """5. Verifies the whole chain, records the start, and only on its acknowledgement calls out."""
        if delivery.number == 1:
            # Nobody else can have it yet; should somebody, the append loses the race and the leader is asked.
            chain = await self._log.read_upto(recorded)
        else:
            chain = await self._log.read(recorded.ref)
        try:
            authorised = authorise(chain.call, recorded, self._catalog)
        except LookupError:
            # An `allowed` that stands in no valid chain is an alien: alarmed by the reading, never acted on.
            logger.error("not executed: no authorised chain", extra={"call": str(recorded.ref)})
            return
        try:
            await self._proceed(chain.call, recorded, authorised, delivery)
        except LostRace:
            call = (await self._log.read(recorded.ref)).call
            await self._proceed(call, recorded, authorised, delivery)

    async def _proceed(self, call: Call, allowed: Recorded, authorised: Authorised | str, delivery: Delivery) -> None:
        function = authorised.function if isinstance(authorised, Authorised) else None
        idempotent = function.spec.idempotent if function else False
        step = next_step(call, allowed, idempotent, self._clock(), self._skew)
        if isinstance(step, Nothing):
            return
        if isinstance(step, WaitUntil):
            delivery.again_in((step.at - self._clock()).total_seconds())
        elif isinstance(step, GiveUp):
            await self._record(OutcomeUnknown(code=step.code), step.after, delivery)
        elif isinstance(authorised, str):
            await self._record(self._refusal(step, authorised), step.after, delivery)
        else:
            prepared = await self._prepare(authorised, allowed)
            if isinstance(prepared, str):
                await self._record(self._refusal(step, prepared), step.after, delivery)
            else:
                await self._execute(call, step, prepared, delivery)

    @staticmethod
    def _refusal(step: Run, code: str) -> EventData:
        """It cannot be run: certainly no effect, unless an attempt went before whose outcome nobody knows."""
        return ExecutionFailed(code=code) if step.attempt == 1 else OutcomeUnknown(code=code)

    async def _prepare(self, authorised: Authorised, allowed: Recorded) -> Prepared | str:
        """Opens the arguments, builds the request, reads the credential; the code of what failed."""
        function = authorised.function
        connection = self._catalog.connections[function.connection]
        try:
            place = Place(allowed.ref, authorised.arguments_event_id, "arguments")
            raw = await self._sealer.open(authorised.arguments, place, "raw")
            request = build_request(connection, function, parse(raw, numbers="exact"))
            credential = read_credential(connection.credential, self._environ) if connection.credential else None
        except (Rejected, JsonTextError, RequestError, CredentialError) as error:
            return error.code
        timeout = function.spec.timeout or connection.timeout
        return Prepared(function.name, connection, request, credential, timeout, function.spec.idempotent)

    async def _execute(self, call: Call, step: Run | GiveUp, prepared: Prepared, delivery: Delivery) -> None:
        """5, 6. An idempotent function whose outcome is unknown runs again here at once, a few times."""
        while isinstance(step, Run):
            deadline = self._clock() + timedelta(seconds=prepared.timeout)
            started = await self._record(
                ExecutionStarted(instance=self._instance, attempt=step.attempt, deadline=deadline),
                step.after,
                delivery,
            )
            call = call.apply(started)
            outcome = await self._runner.run(
                prepared.request,
                credential=prepared.credential,
                idempotency_key=started.ref.call_id,
                deadline_seconds=(deadline - self._clock()).total_seconds(),
                response_limit=prepared.connection.response_limit,
                traceparent=delivery.traceparent,
            )
            if isinstance(outcome, (Completed, NotSent)):
                await self._record_outcome(outcome, prepared, started, delivery)
                return
            step = after_unknown(call, started, prepared.idempotent, outcome.code)
        await self._insist(Draft(uuid7(), self._clock(), OutcomeUnknown(code=step.code)), step.after, delivery)

    async def _record_outcome(
        self, outcome: Completed | NotSent, prepared: Prepared, started: Recorded, delivery: Delivery
    ) -> None:
        if isinstance(outcome, NotSent):
            # A first attempt that was never sent has no effect; a later one says nothing of those before it.
            first = isinstance(started.data, ExecutionStarted) and started.data.attempt == 1
            failed = ExecutionFailed(code=outcome.code) if first else OutcomeUnknown(code=outcome.code)
            await self._insist(Draft(uuid7(), self._clock(), failed), started, delivery)
            return
        event_id, at = uuid7(), self._clock()
        place = Place(started.ref, event_id, "result")
        data = ExecutionCompleted(
            function=prepared.function,
            status=outcome.status,
            content_type=outcome.content_type[:200] or None,
            result=await _patiently(lambda: self._sealer.seal(outcome.body, place, "raw", at)),
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
                head = call.head
                evidence = isinstance(draft.data, (ExecutionCompleted, ExecutionFailed))
                if head is None or not isinstance(head.data, OutcomeUnknown) or not evidence:
                    raise
                await self._log.append(draft, head, traceparent=delivery.traceparent)

        await _patiently(append)


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
