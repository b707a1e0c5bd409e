"""Idempotency keys on a real broker: one call for one key, whatever replica, however often, across restarts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from deployment import Deployment, running_deployment
from doors import bearer, serving, token_issuer, trusting
from governed_scene import eventually

from callgate.errors import BrokerAway
from callgate.log import reading
from callgate.log.jetstream import JetStreamLog
from callgate.platform import Platform
from cli.dev_issuer import DevIssuer
from contracts.identity import Role
from contracts.subjects import ADMISSION, CallRef
from services.ingress.app import build

BODY: dict[str, Any] = {"function": "crm.get", "arguments": {"id": "c_1", "amount": 12.50}}
CONNECTIONS = {"crm": {"base_url": "http://127.0.0.1:1", "functions": {"get": {"path": "/customers"}}}}


@dataclass
class Doors:
    """Two replicas of ingress, and nobody behind them."""

    here: Deployment
    issuer: DevIssuer
    urls: tuple[str, str]
    http: aiohttp.ClientSession
    audit: Platform

    async def post(self, key: str | None, body: Any = BODY, replica: int = 0, who: str = "support-bot") -> Any:
        headers = {**bearer(self.issuer, who), "Prefer": "respond-async"}
        if key is not None:
            headers["Idempotency-Key"] = key
        async with self.http.post(f"{self.urls[replica]}/v1/calls", json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def recorded(self, document: Any) -> list[str]:
        """The calls that stand in the session of a call that was answered."""
        ref = CallRef.parse(document["id"])
        chains = await self.audit.log.read_session(ref.partition, ref.session_id)
        return [str(chain.call.ref) for chain in chains if chain.call.chain]


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        issuer = await enter(token_issuer(tmp_path))
        overrides = {"identity": trusting(issuer), "connections": CONNECTIONS}
        here = await enter(running_deployment(tmp_path, overrides=overrides))
        urls = [await enter(serving(here, (Role.INGRESS, build))) for _ in range(2)]
        http = await enter(aiohttp.ClientSession())
        audit = await enter(here.platform(Role.AUDIT))

        async def healthy() -> bool | None:
            async with http.get(f"{urls[0]}/health") as one, http.get(f"{urls[1]}/health") as other:
                return (one.status, other.status) == (200, 200) or None

        await eventually(healthy)
        yield Doors(here, issuer, (urls[0], urls[1]), http, audit)


async def test_one_key_is_one_call_at_whichever_replica(doors: Doors) -> None:
    answers = await asyncio.gather(*(doors.post('"k-1"', replica=n % 2) for n in range(10)))
    assert {status for status, _ in answers} == {202}
    assert len({document["id"] for _, document in answers}) == 1
    assert await doors.recorded(answers[0][1]) == [answers[0][1]["id"]]
    _, bare = await doors.post("k-1", replica=1)
    assert bare["id"] == answers[0][1]["id"], "quoted or bare, it is the same key"


async def test_another_request_under_the_same_key_is_refused(doors: Doors) -> None:
    _, first = await doors.post("k-1")
    for other in (
        {**BODY, "arguments": {"id": "c_2", "amount": 12.50}},
        {**BODY, "session": "mine"},
        {**BODY, "function": "crm.other"},
    ):
        status, problem = await doors.post("k-1", other, replica=1)
        assert (status, problem["code"]) == (422, "idempotency_key_reused")
        assert first["id"] not in str(problem)
    _, again = await doors.post("k-1", {"arguments": BODY["arguments"], "function": "crm.get"})
    assert again["id"] == first["id"], "the order of members is no part of the request"


async def test_a_retry_may_name_the_session_that_the_first_request_opened(doors: Doors) -> None:
    _, first = await doors.post("k-1")
    _, again = await doors.post("k-1", {**BODY, "session": first["session"]}, replica=1)
    assert again["id"] == first["id"]
    _, other = await doors.post(None)
    status, problem = await doors.post("k-1", {**BODY, "session": other["session"]})
    assert (status, problem["code"]) == (422, "idempotency_key_reused")
    status, problem = await doors.post("k-1", {**BODY, "arguments": {}, "session": first["session"]})
    assert (status, problem["code"]) == (422, "idempotency_key_reused")


async def test_a_key_is_its_principals_own(doors: Doors) -> None:
    _, mine = await doors.post("k-1")
    _, theirs = await doors.post("k-1", who="kim")
    assert mine["id"] != theirs["id"]


async def test_a_call_that_never_came_to_stand_is_recorded_by_the_retry(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The replica died, or the broker went, between the reservation and the first event."""
    append = JetStreamLog.append

    async def away(*_: Any, **__: Any) -> Any:
        raise BrokerAway

    monkeypatch.setattr(JetStreamLog, "append", away)
    status, problem = await doors.post("k-1")
    assert (status, problem["code"]) == (503, "broker_away")
    monkeypatch.setattr(JetStreamLog, "append", append)
    status, document = await doors.post("k-1", replica=1)
    assert (status, document["id"]) == (202, problem["id"])
    assert await doors.recorded(document) == [document["id"]]


async def test_nothing_of_the_request_stands_in_a_reservation(doors: Doors) -> None:
    await doors.post("k-secret")
    async with doors.here.platform(Role.INGRESS) as ingress:
        message = await reading.leader_next(ingress.client, ADMISSION, "admission.key.*", 1)
    assert message is not None
    for secret in (b"k-secret", b"c_1", b"12.5", b"crm.get"):
        assert secret not in message.body + message.subject.encode()


@pytest.mark.parametrize("key", ["", '""', '"a', "ä", "a" * 256, "a b"])
async def test_a_key_that_is_none_is_refused_and_not_taken_for_absent(doors: Doors, key: str) -> None:
    status, problem = await doors.post(key)
    assert (status, problem["code"]) == (400, "bad_idempotency_key")
