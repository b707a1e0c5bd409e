"""Grants on real parts: uses counted exactly by two policy replicas, and everything that ends a grant."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from deployment import new_call, sealed
from governed_scene import PAY, PAY_ROUTE, Governed, eventually, governed

from callgate.ids import uuid7
from contracts.events import Allowed
from contracts.identity import Principal, Role
from contracts.lifecycle import Call
from contracts.records import GrantUsed, Revoked
from contracts.subjects import CONTROL, CallRef, grant_filter, revocation_subject


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path, replicas={Role.EXECUTOR: 2, Role.POLICY: 2}) as running:

        async def known() -> bool | None:
            status, _ = await running.request("DELETE", "/v1/grants/none", "fay")
            return status == 404 or None

        await eventually(known)
        yield running


async def grant(scene: Governed, who: str = "fay", status: int = 201, **wish: Any) -> Any:
    body = {"uses": 5, "for": "30m", "reason": "month end"} | wish
    if "call" not in body:
        body = {"agent": "support-bot", "function": "shop.pay"} | body
    got, answer = await scene.request("POST", "/v1/grants", who, json=body)
    assert got == status, answer
    return answer


async def pay(scene: Governed, amount: float = 250, **more: Any) -> Call:
    """A call above the limit, as far as it goes by itself."""
    call = await scene.call("shop.pay", 0, amount=amount, **PAY | more)
    ref = CallRef.parse(call["id"])
    await scene.until(ref, "approval_required", "result_masked", "execution_failed", "denied")
    return await scene.chain(ref)


async def listed(scene: Governed, who: str = "fay") -> list[Any]:
    status, answer = await scene.request("GET", "/v1/grants", who)
    assert status == 200
    grants: list[Any] = answer["grants"]
    return grants


def by(call: Call) -> str | None:
    allowed = call.last(Allowed)
    return allowed.grant.grant_id if allowed is not None and allowed.grant is not None else None


async def test_five_uses_are_five_calls_of_twenty_at_once(scene: Governed) -> None:
    granted = await grant(scene, conditions={"amount": {"lte": 300}, "currency": {"eq": "USD"}})
    calls = await asyncio.gather(*(pay(scene) for _ in range(20)))
    allowed = [call for call in calls if call.last(Allowed) is not None]
    assert len(allowed) == 5
    assert all(by(call) == granted["id"] for call in allowed)
    assert sum(call.state == "approval_required" for call in calls) == 15
    assert scene.ledger.executed[PAY_ROUTE] == 5
    uses = [
        standing.data
        async for standing in scene.audit.records.all(CONTROL, grant_filter(granted["id"]))
        if not isinstance(standing, Exception) and isinstance(standing.data, GrantUsed)
    ]
    assert [use.number for use in uses] == [1, 2, 3, 4, 5]
    assert {use.call for use in uses} == {str(call.ref) for call in allowed}
    assert [(item["state"], item["left"], len(item["calls"])) for item in await listed(scene)] == [("used_up", 0, 5)]
    assert all(call.last(Allowed).policies == ("bots-pay", "large-needs-finance") for call in allowed)  # type: ignore[union-attr]


async def test_what_is_outside_waits_as_usual(scene: Governed) -> None:
    await grant(scene, conditions={"amount": {"lte": 300}})
    assert (await pay(scene, 300.01)).state == "approval_required"
    assert (await pay(scene, 250)).last(Allowed) is not None
    kim = await grant(scene, on_behalf_of="kim", agent="another-bot")
    assert kim["on_behalf_of"] == "kim"
    assert (await listed(scene))[-1]["left"] == 5


async def test_revoked_at_once(scene: Governed) -> None:
    granted = await grant(scene)
    assert by(await pay(scene)) == granted["id"]
    assert (await scene.request("DELETE", f"/v1/grants/{granted['id']}", "support-bot"))[0] == 403
    status, answer = await scene.request("DELETE", f"/v1/grants/{granted['id']}", "finn")
    assert (status, answer["revoked"]) == (200, True)
    assert (await pay(scene)).state == "approval_required"
    assert await listed(scene) == []


async def test_whose_identity_is_revoked_granted_nothing(scene: Governed) -> None:
    granted = await grant(scene)
    assert by(await pay(scene)) == granted["id"]
    async with scene.here.platform(Role.APPROVAL) as approval:
        revocation = uuid7()
        reason = await sealed(approval, new_call(approval, "revoker"), revocation, "reason", b"a stolen laptop", "view")
        revoked = Revoked(
            revocation_id=revocation,
            scope="subject",
            target="fay",
            issued_before=approval.clock(),  # she signs in again, and whatever was done in her name before is over
            by=Principal(id="finn", issuer=scene.issuer.url, groups=("finance",)),
            reason=reason,
        )
        await approval.records.publish(revocation_subject(revocation), revoked, approval.clock(), 0)
    assert (await pay(scene)).state == "approval_required"


async def test_over_with_its_time(scene: Governed) -> None:
    await grant(scene, **{"for": "1s"})

    async def over() -> bool | None:
        return not await listed(scene) or None

    await eventually(over)
    assert (await pay(scene)).state == "approval_required"


async def test_like_a_call_that_waits(scene: Governed) -> None:
    waiting = await pay(scene)
    granted = await grant(scene, call=str(waiting.ref), bind="session")
    assert (granted["agent"], granted["function"], granted["session"]) == (
        "support-bot",
        "shop.pay",
        waiting.ref.session_id,
    )
    assert "Jane" not in granted["policy"]
    assert (await pay(scene)).state == "approval_required", "another session"


@pytest.mark.parametrize(
    ("who", "wish", "status", "code"),
    [
        ("rosa", {}, 403, "not_permitted"),
        ("support-bot", {}, 403, "own_call"),
        ("fay", {"agent": "fay"}, 403, "own_call"),
        ("fay", {"on_behalf_of": "fay"}, 403, "own_call"),
        ("fay", {"conditions": {"amonut": {"lte": 1}}}, 422, "unknown_parameter"),
        ("fay", {"conditions": {"card_number": {"eq": "4111111111111111"}}}, 422, "value_not_plain"),
        ("fay", {"conditions": {"amount": {"gt": 40, "lt": 40}}}, 422, "never_holds"),
        ("fay", {"uses": 0}, 422, "bad_uses"),
        ("fay", {"for": "25h"}, 422, "bad_duration"),
        ("fay", {"reason": ""}, 422, "reason_required"),
        ("fay", {"function": "shop.pays"}, 422, "unknown_function"),
        ("fay", {"policy": "permit(principal, action, resource);"}, 422, "invalid_request"),
    ],
)
async def test_who_may_not_and_what_makes_no_sense(
    scene: Governed, who: str, wish: dict[str, Any], status: int, code: str
) -> None:
    assert (await grant(scene, who, status, **wish))["code"] == code
    assert await listed(scene) == []
