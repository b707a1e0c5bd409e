"""The approval service by itself on a real broker: votes, quorum, expiry, crashes, replicas."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from approval_scene import Scene, eventually, requirement, scene
from broker_fixtures import connected
from doors import serving
from nats.js import JetStreamContext

from callgate import keys
from callgate.delivery import now
from callgate.ids import uuid7
from callgate.log import Draft
from callgate.records import Standing
from callgate.sealing import Place
from contracts.events import (
    ApprovalExpired,
    Approved,
    ArgumentsAmended,
    ArgumentsMasked,
    Finding,
    Proof,
    Recorded,
    Rejected,
    VoteCast,
)
from contracts.identity import Principal, Role
from contracts.records import Accessed
from contracts.subjects import ACCESS, TIMERS, access_filter, timer_due_subject, timer_subject
from services.approval.app import build

PART = (Role.APPROVAL, build)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, sweep_every=0.2) as stage:
        yield stage


class Reviewer:
    """One person's requests to one replica."""

    def __init__(self, http: aiohttp.ClientSession, headers: dict[str, str]) -> None:
        self._http = http
        self.headers = headers

    async def get(self, path: str) -> tuple[int, Any]:
        async with self._http.get(path, headers=self.headers) as answer:
            return answer.status, json.loads(await answer.read())

    async def listed(self) -> list[Any]:
        status, body = await self.get("/v1/approvals")
        assert status == 200, body
        found: list[Any] = body["approvals"]
        return found

    async def vote(self, asked: Recorded, decision: str = "approve", **more: Any) -> tuple[int, Any]:
        """On the digest of the question, unless another is given."""
        return await self.post(asked, json.dumps({"decision": decision, "digest": asked.digest} | more))

    async def post(self, asked: Recorded, body: str) -> tuple[int, Any]:
        return await self.send(f"/v1/approvals/{asked.ref}/votes", body)

    async def send(self, path: str, body: Any) -> tuple[int, Any]:
        """A text as it is, anything else as JSON."""
        data = body if isinstance(body, str) else json.dumps(body)
        async with self._http.post(path, data=data, headers=self.headers) as answer:
            return answer.status, json.loads(await answer.read())


@contextlib.asynccontextmanager
async def replica(stage: Scene) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(stage.here, PART) as url, aiohttp.ClientSession(url) as http:
        await until_ready(http)
        yield http


async def until_ready(http: aiohttp.ClientSession) -> None:
    async def ready() -> bool | None:
        async with http.get("/health") as answer:
            return True if answer.status == 200 else None

    await eventually(ready)


def reviewer(http: aiohttp.ClientSession, stage: Scene, sub: str, *groups: str, act: str | None = None) -> Reviewer:
    return Reviewer(http, {"Authorization": f"Bearer {stage.issuer.mint(sub, list(groups), act=act)}"})


async def until_listed(person: Reviewer, count: int) -> list[Any]:
    async def listed() -> list[Any] | None:
        found = await person.listed()
        return found if len(found) == count else None

    return await eventually(listed)


@contextlib.asynccontextmanager
async def admin(stage: Scene, role: Role = Role.PROVISIONER) -> AsyncIterator[JetStreamContext]:
    users = {role: keys.read_password(stage.here.settings.keys_folder, role) for role in Role}
    async with connected(stage.here.broker.url, role, users) as user:
        yield user.nc.jetstream()


