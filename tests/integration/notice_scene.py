"""Approval's replicas as the tests of notices need them: ready, idle, and given everything anew."""

import contextlib
from collections.abc import AsyncIterator

import aiohttp
from approval_scene import Scene, eventually
from doors import serving

from callgate import keys
from callgate.delivery import now
from callgate.ids import uuid7
from callgate.log import Draft
from callgate.platform import Platform
from callgate.streams import APPROVAL_NOTICES, APPROVAL_SENDS, consumers
from cli.broker_client import connect
from contracts.events import Allowed, EventData, ExecutionStarted, OutcomeUnknown, Recorded
from contracts.identity import Role
from services.approval.app import build

PART = (Role.APPROVAL, build)


@contextlib.asynccontextmanager
async def replica(stage: Scene) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(stage.here, PART) as url, aiohttp.ClientSession(url) as http:

        async def ready() -> bool | None:
            async with http.get("/health") as answer:
                return True if answer.status == 200 else None

        await eventually(ready)
        yield http


async def settled(stage: Scene, *, open_calls: int = 0) -> None:
    """Every notice of what stands on the log is on NOTICES, and everything there is sent or given up.

    The delivery of an approved call waits for its end: of those there may be `open_calls`.
    """
    async with stage.here.platform(Role.APPROVAL) as approval:

        async def idle() -> bool | None:
            info = await approval.client.jetstream().consumer_info("CALLS_1_0", APPROVAL_NOTICES)
            sends = await approval.client.jetstream().consumer_info("NOTICES", APPROVAL_SENDS)
            done = (info.num_pending, sends.num_pending, sends.num_ack_pending) == (0, 0, 0)
            return True if done and (info.num_ack_pending or 0) <= open_calls else None

        await eventually(idle)


async def replay(stage: Scene) -> None:
    """Everything is delivered once more: the provisioner's user makes the durables anew, from the first message."""
    settings = stage.here.settings
    held = keys.load(settings.keys_folder, Role.PROVISIONER)
    client = await connect(settings, str(settings.broker.url), Role.PROVISIONER, held.password)
    try:
        (spec,) = [one for one in consumers() if (one.stream, one.durable) == ("CALLS_1_0", APPROVAL_NOTICES)]
        (sends,) = [one for one in consumers() if one.stream == "NOTICES"]
        for each in (spec, sends):
            await client.jetstream().delete_consumer(each.stream, each.durable)
            await client.jetstream().add_consumer(each.stream, each.config)
    finally:
        await client.close()


async def vote(stage: Scene, http: aiohttp.ClientSession, url: str, digest: str, sub: str = "fina") -> int:
    headers = {"Authorization": f"Bearer {stage.issuer.mint(sub, ['finance'])}"}
    async with http.post(url, json={"decision": "approve", "digest": digest}, headers=headers) as answer:
        return answer.status


async def unknown_after(stage: Scene, approved: Recorded) -> Recorded:
    """It was allowed and begun, and nobody knows how it ended."""
    async with stage.here.platforms(Role.EXECUTOR) as others:
        executor = others[Role.EXECUTOR]
        last = approved
        steps: list[tuple[Platform, EventData]] = [
            (stage.policy, Allowed(policy_set="a" * 64, function_digest="b" * 64)),
            (executor, ExecutionStarted(instance="e", attempt=1, deadline=now())),
            (executor, OutcomeUnknown(code="upstream_timeout")),
        ]
        for platform, data in steps:
            last = await platform.log.append(Draft(uuid7(), now(), data), last)
        return last
