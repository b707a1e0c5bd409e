"""Webhooks on a real broker: signed, filtered, sent once, again after failures and restarts, given up in the open."""

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from approval_scene import Scene, eventually, requirement, scene
from notice_scene import replica, vote
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from callgate.delivery import now
from callgate.ids import uuid7
from callgate.log import Draft
from callgate.platform import Platform
from callgate.streams import DEFAULT_MAX_ACK_PENDING
from cli.notice_commands import list_deliveries, send_again
from contracts.events import Approved, Proof, VoteCast
from contracts.identity import Principal, Role


@dataclass
class Receiver:
    """A receiver on loopback; `answers` are the next statuses, `hang` for none, and then 204."""

    url: str = ""
    answers: list[int | str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    came: list[tuple[dict[str, str], bytes, int | str]] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        answer = self.answers.pop(0) if self.answers else 204
        async with self._changed:
            self.came.append((dict(request.headers), body, answer))
            self._changed.notify_all()
        if isinstance(answer, str):
            await self._over.wait()
        return web.Response(status=answer if isinstance(answer, int) else 204, headers=self.headers)

    async def until(self, done: Callable[[], Any]) -> Any:
        async with asyncio.timeout(20), self._changed:
            return await self._changed.wait_for(done)

    async def received(self, count: int) -> list[dict[str, Any]]:
        """The bodies, once there are so many."""
        await self.until(lambda: len(self.came) >= count)
        return [json.loads(body) for _, body, _ in self.came]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    here = Receiver()
    app = web.Application()
    app.router.add_post("/{tail:.*}", here.take)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    here.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/hooks"  # type: ignore[attr-defined]
    yield here
    here._over.set()
    await runner.cleanup()


def secret(folder: Path, name: str) -> str:
    """A new secret in a file of that name."""
    text = "whsec_" + base64.b64encode(os.urandom(32)).decode()
    (folder / name).write_text(text + "\n")
    return text


def hook(
    folder: Path, url: str, name: str = "soc", secrets: Iterable[str] = ("secret",), **more: Any
) -> dict[str, Any]:
    files = [str(folder / one) for one in secrets]
    return {"name": name, "url": url, "secret_files": files, "allow_private": True, "retries": [0.05, 0.05], **more}


async def deliveries(stage: Scene, http: aiohttp.ClientSession, count: int = 1, **query: str) -> list[Any]:
    """The delivery log, once it holds so many."""
    headers = {"Authorization": f"Bearer {stage.issuer.mint('olga', ['operators'])}"}

    async def listed() -> list[Any] | None:
        async with http.get("/v1/notices/deliveries", headers=headers, params=query) as answer:
            found: list[Any] = (await answer.json())["deliveries"]
            return found if len(found) >= count else None

    return await eventually(listed)


async def test_signed_once_and_a_receiver_decides_by_calling_back(tmp_path: Path, receiver: Receiver) -> None:
    old, new = secret(tmp_path, "old"), secret(tmp_path, "new")
    other = secret(tmp_path, "other")
    settings = [hook(tmp_path, receiver.url, secrets=("old", "new"))]
    async with (
        scene(tmp_path, webhooks=settings, operators=["operators"]) as stage,
        replica(stage) as http,
        replica(stage),
    ):
        asked = await stage.ask(requirement(quorum=1), arguments={"note": "a raw value", "amount": 250})
        (body,) = await receiver.received(1)
        headers, raw, _ = receiver.came[0]
        for text in (old, new):
            assert Webhook(text).verify(raw, headers) == body
        with pytest.raises(WebhookVerificationError):
            Webhook(other).verify(raw, headers)
        assert headers["webhook-id"] == f"msg_{asked.event.event_id}_soc"
        data = body["data"]
        assert (body["type"], data["call"], data["digest"]) == ("approval.required", str(asked.ref), asked.digest)
        assert data["session"] == asked.ref.session_id
        assert (data["function"], data["requester"], data["on_behalf_of"]) == ("payments.refund", "bot", "rosa")
        assert (data["requirements"][0]["approvers"], data["requirements"][0]["missing"]) == (["finance"], 1)
        assert b"a raw value" not in raw
        assert b"250" not in raw

        path = data["links"]["votes"].removeprefix(f"http://{stage.here.settings.listen}")
        assert await vote(stage, http, path, data["digest"]) == 201
        bodies = await receiver.received(3)
        assert {one["type"] for one in bodies[1:]} == {"approval.vote_cast", "approval.approved"}
        assert sorted(one["data"]["event"]["position"] for one in bodies) == [3, 4, 5]
        found = await deliveries(stage, http, 3)
        assert {(one["outcome"], one["status"], one["attempts"]) for one in found} == {("delivered", 204, 1)}
    assert len(receiver.came) == 3


async def test_filters(tmp_path: Path, receiver: Receiver) -> None:
    secret(tmp_path, "secret")
    settings = [
        hook(tmp_path, f"{receiver.url}/ends", "ends", events=["approval.rejected", "approval.approved"]),
        hook(tmp_path, f"{receiver.url}/board", "board", groups=["board"]),
        hook(tmp_path, f"{receiver.url}/other", "other", functions=["deploys.start"]),
        hook(tmp_path, f"{receiver.url}/alien", "alien", requesters=["another-bot"]),
        hook(tmp_path, f"{receiver.url}/agent", "agent", requesters=["bot"], events=["approval.approved"]),
        hook(tmp_path, f"{receiver.url}/finance", "finance", groups=["finance"], events=["approval.required"]),
    ]
    async with scene(tmp_path, webhooks=settings, operators=["operators"]) as stage, replica(stage) as http:
        asked = await stage.ask(requirement(quorum=1))
        assert await vote(stage, http, f"/v1/approvals/{asked.ref}/votes", asked.digest) == 201
        await receiver.received(3)
        found = await deliveries(stage, http, 3)
        assert {(one["endpoint"], one["type"]) for one in found} == {
            ("webhook-finance", "approval.required"),
            ("webhook-ends", "approval.approved"),
            ("webhook-agent", "approval.approved"),
        }
    assert len(receiver.came) == 3


async def test_failures_are_repeated_with_the_same_id_across_a_restart(tmp_path: Path, receiver: Receiver) -> None:
    secret(tmp_path, "secret")
    receiver.answers = [500, "hang", 307]
    receiver.headers = {"Location": receiver.url}
    settings = [hook(tmp_path, receiver.url, events=["approval.required"], timeout=0.3, retries=[0.05, 1.5, 0.05])]
    async with scene(tmp_path, webhooks=settings, operators=["operators"]) as stage:
        async with replica(stage) as http:
            await stage.ask()
            await receiver.received(2)
            (waits,) = await until_code(stage, http, "webhook_timeout")
            assert (waits["outcome"], waits["attempts"]) == ("pending", 2)
        assert len(receiver.came) == 2
        async with replica(stage) as http:
            await receiver.received(4)

            async def delivered() -> Any:
                (one,) = await deliveries(stage, http)
                return one if one["outcome"] == "delivered" else None

            done = await eventually(delivered)
            assert (done["attempts"], done["status"]) == (4, 204)
    assert len({headers["webhook-id"] for headers, _, _ in receiver.came}) == 1
    assert len({raw for _, raw, _ in receiver.came}) == 1
    assert [answer for _, _, answer in receiver.came] == [500, "hang", 307, 204]


async def until_code(stage: Scene, http: aiohttp.ClientSession, code: str) -> list[Any]:
    async def seen() -> list[Any] | None:
        found = await deliveries(stage, http)
        return found if found[0]["code"] == code else None

    return await eventually(seen)


async def test_a_dead_letter_is_seen_and_sent_again_by_an_operator(
    tmp_path: Path, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    secret(tmp_path, "secret")
    receiver.answers = [500, 500, 503, 500, 500, 500]
    settings = [hook(tmp_path, receiver.url, events=["approval.required"])]
    async with scene(tmp_path, webhooks=settings, operators=["operators"]) as stage, replica(stage) as http:
        await stage.ask()
        await receiver.received(3)
        (dead,) = await deliveries(stage, http, outcome="dead")
        assert (dead["attempts"], dead["code"], dead["status"]) == (3, "webhook_refused", 503)
        again = f"/v1/notices/deliveries/{dead['id']}/again"
        for groups, expected in ((["finance"], 403), (["operators"], 202)):
            headers = {"Authorization": f"Bearer {stage.issuer.mint('olga', groups)}"}
            async with http.post(again, headers=headers) as answer:
                assert answer.status == expected
            async with http.get("/v1/notices/deliveries", headers=headers) as answer:
                assert answer.status == (200 if expected == 202 else 403)
        await receiver.received(6)
        await deliveries(stage, http, outcome="dead")
        url, token = str(http._base_url).rstrip("/"), stage.issuer.mint("olga", ["operators"])
        assert await list_deliveries(url, token, {"outcome": "dead"}, False) == 0
        assert await send_again(url, token, dead["id"]) == 0
        told = capsys.readouterr().out
        for shown in (dead["id"], "approval.required  3 attempts  webhook_refused 500", "on its way again"):
            assert shown in told
        await deliveries(stage, http, outcome="delivered")
        async with http.post(again, headers=headers) as answer:
            assert answer.status == 409
        for unknown in ("webhook-soc.x.y", f"webhook-other.{dead['id'].partition('.')[2]}", dead["id"] + "%2e%2a"):
            async with http.post(f"/v1/notices/deliveries/{unknown}/again", headers=headers) as answer:
                assert answer.status == 404
    assert len({raw for _, raw, _ in receiver.came}) == 1


async def test_a_receiver_that_is_gone_is_left_alone(tmp_path: Path, receiver: Receiver) -> None:
    secret(tmp_path, "secret")
    receiver.answers = [410]
    settings = [hook(tmp_path, receiver.url, events=["approval.required"])]
    async with scene(tmp_path, webhooks=settings, operators=["operators"]) as stage, replica(stage) as http:
        await stage.ask()
        (dead,) = await deliveries(stage, http, outcome="dead")
        assert (dead["attempts"], dead["status"]) == (1, 410)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "127.1"])