async def test_two_people_approve_and_the_votes_are_what_the_fold_counts(stage: Scene) -> None:
    asked = await stage.ask(
        requirement(quorum=2), findings=(Finding(path="/card", entity="CREDIT_CARD", start=0, end=4),)
    )
    async with replica(stage) as http:
        fina, finn = (reviewer(http, stage, sub, "finance") for sub in ("fina", "finn"))
        (item,) = await until_listed(fina, 1)
        assert item["id"] == str(asked.ref)
        assert (item["function"], item["requester"], item["on_behalf_of"]) == ("payments.refund", "bot", "rosa")
        assert item["arguments"] == {"amount": 250}
        assert item["findings"] == [{"path": "/card", "entity": "CREDIT_CARD", "start": 0, "end": 4}]
        assert item["digest"] == asked.digest
        assert item["requirements"][0]["missing"] == 2

        status, body = await fina.vote(asked, reason="checked with the customer", digest=item["digest"])
        assert (status, body["state"], body["requirements"][0]["missing"]) == (201, "vote_cast", 1)
        assert [listed["state"] for listed in await fina.listed()] == ["vote_cast"]  # at once
        assert (await fina.vote(asked))[1]["code"] == "voted_already"
        (item,) = await until_listed(finn, 1)
        assert (item["state"], item["your_vote"]) == ("vote_cast", None)
        status, one = await finn.get(f"/v1/approvals/{asked.ref}")
        assert status == 200
        assert [(vote["reviewer"], vote["reason"]) for vote in one["votes"]] == [("fina", "checked with the customer")]

        status, body = await finn.vote(asked)
        assert (status, body["state"]) == (201, "approved")
        assert await fina.listed() == []
        status, body = await finn.vote(asked)
        assert (status, body["code"], body["state"]) == (409, "not_waiting", "approved")

    chain = (await stage.ingress.log.read(asked.ref)).call.chain
    first, second, end = chain[3:]
    assert isinstance(end.data, Approved)
    assert end.data.votes == (first.event.event_id, second.event.event_id)
    assert isinstance(first.data, VoteCast)
    assert first.data.policies == ("finance-approves",)
    assert (first.data.proof.subject, first.data.proof.digest) == ("fina", asked.digest)
    assert "customer" not in first.event.model_dump_json()
    assert first.data.reason is not None
    place = Place(asked.ref, first.event.event_id, "reason")
    assert await stage.ingress.sealer.open(first.data.reason, place, "view") == b"checked with the customer"


async def test_one_rejection_ends_it(stage: Scene) -> None:
    asked = await stage.ask(requirement(quorum=2))
    async with replica(stage) as http:
        status, body = await reviewer(http, stage, "fina", "finance").vote(asked, "reject", reason="no")
        assert (status, body["state"]) == (201, "rejected")
    end = (await stage.chain(asked.ref))[-1]
    assert isinstance(end, Rejected)
    assert end.by == "fina"


async def test_who_may_not_vote(stage: Scene) -> None:
    asked = await stage.ask()
    passport = await stage.ask(findings=(Finding(path="/p", entity="PASSPORT", start=0, end=4),))
    other = await stage.ask(requirement("board"))
    async with replica(stage) as http:

        async def refusal(
            sub: str, *groups: str, call: Recorded = asked, digest: str | None = None, act: str | None = None
        ) -> tuple[int, str]:
            person = reviewer(http, stage, sub, *groups, act=act)
            status, body = await person.vote(call, digest=digest or call.digest)
            assert ("state" in body) == (status == 409)
            return status, body["code"]

        fina = reviewer(http, stage, "fina", "finance")
        assert {item["id"] for item in await until_listed(fina, 1)} == {str(asked.ref)}
        assert await refusal("rosa", "finance") == (403, "own_call")
        assert await refusal("bot", "finance") == (403, "own_call")
        assert await refusal("sam", "sre") == (403, "not_permitted")
        assert await refusal("fina", "finance", call=passport) == (403, "not_permitted")
        assert await refusal("fina", "finance", call=other) == (403, "not_an_approver")
        assert await refusal("fina", act="fina-bot") == (403, "delegated")
        assert await refusal("fina", "finance", digest="c" * 64) == (409, "call_changed")
        assert (await fina.get(f"/v1/approvals/{passport.ref}"))[0] == 403
        assert (await fina.get(f"/v1/approvals/{str(asked.ref)[:-1]}"))[0] == 404
        assert (await fina.get(f"/v1/approvals/{asked.ref._replace(call_id=uuid7())}"))[0] == 404
        async with http.get("/v1/approvals") as answer:
            assert answer.status == 401
        assert await reviewer(http, stage, "rosa", "finance").listed() == []
    assert (await stage.chain(asked.ref))[-1].NAME == "approval_required"


MALFORMED = (
    ("", 400),
    ('{"decision": "approve", "decision": "reject"}', 400),
    ('{"decision": NaN}', 400),
    ('["approve"]', 422),
    ('{"decision": "Approve"}', 422),
    ('{"decision": ["approve"]}', 400),
    ('{"decision": "approve", "reason": 1}', 422),
    ('{"decision": "approve", "force": true}', 422),
    ('{"decision": "approve", "digest": 7}', 422),
    (json.dumps({"decision": "approve", "reason": "x" * 2001, "digest": "d" * 64}), 422),
    (json.dumps({"decision": "approve", "reason": "x" * 20_000}), 413),
)


