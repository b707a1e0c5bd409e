"""Masking's shell: opens what is sealed raw, masks it, and appends steps 2 and 7 of docs/call-lifecycle.md."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeVar

from callgate.delivery import Delivery
from callgate.errors import Rejected, TooLarge
from callgate.ids import uuid7
from callgate.jsontext import JsonTextError, dump, parse
from callgate.log import Draft, Log
from callgate.sealing import Place, Sealer
from contracts.events import (
    ArgumentsMasked,
    EventData,
    ExecutionCompleted,
    Finding,
    Recorded,
    Requested,
    ResultMasked,
)
from contracts.model import JsonValue
from contracts.subjects import CallRef
from services.masking.content import MaskedBytes, mask_bytes
from services.masking.domain import mask
from services.masking.hints import NO_HINTS, Hints
from services.masking.machine import Machine
from services.masking.strategies import Disguise, Strategies
from services.masking.tokens import Resolved, SessionSecrets, may_hold_tokens, resolve

logger = logging.getLogger("services.masking")

T = TypeVar("T")

THREAD_ABOVE: Final = 8 * 1024
"""Bytes above which masking leaves the event loop, so that a large payload does not hold up the small ones: a list of
card numbers takes some 3.5 ms a KiB."""

_TOO_MANY = "too_many_findings"


class Masking:
    """`hints` and `outputs` map a function's name to what its schemas say of its parameters and of its results.

    `machine` are all the detectors where it is None.
    """

    def __init__(
        self,
        log: Log,
        sealer: Sealer,
        hints: Mapping[str, Hints],
        clock: Callable[[], datetime],
        *,
        outputs: Mapping[str, Hints] = MappingProxyType({}),
        machine: Machine | None = None,
        thread_above: int = THREAD_ABOVE,
        strategies: Strategies = Strategies(),  # noqa: B008  # immutable
    ) -> None:
        self._log = log
        self._sealer = sealer
        self._hints = hints
        self._outputs = outputs
        self._machine = machine
        self._thread_above = thread_above
        self._strategies = strategies
        self._clock = clock

    async def on_requested(self, recorded: Recorded, delivery: Delivery) -> None:
        """2. Seals the effective arguments anew, for policy and executor, with their masked view."""
        requested = recorded.data
        assert isinstance(requested, Requested)  # noqa: S101
        event_id, at = uuid7(), self._clock()
        data = ArgumentsMasked(function=requested.function, principal=requested.principal, arguments=None, view=None)
        try:
            raw = await self._sealer.open(
                requested.arguments, Place(recorded.ref, recorded.event.event_id, "arguments"), "raw"
            )
            document = await self._in_thread(len(raw), lambda: parse(raw, numbers="exact"))
            hints = self._hints.get(requested.function, NO_HINTS)
            resolved = await self._resolved(document, hints, recorded.ref, at)
            disguise = await self._disguise(recorded.ref, at)
            # Masked as it came, tokens and all: what they stand for is nothing that a detector could be sure to find.
            masked = await self._in_thread(
                len(raw), lambda: mask(document, hints, machine=self._machine, disguise=disguise)
            )
            effective = dump(resolved.document) if resolved.replaced else raw
        except (Rejected, JsonTextError) as error:
            data = data.model_copy(update={"uninspectable": (error.code,)})
            logger.warning("arguments could not be inspected", extra={"call": str(recorded.ref), "code": error.code})
        else:
            place = Place(recorded.ref, event_id, "arguments")
            view = Place(recorded.ref, event_id, "view")
            data = data.model_copy(
                update={
                    "arguments": await self._sealer.seal(effective, place, "raw", at),
                    "view": await self._sealer.seal(dump(masked.view), view, "view", at),
                    "findings": _joined(masked.findings, resolved.findings),
                    "uninspectable": (*resolved.refused, *masked.uninspectable),
                }
            )
        try:
            await self._log.append(Draft(event_id, at, data), recorded, traceparent=delivery.traceparent)
        except TooLarge:
            nothing = {"arguments": None, "view": None, "findings": (), "uninspectable": (_TOO_MANY,)}
            await self._append_less(data.model_copy(update=nothing), recorded, delivery)

    async def on_execution_completed(self, recorded: Recorded, delivery: Delivery) -> None:
        """7. Seals what the agent may see of the result; what cannot be inspected is withheld whole."""
        completed = recorded.data
        assert isinstance(completed, ExecutionCompleted)  # noqa: S101
        event_id, at = uuid7(), self._clock()
        masked = await self._mask_result(recorded, completed, at)
        view = None
        if not masked.withheld:
            view = await self._sealer.seal(masked.data, Place(recorded.ref, event_id, "view"), "view", at)
        data = ResultMasked(
            status=completed.status,
            content_type=_media_type(completed.content_type),
            view=view,
            findings=masked.findings,
            withheld=masked.uninspectable[0] if masked.withheld else None,
            uninspectable=masked.uninspectable,
        )
        try:
            await self._log.append(Draft(event_id, at, data), recorded, traceparent=delivery.traceparent)
        except TooLarge:
            nothing = {"view": None, "findings": (), "withheld": _TOO_MANY, "uninspectable": (_TOO_MANY,)}
            await self._append_less(data.model_copy(update=nothing), recorded, delivery)

    async def _in_thread(self, size: int, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work) if size > self._thread_above else work()

    async def _append_less(self, data: EventData, answers: Recorded, delivery: Delivery) -> None:
        """Payloads beyond a message lie elsewhere, findings cannot: what has too many for one event is withheld."""
        logger.warning("too many findings for one event", extra={"call": str(answers.ref)})
        await self._log.append(Draft(uuid7(), self._clock(), data), answers, traceparent=delivery.traceparent)

    async def _resolved(self, document: JsonValue, hints: Hints, ref: CallRef, at: datetime) -> Resolved:
        """The arguments with the real values of tokens; a session whose keys were erased has none."""
        if not may_hold_tokens(document):
            return Resolved(document)
        session = await self._secrets(ref, at, remembered=False)
        return resolve(document, hints, session, self._strategies.tokenised)

    async def _disguise(self, ref: CallRef, at: datetime) -> Disguise:
        return self._strategies.disguise(await self._secrets(ref, at) if self._strategies.need_secrets else None)

    async def _secrets(self, ref: CallRef, at: datetime, *, remembered: bool = True) -> SessionSecrets | None:
        try:
            secret = await self._sealer.session_secret(ref.session_id, "disguise", at, remembered=remembered)
        except Rejected as error:
            logger.warning("a session without secrets", extra={"call": str(ref), "code": error.code})
            return None
        return SessionSecrets.of(ref.session_id, secret)

    async def _mask_result(self, recorded: Recorded, completed: ExecutionCompleted, at: datetime) -> MaskedBytes:
        if completed.truncated:
            return MaskedBytes(b"", uninspectable=("response_cut_off",), withheld=True)
        try:
            place = Place(recorded.ref, recorded.event.event_id, "result")
            raw = await self._sealer.open(completed.result, place, "raw")
        except Rejected as error:
            return MaskedBytes(b"", uninspectable=(error.code,), withheld=True)
        hints = self._outputs.get(completed.function, NO_HINTS)
        disguise = await self._disguise(recorded.ref, at)
        return await self._in_thread(
            len(raw),
            lambda: mask_bytes(raw, completed.content_type, hints, machine=self._machine, disguise=disguise),
        )


def _joined(masked: tuple[Finding, ...], tokens: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """What was found, and what tokens stand for, once where an annotation says the same."""
    known = {(finding.path, finding.entity) for finding in masked}
    return (*masked, *(finding for finding in tokens if (finding.path, finding.entity) not in known))


def _media_type(content_type: str | None) -> str | None:
    """Type and subtype alone: parameters come from upstream and were not masked."""
    if not content_type:
        return None
    return content_type.partition(";")[0].strip().lower()[:100] or None
