"""When the log counts as full."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from callgate.errors import BrokerAway
from services.ingress.disk import Disk, share_used


class Broker:
    """Answers `$JS.API.INFO`."""

    def __init__(self, **info: Any) -> None:
        self.info = info

    async def request(self, subject: str, payload: bytes, **how: Any) -> Any:
        assert subject == "$JS.API.INFO"
        return SimpleNamespace(data=json.dumps(self.info).encode())


def limited(used: int, limit: int) -> dict[str, Any]:
    return {"storage": used, "limits": {"max_storage": limit}}


@pytest.mark.parametrize(
    ("info", "share"),
    [
        (limited(50, 100), 0.5),
        (limited(50, -1), None),
        ({}, None),
        ({**limited(0, -1), "tiers": {"R1": limited(10, 100), "R3": limited(95, 100)}}, 0.95),
    ],
)
def test_the_fullest_limit_counts(info: dict[str, Any], share: float | None) -> None:
    assert share_used(info) == share


async def test_calls_are_admitted_once_it_is_known_that_there_is_room() -> None:
    broker: Any = Broker(**limited(80, 100))
    disk = Disk(broker, 0.9, None)
    seen = [disk.problem]
    for used in (80, 90):
        broker.info = limited(used, 100)
        await disk.look()
        seen.append(disk.problem)
    broker.info = {"error": {"code": 503}}
    with pytest.raises(BrokerAway):
        await disk.look()
    assert [*seen, disk.problem] == ["log_unknown", None, "log_full", "log_full"]


async def test_the_disk_beside_an_embedded_broker_counts_too(tmp_path: Path) -> None:
    broker: Any = Broker(**limited(0, -1))
    disk = Disk(broker, 1e-9, tmp_path)
    await disk.look()
    assert disk.problem == "log_full"


async def test_a_disk_that_nobody_sees_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    broker: Any = Broker(**limited(50, -1))
    disk = Disk(broker, 0.9, None)
    for _ in range(2):
        await disk.look()
    assert disk.problem is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "--max-store" in caplog.text
