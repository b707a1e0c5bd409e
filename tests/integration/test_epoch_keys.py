"""An idempotency key that outlives its epoch: a retry after the next one began finds the call where it was begun."""

import asyncio
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

from callgate.errors import BrokerAway
from callgate.log.jetstream import JetStreamLog
from cli.dev_issuer import DevIssuer
from cli.provisioning import provision_deployment
from contracts.identity import Role
from contracts.subjects import CallRef
from services.ingress.app import build

CONNECTIONS = {"crm": {"base_url": "http://127.0.0.1:1", "functions": {"get": {"path": "/customers"}}}}
BODY: dict[str, Any] = {"function": "crm.get", "arguments": {"id": "c_1"}, "session": "nightly"}
UNNAMED = {name: value for name, value in BODY.items() if name != "session"}


@dataclass
class Agent:
    """One that retries."""

    issuer: DevIssuer
    http: aiohttp.ClientSession

    async def post(self, url: str, key: str, body: Any = BODY, prefer: str = "respond-async") -> tuple[int, Any]:
        async def admitted() -> tuple[int, Any] | None:
            headers = {**bearer(self.issuer, "support-bot"), "Prefer": prefer, "Idempotency-Key": key}
            async with self.http.post(f"{url}/v1/calls", json=body, headers=headers) as response:
                document = await response.json(content_type=None)
            # It looks at the broker's store right after its start.
            return None if document.get("code") == "log_unknown" else (response.status, document)

        return await eventually(admitted)

    async def listed(self, url: str) -> list[str]:
        headers = bearer(self.issuer, "support-bot")
        async with self.http.get(f"{url}/v1/calls", params={"session": "nightly"}, headers=headers) as response:
            return [call["id"] for call in (await response.json())["calls"]]


@pytest.fixture
async def agent(tmp_path: Path) -> AsyncIterator[Agent]:
    async with token_issuer(tmp_path) as issuer, aiohttp.ClientSession() as http:
        yield Agent(issuer, http)


def in_epoch(here: Deployment, epoch: int, shards: int) -> Deployment:
    layout = here.settings.broker.model_copy(update={"epoch": epoch, "shards": shards})
    return Deployment(here.settings.model_copy(update={"broker": layout}), here.broker)


@pytest.mark.parametrize(("first", "second"), [(1, 3), (3, 1)])
async def test_a_key_leads_to_its_call_in_the_epoch_before(
    tmp_path: Path, agent: Agent, monkeypatch: pytest.MonkeyPatch, first: int, second: int
) -> None:
    overrides = {"identity": trusting(agent.issuer), "connections": CONNECTIONS, "broker": {"shards": first}}
    async with running_deployment(tmp_path / "here", overrides=overrides) as here:
        async with serving(here, (Role.INGRESS, build)) as url:
            _, begun = await agent.post(url, "k-begun")
            _, unnamed = await agent.post(url, "k-unnamed", UNNAMED)
            with monkeypatch.context() as patched:
                patched.setattr(JetStreamLog, "append", away)  # between the reservation and the first event
                status, reserved = await agent.post(url, "k-reserved")
            assert (status, reserved["code"]) == (503, "broker_away")
        then = in_epoch(here, 2, second)
        await provision_deployment(then.settings, upgrade=True)
        # A replica of each epoch for a while, as in a rolling change; then the new one alone.
        async with serving(then, (Role.INGRESS, build)) as new, then.platforms(Role.MASKING, Role.POLICY) as others:
            async with serving(here, (Role.INGRESS, build)) as old:
                retries = await asyncio.gather(*(agent.post(url, "k-begun") for url in (old, new, old, new)))
                assert {(status, document["id"]) for status, document in retries} == {(202, begun["id"])}
                races = await asyncio.gather(*(agent.post(url, "k-new") for url in (old, new, old, new)))
                (raced,) = {document["id"] for _, document in races}
            for body in (UNNAMED, {**UNNAMED, "session": unnamed["session"]}):
                assert (await agent.post(new, "k-unnamed", body))[1]["id"] == unnamed["id"]
            status, problem = await agent.post(new, "k-begun", {**BODY, "arguments": {"id": "c_2"}})
            assert (status, problem["code"]) == (422, "idempotency_key_reused")
            # What was reserved and never came to stand is recorded under its id.
            status, recorded = await agent.post(new, "k-reserved")
            assert (status, recorded["id"]) == (202, reserved["id"])
            assert CallRef.parse(recorded["id"]).partition.epoch == 1
            _, fresh = await agent.post(new, "k-fresh")
            assert CallRef.parse(fresh["id"]).partition.epoch == 2
            assert sorted(await agent.listed(new)) == sorted([begun["id"], raced, recorded["id"], fresh["id"]])

            # Who waits under an old key is answered by what happens in the epoch before.
            waits = asyncio.create_task(agent.post(new, "k-begun", prefer="wait=60"))
            calls = Calls(others)
            requested = (await others[Role.POLICY].log.read(CallRef.parse(begun["id"]))).call.chain[-1]
            await calls.denied(await calls.masked(requested))
            status, answered = await waits
            assert (status, answered["id"], answered["status"]) == (200, begun["id"], "denied")


async def away(*_: Any, **__: Any) -> Any:
    raise BrokerAway