async def test_a_list_is_held_until_it_changes(served: tuple[Scene, aiohttp.ClientSession]) -> None:
    stage, http = served
    asked = await stage.ask()
    fina, finn = (reviewer(http, stage, sub, "finance") for sub in ("fina", "finn"))
    await until_listed(fina, 1)

    async def look(tag: str, wait: int) -> tuple[int, str, Any]:
        headers = {**fina.headers, "If-None-Match": tag}
        async with http.get(f"/v1/approvals?brief=true&wait={wait}", headers=headers) as answer:
            return answer.status, answer.headers["ETag"], json.loads(await answer.read() or b"null")

    status, tag, body = await look("", 30)
    assert (status, [item["id"] for item in body["approvals"]]) == (200, [str(asked.ref)])
    assert "arguments" not in body["approvals"][0]
    assert (await look(tag, 0))[:2] == (304, tag)
    held = asyncio.create_task(look(tag, 30))
    status, _ = await finn.vote(asked)
    assert status == 201
    async with asyncio.timeout(20):
        status, after, body = await held
    assert (status, body["approvals"]) == (200, [])
    assert after != tag


async def test_a_vote_names_what_was_seen(served: tuple[Scene, aiohttp.ClientSession]) -> None:
    stage, http = served
    asked = await stage.ask()
    fina = reviewer(http, stage, "fina", "finance")
    for body in (
        {"decision": "approve"},
        {"decision": "approve", "digest": None},
        {"decision": "reject", "digest": ""},
    ):
        status, problem = await fina.post(asked, json.dumps(body))
        assert (status, problem["code"]) == (422, "digest_required")
        assert "GET /v1/approvals" in problem["detail"]
    assert (await stage.chain(asked.ref))[-1].NAME == "approval_required"


async def test_malformed_votes(served: tuple[Scene, aiohttp.ClientSession]) -> None:
    stage, http = served
    asked = await stage.ask()
    fina = reviewer(http, stage, "fina", "finance")
    for body, expected in MALFORMED:
        status, problem = await fina.post(asked, body)
        assert (status, problem["status"]) == (expected, expected), body[:60]
        assert "xxxx" not in json.dumps(problem)
    assert (await stage.chain(asked.ref))[-1].NAME == "approval_required"


@pytest.fixture
async def served(stage: Scene) -> AsyncIterator[tuple[Scene, aiohttp.ClientSession]]:
    async with replica(stage) as http:
        yield stage, http


async def test_without_policies_nobody_approves(tmp_path: Path) -> None:
    async with scene(tmp_path, policies=None) as stage:
        asked = await stage.ask()
        async with serving(stage.here, PART) as url, aiohttp.ClientSession(url) as http:
            fina = reviewer(http, stage, "fina", "finance")
            status, body = await fina.vote(asked)
            assert (status, body["code"]) == (503, "no_policies")
            async with http.get("/health") as answer:
                assert answer.status == 503
            await stage.publish_policies()
            await until_ready(http)
            assert (await fina.vote(asked))[0] == 201


async def test_a_changed_policy_set_takes_the_right_away(served: tuple[Scene, aiohttp.ClientSession]) -> None:
    stage, http = served
    asked = await stage.ask()
    fina = reviewer(http, stage, "fina", "finance")
    await until_listed(fina, 1)
    await stage.publish_policies('@id("nothing") forbid(principal, action, resource);')
    await until_listed(fina, 0)
    assert (await fina.vote(asked))[1]["code"] == "not_permitted"


async def test_expires_by_its_timer(stage: Scene) -> None:
    async with replica(stage) as http:
        asked = await stage.ask(requirement(minutes=1 / 60))
        end = await asyncio.wait_for(stage.until(asked.ref, "approval_expired"), 10)
        assert isinstance(end.data, ApprovalExpired)
        assert end.event.at >= end.data.expired_at
        status, body = await reviewer(http, stage, "fina", "finance").vote(asked)
        assert (status, body["code"], body["state"]) == (409, "not_waiting", "approval_expired")


async def test_what_waited_and_expired_while_nobody_was_there(stage: Scene) -> None:
    waits = await stage.ask()
    expires = await stage.ask(requirement(at=now() - timedelta(seconds=1)))
    async with replica(stage) as http:
        assert (await asyncio.wait_for(stage.until(expires.ref, "approval_expired"), 10)).data is not None
        (item,) = await until_listed(reviewer(http, stage, "fina", "finance"), 1)
        assert item["id"] == str(waits.ref)
    async with replica(stage) as http:  # a restart rebuilds the same list
        assert len(await until_listed(reviewer(http, stage, "fina", "finance"), 1)) == 1


