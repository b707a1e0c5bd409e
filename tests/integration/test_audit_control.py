"""Grants and freezes as auditors see them: at the door, in a replay, at the terminal and in verification."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from audit_scene import contents
from calls import FUNCTION_DIGEST, POLICY_SET, Calls
from deployment import append
from governed_scene import PAY, POLICIES, Governed, eventually, governed
from typer.testing import CliRunner

from callgate.records import Standing
from cli.main import app
from contracts.events import Allowed, GrantUse
from contracts.identity import Role
from contracts.records import Accessed
from contracts.subjects import ACCESS, CallRef
from services.audit.documents import AuditedFreeze, AuditedGrant, SessionReplay
from services.audit.rebuilding import rebuild
from services.audit.store import Store
from services.audit.verifying import verify_log

PEOPLE = """
@id("auditors-audit") permit(principal in Group::"auditors", action == Action::"audit", resource);
@id("one-audits-ones-own") permit(principal, action == Action::"audit", resource)
when { resource has owner && principal == resource.owner };
@id("finance-freezes")
permit(principal in Group::"finance", action in [Action::"freeze", Action::"unfreeze"], resource);
"""


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Governed]:
    async with governed(tmp_path) as running:
        await running.use_policies(POLICIES + PEOPLE)

        async def in_force() -> bool | None:
            may_audit, _ = await running.request("GET", f"/v1/sessions/s_{'a' * 32}", "ada")
            return may_audit == 404 or None

        await eventually(in_force)
        yield running


async def granted(scene: Governed) -> Any:
    terms = {"uses": 2, "for": "30m", "reason": "month end", "conditions": {"amount": {"lte": 300}}}
    wish = {"agent": "support-bot", "function": "shop.pay", **terms}
    status, answer = await scene.request("POST", "/v1/grants", "fay", json=wish)
    assert status == 201, answer
    return answer


async def frozen(scene: Governed, **wish: str) -> Any:
    async def made() -> Any:
        status, answer = await scene.request("POST", "/v1/freezes", "fay", json=wish)
        return answer if status == 201 else None  # the changed policies reach approval within a second

    return await eventually(made)


async def pay(scene: Governed, wait: float = 20) -> CallRef:
    return CallRef.parse((await scene.call("shop.pay", wait, amount=250, **PAY))["id"])


async def seen(scene: Governed, what: str, calls: int, who: str = "ada", **query: str) -> list[Any]:
    """What an auditor sees, once so many calls stand with the first of it."""

    async def look() -> list[Any] | None:
        status, answer = await scene.request("GET", f"/v1/audit/{what}", who, params=query)
        assert status == 200, answer
        found: list[Any] = answer[what]
        shown = [len(one["calls"]) if what == "grants" else one["stopped"]["count"] for one in found]
        return found if shown and shown[0] == calls else None

    return await eventually(look)


async def test_a_grant_is_told_with_its_calls_and_its_granter(scene: Governed) -> None:
    made = await granted(scene)
    refs = [await pay(scene) for _ in range(2)]
    (grant,) = await seen(scene, "grants", 2)
    assert set(grant) == set(AuditedGrant.model_fields)
    AuditedGrant.model_validate(grant)
    assert (grant["id"], grant["by"], grant["reason"], grant["state"]) == (made["id"], "fay", "month end", "used_up")
    assert grant["conditions"] == {"amount": {"lte": 300}}
    assert [(one["number"], one["call"]) for one in grant["calls"]] == [(1, str(refs[0])), (2, str(refs[1]))]
    assert await seen(scene, "grants", 2, state="ended") == [grant]
    assert (await scene.request("GET", "/v1/audit/grants?state=in_force", "ada"))[1]["grants"] == []
    assert await seen(scene, "grants", 2, "support-bot") == [grant], "what was granted to it"
    for what in ("grants", "freezes"):
        status, problem = await scene.request("GET", f"/v1/audit/{what}?cursor=x", "ada")
        assert (status, problem["code"]) == (400, "bad_cursor")
    assert (await scene.request("GET", "/v1/audit/grants", "rosa"))[1]["code"] == "not_allowed"

    _, replay = await scene.request("GET", f"/v1/sessions/{refs[0].session_id}/replay", "ada")
    SessionReplay.model_validate(replay)
    (allowed,) = [step for step in replay["calls"][0]["steps"] if step["event"] == "allowed"]
    assert (allowed["granted"]["by"], allowed["granted"]["proven"], allowed["granted"]["uses"]) == ("fay", True, 2)
    assert allowed["granted"]["expires_at"] == grant["expires_at"]

    assert (await scene.request("DELETE", f"/v1/grants/{made['id']}", "finn"))[0] == 200

    async def ended() -> bool | None:
        return (await seen(scene, "grants", 2))[0]["revoked_by"] == "finn" or None

    await eventually(ended)
    assert (await verify_log(scene.audit)).intact, "what was counted before it was revoked stands"


async def test_a_freeze_is_told_with_what_it_stopped(scene: Governed) -> None:
    ref = await pay(scene, wait=0)
    await scene.until(ref, "approval_required")
    made = await frozen(scene, scope="agent", target="support-bot", reason="odd calls")
    await scene.until(ref, "cancelled")
    (freeze,) = await seen(scene, "freezes", 1)
    assert set(freeze) == set(AuditedFreeze.model_fields)
    AuditedFreeze.model_validate(freeze)
    assert (freeze["id"], freeze["by"], freeze["reason"], freeze["state"]) == (
        made["id"],
        "fay",
        "odd calls",
        "in_force",
    )
    assert [(one["id"], one["state"]) for one in freeze["stopped"]["calls"]] == [(str(ref), "cancelled")]
    assert await seen(scene, "freezes", 1, state="in_force") == [freeze]
    assert (await scene.request("DELETE", f"/v1/freezes/{made['id']}", "finn"))[0] == 200

    async def lifted() -> Any:
        (one,) = await seen(scene, "freezes", 1)
        return one if one["state"] == "lifted" else None

    assert (await eventually(lifted))["lifted_by"] == "finn"
    looks = [
        standing.data
        async for standing in scene.audit.records.all(ACCESS, "access.>")
        if isinstance(standing, Standing) and isinstance(standing.data, Accessed)
    ]
    assert "freezes" in {look.detail.get("what") for look in looks if look.who.id == "ada"}


async def test_the_terminal_and_a_rebuild_tell_the_same(
    scene: Governed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.audit_opening.configure_logging", lambda *_: None)  # the test's own logging stays
    made = await granted(scene)
    ref = await pay(scene)
    (grant,) = await seen(scene, "grants", 1)
    await frozen(scene, scope="everything", reason="drill")
    (freeze,) = await seen(scene, "freezes", 0)
    config = tmp_path / "audit.yaml"
    settings = scene.here.settings
    document = {
        "deployment": settings.deployment,
        "state": str(settings.state),
        "broker": {"url": settings.broker.url},
    }
    config.write_text(yaml.safe_dump(document))

    async def audit(*words: str) -> str:
        found = await asyncio.to_thread(CliRunner().invoke, app, ["audit", *words, "--config", str(config)])
        assert found.exit_code == 0, found.output
        return found.stdout

    assert json.loads(await audit("grants", "--json")) == {"grants": [grant]}
    assert json.loads(await audit("freezes", "--json")) == {"freezes": [freeze]}
    told = await audit("grants", "--state", "in-force")
    assert f"{made['id']}  in force\n  shop.pay by support-bot, 1 of 2 used" in told
    assert "by fay until" in told
    assert f"use 1: {ref}\n1 grant, 1 in force\n" in told
    assert "everything\n" in await audit("freezes")
    assert await audit("freezes", "--state", "ended") == "no freezes\n"
    assert f"use 1 of grant {made['id']}, which fay gave" in await audit("replay", ref.session_id)

    rebuilt = Store.in_file(tmp_path / "rebuilt.db")
    running = Store.in_file(settings.state / "audit.db")
    await rebuild(scene.audit, rebuilt)
    tables = ("callgate_grants", "callgate_grant_uses", "callgate_freezes")
    assert {name: contents(rebuilt)[name] for name in tables} == {name: contents(running)[name] for name in tables}
    rebuilt.close()
    running.close()


async def test_an_allowed_that_no_grant_proves_is_a_failure(scene: Governed) -> None:
    made = await granted(scene)
    await pay(scene)
    async with scene.here.platforms() as platforms:
        masked = await Calls(platforms).masked(await Calls(platforms).requested())
        use = GrantUse(grant_id=made["id"], granted="c" * 64, number=1)
        forged = Allowed(policy_set=POLICY_SET, policies=("p",), function_digest=FUNCTION_DIGEST, grant=use)
        allowed = await append(platforms[Role.POLICY], masked, forged)
    report = await verify_log(scene.audit)
    assert [(one.sequence, one.code) for one in report.listed_failures] == [(allowed.sequence, "grant_invalid")]
    _, replay = await scene.request("GET", f"/v1/sessions/{allowed.ref.session_id}/replay", "ada")
    steps = {step["event"]: step for step in replay["calls"][0]["steps"]}
    assert steps["allowed"]["granted"] == {"proven": False}


async def test_what_is_answered_stands_in_the_openapi_document(scene: Governed) -> None:
    _, document = await scene.request("GET", "/openapi.json")
    answers = {
        ("get", "/v1/audit/grants", "200"): "AuditedGrants",
        ("get", "/v1/audit/freezes", "200"): "AuditedFreezes",
        ("get", "/v1/sessions", "200"): "SessionList",
        ("get", "/v1/sessions/{session_id}", "200"): "SessionCalls",
        ("get", "/v1/sessions/{session_id}/replay", "200"): "SessionReplay",
        ("get", "/v1/sessions/{session_id}/calls/{call_id}", "200"): "CallEvents",
        ("get", "/v1/approvals", "200"): "ApprovalList",
        ("get", "/v1/approvals/{call_id}", "200"): "ApprovalWithVotes",
        ("post", "/v1/approvals/{call_id}/votes", "201"): "VotedDocument",
        ("post", "/v1/approvals/{call_id}/amendments", "201"): "DecidedDocument",
        ("get", "/v1/outcomes", "200"): "OutcomeList",
        ("get", "/v1/outcomes/{call_id}", "200"): "OutcomeWithVotes",
        ("post", "/v1/outcomes/{call_id}/settlement", "201"): "DecidedDocument",
        ("get", "/v1/freezes", "200"): "FreezeList",
        ("post", "/v1/freezes", "201"): "FrozenDocument",
        ("delete", "/v1/freezes/{freeze_id}", "200"): "LiftedDocument",
        ("get", "/v1/grants", "200"): "GrantList",
        ("post", "/v1/grants", "201"): "GrantDocument",
        ("delete", "/v1/grants/{grant_id}", "200"): "RevokedDocument",
    }
    for (method, path, status), name in answers.items():
        content = document["paths"][path][method]["responses"][status]["content"]
        assert content["application/json"]["schema"] == {"$ref": f"#/components/schemas/{name}"}
        assert document["components"]["schemas"][name]["properties"]
