"""A model's tool loop, in the shapes of OpenAI's and Anthropic's APIs, and the Python client, against everything."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from governed_scene import CARD, Governed, governed

from callgate.client import AsyncClient, Client, NotCompleted, Problem
from contracts.subjects import CallRef


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path) as scene:
        yield scene


@contextlib.asynccontextmanager
async def agent(scene: Governed, who: str = "support-bot") -> AsyncIterator[AsyncClient]:
    async with AsyncClient(scene.url, scene.issuer.mint(who)) as client:
        yield client


def asks(*calls: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    """An assistant's message of Chat Completions."""
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": i, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
            for i, name, arguments in calls
        ],
    }


def pay(amount: float) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD", "card_number": CARD}


async def test_several_tool_calls_run_together_and_each_has_its_answer(scene: Governed) -> None:
    message = asks(
        ("call_1", "shop-look", {"id": "c42"}),
        ("call_2", "shop-pay", pay(20)),
        ("call_3", "shop-wall", {"rule": "any", "action": "add"}),
        ("call_4", "shop-nothing", {}),
        ("call_5", "shop-pay", {"amount": "much"}),
    )
    async with agent(scene) as client:
        tools = await client.tools("openai")
        names = {one["function"]["name"] for one in tools.definitions}
        messages = await tools.run({"choices": [{"message": message}]})
    assert {"shop-look", "shop-pay"} <= names
    assert "shop-wall" not in names, "no policy permits it to anybody"
    by_id = {one["tool_call_id"]: one["content"] for one in messages}
    assert list(by_id) == ["call_1", "call_2", "call_3", "call_4", "call_5"]
    assert '"id":"c42"' in by_id["call_1"].replace(" ", "")
    assert CARD not in str(messages)
    assert by_id["call_3"].startswith("Denied, and not run (forbidden).")
    assert "there is no tool 'shop-nothing'" in by_id["call_4"]
    assert "input_invalid" in by_id["call_5"]
    assert len(scene.ledger.keys_arrived) == 2


async def test_a_call_that_waits_is_told_and_taken_up_again_by_the_same_request(scene: Governed) -> None:
    content = [{"type": "tool_use", "id": "toolu_1", "name": "shop-pay", "input": pay(400)}]
    body = {"role": "assistant", "content": content}
    headers = {"Idempotency-Key": "k-1", "Prefer": "wait=1", "Callgate-Session": "run-7"}
    status, first = await scene.request("POST", "/v1/tool-calls/anthropic", json=body, headers=headers)
    assert status == 202
    (result,) = first["messages"][0]["content"]
    assert "waiting for approval by finance, 0 of 1" in result["content"]
    assert not result["is_error"]
    (call,) = first["calls"]
    await scene.vote(CallRef.parse(call["id"]), "fay")
    headers["Prefer"] = "wait=20"
    status, then = await scene.request("POST", "/v1/tool-calls/anthropic", json=body, headers=headers)
    assert (status, then["calls"][0]["id"], then["calls"][0]["status"]) == (200, call["id"], "completed")
    assert then["messages"][0]["content"][0]["tool_use_id"] == "toolu_1"
    assert len(scene.ledger.keys_arrived) == 1


async def test_the_client_waits_through_an_approval_and_takes_the_session_along(scene: Governed) -> None:
    async with agent(scene) as client:
        calling = asyncio.create_task(client.call("shop.pay", pay(400)))
        ref = await waiting(scene)
        await scene.vote(ref, "fay")
        outcome = await calling
        assert (outcome.ok, outcome.id) == (True, str(ref))
        assert client.session == ref.session_id
        await client.call("shop.look", {"id": "c42"})
        assert [(one.function, one.status) for one in await client.calls()] == [
            ("shop.pay", "completed"),
            ("shop.look", "completed"),
        ]
        events = [event.name async for event in client.events(outcome)]
    assert events[0] == "requested"
    assert events[-1] == "result_masked"


async def waiting(scene: Governed) -> CallRef:
    """The first call that waits for approval, once there is one."""
    async with asyncio.timeout(20):
        async for recorded in scene.audit.log.follow(scene.partitions[0], 0, "approval_required"):
            return recorded.ref  # type: ignore[union-attr]
    raise AssertionError


async def test_a_submitted_call_can_be_withdrawn_and_a_denied_one_has_no_value(scene: Governed) -> None:
    async with agent(scene) as client:
        submitted = await client.submit("shop.pay", pay(400))
        assert not submitted.answered
        assert (await client.cancel(submitted)).status == "cancelled"
        denied = await client.call("shop.wall", {"rule": "any", "action": "add"})
        with pytest.raises(NotCompleted, match="denied"):
            denied.value()
    async with agent(scene, "kim") as stranger:
        with pytest.raises(Problem, match="unknown_call"):
            await stranger.wait(submitted)


async def test_the_sync_client_is_the_same(scene: Governed) -> None:
    def work() -> tuple[str, list[str]]:
        with Client(scene.url, scene.issuer.mint("support-bot"), session="by-hand") as client:
            outcome = client.call("shop.look", {"id": "c42"}, idempotency_key="once")
            again = client.call("shop.look", {"id": "c42"}, idempotency_key="once")
            assert again.id == outcome.id
            tools = client.tools("openai-responses")
            item = {"type": "function_call", "call_id": "c", "name": "shop-look", "arguments": '{"id": "c42"}'}
            (answer,) = tools.run({"output": [item]})
            assert answer["type"] == "function_call_output"
            return outcome.status, [one.status for one in client.calls("by-hand")]

    assert await asyncio.to_thread(work) == ("completed", ["completed", "completed"])