async def test_a_wiped_timer_loses_nothing(stage: Scene) -> None:
    async with replica(stage), admin(stage) as js:
        asked = await stage.ask(requirement(minutes=3 / 60))
        subject = timer_subject(asked.ref, "expiry")

        async def is_set() -> bool | None:
            return True if (await js.stream_info(TIMERS, subjects_filter=subject)).state.subjects else None

        await eventually(is_set)
        assert await js.purge_stream(TIMERS)
        await asyncio.wait_for(stage.until(asked.ref, "approval_expired"), 10)


async def until_acknowledged(js: JetStreamContext, stream: str, durable: str, count: int) -> None:
    async def settled() -> bool | None:
        info = await js.consumer_info(stream, durable)
        assert info.delivered is not None
        done = info.delivered.consumer_seq >= count and not info.num_ack_pending and not info.num_pending
        return True if done else None

    await eventually(settled)


async def test_a_forged_timer_expires_nothing(stage: Scene) -> None:
    asked = await stage.ask()
    async with replica(stage) as http, admin(stage) as js, admin(stage, Role.APPROVAL) as forger:
        for target in (timer_due_subject(asked.ref, "expiry"), "timers.due.expiry.nonsense", "timers.due.other.x"):
            headers = {"Nats-Schedule": f"@at {now().isoformat()}", "Nats-Schedule-Target": target}
            await forger.publish(f"timers.set.forged.{uuid7()}", b"", headers=headers)
        await until_acknowledged(js, TIMERS, "approval-timers", 3)
        await until_acknowledged(js, asked.ref.partition.stream, "approval", 1)
        assert len(await until_listed(reviewer(http, stage, "fina", "finance"), 1)) == 1
    assert (await stage.chain(asked.ref))[-1].NAME == "approval_required"


async def test_a_vote_whose_caster_crashed_is_concluded_by_its_delivery(stage: Scene) -> None:
    asked = await stage.ask()
    fina = Principal(id="fina", issuer="https://issuer.example", groups=("finance",))
    proof = Proof(issuer=fina.issuer, subject=fina.id, digest=asked.digest)
    async with stage.here.platform(Role.APPROVAL) as crashed:
        vote = VoteCast(reviewer=fina, decision="approve", proof=proof)
        await crashed.log.append(Draft(uuid7(), now(), vote), asked)
    async with replica(stage):
        assert isinstance((await asyncio.wait_for(stage.until(asked.ref, "approved"), 10)).data, Approved)


async def test_an_amended_call_refuses_what_was_seen_before(served: tuple[Scene, aiohttp.ClientSession]) -> None:
    stage, http = served
    asked = await stage.ask()
    fina = reviewer(http, stage, "fina", "finance")
    await until_listed(fina, 1)
    author = Principal(id="finn", issuer="https://issuer.example", groups=("finance",))
    async with stage.here.platform(Role.APPROVAL) as approval:
        event = uuid7()
        patch = await approval.sealer.seal(b"[]", Place(asked.ref, event, "patch"), "raw", now())
        proof = Proof(issuer=author.issuer, subject=author.id, digest=asked.digest)
        amended = await approval.log.append(
            Draft(event, now(), ArgumentsAmended(author=author, patch=patch, proof=proof)), asked
        )
    await until_listed(fina, 0)
    chain = (await stage.ingress.log.read(asked.ref)).call
    before = chain.last(ArgumentsMasked)
    assert before is not None
    event = uuid7()
    view = await stage.masking.sealer.seal(b'{"amount":50}', Place(asked.ref, event, "view"), "view", now())
    masked = await stage.masking.log.append(
        Draft(event, now(), before.model_copy(update={"view": view, "arguments": None, "amended": True})), amended
    )
    again = await stage.ask_about(masked)
    (item,) = await until_listed(fina, 1)
    assert item["arguments"] == {"amount": 50}
    assert (await fina.vote(asked, digest=asked.digest))[1]["code"] == "call_changed"
    assert (await fina.vote(asked, digest=again.digest))[1]["state"] == "approved"


