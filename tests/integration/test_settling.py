"""People say what became of calls whose outcome nobody knew: who may, once, with what, and what waits."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from approval_scene import POLICIES, Scene, eventually, scene
from test_approval import Reviewer, replica, reviewer

from callgate.delivery import now
from callgate.ids import uuid7
from callgate.log import Draft
from callgate.records import Standing
from callgate.sealing import Place
from contracts.events import ExecutionFailed, OutcomeSettled, Recorded
from contracts.identity import Role
from contracts.records import Accessed
from contracts.subjects import ACCESS, access_filter


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as stage:
        yield stage


@pytest.fixture
async def http(stage: Scene) -> AsyncIterator[aiohttp.ClientSession]:
    async with replica(stage) as http:
        yield http


async def outcomes(who: Reviewer, count: int) -> list[Any]:
    """The list, once it has so many."""

    async def listed() -> list[Any] | None:
        status, body = await who.get("/v1/outcomes")
        assert status == 200, body
        found: list[Any] = body["outcomes"]
        return found if len(found) == count else None

    return await eventually(listed)


async def settle(who: Reviewer, lost: Recorded, outcome: str = "done", **more: Any) -> tuple[int, Any]:
    body = {"digest": lost.digest, "outcome": outcome, "reason": "the bank's statement says so"} | more
    return await who.send(f"/v1/outcomes/{lost.ref}/settlement", body)


async def settled(stage: Scene, lost: Recorded) -> tuple[OutcomeSettled, str]:
    recorded = (await stage.ingress.log.read(lost.ref)).call.chain[-1]
    assert isinstance(recorded.data, OutcomeSettled)
    return recorded.data, recorded.event.event_id


async def test_what_waits_is_shown_and_settled_with_result_and_evidence(stage: Scene, http: Any) -> None:
    lost = await stage.lose({"amount": 40})
    fina = reviewer(http, stage, "fina", "finance")
    (item,) = await outcomes(fina, 1)
    assert (item["id"], item["state"], item["status"]) == (str(lost.ref), "outcome_unknown", "unknown")
    assert (item["code"], item["attempts"], item["digest"]) == ("timeout", 1, lost.digest)
    assert (item["arguments"], item["requester"], item["on_behalf_of"]) == ({"amount": 40}, "bot", "rosa")
    status, one = await fina.get(f"/v1/outcomes/{lost.ref}")
    assert (status, one["votes"], one["arguments"]) == (200, [], {"amount": 40})

    status, answer = await settle(fina, lost, evidence="statement 17", result={"id": "r_1"})
    assert (status, answer["state"]) == (201, "outcome_settled")
    await outcomes(fina, 0)
    data, event_id = await settled(stage, lost)
    assert (data.by.id, data.outcome, data.proof.digest) == ("fina", "done", lost.digest)
    assert data.result is not None
    assert data.evidence is not None
    result = await stage.masking.sealer.open(data.result, Place(lost.ref, event_id, "result"), "raw")
    assert json.loads(result) == {"id": "r_1"}
    async with stage.here.platform(Role.APPROVAL) as approval:
        for name, sealed, text in (
            ("reason", data.reason, "the bank's statement says so"),
            ("evidence", data.evidence, "statement 17"),
        ):
            opened = await approval.sealer.open(sealed, Place(lost.ref, event_id, name), "view")
            assert opened.decode() == text
        looks = [
            one.data
            async for one in approval.records.all(ACCESS, access_filter(Role.APPROVAL))
            if isinstance(one, Standing)
        ]
    assert {look.session_id for look in looks if isinstance(look, Accessed)} >= {"outcomes", lost.ref.session_id}

    status, problem = await settle(fina, lost)
    assert (status, problem["code"], problem["state"]) == (409, "outcome_known", "outcome_settled")


@pytest.mark.parametrize("outcome", ["not_done", "run_again"])
async def test_without_a_result(stage: Scene, http: Any, outcome: str) -> None:
    lost = await stage.lose()
    fina = reviewer(http, stage, "fina", "finance")
    status, problem = await settle(fina, lost, outcome, result={"id": 1})
    assert (status, problem["code"]) == (422, "result_of_nothing")
    status, answer = await settle(fina, lost, outcome)
    assert (status, answer["state"]) == (201, "outcome_settled")
    data, _ = await settled(stage, lost)
    assert (data.outcome, data.result, data.evidence) == (outcome, None, None)


async def test_who_may_not_and_what_makes_no_sense(stage: Scene, http: Any) -> None:
    lost = await stage.lose()
    fina = reviewer(http, stage, "fina", "finance")
    await outcomes(fina, 1)
    for code, who in (
        ("delegated", reviewer(http, stage, "fina", "finance", act="bot2")),
        ("own_call", reviewer(http, stage, "rosa", "finance")),
        ("own_call", reviewer(http, stage, "bot", "finance")),
        ("not_permitted", reviewer(http, stage, "otto", "sales")),
    ):
        assert await outcomes(who, 0) == []
        for status, problem in (await who.get(f"/v1/outcomes/{lost.ref}"), await settle(who, lost)):
            assert (status, problem["code"]) == (403, code)
            assert "state" not in problem
    for more, expected in (
        ({"digest": "0" * 64}, (409, "call_changed")),
        ({"digest": None}, (422, "digest_required")),
        ({"reason": " "}, (422, "reason_required")),
        ({"reason": 1}, (422, "invalid_request")),
        ({"outcome": "perhaps"}, (422, "invalid_request")),
        ({"outcome": ["done"]}, (422, "invalid_request")),
        ({"more": 1}, (422, "invalid_request")),
        ({"evidence": "x" * 3000}, (422, "reason_too_long")),
    ):
        status, problem = await settle(fina, lost, **more)
        assert (status, problem["code"]) == expected
    asked = await stage.ask()
    status, problem = await settle(fina, asked)
    assert (status, problem["code"]) == (404, "not_found")
    assert (await fina.get("/v1/outcomes/nonsense"))[0] == 404
    assert (await stage.chain(lost.ref))[-1].NAME == "outcome_unknown"


async def test_of_several_at_once_on_two_replicas_one_is_recorded(stage: Scene, http: Any) -> None:
    lost = await stage.lose()
    async with replica(stage) as other:
        people = [reviewer((http, other)[n % 2], stage, f"f{n}", "finance") for n in range(8)]
        said = await asyncio.gather(*(settle(who, lost, ("done", "not_done")[n % 2]) for n, who in enumerate(people)))
    assert sorted((status, body.get("code")) for status, body in said) == [(201, None)] + [(409, "outcome_known")] * 7
    assert not (await stage.ingress.log.read(lost.ref)).call.aliens


async def test_late_evidence_ends_the_waiting(stage: Scene, http: Any) -> None:
    lost, other = await stage.lose(), await stage.lose()
    fina = reviewer(http, stage, "fina", "finance")
    await outcomes(fina, 2)
    await stage.executor.log.append(Draft(uuid7(), now(), ExecutionFailed(code="connect_failed")), lost)
    (item,) = await outcomes(fina, 1)
    assert item["id"] == str(other.ref)
    status, problem = await settle(fina, lost)
    assert (status, problem["code"], problem["call_status"]) == (409, "outcome_known", "failed")


async def test_what_waits_is_found_again_after_a_restart_page_by_page(stage: Scene) -> None:
    lost = [await stage.lose() for _ in range(3)]
    async with replica(stage) as http:
        assert (await settle(reviewer(http, stage, "fina", "finance"), lost[0], "not_done"))[0] == 201
    async with replica(stage) as http:
        fina = reviewer(http, stage, "fina", "finance")
        _, page = await fina.get("/v1/outcomes?limit=1")
        assert [item["id"] for item in page["outcomes"]] == [str(lost[1].ref)]
        _, page = await fina.get(f"/v1/outcomes?limit=1&after={page['next']}")
        assert ([item["id"] for item in page["outcomes"]], page["next"]) == ([str(lost[2].ref)], None)


async def test_without_a_policy_nobody_settles(stage: Scene, http: Any) -> None:
    lost = await stage.lose()
    fina = reviewer(http, stage, "fina", "finance")
    await outcomes(fina, 1)
    await stage.publish_policies(POLICIES.replace('Action::"settle"', 'Action::"approve"'))
    await outcomes(fina, 0)
    assert (await settle(fina, lost))[1]["code"] == "not_permitted"
