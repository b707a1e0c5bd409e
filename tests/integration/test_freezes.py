"""Freezes on real parts: what is refused, cancelled, denied and failed, and that a freeze in time always wins."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from governed_scene import PAY, PAY_ROUTE, POLICIES, Governed, eventually, governed

from callgate.log import reading
from contracts.events import Cancelled, ExecutionStarted
from contracts.identity import Role
from contracts.records import Frozen
from contracts.subjects import CONTROL, CallRef, freeze_subject

FREEZING = """
@id("finance-freezes")
permit(principal in Group::"finance", action in [Action::"freeze", Action::"unfreeze"], resource)
unless { resource.kind == "everything" };
@id("sre-freezes") permit(principal in Group::"sre", action == Action::"freeze", resource);
"""


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path, replicas={Role.EXECUTOR: 2, Role.POLICY: 2}) as running:
        await running.use_policies(POLICIES + FREEZING)
        await _in_force(running)
        yield running


async def _in_force(scene: Governed) -> None:
    async def allowed() -> bool | None:
        status, _ = await scene.request("DELETE", "/v1/freezes/none", "fay")
        return status == 404 or None

    async def known() -> bool | None:
        status, answer = await scene.request("POST", "/v1/freezes", "fay", json={"scope": "session"})
        return (status, answer["code"]) == (422, "bad_session") or None

    await eventually(allowed)
    await eventually(known)


async def freeze(scene: Governed, who: str = "fay", **wish: Any) -> Any:
    async def frozen() -> Any:
        status, answer = await scene.request("POST", "/v1/freezes", who, json={"reason": "odd calls", **wish})
        return answer if status == 201 else None  # the changed policies reach approval within a second

    return await eventually(frozen)


async def lift(scene: Governed, frozen: Any) -> None:
    status, answer = await scene.request("DELETE", f"/v1/freezes/{frozen['id']}", "fay")
    assert (status, answer["lifted"]) == (200, True)


async def ask(scene: Governed, wait: float = 20, **arguments: Any) -> tuple[int, Any]:
    body = {"function": "shop.pay", "arguments": {**PAY, "amount": 40, **arguments}}
    return await scene.request("POST", "/v1/calls", json=body, headers={"Prefer": f"wait={wait}"})


async def refused(scene: Governed) -> Any:
    """The problem, once ingress knows of the freeze."""

    async def check() -> Any:
        status, answer = await ask(scene)
        return answer if status == 423 else None

    return await eventually(check)


async def admitted(scene: Governed) -> Any:
    async def check() -> Any:
        status, answer = await ask(scene)
        return answer if status == 200 and answer["status"] == "completed" else None

    return await eventually(check)


async def test_new_calls_are_refused_until_it_is_lifted(scene: Governed) -> None:
    frozen = await freeze(scene, scope="agent", target="support-bot", **{"for": "2h"})
    problem = await refused(scene)
    assert (problem["status"], problem["code"], problem["freeze"]) == (423, "frozen", frozen["id"])
    assert "by fay; nothing was recorded, nothing was run" in problem["detail"]
    assert "odd calls" not in str(problem)
    status, listed = await scene.request("GET", "/v1/freezes", "fay")
    assert status == 200
    assert [(item["id"], item["reason"]) for item in listed["freezes"]] == [(frozen["id"], "odd calls")]
    assert (await scene.request("GET", "/v1/freezes", "support-bot"))[1] == {"freezes": []}
    await lift(scene, frozen)
    await admitted(scene)
    await lift(scene, frozen)
    assert (await scene.request("GET", "/v1/freezes", "fay"))[1] == {"freezes": []}


async def test_the_reason_is_not_at_rest_in_clear(scene: Governed) -> None:
    frozen = await freeze(scene, scope="connection", target="shop", reason="Jane Doe, +1 202 555 0143")
    standing = await scene.audit.records.last(CONTROL, freeze_subject(frozen["id"]))
    assert standing is not None
    assert isinstance(standing.data, Frozen)
    assert "Jane" not in standing.record.model_dump_json()
    assert (standing.data.by.id, standing.data.scope, standing.data.target) == ("fay", "connection", "shop")


async def test_what_waits_is_cancelled_and_stays_so(scene: Governed) -> None:
    waiting = [await scene.call("shop.pay", 0, amount=250, **PAY) for _ in range(3)]
    refs = [CallRef.parse(call["id"]) for call in waiting]
    for ref in refs:
        await scene.until(ref, "approval_required")

    async def listed() -> bool | None:
        status, answer = await scene.request("GET", "/v1/approvals", "fay")
        return (status == 200 and len(answer["approvals"]) == 3) or None

    await eventually(listed)
    frozen = await freeze(scene, scope="function", target="shop.pay")
    assert frozen["cancelling"] == 3
    for agent, seen in (("suport-bot", False), ("support-bot", True)):
        other = await freeze(scene, scope="agent", target=agent)
        assert (agent, other["seen"]) == (agent, seen)
        await lift(scene, other)
    for ref in refs:
        assert (await scene.until(ref, "cancelled")).data == Cancelled(by="fay", code="frozen", freeze=frozen["id"])
        outcome = await scene.outcome(ref)
        assert (outcome["status"], outcome["code"], outcome["freeze"]) == ("cancelled", "frozen", frozen["id"])
    await lift(scene, frozen)
    await admitted(scene)
    for ref in refs:
        assert (await scene.chain(ref)).state == "cancelled"


async def test_what_begins_to_wait_while_it_holds_ends_too(scene: Governed) -> None:
    """Sent so close to the freeze that ingress or policy may not know of it yet: however far it came, it ends."""
    asking = [asyncio.create_task(ask(scene, 0, amount=250)) for _ in range(10)]
    await freeze(scene, scope="everything", who="sam")
    for status, answer in await asyncio.gather(*asking):
        assert status in {202, 423}
        if status == 202:
            outcome = await scene.outcome(CallRef.parse(answer["id"]))
            assert (outcome["status"], outcome["code"]) in {("cancelled", "frozen"), ("denied", "frozen")}
    assert scene.ledger.executed[PAY_ROUTE] == 0


async def test_a_freeze_in_time_always_wins_over_a_start(scene: Governed) -> None:
    """Two executors, calls all the while: nothing is sent whose start stands on disk after the freeze does."""
    met: Counter[str] = Counter()
    for pause in (0.0, 0.01, 0.02, 0.03):
        asking = [asyncio.create_task(ask(scene)) for _ in range(16)]
        await asyncio.sleep(pause)  # no event is waited for: the freeze is to meet the calls at different steps
        frozen = await freeze(scene, scope="function", target="shop.pay")
        message = await reading.leader_last(scene.audit.client, CONTROL, freeze_subject(frozen["id"]))
        assert message is not None
        for status, answer in await asyncio.gather(*asking):
            if status == 423:
                met["refused"] += 1
                continue
            call = await scene.chain(answer["id"])
            started = call.last_recorded(ExecutionStarted)
            sent = scene.ledger.keys_arrived[call.ref.call_id]
            late = started is None or started.recorded_at > message.recorded_at
            met[f"{call.state}{' late' if late else ''}"] += 1
            completed = answer["status"] == "completed"
            assert not (late and sent), met
            assert sent == completed, met
            assert completed is not (answer.get("code") == "frozen"), met
        await lift(scene, frozen)
        await admitted(scene)
    assert met["refused"] + met["denied late"] + met["execution_failed late"] > 0, met


@pytest.mark.parametrize(
    ("who", "wish", "status", "code"),
    [
        ("support-bot", {"scope": "agent", "target": "fay"}, 403, "not_permitted"),
        ("fay", {"scope": "everything"}, 403, "not_permitted"),
        ("fay", {"scope": "function", "target": "shop.pays"}, 422, "unknown_function"),
        ("fay", {"scope": "agent", "target": "bot", "reason": ""}, 422, "reason_required"),
    ],
)
async def test_who_may_not_and_what_makes_no_sense(
    scene: Governed, who: str, wish: dict[str, Any], status: int, code: str
) -> None:
    got, answer = await scene.request("POST", "/v1/freezes", who, json={"reason": "odd", **wish})
    assert (got, answer["code"]) == (status, code)
    assert (await ask(scene))[1]["status"] == "completed"
