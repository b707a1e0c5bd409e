"""A client is told when the tools that it may call changed, by the streams of both generations of the protocol."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from doors import bearer
from governed_scene import POLICIES, Governed, eventually, governed
from listening_scene import begun, held, listening_in, subscribed, subscribing
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp_scene import GENERATIONS, connected
from mcp_types import ToolListChangedNotification

from services.ingress.mcp import listening

LEGACY, MODERN = GENERATIONS
NEVER = '@id("never") forbid(principal, action == Action::"shop.wall", resource);'
WALLS = '@id("walls") permit(principal, action == Action::"shop.wall", resource);'
FAYS = '@id("walls") permit(principal in Group::"finance", action == Action::"shop.wall", resource);'
CHANGED = {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}
OF_L1 = {"io.modelcontextprotocol/subscriptionId": "l-1"}


def with_walls(policy: str) -> str:
    assert NEVER in POLICIES
    return POLICIES.replace(NEVER, policy)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path, ingress={"held": 16}) as running:
        yield running


def is_end(message: Any) -> bool:
    """Whether it says that the stream was ended, and did not break."""
    result = message["result"]
    named = result["_meta"]["io.modelcontextprotocol/subscriptionId"]
    return (message["id"], named, result["resultType"]) == ("l-1", "l-1", "complete")


async def listed(client: Client) -> list[str]:
    return [tool.name for tool in (await client.list_tools()).tools]


async def test_a_client_of_2026_is_told_and_lists_anew(scene: Governed) -> None:
    async with connected(scene, MODERN) as client:
        assert "shop-wall" not in await listed(client)
        async with client.listen(tools_list_changed=True) as news:
            assert news.honored.tools_list_changed
            await scene.use_policies(with_walls(WALLS))
            await asyncio.wait_for(anext(news), 30)
            assert "shop-wall" in await listed(client)
    await eventually(held(0))


async def test_a_client_of_2025_is_told_and_lists_anew(scene: Governed) -> None:
    told = asyncio.Event()

    async def heard(message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            told.set()

    async with (
        create_mcp_http_client(bearer(scene.issuer, "support-bot")) as http,
        Client(
            streamable_http_client(f"{scene.url}/mcp", http_client=http), mode=LEGACY, message_handler=heard
        ) as client,
    ):
        assert client.server_capabilities.tools is not None
        assert client.server_capabilities.tools.list_changed
        assert "shop-wall" not in await listed(client)
        await eventually(held(1))
        await scene.use_policies(with_walls(WALLS))
        await asyncio.wait_for(told.wait(), 30)
        assert "shop-wall" in await listed(client)
    await eventually(held(0))


async def test_every_message_names_its_subscription_and_only_news_that_there_are_are_promised(scene: Governed) -> None:
    async with subscribed(scene, toolsListChanged=True, promptsListChanged=True) as line:
        assert await line.next() == {
            "jsonrpc": "2.0",
            "method": "notifications/subscriptions/acknowledged",
            "params": {"notifications": {"toolsListChanged": True}, "_meta": OF_L1},
        }
        await scene.use_policies(with_walls(WALLS))
        assert await line.message() == {**CHANGED, "params": {"_meta": OF_L1}}


async def test_what_changes_for_others_alone_is_not_told(scene: Governed) -> None:
    session = await begun(scene)
    async with (
        listening_in(scene, session) as mine,
        subscribed(scene, token=bearer(scene.issuer, "fay"), toolsListChanged=True) as hers,
    ):
        assert (await hers.next())["method"] == "notifications/subscriptions/acknowledged"
        await scene.use_policies(with_walls(FAYS))
        assert (await hers.message())["method"] == CHANGED["method"]
        await scene.use_policies(with_walls(WALLS))
        assert await mine.message() == CHANGED
        headers = {**bearer(scene.issuer, "support-bot"), "Mcp-Session-Id": session}
        async with scene.http.delete(f"{scene.url}/mcp", headers=headers) as response:
            assert response.status == 200
        assert await mine.until_end() == [], "it was told once, of what changed for it"


async def test_a_session_has_one_stream_which_ends_with_it(scene: Governed) -> None:
    session = await begun(scene)
    async with listening_in(scene, session) as first:
        assert await first.next() == "", "it shows at once that it stands"
        async with listening_in(scene, session) as second:
            assert await second.next() == ""
            assert await first.next() is None, "the later one takes its place"
            await eventually(held(1))
            headers = {**bearer(scene.issuer, "support-bot"), "Mcp-Session-Id": session}
            async with scene.http.delete(f"{scene.url}/mcp", headers=headers) as response:
                assert response.status == 200
            assert await second.next() is None
    await eventually(held(0))


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"Mcp-Session-Id": None}, 400, "no_session"),
        ({"Mcp-Session-Id": "another"}, 404, "unknown_session"),
        ({"Accept": "application/json"}, 406, "not_acceptable"),
        ({"MCP-Protocol-Version": MODERN}, 405, "method_not_allowed"),
        ({"Authorization": "Bearer a.b.c"}, 401, "malformed_token"),
        ({"Host": "evil.example"}, 421, "unknown_host"),
    ],
)
async def test_who_may_not_listen(scene: Governed, change: dict[str, str | None], status: int, code: str) -> None:
    headers = {
        **bearer(scene.issuer, "support-bot"),
        "Accept": "text/event-stream",
        "Mcp-Session-Id": await begun(scene),
        **change,
    }
    sent = {name: value for name, value in headers.items() if value is not None}
    async with scene.http.get(f"{scene.url}/mcp", headers=sent) as response:
        assert (response.status, (await response.json(content_type=None))["code"]) == (status, code)


@pytest.mark.parametrize("params", [{}, {"notifications": 1}, {"notifications": []}])
async def test_a_subscription_that_is_none(scene: Governed, params: dict[str, Any]) -> None:
    async with subscribing(scene, **params) as response:
        answer = await response.json()
        assert (response.status, answer["error"]["code"], answer["id"]) == (400, -32602, "l-1")


async def test_streams_take_the_room_of_waiting_calls(scene: Governed) -> None:
    """Of sixteen, one agent may hold four."""
    async with contextlib.AsyncExitStack() as stack:
        for number in range(4):
            line = await stack.enter_async_context(subscribed(scene, number, toolsListChanged=True))
            await line.next()
        async with subscribing(scene, notifications={"toolsListChanged": True}) as response:
            assert (response.status, (await response.json())["code"]) == (503, "too_many_waiting")
        other = await stack.enter_async_context(subscribed(scene, token=bearer(scene.issuer, "fay")))
        assert (await other.next())["params"]["notifications"] == {}
        await eventually(held(5))
    await eventually(held(0))


async def test_a_silent_line_is_shown(scene: Governed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "ALIVE_EVERY", 0.05)
    async with subscribed(scene, toolsListChanged=True) as line:
        await line.next()
        assert [await line.next() for _ in range(3)] == ["", "", ""]


async def test_a_stream_ends_with_its_token(tmp_path: Path) -> None:
    async with governed(tmp_path) as scene:
        # The leeway for clocks that differ is half a minute, of which this leaves some seconds.
        short = {"Authorization": f"Bearer {scene.issuer.mint('support-bot', lifetime=-24)}"}
        session = await begun(scene)
        async with listening_in(scene, session, short) as legacy, subscribed(scene, token=short) as modern:
            _, end = await modern.until_end()
            assert is_end(end)
            assert await legacy.until_end() == []


async def test_the_end_of_the_process_ends_them_in_words(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        async with governed(tmp_path) as running:
            scene = dataclasses.replace(running, http=http)  # its own is closed before
            legacy = await stack.enter_async_context(listening_in(scene, await begun(scene)))
            modern = await stack.enter_async_context(subscribed(scene, toolsListChanged=True))
            await modern.next()
            ends = asyncio.gather(legacy.until_end(), modern.until_end())
            await eventually(held(2))
        quiet, (end,) = await ends
        assert quiet == []
        assert is_end(end)
