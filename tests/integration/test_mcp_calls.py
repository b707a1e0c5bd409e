"""Tool calls of a real MCP client through every service, in both generations of the protocol."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from governed_scene import CARD, LOOK_ROUTE, PAY, PAY_ROUTE, POLICIES, Governed, eventually, governed
from mcp import Client, MCPError
from mcp_scene import GENERATIONS, call_of, connected, kept, ref_of, text_of

from contracts.events import ArgumentsMasked, Requested
from contracts.subjects import CallRef

OWN = ["callgate_cancel", "callgate_outcome"]
HOLD = 2.0


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path, ingress={"mcp": {"hold": HOLD}}) as running:
        yield running


@pytest.fixture(params=GENERATIONS)
async def client(scene: Governed, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with kept(connected(scene, request.param)) as one:
        yield one


async def test_tools_are_what_the_policies_may_permit(scene: Governed, client: Client) -> None:
    listed = (await client.list_tools()).tools
    permitted = ["shop-charge", "shop-count", "shop-echo", "shop-look", "shop-pay", "shop-quick_pay"]
    names = [tool.name for tool in listed]
    assert names[:2] == OWN
    of_shop = [name for name in names if name.startswith("shop-")]
    assert of_shop == permitted, "shop-wall is forbidden whatever its arguments"
    look = next(tool for tool in listed if tool.name == "shop-look")
    assert look.input_schema["required"] == ["id"]
    assert look.annotations is not None
    assert look.annotations.read_only_hint
    pay = next(tool for tool in listed if tool.name == "shop-pay")
    assert pay.annotations is not None
    assert (pay.annotations.read_only_hint, pay.annotations.idempotent_hint) == (False, False)
    async with connected(scene, "legacy", who="rosa") as stranger:
        assert [tool.name for tool in (await stranger.list_tools()).tools] == OWN


async def test_allowed(scene: Governed, client: Client) -> None:
    result = await client.call_tool("shop-look", {"id": "c42"})
    assert not result.is_error
    assert result.structured_content["plan"] == "free"
    assert json.loads(result.content[0].text) == result.structured_content
    assert result.structured_content["card_number"] == "[CREDIT_CARD]"
    assert "Callgate masked part of this answer: " in text_of(result)
    assert "CREDIT_CARD at /card_number" in text_of(result)
    assert call_of(result)["status"] == "completed"
    assert scene.ledger.executed == {LOOK_ROUTE: 1}


async def test_a_denial_tells_the_model_why_and_what_next(scene: Governed, client: Client) -> None:
    result = await client.call_tool("shop-wall", {"rule": "allow all", "action": "add"})
    assert result.is_error
    said = text_of(result)
    assert said.startswith("Denied, and not run (forbidden).")
    assert "Policies: never." in said
    assert "Do not make the same call again" in said
    assert call_of(result)["policies"] == ["never"]
    assert not scene.ledger.arrived
    wrong = await client.call_tool("shop-look", {"name": "c42"})
    assert wrong.is_error
    assert "`id` is missing" in text_of(wrong) or "`/id` is missing" in text_of(wrong)
    assert "Change the arguments" in text_of(wrong)


async def test_an_unknown_tool_is_an_error_of_the_protocol(client: Client) -> None:
    with pytest.raises(MCPError, match="Unknown tool") as refused:
        await client.call_tool("shop-nothing", {})
    assert refused.value.error.code == -32602


async def test_a_function_that_fails_is_an_error_of_the_tool(scene: Governed, client: Client) -> None:
    scene.misbehave(PAY_ROUTE, "echo_error", status=422)
    result = await client.call_tool("shop-pay", {"amount": 1, **PAY})
    assert result.is_error
    assert "answered with an error, status 422" in text_of(result)
    assert "[CREDIT_CARD]" in text_of(result)
    assert CARD not in text_of(result)


async def test_approved_while_the_client_waits_and_sees_how_it_stands(scene: Governed, client: Client) -> None:
    seen: list[str] = []
    asked = asyncio.Event()

    async def told(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")
        if "waiting for approval" in seen[-1]:
            asked.set()

    calling = asyncio.create_task(client.call_tool("shop-pay", {"amount": 250, **PAY}, progress_callback=told))
    await asyncio.wait_for(asked.wait(), 10)
    (waiting,) = [line for line in seen if "waiting for approval" in line]
    assert waiting.startswith("waiting for approval by finance, 0 of 1, until ")
    await scene.vote(await only_call(scene), "fay")
    result = await asyncio.wait_for(calling, 10)
    assert not result.is_error
    assert result.structured_content["card_number"] == "[CREDIT_CARD]"
    assert scene.ledger.executed == {PAY_ROUTE: 1}
    assert json.loads(scene.ledger.last[PAY_ROUTE]["body"]) == {"amount": 250, **PAY}


async def only_call(scene: Governed) -> CallRef:
    (partition,) = scene.partitions
    async with asyncio.timeout(10):
        async for recorded in scene.audit.log.follow(partition, 0, "requested"):
            return recorded.ref
    raise AssertionError


async def test_a_handle_before_clients_give_up_and_the_outcome_later(scene: Governed, client: Client) -> None:
    handle = await client.call_tool("shop-pay", {"amount": 250, **PAY})
    assert not handle.is_error
    told = handle.structured_content["callgate"]
    assert told["status"] == "waiting_for_approval"
    assert f'callgate_outcome with {{"call_id": "{told["id"]}"}}' in text_of(handle)
    assert "do not call shop-pay again" in text_of(handle)
    again = await client.call_tool("callgate_outcome", {"call_id": told["id"]})
    assert again.structured_content["callgate"]["id"] == told["id"]
    asking = asyncio.create_task(client.call_tool("callgate_outcome", {"call_id": told["id"]}))
    await scene.vote(CallRef.parse(told["id"]), "fay")
    outcome = await asking
    if "callgate" in outcome.structured_content:  # the hold was over first
        outcome = await client.call_tool("callgate_outcome", {"call_id": told["id"]})
    assert outcome.structured_content["card_number"] == "[CREDIT_CARD]"
    assert scene.ledger.executed == {PAY_ROUTE: 1}


async def test_a_pending_call_is_withdrawn_on_request(scene: Governed, client: Client) -> None:
    handle = await client.call_tool("shop-pay", {"amount": 250, **PAY})
    withdrawn = await client.call_tool("callgate_cancel", {"call_id": call_of(handle)["id"]})
    assert withdrawn.is_error
    assert text_of(withdrawn).startswith("Withdrawn, and not run (withdrawn).")
    assert (await scene.names(ref_of(handle)))[-1] == "cancelled"
    done = await client.call_tool("shop-look", {"id": "c1"})
    late = await client.call_tool("callgate_cancel", {"call_id": call_of(done)["id"]})
    assert late.is_error
    assert "can no longer be withdrawn" in text_of(late)


async def test_the_calls_of_others_are_nobodys(scene: Governed, client: Client) -> None:
    other = await scene.call("shop.look", id="c1")
    for call_id in (other["id"].replace(other["session"], "s_" + "a" * 32), "nonsense"):
        result = await client.call_tool("callgate_outcome", {"call_id": call_id})
        assert result.is_error
        assert "There is no such call of yours." in text_of(result)


@pytest.mark.parametrize("arguments", [{}, {"call_id": 5}, {"call_id": "x", "more": 1}])
async def test_the_tools_of_the_door_say_what_they_take(client: Client, arguments: dict[str, Any]) -> None:
    result = await client.call_tool("callgate_outcome", arguments)
    assert result.is_error
    assert '{"call_id": "…"}' in text_of(result)


async def test_a_run_is_one_session(scene: Governed, client: Client) -> None:
    first, second = [await client.call_tool("shop-look", {"id": f"c{n}"}) for n in (1, 2)]
    assert call_of(first)["session"] == call_of(second)["session"]
    named = await client.call_tool("shop-look", {"id": "c3"}, meta={"dev.callgate/session": "run-7"})
    by_rest = await scene.request("POST", "/v1/calls", json={
        "function": "shop.look", "arguments": {"id": "c4"}, "session": "run-7"
    })  # fmt: skip
    assert call_of(named)["session"] == by_rest[1]["session"] != call_of(first)["session"]


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_a_header_names_the_session_and_another_run_has_another(scene: Governed, mode: str) -> None:
    async with connected(scene, mode, callgate_session="run-8") as one, connected(scene, mode) as two:
        named, other = [await one.call_tool("shop-look", {"id": "c1"}), await two.call_tool("shop-look", {"id": "c1"})]
    assert call_of(named)["session"] != call_of(other)["session"]
    async with connected(scene, mode, callgate_session="run-8") as again:
        assert call_of(await again.call_tool("shop-look", {"id": "c2"}))["session"] == call_of(named)["session"]
    async with connected(scene, mode, who="deploy-bot", callgate_session=call_of(named)["session"]) as foreign:
        refused = await foreign.call_tool("shop-look", {"id": "c1"})
        assert refused.is_error
        assert "The session is not yours" in text_of(refused)


async def test_numbers_arrive_as_they_were_written(scene: Governed, client: Client) -> None:
    """The SDK would make a float of what has more digits; here it is judged, and sent on, as it came."""
    result = await client.call_tool("shop-pay", {"amount": 12.34, "currency": "USD", "card_number": CARD})
    assert not result.is_error
    assert b'"amount":12.34' in scene.ledger.last[PAY_ROUTE]["body"].encode()
    ref = ref_of(result)
    chain = await scene.chain(ref)
    assert chain.last(Requested) is not None
    assert chain.last(ArgumentsMasked) is not None


async def test_a_freeze_is_told_to_the_model(scene: Governed, client: Client) -> None:
    await scene.use_policies(POLICIES + FREEZERS)

    async def freezing() -> bool | None:
        freeze = {"scope": "everything", "reason": "drill"}
        return (await scene.request("POST", "/v1/freezes", "fay", json=freeze))[0] == 201 or None

    async def refused() -> str | None:
        result = await client.call_tool("shop-look", {"id": "c1"})
        return text_of(result) if result.is_error else None

    await eventually(freezing)  # approval reads the new policies within a second
    assert "frozen" in (await eventually(refused)).lower()


FREEZERS = '@id("fay-freezes") permit(principal in Group::"finance", action == Action::"freeze", resource);\n'
