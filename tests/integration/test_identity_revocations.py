"""Revocations on real parts: who is refused, at which doors, and that nothing of theirs is recorded."""

import base64
import json
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from governed_scene import POLICIES, Governed, eventually, governed

from cli.dev_issuer import DevIssuer
from contracts.identity import Role
from contracts.records import Revoked
from contracts.subjects import CONTROL, revocation_subject

REVOKING = """
@id("finance-revokes")
permit(principal in Group::"finance", action in [Action::"revoke", Action::"unrevoke"], resource);
@id("sre-revokes-agents")
permit(principal in Group::"sre", action == Action::"revoke", resource) when { resource.kind == "agent" };
"""
LEEWAY = 30.0
"""Of the scene's issuer, as where nobody says another."""
ASK = {"function": "shop.look", "arguments": {"id": "c_1"}}


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path) as running:
        await running.use_policies(POLICIES + REVOKING)
        await revoke(running, scope="subject", target="nobody", **{"for": "1s"})
        yield running


async def revoke(scene: Governed, who: str = "fay", **wish: Any) -> Any:
    async def revoked() -> Any:
        status, answer = await scene.request("POST", "/v1/revocations", who, json={"reason": "a stolen laptop", **wish})
        return answer if status == 201 else None  # the changed policies reach approval within a second

    return await eventually(revoked)


async def tried(scene: Governed, token: str, method: str = "POST", path: str = "/v1/calls") -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}", "Prefer": "wait=20"}
    body = ASK if method == "POST" else None
    async with scene.http.request(method, f"{scene.url}{path}", headers=headers, json=body) as response:
        return response.status, await response.json(content_type=None)


async def refused(scene: Governed, token: str) -> Any:
    """The problem, once ingress knows of the revocation."""

    async def check() -> Any:
        status, answer = await tried(scene, token)
        return answer if status == 401 else None

    return await eventually(check)


async def accepted(scene: Governed, token: str) -> Any:
    async def check() -> Any:
        status, answer = await tried(scene, token)
        return answer if status == 200 else None

    return await eventually(check)


async def recorded(scene: Governed) -> int:
    """How many messages stand on the calls' streams."""
    sizes = [
        (await scene.audit.client.jetstream().stream_info(partition.stream)).state.messages
        for partition in scene.partitions
    ]
    return sum(sizes)


def jti(token: str) -> str:
    payload = token.split(".")[1]
    found: str = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
    return found


async def test_a_revoked_token_is_nobodys_at_any_door_and_others_of_its_subject_count(scene: Governed) -> None:
    stolen, other = scene.issuer.mint("support-bot"), scene.issuer.mint("support-bot")
    call = await accepted(scene, stolen)
    await accepted(scene, other)
    revoked = await revoke(scene, scope="token", target=jti(stolen), issuer=scene.issuer.url)
    problem = await refused(scene, stolen)
    assert (problem["code"], problem["status"]) == ("revoked", 401)
    assert jti(stolen) not in str(problem)
    before = await recorded(scene)
    for method, path in (("POST", "/v1/calls"), ("GET", f"/v1/calls/{call['id']}"), ("GET", "/v1/functions")):
        status, answer = await tried(scene, stolen, method, path)
        assert (status, answer["code"]) == (401, "revoked")
    assert await recorded(scene) == before
    await accepted(scene, other)

    status, answer = await scene.request("DELETE", f"/v1/revocations/{revoked['id']}", "fay")
    assert (status, answer["lifted"]) == (200, True)
    await accepted(scene, stolen)


async def test_a_subjects_revocation_ends_what_acts_for_them_too(scene: Governed) -> None:
    alone = scene.issuer.mint("support-bot")
    acting = scene.issuer.mint("kim", act="support-bot")
    await accepted(scene, acting)
    await revoke(scene, scope="subject", target="kim", issuer=scene.issuer.url, **{"for": "1h"})
    assert (await refused(scene, acting))["code"] == "revoked"
    await accepted(scene, alone)


async def test_a_reviewer_who_is_revoked_cannot_decide_nor_audit(scene: Governed) -> None:
    await revoke(scene, scope="subject", target="finn")

    async def shut_out() -> bool | None:
        answers = [await scene.request("GET", path, "finn") for path in ("/v1/approvals", "/v1/sessions")]
        return all((status, body.get("code")) == (401, "revoked") for status, body in answers) or None

    await eventually(shut_out)
    assert (await scene.request("GET", "/v1/approvals", "fay"))[0] == 200


