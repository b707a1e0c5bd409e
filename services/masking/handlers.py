"""Masking's shell: opens what is sealed raw, masks it, and appends steps 2 and 7 of docs/call-lifecycle.md."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, NamedTuple, TypeVar

from callgate.delivery import Delivery
from callgate.errors import Rejected, TooLarge
from callgate.ids import uuid7
from callgate.json_patch import BadPatch, checked_patch
from callgate.jsontext import JsonTextError, dump, parse
from callgate.log import Draft, Log
from callgate.sealing import Place, Sealer
from contracts.events import (
    ArgumentsAmended,
    ArgumentsMasked,
    EventData,
    ExecutionCompleted,
    Finding,
    OutcomeSettled,
    Recorded,
    Requested,
    ResultMasked,
    Sealed,
)
from contracts.lifecycle import Call
from contracts.model import JsonValue
from contracts.subjects import CallRef
from services.masking.amending import amend
from services.masking.content import MaskedBytes, mask_bytes, mask_headers
from services.masking.domain import Masked, mask
from services.masking.hints import Hints
from services.masking.machine import Machine
from services.masking.strategies import Disguise, Strategies
from services.masking.tokens import Resolved, SessionSecrets, may_hold_tokens, resolve

logger = logging.getLogger("services.masking")

T = TypeVar("T")

HintsOf = Callable[[str], Awaitable[Hints]]
"""By a function's name, what a schema of it says to masking: also of one that others met first. BrokerAway."""

THREAD_ABOVE: Final = 8 * 1024
"""Bytes above which masking leaves the event loop, so that a large payload does not hold up the small ones: a list of
card numbers takes some 3.5 ms a KiB."""

_TOO_MANY = "too_many_findings"
_OK, _NO_CONTENT = 200, 204
_JSON = "application/json"


class Arguments(NamedTuple):
    """Arguments with their text."""

    document: JsonValue
    raw: bytes


