"""A deployment in its second epoch, which has another number of shards than its first: no call of either is lost."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from audit_scene import eventually
from calls import Calls
from deployment import Deployment, running_deployment
from doors import bearer, serving, token_issuer, trusting

from callgate.cedar.policies import digest_of
from callgate.delivery import now
from callgate.ids import name_session
from cli.dev_issuer import DevIssuer
from cli.provisioning import provision_deployment
from contracts.identity import Principal, Role
from contracts.records import PolicySetPublished
from contracts.subjects import POLICY_SET_SUBJECT, CallRef, Partition
from services.audit.app import build as build_audit
from services.ingress.app import build as build_ingress

EVERYBODY_AUDITS = '@id("all") permit(principal, action == Action::"audit", resource);'


def in_epoch(here: Deployment, epoch: int, shards: int) -> Deployment:
    layout = here.settings.broker.model_copy(update={"epoch": epoch, "shards": shards})
    return Deployment(here.settings.model_copy(update={"broker": layout}), here.broker)


def sessions(owner: str) -> Iterator[str]:
    """One session of the owner for each shard of four."""
    names = (name_session(owner, str(number)) for number in range(1000))
    by_shard = {Partition.of_session(session, 2, 4).shard: session for session in names}
    return iter([by_shard[shard] for shard in range(4)])


@pytest.fixture
async def issuer(tmp_path: Path) -> AsyncIterator[DevIssuer]:
    async with token_issuer(tmp_path) as issuer:
        yield issuer


@pytest.mark.parametrize(("first", "second"), [(1, 4), (4, 1)])
async def test_what_an_earlier_epoch_holds_is_found(tmp_path: Path, issuer: DevIssuer, first: int, second: int) -> None:
    owner = Principal(id="support-bot", issuer=issuer.url)
    overrides = {"identity": trusting(issuer), "broker": {"shards": first}}
    async with running_deployment(tmp_path / "here", overrides=overrides) as here:
        of: dict[str, list[CallRef]] = {session: [] for session in sessions(owner.session_owner)}
        for epoch, shards in ((1, first), (2, second)):
            then = in_epoch(here, epoch, shards)
            await provision_deployment(then.settings, upgrade=epoch > 1)
            async with then.platforms() as platforms:
                for session, refs in of.items():
                    refs.append(await Calls(platforms, owner).refused(session_id=session))
                policies = PolicySetPublished(
                    policy_set=digest_of({"p.cedar": EVERYBODY_AUDITS}), files={"p.cedar": EVERYBODY_AUDITS}
                )
                await platforms[Role.POLICY].records.publish(POLICY_SET_SUBJECT, policies, now())
        assert {ref.partition for refs in of.values() for ref in refs} == {
            *(Partition(1, shard) for shard in range(first)),
            *(Partition(2, shard) for shard in range(second)),
        }
        services = ((Role.INGRESS, build_ingress), (Role.AUDIT, build_audit))
        async with serving(then, *services) as url, aiohttp.ClientSession(url) as http:
            await everything_is_there(http, bearer(issuer, "support-bot"), of)


async def everything_is_there(
    http: aiohttp.ClientSession, headers: dict[str, str], of: dict[str, list[CallRef]]
) -> None:
    async def get(path: str) -> tuple[int, Any]:
        async with http.get(path, headers=headers) as answer:
            return answer.status, json.loads(await answer.read())

    async def in_force() -> bool | None:
        status, _ = await get("/v1/sessions")
        return None if status == 503 else True

    await eventually(in_force)
    for session, refs in of.items():
        status, replayed = await get(f"/v1/sessions/{session}/replay")
        assert (status, [call["id"] for call in replayed["calls"]]) == (200, [str(ref) for ref in refs])
        status, first = await get(f"/v1/calls?session={session}&limit=1")
        assert (status, [call["id"] for call in first["calls"]], first["next"]) == (200, [str(refs[0])], str(refs[0]))
        status, rest = await get(f"/v1/calls?session={session}&limit=1&after={first['next']}")
        assert (status, [call["id"] for call in rest["calls"]], rest["next"]) == (200, [str(refs[1])], None)
        for ref in refs:
            assert (await get(f"/v1/calls/{ref}"))[0] == 200
            status, shown = await get(f"/v1/sessions/{session}/calls/{ref.call_id}")
            assert (status, shown["id"]) == (200, str(ref))