def minted(scene: Governed, ahead: float) -> str:
    """A token of the issuer, were its clock so many seconds ahead of ours."""
    issuer = scene.issuer
    return DevIssuer(issuer.keys, issuer.url, audience=issuer.audience, clock=lambda: time.time() + ahead).mint(
        "support-bot"
    )


@pytest.mark.parametrize("of_issuer", [True, False])
async def test_tokens_issued_so_far_end_and_later_ones_count(scene: Governed, of_issuer: bool) -> None:
    old = [minted(scene, -5.0), minted(scene, 0.0), minted(scene, 10.0), minted(scene, LEEWAY - 1.0)]
    for token in old:
        await accepted(scene, token)
    named = {"issuer": scene.issuer.url} if of_issuer else {}
    revoked = await revoke(scene, scope="subject", target="support-bot", issued_so_far=True, **named)
    before, since = (datetime.fromisoformat(revoked[name]) for name in ("issued_before", "since"))
    assert before - since == timedelta(seconds=LEEWAY)
    for token in old:
        assert (await refused(scene, token))["code"] == "revoked"

    async def fresh() -> bool | None:
        """With the `iat` of what is issued once the leeway is over."""
        return (await tried(scene, minted(scene, LEEWAY)))[0] == 200 or None

    await eventually(fresh)
    for token in old:
        assert (await tried(scene, token))[0] == 401


async def test_a_replica_that_starts_later_knows_what_was_revoked(scene: Governed) -> None:
    from doors import serving

    from services.ingress.app import build

    stolen = scene.issuer.mint("support-bot")
    await revoke(scene, scope="token", target=jti(stolen), issuer=scene.issuer.url)
    bearer = {"Authorization": f"Bearer {stolen}"}
    async with (
        serving(scene.here, (Role.INGRESS, build)) as url,
        scene.http.get(f"{url}/v1/functions", headers=bearer) as response,
    ):
        assert (response.status, (await response.json(content_type=None))["code"]) == (401, "revoked")


async def test_who_may_not_and_what_makes_no_sense(scene: Governed) -> None:
    wish = {"scope": "subject", "target": "support-bot", "reason": "x"}
    for who in ("support-bot", "dora"):
        status, answer = await scene.request("POST", "/v1/revocations", who, json=wish)
        assert (status, answer["code"]) == (403, "not_permitted")
    token_of_agent = {**wish, "scope": "token", "issuer": scene.issuer.url}
    assert (await scene.request("POST", "/v1/revocations", "rosa", json=token_of_agent))[0] == 403
    assert (await scene.request("POST", "/v1/revocations", "rosa", json=wish))[0] == 201
    acting = {"Authorization": f"Bearer {scene.issuer.mint('fay', act='support-bot')}"}
    async with scene.http.post(f"{scene.url}/v1/revocations", json=wish, headers=acting) as response:
        assert response.status in (401, 403)
    for change, code in (
        ({"scope": "session"}, "bad_scope"),
        ({"target": " "}, "bad_target"),
        ({"scope": "token"}, "bad_issuer"),
        ({"scope": "token", "issuer": "https://x", "issued_so_far": True}, "bad_target"),
        ({"issued_so_far": 1}, "bad_target"),
        ({"for": "soon"}, "bad_duration"),
        ({"reason": " "}, "reason_required"),
        ({"more": 1}, "invalid_request"),
    ):
        status, answer = await scene.request("POST", "/v1/revocations", "fay", json={**wish, **change})
        assert (status, answer["code"]) == (422, code)


async def test_the_reason_is_sealed_and_the_list_is_for_those_who_may(scene: Governed) -> None:
    revoked = await revoke(scene, scope="subject", target="support-bot", reason="Jane Doe, +1 202 555 0143")
    standing = await scene.audit.records.last(CONTROL, revocation_subject(revoked["id"]))
    assert standing is not None
    assert isinstance(standing.data, Revoked)
    assert "Jane" not in standing.record.model_dump_json()
    listed = (await scene.request("GET", "/v1/revocations", "fay"))[1]["revocations"]
    reasons = {item["id"]: item["reason"] for item in listed}
    assert reasons[revoked["id"]] == "Jane Doe, +1 202 555 0143"
    assert (await scene.request("GET", "/v1/revocations", "dora"))[1] == {"revocations": []}
