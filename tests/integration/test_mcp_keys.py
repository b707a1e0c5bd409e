"""Idempotency keys at the MCP door: one key is one call, in whichever session, generation and door it is sent again."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from governed_scene import PAY, PAY_ROUTE, Governed, governed
from mcp_scene import GENERATIONS, call_of, connected, post, text_of

KEY = "dev.callgate/idempotency-key"
REFUND: dict[str, Any] = {"amount": 20, **PAY}


def under(key: str) -> Any:
    return {KEY: key}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path, ingress={"mcp": {"hold": 20}}) as running:
        yield running


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_a_call_that_is_made_again_is_the_same_call(scene: Governed, mode: str) -> None:
    async with connected(scene, mode) as client:
        first = await client.call_tool("shop-pay", REFUND, meta=under("refund-1"))
        again = await client.call_tool("shop-pay", REFUND, meta=under('"refund-1"'))
        anew = await client.call_tool("shop-pay", REFUND, meta=under("refund-2"))
        assert call_of(first) == call_of(again)
        assert (first.content, first.structured_content) == (again.content, again.structured_content)
        other = await client.call_tool("shop-pay", {**REFUND, "amount": 30}, meta=under("refund-1"))
    assert other.is_error
    assert other.structured_content["callgate"]["code"] == "idempotency_key_reused"
    assert text_of(other).startswith("Not run (idempotency_key_reused).")
    assert call_of(anew)["id"] != call_of(first)["id"]
    assert scene.ledger.executed[PAY_ROUTE] == 2


async def test_a_retry_may_come_in_another_session_generation_and_by_another_door(scene: Governed) -> None:
    calls = []
    for mode in (*GENERATIONS, GENERATIONS[0]):
        async with connected(scene, mode) as client:
            calls.append(call_of(await client.call_tool("shop-pay", REFUND, meta=under("refund-1"))))
    _, by_rest = await scene.request(
        "POST",
        "/v1/calls",
        json={"function": "shop.pay", "arguments": REFUND},
        headers={"Prefer": "wait=20", "Idempotency-Key": "refund-1"},
    )
    assert {call["id"] for call in calls} == {by_rest["id"]}
    assert scene.ledger.executed == {PAY_ROUTE: 1}


def called(key: Any = None) -> dict[str, Any]:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        **({} if key is None else {KEY: key}),
    }
    params = {"name": "shop-pay", "arguments": REFUND, "_meta": meta}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


async def sent(scene: Governed, key: Any = None, **headers: str) -> Any:
    told = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call", "Mcp_Name": "shop-pay", **headers}
    response, answer = await post(scene, called(key), **told)
    assert response.status == 200
    return answer["result"]


async def test_a_header_names_the_key_where_the_message_does_not(scene: Governed) -> None:
    first, again, other = [
        await sent(scene, Idempotency_Key="k-1"),
        await sent(scene, "k-1"),
        await sent(scene, "k-2", Idempotency_Key="k-1"),
    ]
    ids = [one["_meta"]["dev.callgate/call"]["id"] for one in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]
    assert scene.ledger.executed == {PAY_ROUTE: 2}


@pytest.mark.parametrize("key", ["", "a" * 256, "ä", "a b", 5, None, ["k"]])
async def test_a_key_that_is_none_is_refused_and_not_taken_for_absent(scene: Governed, key: Any) -> None:
    answer = await sent(scene, Idempotency_Key="a b") if key is None else await sent(scene, key)
    assert answer["isError"]
    assert answer["structuredContent"]["callgate"]["code"] == "bad_idempotency_key"
    assert scene.ledger.executed == {}
