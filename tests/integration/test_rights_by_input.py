"""Rights that depend on a call's masked arguments, in a whole deployment: deciding, lists, amendments and grants."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from governed_scene import PAY, PAY_ROUTE, Governed, eventually, governed

from contracts.events import Allowed
from contracts.lifecycle import Call
from contracts.subjects import CallRef

BASE = """
@id("bots-pay") permit(principal in Group::"support-bots", action == Action::"shop.pay", resource);

@id("large-needs-finance") @approvers("finance") @expires("5m")
forbid(principal, action == Action::"shop.pay", resource)
unless { context.approved || context.input.amount.lessThanOrEqual(decimal("100.0")) };
"""
LIMIT = """
context.input has "shop.pay" && context.input["shop.pay"] has amount
&& context.input["shop.pay"].amount.lessThanOrEqual(decimal("500.0"))
"""
UP_TO = f"""
@id("seniors") permit(principal in Group::"seniors", action == Action::"approve", resource);
@id("juniors") permit(principal in Group::"juniors", action == Action::"approve", resource) when {{ {LIMIT} }};
"""
NOT_ABOVE = """
@id("finance") permit(principal in Group::"finance", action == Action::"approve", resource);
@id("juniors-not-above") forbid(principal in Group::"juniors", action == Action::"approve", resource)
when { context.input has "shop.pay" && context.input["shop.pay"] has amount
       && context.input["shop.pay"].amount.greaterThan(decimal("500.0")) };
"""


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path, policies=BASE + UP_TO) as running:
        yield running


def whose(shop: Governed, who: str) -> dict[str, Any]:
    groups = ["finance", "juniors" if who == "june" else "seniors"]
    return {"headers": {"Authorization": f"Bearer {shop.issuer.mint(who, groups)}"}}


async def pay(shop: Governed, amount: float) -> CallRef:
    ref = CallRef.parse((await shop.call("shop.pay", 0, amount=amount, **PAY))["id"])
    await shop.until(ref, "approval_required", "result_masked")
    return ref


async def vote(shop: Governed, who: str, ref: CallRef) -> tuple[int, str | None]:
    digest = (await shop.chain(ref)).open_question
    body = {"decision": "approve", "digest": digest}
    status, answer = await shop.request("POST", f"/v1/approvals/{ref}/votes", json=body, **whose(shop, who))
    return status, answer.get("code")


async def until_listed(shop: Governed, who: str, *refs: CallRef) -> None:
    """Until just these wait for that person."""

    async def listed() -> bool | None:
        status, answer = await shop.request("GET", "/v1/approvals", **whose(shop, who))
        assert status == 200, answer
        return {one["id"] for one in answer["approvals"]} == set(map(str, refs)) or None

    await eventually(listed)


async def test_a_junior_approves_up_to_the_limit_and_after_the_amount_was_lowered(shop: Governed) -> None:
    small, large = await pay(shop, 400), await pay(shop, 600)
    await until_listed(shop, "sena", small, large)
    await until_listed(shop, "june", small)
    assert await vote(shop, "june", large) == (403, "not_permitted")
    status, answer = await shop.request("GET", f"/v1/approvals/{large}", **whose(shop, "june"))
    assert (status, answer["code"]) == (403, "not_permitted")
    for who, amount, expected in (("june", 1, 403), ("sena", 400, 201)):
        patch = {
            "digest": (await shop.chain(large)).open_question,
            "patch": [{"op": "replace", "path": "/amount", "value": amount}],
        }
        path = f"/v1/approvals/{large}/amendments"
        assert (await shop.request("POST", path, json=patch, **whose(shop, who)))[0] == expected
    await until_listed(shop, "june", small, large)
    for ref in (small, large):
        assert await vote(shop, "june", ref) == (201, None)
        assert (await shop.outcome(ref))["status"] == "completed"
    assert shop.ledger.executed == {PAY_ROUTE: 2}
    await until_listed(shop, "june")


async def grant(shop: Governed, who: str) -> tuple[int, str | None]:
    body = {"agent": "support-bot", "function": "shop.pay", "uses": 5, "for": "30m", "reason": "month end"}
    status, answer = await shop.request("POST", "/v1/grants", json=body, **whose(shop, who))
    return status, answer.get("code")


async def by_grant(shop: Governed, amount: float) -> bool:
    call: Call = await shop.chain(await pay(shop, amount))
    allowed = call.last(Allowed)
    assert call.state in ("approval_required", "result_masked")
    return allowed is not None and allowed.grant is not None


async def test_a_grant_is_never_wider_than_its_granter_at_each_use(shop: Governed) -> None:
    assert await grant(shop, "june") == (403, "not_permitted_in_advance")
    await shop.use_policies(BASE + NOT_ABOVE)

    async def granted() -> bool | None:
        status, code = await grant(shop, "june")
        assert (status, code) in ((201, None), (403, "not_permitted_in_advance"))
        return status == 201 or None

    await eventually(granted)  # approval follows the published policies within a second
    assert await by_grant(shop, 400)
    assert not await by_grant(shop, 600)
    await shop.use_policies(BASE + UP_TO)
    assert await by_grant(shop, 500)
    assert not await by_grant(shop, 500.5)
    await shop.use_policies(BASE + UP_TO.replace("500.0", "300.0"))
    assert not await by_grant(shop, 400)