class Masking:
    """`inputs` and `outputs` tell what a function's schemas say of its parameters and of its results.

    `machine` are all the detectors where it is None.
    """

    def __init__(
        self,
        log: Log,
        sealer: Sealer,
        inputs: HintsOf,
        outputs: HintsOf,
        clock: Callable[[], datetime],
        *,
        machine: Machine | None = None,
        thread_above: int = THREAD_ABOVE,
        strategies: Strategies = Strategies(),  # noqa: B008  # immutable
    ) -> None:
        self._log = log
        self._sealer = sealer
        self._inputs = inputs
        self._outputs = outputs
        self._machine = machine
        self._thread_above = thread_above
        self._strategies = strategies
        self._clock = clock

    async def on_requested(self, recorded: Recorded, delivery: Delivery) -> None:
        """2. Seals the effective arguments anew, for policy and executor, with their masked view."""
        await self._answer(recorded, recorded, lambda _: self._asked_for(recorded), delivery)

    async def on_arguments_amended(self, recorded: Recorded, delivery: Delivery) -> None:
        """2, again: as asked for, with every amendment since. What cannot be amended so is uninspectable."""
        call = (await self._log.read(recorded.ref)).around(recorded)
        if call.head_digest != recorded.digest:
            return  # answered already, or no part of the chain
        await self._answer(call.chain[0], recorded, lambda hints: self._amended(call, hints), delivery)

    async def _answer(
        self, asked: Recorded, answers: Recorded, arguments: Callable[[Hints], Awaitable[Arguments]], delivery: Delivery
    ) -> None:
        """`asked` is the call's `requested`."""
        requested = asked.data
        assert isinstance(requested, Requested)  # noqa: S101
        hints = await self._inputs(requested.function)
        event_id, at, ref = uuid7(), self._clock(), answers.ref
        amended = isinstance(answers.data, ArgumentsAmended)
        data = ArgumentsMasked(
            function=requested.function, principal=requested.principal, arguments=None, view=None, amended=amended
        )
        try:
            document, raw = await arguments(hints)
            resolved = await self._resolved(document, hints, ref, at)
            # Masked as it came, tokens and all: what they stand for is nothing that a detector could be sure to find.
            masked = await self._masked(document, len(raw), hints, ref, at)
            effective = dump(resolved.document) if resolved.replaced else raw
            request = await self._handed_on(asked, event_id, at)
        except (Rejected, JsonTextError, BadPatch) as error:
            data = data.model_copy(update={"uninspectable": (error.code,)})
            logger.warning("arguments could not be inspected", extra={"call": str(ref), "code": error.code})
        else:
            data = data.model_copy(
                update={
                    "arguments": await self._sealer.seal(effective, Place(ref, event_id, "arguments"), "raw", at),
                    "view": await self._sealer.seal(dump(masked.view), Place(ref, event_id, "view"), "view", at),
                    "findings": _joined(masked.findings, resolved.findings),
                    "uninspectable": (*resolved.refused, *masked.uninspectable),
                    "refused_tokens": resolved.problems,
                    "request": request,
                }
            )
        try:
            await self._log.append(Draft(event_id, at, data), answers, traceparent=delivery.traceparent)
        except TooLarge:
            nothing = {"arguments": None, "view": None, "findings": (), "uninspectable": (_TOO_MANY,)}
            less = data.model_copy(update=nothing | {"refused_tokens": (), "request": None})
            await self._append_less(less, answers, delivery)

    async def _handed_on(self, asked: Recorded, event_id: str, at: datetime) -> Sealed | None:
        """The request as it came to the proxy, sealed anew. Nothing of it need be inspected: the executor sends it only
        where it says the same as the effective arguments, which are."""
        requested = asked.data
        assert isinstance(requested, Requested)  # noqa: S101
        if requested.request is None:
            return None
        raw = await self._sealer.open(requested.request, Place(asked.ref, asked.event.event_id, "request"), "raw")
        return await self._sealer.seal(raw, Place(asked.ref, event_id, "request"), "raw", at)

    async def _asked_for(self, recorded: Recorded) -> Arguments:
        """The arguments of `requested`. Rejected, JsonTextError."""
        requested = recorded.data
        assert isinstance(requested, Requested)  # noqa: S101
        place = Place(recorded.ref, recorded.event.event_id, "arguments")
        raw = await self._sealer.open(requested.arguments, place, "raw")
        return Arguments(await self._in_thread(len(raw), lambda: parse(raw, numbers="exact")), raw)

    async def _amended(self, call: Call, hints: Hints) -> Arguments:
        """What the agent asked for, tokens and all, after every amendment: the real values of tokens, as they stand in
        the effective arguments, would not be found again as what they are. Rejected, JsonTextError, BadPatch."""
        document, raw = await self._asked_for(call.chain[0])
        for recorded in call.chain:
            if isinstance(recorded.data, ArgumentsAmended):
                place = Place(call.ref, recorded.event.event_id, "patch")
                patch = checked_patch(parse(await self._sealer.open(recorded.data.patch, place, "raw")))
                # The view that its author saw: of the same arguments, with the same secrets of the session.
                seen = await self._masked(document, len(raw), hints, call.ref, recorded.event.at)
                document = amend(document, seen.view, patch)
                raw = dump(document)
        return Arguments(document, raw)

    async def _masked(self, document: JsonValue, size: int, hints: Hints, ref: CallRef, at: datetime) -> Masked:
        disguise = await self._disguise(ref, at)
        return await self._in_thread(size, lambda: mask(document, hints, machine=self._machine, disguise=disguise))

    async def on_execution_completed(self, recorded: Recorded, delivery: Delivery) -> None:
        """7. Seals what the agent may see of the result; what cannot be inspected is withheld whole."""
        completed = recorded.data
        assert isinstance(completed, ExecutionCompleted)  # noqa: S101
        if completed.truncated:
            masked = MaskedBytes(b"", uninspectable=("response_cut_off",), withheld=True)
        else:
            masked = await self._mask_result(recorded, completed.result, completed.function, completed.content_type)
        headers = None if masked.withheld else await self._mask_headers(recorded, completed.headers)
        media_type = _media_type(completed.content_type)
        await self._tell(recorded, masked, completed.status, media_type, delivery, headers)

    async def on_outcome_settled(self, recorded: Recorded, delivery: Delivery) -> None:
        """7, where a person settled that it was done: the result that they gave, which is JSON, or none."""
        settled = recorded.data
        assert isinstance(settled, OutcomeSettled)  # noqa: S101
        if settled.outcome != "done":
            return
        call = (await self._log.read(recorded.ref)).around(recorded)
        if call.head_digest != recorded.digest:
            return  # answered already, or no part of the chain
        if settled.result is None:
            await self._tell(recorded, MaskedBytes(b""), _NO_CONTENT, None, delivery)
            return
        masked = await self._mask_result(recorded, settled.result, call.requested.function, _JSON)
        await self._tell(recorded, masked, _OK, _JSON, delivery)

    async def _tell(
        self,
        recorded: Recorded,
        masked: MaskedBytes,
        status: int,
        content_type: str | None,
        delivery: Delivery,
        headers: MaskedBytes | None = None,
    ) -> None:
        event_id, at = uuid7(), self._clock()

        async def sealed(plain: bytes, field: str) -> Sealed:
            return await self._sealer.seal(plain, Place(recorded.ref, event_id, field), "view", at)

        view = None if masked.withheld else await sealed(masked.data, "view")
        data = ResultMasked(
            status=status,
            content_type=content_type,
            view=view,
            findings=masked.findings,
            withheld=masked.uninspectable[0] if masked.withheld else None,
            uninspectable=masked.uninspectable,
            headers=None if headers is None else await sealed(headers.data, "headers"),
            header_findings=() if headers is None else headers.findings,
        )
        try:
            await self._log.append(Draft(event_id, at, data), recorded, traceparent=delivery.traceparent)
        except TooLarge:
            nothing = {"view": None, "headers": None, "findings": (), "header_findings": ()}
            withheld = {"withheld": _TOO_MANY, "uninspectable": (_TOO_MANY,)}
            await self._append_less(data.model_copy(update=nothing | withheld), recorded, delivery)

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

    async def _mask_headers(self, recorded: Recorded, headers: Sealed | None) -> MaskedBytes | None:
        """What may be shown of an answer's headers; None where there are none, or where they do not open."""
        if headers is None:
            return None
        try:
            raw = await self._sealer.open(headers, Place(recorded.ref, recorded.event.event_id, "headers"), "raw")
        except Rejected:
            return None
        return mask_headers(raw, machine=self._machine, disguise=await self._disguise(recorded.ref, self._clock()))

    async def _mask_result(
        self, recorded: Recorded, result: Sealed, function: str, content_type: str | None
    ) -> MaskedBytes:
        """What may be shown of the result that stands in the event."""
        try:
            raw = await self._sealer.open(result, Place(recorded.ref, recorded.event.event_id, "result"), "raw")
        except Rejected as error:
            return MaskedBytes(b"", uninspectable=(error.code,), withheld=True)
        hints = await self._outputs(function)
        disguise = await self._disguise(recorded.ref, self._clock())
        return await self._in_thread(
            len(raw), lambda: mask_bytes(raw, content_type, hints, machine=self._machine, disguise=disguise)
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
