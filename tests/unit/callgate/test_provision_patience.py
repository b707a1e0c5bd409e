"""A cluster that has just started refuses streams until its nodes know each other."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from callgate import provision
from callgate.provision import ProvisionError, _request


class Cluster:
    """Refuses with one code so many times, then creates."""

    def __init__(self, refusals: int, code: int = 10005) -> None:
        self.asked = 0
        self._refusals = refusals
        self._code = code

    async def request(self, subject: str, payload: bytes, timeout: float) -> Any:  # noqa: ASYNC109  # as nats-py has it
        self.asked += 1
        refused = {"error": {"err_code": self._code, "description": "no suitable peers for placement"}}
        return SimpleNamespace(data=json.dumps(refused if self.asked <= self._refusals else {"ok": True}).encode())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_: float) -> None:
        return None

    monkeypatch.setattr(provision.asyncio, "sleep", at_once)


async def test_provisioning_waits_for_the_nodes() -> None:
    cluster: Any = Cluster(3)
    assert await asyncio.wait_for(_request(cluster, "STREAM.CREATE.X", {}), 10) == {"ok": True}
    assert cluster.asked == 4


async def test_it_does_not_wait_for_ever_nor_for_anything_else() -> None:
    for cluster in (Cluster(10_000), Cluster(1, code=10058)):
        silent: Any = cluster
        with pytest.raises(ProvisionError):
            await asyncio.wait_for(_request(silent, "STREAM.CREATE.X", {}), 10)
        assert silent.asked < 100
