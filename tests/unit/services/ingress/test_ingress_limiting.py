"""Limits over an ADMISSION in memory: what a refused call costs those who share a limit."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from callgate.errors import LostRace
from callgate.ids import mint_session, uuid7
from callgate.limit_settings import LimitSettings
from callgate.log import reading
from callgate.log.messages import Message
from contracts.functions import Catalog
from contracts.identity import Principal
from contracts.subjects import CallRef, Partition
from services.ingress import limiting
from services.ingress.limiting import Limiting, OverLimit

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Admission:
    """The stream: the last message of each subject, changed by compare-and-set."""

    def __init__(self) -> None:
        self.last: dict[str, Message] = {}
        self.sequence = 0

    async def publish(self, _client: object, subject: str, body: bytes, headers: dict[str, str]) -> int:
        standing = self.last.get(subject)
        if int(headers["Nats-Expected-Last-Subject-Sequence"]) != (standing.sequence if standing else 0):
            raise LostRace
        self.sequence += 1
        self.last[subject] = Message(subject, {}, body, self.sequence, NOW)
        return self.sequence

    async def leader_last(self, _client: object, _stream: str, subject: str) -> Message | None:
        return self.last.get(subject)


@pytest.fixture
def admission(monkeypatch: pytest.MonkeyPatch) -> Admission:
    made = Admission()
    monkeypatch.setattr(limiting, "publish_acknowledged", made.publish)
    monkeypatch.setattr(reading, "leader_last", made.leader_last)
    return made


class Empty:
    """A log without calls: none that is counted is known to be over."""

    async def read(self, _ref: CallRef) -> Any:
        return SimpleNamespace(call=SimpleNamespace(chain=()))


def replica(*limits: dict[str, Any]) -> Limiting:
    settings = [LimitSettings.model_validate(one) for one in limits]
    log: Any = Empty()
    return Limiting(None, log, settings, Catalog({}), lambda: NOW)  # type: ignore[arg-type]


async def admitted(limits: Limiting, who: str, attempts: int) -> int:
    """How many of so many attempts got in."""
    principal, count = Principal(id=who, issuer="https://issuer.test"), 0
    for _ in range(attempts):
        try:
            await limits.admit(principal, "crm.look", CallRef(Partition(1, 0), mint_session(who), uuid7()))
        except OverLimit:
            continue
        count += 1
    return count


HOUSE = {"name": "house", "per": "everyone", "calls": 5, "seconds": 3600}


@pytest.mark.parametrize("own", [{"calls": 2, "seconds": 3600}, {"concurrent": 2}])
@pytest.mark.usefixtures("admission")
async def test_who_hammers_at_their_own_limit_uses_up_nothing_that_others_share(own: dict[str, Any]) -> None:
    replicas = [replica(HOUSE, {"name": "own", "principals": ["eager"], **own}) for _ in range(2)]
    assert [await admitted(one, "eager", 30) for one in replicas] == [2, 0]
    assert [await admitted(one, "other", 3) for one in replicas] == [3, 0]
