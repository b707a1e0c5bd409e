"""Keys are rotated under running services: a retired key says nothing more."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from calls import Calls
from deployment import append, running_deployment

from callgate import keys
from callgate.errors import Fatal
from contracts.events import ExecutionStarted
from contracts.identity import Role
from contracts.records import PolicySetPublished
from contracts.subjects import POLICY_SET_SUBJECT

ROTATED = (Role.EXECUTOR, Role.MASKING, Role.POLICY)


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
