"""A replica that lags behind CONTROL masks nothing of a tool before it heard what the tool's schemas say."""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, cast

import pytest
from memory_control import Control
from memory_log import NOW, RITA, Calls, Clock, MemoryLog, MemorySealer, delivery

from callgate import catalog as module
from callgate.catalog import LiveCatalog
from callgate.ids import uuid7
from callgate.sealing import Place
from contracts.events import (
    ApprovalRequired,
    ArgumentsAmended,
    ArgumentsMasked,
    EventData,
    ExecutionCompleted,
    ExecutionStarted,
    OutcomeSettled,
    OutcomeUnknown,
    Proof,
    Recorded,
    Requirement,
    ResultMasked,
    make_event,
)
from contracts.functions import McpConnection
from contracts.subjects import CallRef
from services.masking.app import LiveHints
from services.masking.handlers import Masking

PERSON = {"type": "object", "properties": {"holder": {"type": "string", "x-callgate-mask": "PERSON"}}}
HOLDER = b'{"holder":"Jo"}'
RESULT = b'{"structuredContent":{"holder":"Jo"}}'
NOTES = McpConnection.model_validate(
    {"kind": "mcp", "url": "http://127.0.0.1:1/mcp", "tools": {"search": {"input": PERSON, "output": PERSON}}}
)


class Scene:
    def __init__(self, control: Control) -> None:
        self.log, self.sealer = MemoryLog(Clock()), MemorySealer()
        self.calls = Calls(self.log, self.sealer, "notes.search", HOLDER)
        catalog = LiveCatalog({"notes": NOTES}, cast(Any, None), cast(Any, None))
        inputs, outputs = LiveHints(catalog, "input"), LiveHints(catalog, "output")
        self.masking = Masking(self.log, self.sealer.as_sealer, inputs, outputs, self.log.clock)
        control.found("search", "Searches.")

    def put(self, ref: CallRef, event_id: str, data: EventData) -> Recorded:
        return self.log.write(make_event(event_id, ref, NOW, self.log.call(ref).head_digest, data), ref)

    def started(self) -> Recorded:
        started = ExecutionStarted(instance="e1", attempt=1, deadline=NOW)
        return self.log.put(self.calls.allowed("b" * 64).ref, started)

    async def requested(self) -> CallRef:
        requested = self.calls.requested()
        await self.masking.on_requested(requested, delivery())
        return requested.ref

    async def amended(self) -> CallRef:
        ref = self.calls.masked().ref
        wanted = Requirement(
            policies=("large",), approvers=("finance",), quorum=1, expires_at=NOW + timedelta(minutes=15)
        )
        self.log.put(ref, ApprovalRequired(policy_set="a" * 64, function_digest="b" * 64, requirements=(wanted,)))
        event_id = uuid7()
        patch = self.sealer.put(b'[{"op":"add","path":"/note","value":"x"}]', Place(ref, event_id, "patch"), "raw")
        proof = Proof(issuer=RITA.issuer, subject=RITA.id, digest=self.log.call(ref).open_question)
        changed = self.put(ref, event_id, ArgumentsAmended(author=RITA, patch=patch, proof=proof))
        await self.masking.on_arguments_amended(changed, delivery())
        return ref

    async def completed(self) -> CallRef:
        ref, event_id = self.started().ref, uuid7()
        result = self.sealer.put(RESULT, Place(ref, event_id, "result"), "raw")
        data = ExecutionCompleted(
            function="notes.search",
            status=200,
            content_type="application/json",
            result=result,
            size=len(RESULT),
            duration_ms=1,
        )
        await self.masking.on_execution_completed(self.put(ref, event_id, data), delivery())
        return ref

    async def settled(self) -> CallRef:
        ref, event_id = self.started().ref, uuid7()
        unknown = self.log.put(ref, OutcomeUnknown(code="timeout"))
        result = self.sealer.put(RESULT, Place(ref, event_id, "result"), "raw")
        reason = self.sealer.put(b"looked", Place(ref, event_id, "reason"), "view")
        proof = Proof(issuer=RITA.issuer, subject=RITA.id, digest=unknown.digest)
        data = OutcomeSettled(by=RITA, outcome="done", result=result, reason=reason, proof=proof)
        await self.masking.on_outcome_settled(self.put(ref, event_id, data), delivery())
        return ref

    async def view(self, ref: CallRef) -> bytes:
        """What was masked last."""
        last = self.log.call(ref).head
        assert last is not None
        assert isinstance(last.data, ArgumentsMasked | ResultMasked)
        assert last.data.view is not None
        return await self.sealer.open(last.data.view, Place(last.ref, last.event.event_id, "view"), "view")


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    control = Control()
    monkeypatch.setattr(module, "Feed", control.feed)
    return Scene(control)


@pytest.mark.parametrize("step", [Scene.requested, Scene.amended, Scene.completed, Scene.settled])
async def test_what_a_tools_schema_says_is_heard_first(
    scene: Scene, step: Callable[[Scene], Coroutine[Any, Any, CallRef]]
) -> None:
    assert b'"holder":"[PERSON]"' in await scene.view(await step(scene))