async def test_a_private_target_is_never_connected_to(tmp_path: Path, receiver: Receiver, host: str) -> None:
    secret(tmp_path, "secret")
    url = receiver.url.replace("http://127.0.0.1", f"https://{host}")
    settings = [hook(tmp_path, url, allow_private=False, events=["approval.required"])]
    async with scene(tmp_path, webhooks=settings, operators=["operators"]) as stage, replica(stage) as http:
        await stage.ask()
        (dead,) = await deliveries(stage, http, outcome="dead")
        # What is no address in any standard is no host to aiohttp, and does not come as far as that.
        expected = ("webhook_unreachable", 3) if host == "127.1" else ("webhook_private_target", 1)
        assert (dead["code"], dead["attempts"]) == expected
    assert receiver.came == []


async def test_a_slow_receiver_keeps_nobody_else_waiting(tmp_path: Path, receiver: Receiver) -> None:
    secret(tmp_path, "secret")
    receiver.answers = ["hang"]
    settings = [
        hook(tmp_path, receiver.url, "slow", events=["approval.required"], functions=["payments.refund"]),
        hook(tmp_path, receiver.url, "quick", events=["approval.approved"]),
    ]
    async with scene(tmp_path, webhooks=settings, operators=["operators"]) as stage, replica(stage) as http:
        asked = await stage.ask(requirement(quorum=1))
        await receiver.received(1)
        assert await vote(stage, http, f"/v1/approvals/{asked.ref}/votes", asked.digest) == 201
        bodies = await receiver.received(2)
        assert bodies[1]["type"] == "approval.approved"
        receiver._over.set()


