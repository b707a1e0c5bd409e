"""What policy and people say of calls through the proxy, as an HTTP client hears it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from governed_scene import POLICIES, Governed, eventually, governed
from proxy_scene import JSON, TRANSFER, ask, asked_again, seen, transfer, values

from contracts.subjects import CallRef

FREEZING = '@id("finance-freezes") permit(principal in Group::"finance", action == Action::"freeze", resource);'


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path) as running:
        yield running


async def test_what_a_reviewer_changed_is_sent_anew_under_the_same_condition(scene: Governed) -> None:
    key = {"Idempotency-Key": "t-1", "Prefer": "wait=0", "If-Match": '"v7"', "Accept-Language": "de"}
    waiting = await transfer(scene, 4000, headers=key)
    question = (await scene.until(waiting.call, "approval_required")).digest
    patch = [{"op": "replace", "path": "/amount", "value": 40}]
    amendment = {"digest": question, "patch": patch, "reason": "the invoice says 40"}
    status, _ = await scene.request("POST", f"/v1/approvals/{waiting.call}/amendments", "fay", json=amendment)
    assert status == 201
    second = await asked_again(scene, waiting.call, question)
    await scene.request(
        "POST", f"/v1/approvals/{waiting.call}/votes", "finn", json={"decision": "approve", "digest": second}
    )
    answer = await transfer(scene, 4000, headers=key | {"Prefer": "wait=20"})
    assert answer.call == waiting.call
    assert answer.headers["Callgate-Amended"] == "true"
    assert seen(scene, TRANSFER) == ("/accounts/a1/transfers", "", b'{"amount":40}')
    assert values(scene, TRANSFER) == {
        "accept": "*/*",
        "accept-language": "de",
        "content-type": "application/json",
        "if-match": '"v7"',
    }


async def test_refusals_are_problems_with_a_call_to_look_at(scene: Governed) -> None:
    denied = await transfer(scene, 1, "mars")
    assert (denied.status, denied.code) == (403, "forbidden")
    assert (denied.json["policies"], denied.headers["Callgate-Status"]) == (["none-to-mars"], "denied")
    broken = await ask(scene, "POST", "api/accounts/a1/transfers", data=b'{"amount":"4"}', headers=JSON)
    assert (broken.status, broken.code) == (403, "input_invalid")
    assert broken.json["problems"] == [{"pointer": "/amount", "keyword": "type"}]
    nobody = await transfer(scene, 1, who="rosa")
    assert (nobody.status, nobody.code) == (403, "not_permitted")
    assert not scene.ledger.arrived
    assert await scene.names(denied.call) == ["requested", "arguments_masked", "denied"]

    scene.misbehave(TRANSFER, "drop_after")
    unknown = await transfer(scene, 1)
    assert (unknown.status, unknown.code, unknown.headers["Callgate-Status"]) == (504, "disconnected", "unknown")
    (scene.folder / "upstream.token").write_text("")
    failed = await transfer(scene, 1)
    assert (failed.status, failed.code, failed.headers["Callgate-Status"]) == (502, "credential_missing", "failed")


async def test_who_waits_too_long_takes_the_call_up_again_by_its_key(scene: Governed) -> None:
    key = {"Idempotency-Key": "transfer-1"}  # each request has a token of its own: they expire while people think
    waiting = await transfer(scene, 4000, headers=key | {"Prefer": "wait=1"})
    assert (waiting.status, waiting.code, waiting.headers["Retry-After"]) == (503, "waiting_for_approval", "5")
    assert waiting.json["approvals"]["requirements"][0]["groups"] == ["finance"]
    assert "finance" in waiting.json["detail"]
    other = await transfer(scene, 4001, headers=key)
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    held = asyncio.create_task(transfer(scene, 4000, headers=key | {"Prefer": "wait=25"}))
    await scene.vote(waiting.call, "fay")
    answer = await held
    assert (answer.call, answer.headers["Callgate-Status"]) == (waiting.call, "completed")
    once_more = await transfer(scene, 4000, headers=key)
    assert (once_more.call, once_more.status, once_more.body) == (answer.call, answer.status, answer.body)
    assert scene.ledger.arrived[TRANSFER] == 1

    # Without a key a repetition would be another call to approve: nothing tells a client's library to repeat it.
    asked = await transfer(scene, 4000, headers={"Prefer": "respond-async"})
    assert (asked.status, asked.headers["X-Should-Retry"]) == (503, "false")
    assert "Retry-After" not in asked.headers
    await scene.vote(asked.call, "fay", "reject", reason="not this month")
    rejected = await scene.outcome(asked.call)
    assert rejected["status"] == "rejected"
    held = asyncio.create_task(transfer(scene, 5000, headers={"Idempotency-Key": "transfer-2"}))
    pending = await pending_call(scene, other_than=asked.call)
    await scene.vote(pending, "fay", "reject", reason="not this month")
    refused = await held
    assert (refused.status, refused.code, refused.json["reason"]) == (403, "rejected", "not this month")


async def pending_call(scene: Governed, other_than: CallRef) -> CallRef:
    """What waits for fay, once something else does."""

    async def waiting() -> CallRef | None:
        _, document = await scene.request("GET", "/v1/approvals", "fay")
        found = (CallRef.parse(item["id"]) for item in document["approvals"])
        return next((ref for ref in found if ref != other_than), None)

    return await eventually(waiting)


async def test_nobody_and_the_frozen_reach_nothing(scene: Governed) -> None:
    async with scene.http.get(f"{scene.url}/proxy/api/customers/c42") as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"]
    await scene.use_policies(POLICIES + FREEZING)

    async def frozen() -> bool | None:
        wish = {"scope": "connection", "target": "api", "reason": "odd calls"}
        status, _ = await scene.request("POST", "/v1/freezes", "fay", json=wish)
        return status == 201 or None

    async def stopped() -> bool | None:
        answer = await ask(scene, "GET", "api/search", headers={"Prefer": "wait=0"})
        return (answer.status, answer.code) == (423, "frozen") or None

    await eventually(frozen)
    await eventually(stopped)
