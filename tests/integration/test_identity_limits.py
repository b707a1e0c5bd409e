"""Limits over two replicas of ingress on one real log: how many calls get in, whichever door they come to."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from calls import Calls
from deployment import Deployment, running_deployment
from doors import bearer, serving, token_issuer, trusting
from governed_scene import eventually

from callgate.platform import Platform
from cli.dev_issuer import DevIssuer
from contracts.identity import Role
from contracts.subjects import CallRef
from services.ingress.app import build

OTHERS = (Role.MASKING, Role.POLICY, Role.APPROVAL, Role.EXECUTOR, Role.AUDIT)
FUNCTION: dict[str, Any] = {"path": "/x", "input": {"type": "object"}}
LIMITS = [
    {"name": "busy", "principals": ["support-bot"], "concurrent": 3},
    {"name": "slow", "principals": ["kim"], "calls": 6, "seconds": 3600},
    {"name": "money", "tags": ["money"], "per": "everyone", "calls": 4, "seconds": 3600},
    {"name": "quick", "principals": ["fay"], "calls": 2, "seconds": 1, "burst": 1},
]


@dataclass
class Doors:
    here: Deployment
    issuer: DevIssuer
    urls: list[str]
    http: aiohttp.ClientSession
    platforms: dict[Role, Platform]

    async def ask(self, who: str, replica: int = 0, function: str = "crm.look") -> tuple[int, Any, Any]:
        headers = {**bearer(self.issuer, who), "Prefer": "wait=0"}
        body = {"function": function, "arguments": {}}
        async with self.http.post(f"{self.urls[replica]}/v1/calls", headers=headers, json=body) as response:
            return response.status, await response.json(content_type=None), response.headers

    async def many(self, who: str, count: int, function: str = "crm.look") -> Counter[int]:
        """How each of so many, spread over the replicas and sent at once, was answered."""
        asked = (self.ask(who, number % len(self.urls), function) for number in range(count))
        return Counter(status for status, _, _ in await asyncio.gather(*asked))

    async def recorded(self) -> int:
        audit = self.platforms[Role.AUDIT]
        info = await audit.client.jetstream().stream_info(audit.partitions[0].stream)
        return info.state.messages

    async def refused(self, ref: CallRef) -> None:
        """Ends the call, as policy denies it."""
        others = Calls(self.platforms)
        requested = (await self.platforms[Role.POLICY].log.read(ref)).call.chain[-1]
        await others.denied(await others.masked(requested))


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        issuer = await enter(token_issuer(tmp_path))
        connections = {
            "crm": {"base_url": "http://127.0.0.1:1", "functions": {"look": FUNCTION}},
            "pay": {"base_url": "http://127.0.0.1:1", "functions": {"refund": {**FUNCTION, "tags": ["money"]}}},
        }
        overrides = {"identity": trusting(issuer), "limits": LIMITS, "connections": connections}
        here = await enter(running_deployment(tmp_path, overrides=overrides))
        platforms = await enter(here.platforms(*OTHERS))
        urls = [await enter(serving(here, (Role.INGRESS, build))) for _ in range(2)]
        yield Doors(here, issuer, urls, await enter(aiohttp.ClientSession()), platforms)


async def test_a_rate_holds_over_replicas_and_a_restart(doors: Doors) -> None:
    assert await doors.many("kim", 30) == {202: 6, 429: 24}
    assert await doors.recorded() == 6
    status, problem, headers = await doors.ask("kim", 1)
    assert (status, problem["code"], problem["limit"]) == (429, "rate_limited", "slow")
    assert 500 < int(headers["Retry-After"]) <= 600
    assert (await doors.ask("finn"))[0] == 202, "others have their own"
    async with serving(doors.here, (Role.INGRESS, build)) as url:
        doors.urls.append(url)
        assert (await doors.ask("kim", 2))[0] == 429


async def test_a_limit_for_everyone_is_shared(doors: Doors) -> None:
    answers = await asyncio.gather(*(doors.many(who, 6, "pay.refund") for who in ("finn", "dora", "sam")))
    assert sum(answers, Counter()) == {202: 4, 429: 14}


async def test_what_a_rate_brings_back_is_admitted_when_it_says(doors: Doors) -> None:
    assert (await doors.ask("fay"))[0] == 202
    status, _, headers = await doors.ask("fay", 1)
    assert (status, headers["Retry-After"]) == (429, "1")

    async def again() -> bool | None:
        return (await doors.ask("fay", 1))[0] == 202 or None

    await eventually(again)


async def test_calls_in_progress_are_counted_over_replicas_until_they_end(doors: Doors) -> None:
    assert await doors.many("support-bot", 20) == {202: 3, 429: 17}
    status, problem, headers = await doors.ask("support-bot", 1)
    assert (status, problem["code"], problem["limit"]) == (429, "too_many_calls", "busy")
    assert headers["Retry-After"] == "1"
    audit = doors.platforms[Role.AUDIT]
    async for recorded in audit.log.follow(audit.partitions[0], 0, "requested"):
        await doors.refused(recorded.ref)  # type: ignore[union-attr]
        break

    async def again() -> bool | None:
        return (await doors.ask("support-bot", 1))[0] == 202 or None

    await eventually(again)
    assert (await doors.ask("support-bot"))[0] == 429, "one ended, one came"
    async with serving(doors.here, (Role.INGRESS, build)) as url:
        doors.urls.append(url)
        assert (await doors.ask("support-bot", 2))[0] == 429


async def test_an_answered_call_makes_room_at_once(doors: Doors) -> None:
    async def waits() -> Any:
        headers = {**bearer(doors.issuer, "support-bot"), "Prefer": "wait=20"}
        body = {"function": "crm.look", "arguments": {}}
        async with doors.http.post(f"{doors.urls[0]}/v1/calls", headers=headers, json=body) as response:
            return (await response.json())["status"]

    waiting = [asyncio.create_task(waits()) for _ in range(3)]
    audit, found = doors.platforms[Role.AUDIT], 0
    async for recorded in audit.log.follow(audit.partitions[0], 0, "requested"):
        await doors.refused(recorded.ref)  # type: ignore[union-attr]
        found += 1
        if found == 3:
            break
    assert await asyncio.gather(*waiting) == ["denied"] * 3
    assert await doors.many("support-bot", 5) == {202: 3, 429: 2}
