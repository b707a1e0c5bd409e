"""Calls that a reviewer changes before others approve them, through every service on a real broker."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from governed_scene import CARD, PAY, PAY_ROUTE, POLICIES, Governed, governed

from callgate.log import reading
from contracts.events import Recorded
from contracts.subjects import CallRef

OTHER_CARD = "5555555555554444"
FORBIDS = """@id("no-39") forbid(principal, action == Action::"shop.pay", resource)
when { context.input.amount == decimal("39.0") };"""


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path) as running:
        yield running


async def asked(scene: Governed) -> tuple[CallRef, str]:
    """A refund of 400, which finance must approve, and the digest of the question."""
    ref = CallRef.parse((await scene.call("shop.pay", wait=0, amount=400, **PAY))["id"])
    return ref, (await scene.until(ref, "approval_required")).digest


def lower(amount: float) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": "/amount", "value": amount}]


async def amend(scene: Governed, ref: CallRef, who: str, digest: str, patch: list[dict[str, Any]]) -> tuple[int, Any]:
    body = {"digest": digest, "patch": patch, "reason": "the invoice says 40"}
    return await scene.request("POST", f"/v1/approvals/{ref}/amendments", who, json=body)


async def vote(scene: Governed, ref: CallRef, who: str, digest: str) -> tuple[int, Any]:
    ballot = {"decision": "approve", "digest": digest}
    return await scene.request("POST", f"/v1/approvals/{ref}/votes", who, json=ballot)


async def asked_again(scene: Governed, ref: CallRef, before: str) -> str:
    """The digest of the question that follows an amendment of the one before."""
    async with asyncio.timeout(30):
        async for recorded in scene.audit.log.follow(ref.partition, event="approval_required"):
            if isinstance(recorded, Recorded) and recorded.ref == ref and recorded.digest != before:
                return recorded.digest
    raise AssertionError("following a log does not end")


async def test_lowered_approved_by_somebody_else_run_and_told(scene: Governed) -> None:
    ref, first = await asked(scene)
    waiting = asyncio.create_task(scene.outcome(ref))
    status, answer = await amend(scene, ref, "fay", first, lower(40))
    assert status == 201, answer
    second = await asked_again(scene, ref, first)
    # 40 needs nobody by the policies; that fay lowered it does.
    assert (await vote(scene, ref, "finn", first))[1]["code"] == "call_changed"
    assert (await vote(scene, ref, "fay", second))[1]["state"] == "vote_cast"
    assert not scene.ledger.arrived
    assert (await vote(scene, ref, "finn", second))[1]["state"] == "approved"
    document = await waiting
    assert document["status"] == "completed"
    (amendment,) = document["amendments"]
    assert amendment["changes"] == [{"path": "/amount", "before": 400, "after": 40}]
    assert (amendment["by"], amendment["reason"]) == ("fay", "the invoice says 40")
    assert json.loads(scene.ledger.last[PAY_ROUTE]["body"]) == {"amount": 40, **PAY}
    assert scene.ledger.executed == {PAY_ROUTE: 1}
    names = await scene.names(ref)
    assert names[2:9] == [
        "approval_required",
        "arguments_amended",
        "arguments_masked",
        "approval_required",
        "vote_cast",
        "vote_cast",
        "approved",
    ]
    assert names[9:] == ["allowed", "execution_started", "execution_completed", "result_masked"]
    assert not (await scene.chain(ref)).aliens


async def test_a_masked_value_is_replaced_and_what_replaces_it_is_nowhere_in_clear(
    scene: Governed, caplog: pytest.LogCaptureFixture
) -> None:
    ref, first = await asked(scene)
    waiting = asyncio.create_task(scene.outcome(ref))
    patch = [{"op": "replace", "path": "/card_number", "value": OTHER_CARD}]
    assert (await amend(scene, ref, "fay", first, patch))[0] == 201
    second = await asked_again(scene, ref, first)
    _, item = await scene.request("GET", f"/v1/approvals/{ref}", "finn")
    assert item["arguments"]["card_number"] == "[CREDIT_CARD]"
    assert (await vote(scene, ref, "finn", second))[0] == 201
    document = await waiting
    assert document["amendments"][0]["changes"] == [], "what changed shows the same from outside"
    assert json.loads(scene.ledger.last[PAY_ROUTE]["body"])["card_number"] == OTHER_CARD
    (partition,) = scene.partitions
    found = reading.direct_all(scene.audit.client, partition.stream, partition.all_calls)
    on_the_log = b"".join([message.body async for message in found])
    for secret in (CARD, OTHER_CARD):
        assert secret.encode() not in on_the_log
        assert secret not in caplog.text


async def test_what_breaks_the_schema_is_refused_and_the_rest_is_judged_anew(scene: Governed) -> None:
    ref, first = await asked(scene)
    status, problem = await amend(scene, ref, "fay", first, [{"op": "add", "path": "/tip", "value": 1}])
    assert status == 422, problem
    assert "arguments_amended" not in await scene.names(ref)
    await scene.use_policies(POLICIES + FORBIDS)
    assert (await amend(scene, ref, "fay", first, lower(39)))[0] == 201
    document = await scene.outcome(ref)
    assert (document["status"], document["policies"]) == ("denied", ["no-39"])
    assert document["amendments"][0]["changes"] == [{"path": "/amount", "before": 400, "after": 39}]
    assert not scene.ledger.arrived


async def test_whoever_asked_does_not_amend(scene: Governed) -> None:
    ref, first = await asked(scene)
    status, problem = await amend(scene, ref, "support-bot", first, lower(40))
    assert status in (403, 404), problem
    assert "arguments_amended" not in await scene.names(ref)