async def approve(stage: Scene, approval: Platform) -> None:
    """A call that was approved, and goes no further."""
    asked = await stage.ask(requirement())
    fina = Principal(id="fina", issuer="https://issuer.example", groups=("finance",))
    proof = Proof(issuer=fina.issuer, subject=fina.id, digest=asked.digest)
    vote = VoteCast(reviewer=fina, decision="approve", proof=proof)
    cast = await approval.log.append(Draft(uuid7(), now(), vote), asked)
    await approval.log.append(Draft(uuid7(), now(), Approved(votes=(cast.event.event_id,))), cast)


async def test_calls_that_run_for_long_keep_nobody_from_hearing_of_the_next(tmp_path: Path, receiver: Receiver) -> None:
    secret(tmp_path, "secret")
    running = DEFAULT_MAX_ACK_PENDING + 1
    settings = [hook(tmp_path, receiver.url, events=["approval.required"])]
    async with scene(tmp_path, webhooks=settings) as stage:
        async with stage.here.platform(Role.APPROVAL) as approval:
            for _ in range(running):
                await approve(stage, approval)
        async with replica(stage):
            await receiver.received(running)
            asked = await stage.ask(requirement())
            bodies = await receiver.received(running + 1)
    assert str(asked.ref) in {body["data"]["call"] for body in bodies}