async def test_fifty_votes_at_once_on_two_replicas(stage: Scene) -> None:
    asked = await stage.ask(requirement(quorum=40), requirement("finance", quorum=10))
    async with replica(stage) as one, replica(stage) as two:
        people = [reviewer((one, two)[i % 2], stage, f"f{i}", "finance") for i in range(50)]
        answers = await asyncio.gather(*(person.vote(asked) for person in people))
    counted = [body for status, body in answers if status == 201]
    late = [(status, body["code"]) for status, body in answers if status != 201]
    assert len(counted) == 40
    assert late == [(409, "not_waiting")] * 10
    names = [data.NAME for data in await stage.chain(asked.ref)]
    assert names.count("vote_cast") == 40
    assert names.count("approved") == 1
    assert names[-1] == "approved"


async def test_a_double_click_counts_once(served: tuple[Scene, aiohttp.ClientSession]) -> None:
    stage, http = served
    asked = await stage.ask(requirement(quorum=2))
    fina = reviewer(http, stage, "fina", "finance")
    answers = await asyncio.gather(*(fina.vote(asked) for _ in range(5)))
    assert sorted(status for status, _ in answers) == [201, 409, 409, 409, 409]
    assert {body["code"] for status, body in answers if status == 409} == {"voted_already"}


async def test_the_list_pages(served: tuple[Scene, aiohttp.ClientSession]) -> None:
    stage, http = served
    asked = [await stage.ask(requirement(minutes=10 + n)) for n in (3, 1, 2)]
    fina = reviewer(http, stage, "fina", "finance")
    await until_listed(fina, 3)
    _, first = await fina.get("/v1/approvals?limit=2")
    _, second = await fina.get(f"/v1/approvals?limit=2&after={first['next'].replace('+', '%2B')}")
    assert [item["id"] for item in first["approvals"] + second["approvals"]] == [str(asked[n].ref) for n in (1, 2, 0)]
    assert second["next"] is None


async def looks(stage: Scene) -> list[tuple[str, str, str | None, Any]]:
    async with stage.here.platform(Role.AUDIT) as audit:
        found = [one async for one in audit.records.all(ACCESS, access_filter(Role.APPROVAL))]
    data = [one.data for one in found if isinstance(one, Standing) and one.role is Role.APPROVAL]
    return [(one.who.id, one.session_id, one.call_id, one.detail) for one in data if isinstance(one, Accessed)]


async def test_who_is_shown_arguments_is_on_record(served: tuple[Scene, aiohttp.ClientSession]) -> None:
    stage, http = served
    fina, sam = reviewer(http, stage, "fina", "finance"), reviewer(http, stage, "sam", "sre")
    assert await fina.listed() == []
    asked = await stage.ask()
    path = f"/v1/approvals/{asked.ref}"
    assert (await sam.get(path))[0] == 403
    assert await looks(stage) == []  # nobody has seen anything
    assert (await fina.get(path))[0] == 200
    one = ("fina", asked.ref.session_id, asked.ref.call_id, {"what": "arguments"})
    assert await looks(stage) == [one]
    await until_listed(fina, 1)
    assert await looks(stage) == [one, ("fina", "approvals", None, {"what": "arguments", "shown": 1})]
    await served_page(http, stage, asked)
    assert (await looks(stage))[2:] == [one]


async def served_page(http: aiohttp.ClientSession, stage: Scene, asked: Recorded) -> None:
    """The call's page, for somebody who signs in."""
    async with http.get("/approvals/sign-in") as page:
        origin = {"Origin": str(page.url.origin())}
    form = {"token": stage.issuer.mint("fina", ["finance"])}
    async with http.post("/approvals/sign-in", data=form, headers=origin, allow_redirects=False) as answer:
        cookie = next(one for one in answer.cookies.values() if one.key.endswith("callgate"))
    async with http.get(f"/approvals/{asked.ref}", headers={"Cookie": f"{cookie.key}={cookie.value}"}) as answer:
        assert answer.status == 200, await answer.text()
        assert "250" in await answer.text()


async def test_nothing_is_shown_that_cannot_be_recorded(stage: Scene) -> None:
    asked = await stage.ask()
    async with replica(stage) as http:
        fina = reviewer(http, stage, "fina", "finance")
        await until_listed(fina, 1)
        async with admin(stage) as js:
            assert await js.delete_stream(ACCESS)
        for path in (f"/v1/approvals/{asked.ref}", "/v1/approvals"):
            status, problem = await fina.get(path)
            assert (status, "250" in json.dumps(problem)) == (503, False)
