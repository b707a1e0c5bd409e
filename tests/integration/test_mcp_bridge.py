"""`callgate mcp`: a real client starts it as a command."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from governed_scene import PAY, PAY_ROUTE, POLICIES, Governed, eventually, governed
from listening_scene import held
from mcp import Client, StdioServerParameters
from mcp_scene import GENERATIONS, call_of, ref_of, text_of
from mcp_types import ToolListChangedNotification

from contracts.events import Recorded
from contracts.subjects import CallRef


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path, ingress={"mcp": {"hold": 20}}) as running:
        yield running


def command(scene: Governed, token_file: Path) -> StdioServerParameters:
    arguments = ["-m", "cli.main", "mcp", "--url", scene.url, "--token-file", str(token_file)]
    root = str(Path(__file__).parents[2])
    return StdioServerParameters(command=sys.executable, args=arguments, cwd=root, env={"PYTHONPATH": root})


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_a_client_that_starts_a_command(scene: Governed, tmp_path: Path, mode: str) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(scene.issuer.mint("support-bot"))
    seen: list[str] = []
    asked = asyncio.Event()

    async def told(progress: float, total: float | None, message: str | None) -> None:
        seen.append(message or "")
        if "waiting for approval" in seen[-1]:
            asked.set()

    async with Client(command(scene, token_file), mode=mode) as client:
        assert "shop-look" in [tool.name for tool in (await client.list_tools()).tools]
        first = await client.call_tool("shop-look", {"id": "c42"})
        assert first.structured_content["plan"] == "free"
        calling = asyncio.create_task(client.call_tool("shop-pay", {"amount": 250, **PAY}, progress_callback=told))
        await asyncio.wait_for(asked.wait(), 20)
        await scene.vote(await waiting(scene), "fay")
        paid = await calling
        assert not paid.is_error
        assert call_of(paid)["session"] == call_of(first)["session"], "one process, one agent run"
        denied = await client.call_tool("shop-wall", {"rule": "all", "action": "add"})
        assert text_of(denied).startswith("Denied")
    assert scene.ledger.executed[PAY_ROUTE] == 1
    assert (await scene.names(ref_of(paid)))[-1] == "result_masked"


@pytest.mark.parametrize("mode", GENERATIONS)
async def test_a_client_that_starts_a_command_is_told_of_changed_tools(
    scene: Governed, tmp_path: Path, mode: str
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(scene.issuer.mint("support-bot"))
    told = asyncio.Event()

    async def heard(message: Any) -> None:
        if isinstance(message, ToolListChangedNotification):
            told.set()

    async with Client(command(scene, token_file), mode=mode, message_handler=heard) as client:
        async with contextlib.AsyncExitStack() as stack:
            news = None
            if mode != "legacy":
                news = await stack.enter_async_context(client.listen(tools_list_changed=True))
            await eventually(held(1))
            never = '@id("never") forbid(principal, action == Action::"shop.wall", resource);'
            await scene.use_policies(POLICIES.replace(never, never.replace("forbid", "permit")))
            await asyncio.wait_for(told.wait() if news is None else anext(news), 30)
        assert "shop-wall" in [tool.name for tool in (await client.list_tools()).tools]
    await eventually(held(0))


async def waiting(scene: Governed) -> CallRef:
    (partition,) = scene.partitions
    async with asyncio.timeout(20):
        async for recorded in scene.audit.log.follow(partition, 0, "approval_required"):
            if isinstance(recorded, Recorded):
                return recorded.ref
    raise AssertionError


async def test_without_a_token_it_says_who_to_be() -> None:
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "mcp"),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=str(Path(__file__).parents[2]),
        env={"PATH": "/usr/bin:/bin"},
    )
    _, told = await started.communicate()
    assert started.returncode == 2
    assert b"--token-file" in told
