"""Reviewers change arguments that they see masked: what is refused, what is recorded, and that votes start over."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from approval_scene import Scene, requirement, scene
from test_approval import Reviewer, replica, reviewer, until_listed

from callgate.errors import Rejected
from callgate.sealing import Place
from contracts.events import ArgumentsAmended, Finding, Recorded, VoteCast
from contracts.identity import Role
from contracts.model import JsonValue

ARGUMENTS = {"amount": 250, "note": "for ██████", "card": {"number": "████ 4242"}}


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, sweep_every=0.2) as stage:
        yield stage


@pytest.fixture
async def http(stage: Scene) -> AsyncIterator[aiohttp.ClientSession]:
    async with replica(stage) as http:
        yield http


async def amend(who: Reviewer, asked: Recorded, patch: JsonValue, **more: Any) -> tuple[int, Any]:
    return await who.send(f"/v1/approvals/{asked.ref}/amendments", {"digest": asked.digest, "patch": patch} | more)


def lower(amount: JsonValue) -> JsonValue:
    return [{"op": "replace", "path": "/amount", "value": amount}]


async def test_an_amendment_is_sealed_for_masking_and_ends_the_question(stage: Scene, http: Any) -> None:
    asked = await stage.ask(requirement(quorum=2), arguments=ARGUMENTS)
    fina, finn = (reviewer(http, stage, sub, "finance") for sub in ("fina", "finn"))
    await until_listed(fina, 1)
    assert (await finn.vote(asked))[0] == 201
    patch: JsonValue = [*lower(40), {"op": "remove", "path": "/note"}]
    status, answer = await amend(fina, asked, patch, reason="only what was agreed")
    assert (status, answer) == (201, {"id": str(asked.ref), "state": "arguments_amended", "status": "pending"})
    await until_listed(fina, 0)

    recorded = (await stage.ingress.log.read(asked.ref)).call.chain[-1]
    data, event_id = recorded.data, recorded.event.event_id
    assert isinstance(data, ArgumentsAmended)
    assert (data.author.id, data.proof.digest) == ("fina", asked.digest)
    opened = await stage.masking.sealer.open(data.patch, Place(asked.ref, event_id, "patch"), "raw")
    assert json.loads(opened) == patch
    assert data.reason is not None
    async with stage.here.platform(Role.APPROVAL) as approval:
        reason = await approval.sealer.open(data.reason, Place(asked.ref, event_id, "reason"), "view")
        assert reason == b"only what was agreed"
        with pytest.raises(Rejected):  # it seals what it cannot open
            await approval.sealer.open(data.patch, Place(asked.ref, event_id, "patch"), "raw")

    for act in (finn.vote(asked), amend(finn, asked, lower(39))):
        status, problem = await act
        assert (status, problem["code"], problem["state"]) == (409, "not_waiting", "arguments_amended")


async def test_who_may_not_learns_nothing_of_the_arguments(stage: Scene, http: Any) -> None:
    asked = await stage.ask(arguments=ARGUMENTS)
    await until_listed(reviewer(http, stage, "fina", "finance"), 1)
    outsiders = {
        "delegated": reviewer(http, stage, "fina", "finance", act="bot2"),
        "own_call": reviewer(http, stage, "rosa", "finance"),
        "not_permitted": reviewer(http, stage, "otto", "sales"),
    }
    for code, who in outsiders.items():
        for patch in (lower(40), [{"op": "remove", "path": "/nothing"}], "no patch"):
            status, problem = await amend(who, asked, patch)
            assert (status, problem["code"]) == (403, code)
            assert "state" not in problem


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ("x", "bad_patch"),
        ([], "bad_patch"),
        ([{"op": "test", "path": "/amount", "value": 250}], "bad_patch"),
        ([{"op": "copy", "path": "/note", "from": "/card/number"}], "bad_patch"),
        ([{"op": "replace", "path": "", "value": {}}], "bad_patch"),
        ([{"op": "remove", "path": "/nothing"}], "patch_does_not_apply"),
        (lower(250), "changes_nothing"),
        (lower("forty"), "breaks_schema"),
    ],
)
async def test_what_makes_no_sense_is_refused_and_not_recorded(
    stage: Scene, http: Any, patch: JsonValue, code: str
) -> None:
    asked = await stage.ask(arguments=ARGUMENTS)
    fina = reviewer(http, stage, "fina", "finance")
    await until_listed(fina, 1)
    status, problem = await amend(fina, asked, patch)
    assert (status, problem["code"]) == (422, code)
    assert "forty" not in json.dumps(problem)
    if code == "breaks_schema":
        assert problem["problems"] == [{"pointer": "/amount", "keyword": "type"}]
    assert not any(isinstance(data, ArgumentsAmended) for data in await stage.chain(asked.ref))


async def test_what_masking_broke_already_is_no_obstacle(stage: Scene, http: Any) -> None:
    asked = await stage.ask(arguments={"amount": "███", "note": "a"})  # a masked number
    fina = reviewer(http, stage, "fina", "finance")
    await until_listed(fina, 1)
    assert (await amend(fina, asked, [{"op": "remove", "path": "/note"}]))[0] == 201


async def test_a_stale_digest_and_an_expired_question(stage: Scene, http: Any) -> None:
    asked = await stage.ask(arguments=ARGUMENTS)
    fina = reviewer(http, stage, "fina", "finance")
    await until_listed(fina, 1)
    status, problem = await amend(fina, asked, lower(40), digest="0" * 64)
    assert (status, problem["code"]) == (409, "call_changed")
    status, problem = await fina.send(f"/v1/approvals/{asked.ref}/amendments", {"patch": lower(40)})
    assert (status, problem["code"]) == (422, "digest_required")
    gone = await stage.ask(requirement(minutes=0.01), arguments=ARGUMENTS)
    await stage.until(gone.ref, "approval_expired")
    status, problem = await amend(fina, gone, lower(40))
    assert (status, problem["code"], problem["state"], problem["call_status"]) == (
        409,
        "not_waiting",
        "approval_expired",
        "expired",
    )


async def test_what_was_found_counts_for_amending_as_for_voting(stage: Scene, http: Any) -> None:
    asked = await stage.ask(arguments=ARGUMENTS, findings=(Finding(path="/card", entity="PASSPORT", start=0, end=1),))
    status, problem = await amend(reviewer(http, stage, "fina", "finance"), asked, lower(40))
    assert (status, problem["code"]) == (403, "not_permitted")


async def test_of_votes_and_amendments_at_once_the_log_takes_one_story(stage: Scene, http: Any) -> None:
    """Two replicas: after an amendment no vote on the old question stands."""
    async with replica(stage) as other:
        asked = await stage.ask(requirement(quorum=9), arguments=ARGUMENTS)
        people = [reviewer((http, other)[n % 2], stage, f"f{n}", "finance") for n in range(8)]
        acts = [amend(who, asked, lower(n)) if n % 4 == 0 else who.vote(asked) for n, who in enumerate(people)]
        codes = [status for status, _ in await asyncio.gather(*acts)]
    call = (await stage.ingress.log.read(asked.ref)).call
    assert not call.aliens
    names = [recorded.name for recorded in call.chain]
    assert names.count("arguments_amended") == 1
    assert names[-1] == "arguments_amended"
    assert codes.count(201) == len([1 for recorded in call.chain if isinstance(recorded.data, VoteCast)]) + 1
