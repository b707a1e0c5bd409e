"""Keys are rotated under running services: nothing is lost, nothing runs twice, and a retired key says nothing more."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from calls import Calls
from deployment import append, running_deployment
from governed_scene import PAY, Governed, governed

from callgate import keyring, keys
from callgate.errors import Fatal
from contracts.events import ExecutionStarted, ResultMasked
from contracts.identity import Role
from contracts.records import PolicySetPublished
from contracts.subjects import POLICY_SET_SUBJECT, CallRef

EXECUTED = ["requested", "arguments_masked", "allowed", "execution_started", "execution_completed", "result_masked"]
ROTATED = (Role.EXECUTOR, Role.MASKING, Role.POLICY)
AGENTS = 3


async def check(scene: Governed, document: Any) -> set[str]:
    """That a call was executed once, and each of its events verifies; the keys that signed them."""
    ref = CallRef.parse(document["id"])
    chain = await scene.audit.log.read(ref)
    assert [recorded.name for recorded in chain.call.chain] == EXECUTED
    assert chain.aliens == ()
    assert scene.ledger.keys_executed[ref.call_id] == 1
    assert document["status"] == "completed", document
    masked = chain.call.last(ResultMasked)
    assert masked is not None
    assert masked.withheld is None
    return {recorded.key_id for recorded in chain.call.chain}


async def test_keys_are_rotated_while_calls_flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    skew = timedelta(seconds=2)
    monkeypatch.setattr(keyring, "CLOCK_SKEW", skew)  # so that what a retired key signs is alien within the test
    async with governed(tmp_path, replicas={Role.EXECUTOR: 2}) as scene:
        ended: asyncio.Queue[Any] = asyncio.Queue()
        until: list[datetime] = []

        async def agent() -> None:
            while not until or datetime.now(UTC) < until[0]:
                await ended.put(await scene.call("shop.pay", amount=1, **PAY))
            await ended.put(await scene.call("shop.pay", amount=1, **PAY))

        documents: list[Any] = []
        async with asyncio.TaskGroup() as agents:  # one that fails ends the test, which else would wait for its calls
            for _ in range(AGENTS):
                agents.create_task(agent())
            for role in ROTATED:
                documents += [await ended.get() for _ in range(2 * AGENTS)]
                keys.rotate(tmp_path / "keys", role)
            until.append(datetime.now(UTC) + skew * 1.5)
        while not ended.empty():
            documents.append(ended.get_nowait())
        signed: list[set[str]] = [await check(scene, document) for document in documents]
        retired = {key.id for key in keys.read_ring(tmp_path / "keys").keys if key.not_after is not None}
        assert retired & set().union(*signed[: 2 * AGENTS])
        assert not retired & set().union(*signed[-AGENTS:])


async def test_a_service_without_its_new_key_appends_and_publishes_nothing(tmp_path: Path) -> None:
    async with running_deployment(tmp_path) as here, here.platforms() as by:
        calls = Calls(by)
        allowed = await calls.allowed(await calls.masked(await calls.requested()))
        before = {role: (tmp_path / "keys" / role / "sign.key").read_bytes() for role in ROTATED}
        for role, old in before.items():
            keys.rotate(tmp_path / "keys", role)
            (tmp_path / "keys" / role / "sign.key").write_bytes(old)  # as on a host that was given the ring alone
        executor, policy = by[Role.EXECUTOR], by[Role.POLICY]
        start = ExecutionStarted(instance="e", attempt=1, deadline=datetime.now(UTC) + timedelta(seconds=30))
        with pytest.raises(Fatal, match="key_retired"):
            await append(executor, allowed, start)
        data = PolicySetPublished(policy_set="a" * 64, files={})
        with pytest.raises(Fatal, match="key_retired"):
            await policy.records.publish(POLICY_SET_SUBJECT, data, policy.clock())
        assert (await by[Role.AUDIT].log.read(allowed.ref)).last_sequence == allowed.sequence
