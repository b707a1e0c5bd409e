"""Calls whose outcome nobody knows, through every service on a real broker, as people settle them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from governed_scene import CARD, PAY, PAY_ROUTE, POLICIES, Governed, eventually, governed

from contracts.identity import Role
from contracts.subjects import CallRef

FREEZES = '@id("sre-freezes") permit(principal in Group::"sre", action == Action::"freeze", resource);'
LOST = ["requested", "arguments_masked", "allowed", "execution_started", "outcome_unknown"]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path, replicas={Role.EXECUTOR: 2, Role.MASKING: 2}) as running:
        yield running


async def lose(scene: Governed, mode: Any = "drop_after") -> CallRef:
    """A call whose connection broke: executed (`drop_after`) or not (`drop_before`), and nobody can tell."""
    scene.misbehave(PAY_ROUTE, mode)
    answer = await scene.call("shop.pay", amount=40, **PAY)
    assert answer["status"] == "unknown"
    return CallRef.parse(answer["id"])


async def settle(scene: Governed, ref: CallRef, outcome: str, who: str = "fay", **more: Any) -> tuple[int, Any]:
    digest = (await scene.chain(ref)).head_digest
    body = {"digest": digest, "outcome": outcome, "reason": "asked their support", **more}
    return await scene.request("POST", f"/v1/outcomes/{ref}/settlement", who, json=body)


async def test_done_with_the_result_that_was_found(scene: Governed) -> None:
    ref = await lose(scene)
    status, answer = await settle(scene, ref, "done", result={"refund": "r1", "card_number": CARD})
    assert status == 201, answer
    document = await scene.outcome(ref)
    assert document["status"] == "completed"
    assert document["result"]["body"] == {"refund": "r1", "card_number": "[CREDIT_CARD]"}
    assert document["settlement"]["outcome"] == "done"
    assert "a person" in document["detail"].lower()
    assert await scene.names(ref) == [*LOST, "outcome_settled", "result_masked"]
    assert scene.ledger.arrived == {PAY_ROUTE: 1}


async def test_done_and_nobody_knows_the_result(scene: Governed) -> None:
    ref = await lose(scene)
    assert (await settle(scene, ref, "done"))[0] == 201
    document = await scene.outcome(ref)
    assert (document["status"], document["result"]) == (
        "completed",
        {"status": 204, "content_type": None, "body": None},
    )


async def test_not_done(scene: Governed) -> None:
    ref = await lose(scene, "drop_before")
    assert (await settle(scene, ref, "not_done"))[0] == 201
    document = await scene.outcome(ref)
    assert (document["status"], document["code"]) == ("failed", "settled_as_not_done")
    assert document["reason"] == "asked their support"
    assert await scene.names(ref) == [*LOST, "outcome_settled"]
    assert not scene.ledger.executed


async def test_run_again_once_under_the_same_authorisation(scene: Governed) -> None:
    ref = await lose(scene, "drop_before")
    assert (await settle(scene, ref, "run_again"))[0] == 201
    document = await scene.outcome(ref)
    assert document["status"] == "completed"
    assert document["settlement"]["outcome"] == "run_again"
    assert await scene.names(ref) == [
        *LOST,
        "outcome_settled",
        "execution_started",
        "execution_completed",
        "result_masked",
    ]
    assert scene.ledger.executed == {PAY_ROUTE: 1}
    assert scene.ledger.keys_arrived == {ref.call_id: 2}, "the same key for both attempts"


async def test_what_runs_again_and_is_lost_again_waits_for_a_person_again(scene: Governed) -> None:
    ref = await lose(scene, "drop_before")
    scene.misbehave(PAY_ROUTE, "drop_after")
    assert (await settle(scene, ref, "run_again"))[0] == 201
    document = await scene.outcome(ref)
    assert (document["status"], document["code"]) == ("unknown", "disconnected")
    assert (await settle(scene, ref, "done"))[0] == 201
    assert (await scene.outcome(ref))["status"] == "completed"
    assert scene.ledger.arrived == {PAY_ROUTE: 2}


async def test_a_frozen_call_is_not_run_again_and_goes_on_waiting(scene: Governed) -> None:
    ref = await lose(scene, "drop_before")
    await scene.use_policies(POLICIES + FREEZES)

    async def frozen() -> bool | None:
        """Approval follows the published policies, and may be a moment behind."""
        freeze = {"scope": "function", "target": "shop.pay", "reason": "odd refunds"}
        status, _ = await scene.request("POST", "/v1/freezes", "rosa", json=freeze)
        return status == 201 or None

    await eventually(frozen)
    assert (await settle(scene, ref, "run_again"))[0] == 201
    document = await scene.outcome(ref)
    assert (document["status"], document["code"]) == ("unknown", "frozen")
    assert (await scene.names(ref))[-2:] == ["outcome_settled", "outcome_unknown"]
    assert not scene.ledger.executed


async def test_whoever_asked_settles_nothing(scene: Governed) -> None:
    ref = await lose(scene)
    status, _ = await settle(scene, ref, "done", "support-bot")
    assert status in (403, 404)
    assert await scene.names(ref) == LOST
