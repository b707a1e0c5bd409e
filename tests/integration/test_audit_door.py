"""Auditors at the door and at the terminal: what they see, who may, and the record of who looked."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from audit_scene import eventually
from calls import AGENT, Calls
from deployment import Deployment, running_deployment
from doors import bearer, serving, token_issuer, trusting
from typer.testing import CliRunner

from callgate.cedar.policies import digest_of
from callgate.errors import CallgateError, ConfigurationError
from callgate.ids import name_session
from callgate.platform import Platform
from callgate.records import Standing
from cli.dev_issuer import DevIssuer
from cli.main import app
from contracts.identity import Role
from contracts.records import Accessed, PolicySetPublished
from contracts.subjects import ACCESS, POLICY_SET_SUBJECT, CallRef
from services.audit.app import build

POLICIES = """
@id("auditors-audit")
permit(principal in Group::"auditors", action == Action::"audit", resource);

@id("one-sees-ones-own")
permit(principal, action == Action::"audit", resource)
when { resource has owner && principal == resource.owner };
"""


@dataclass(frozen=True, slots=True)
class Door:
    """A running audit service, what happened before, and somebody to ask."""

    url: str
    http: aiohttp.ClientSession
    issuer: DevIssuer
    platforms: dict[Role, Platform]
    here: Deployment

    async def get(self, path: str, sub: str | None = "ada", **query: str) -> tuple[int, Any]:
        headers = {} if sub is None else bearer(self.issuer, sub)
        async with self.http.get(self.url + path, headers=headers, params=query) as response:
            return response.status, json.loads(await response.read())

    async def publish(self, text: str) -> None:
        policy = self.platforms[Role.POLICY]
        data = PolicySetPublished(policy_set=digest_of({"p.cedar": text}), files={"p.cedar": text})
        await policy.records.publish(POLICY_SET_SUBJECT, data, policy.clock())

    async def published(self, text: str = POLICIES) -> None:
        await self.publish(text)

        async def in_force() -> bool | None:
            status, _ = await self.get("/v1/sessions")
            return None if status == 503 else True

        await eventually(in_force)

    async def looks(self) -> list[Accessed]:
        found = [standing async for standing in self.platforms[Role.AUDIT].records.all(ACCESS, "access.>")]
        data = [standing.data for standing in found if isinstance(standing, Standing)]
        return [one for one in data if isinstance(one, Accessed)]

    async def listed(self, count: int, **query: str) -> list[dict[str, Any]]:
        """The sessions, once the projection has that many."""

        async def look() -> list[dict[str, Any]] | None:
            status, answer = await self.get("/v1/sessions", **query)
            return answer["sessions"] if status == 200 and len(answer["sessions"]) >= count else None

        return await eventually(look)


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with (
        token_issuer(tmp_path) as issuer,
        running_deployment(tmp_path / "here", overrides={"identity": trusting(issuer)}) as here,
        here.platforms() as platforms,
        serving(here, (Role.AUDIT, build)) as url,
        aiohttp.ClientSession() as http,
    ):
        yield Door(url, http, issuer, platforms, here)


async def test_nobody_looks_without_token_policies_or_right(door: Door) -> None:
    ref = await Calls(door.platforms).refused()
    paths = (
        f"/v1/sessions/{ref.session_id}",
        f"/v1/sessions/{ref.session_id}/replay",
        f"/v1/sessions/{ref.session_id}/calls/{ref.call_id}",
    )
    assert [(await door.get(path, sub=None))[0] for path in paths] == [401] * 3
    assert [(await door.get(path))[1]["code"] for path in paths] == ["no_policies"] * 3
    await door.published()
    await door.listed(1)
    before = await door.looks()
    for path in (*paths, "/v1/sessions"):
        status, problem = await door.get(path, sub="rosa")
        assert (status, problem["code"]) == (403, "not_allowed")
    assert await door.looks() == before
    assert [(await door.get(path))[0] for path in paths] == [200] * 3


async def test_a_session_is_replayed_in_order_and_the_look_is_recorded(door: Door) -> None:
    await door.published()
    calls = Calls(door.platforms)
    first = await calls.executed("crm.read_customer")
    await calls.approved_and_executed(first.session_id)
    await calls.rejected_by_a_person(first.session_id)
    await calls.refused("firewall.change", first.session_id)
    status, answer = await door.get(f"/v1/sessions/{first.session_id}/replay")
    assert status == 200
    told = answer["calls"]
    assert [(one["function"], one["state"]) for one in told] == [
        ("crm.read_customer", "result_masked"),
        ("deploys.start", "result_masked"),
        ("deploys.start", "rejected"),
        ("firewall.change", "denied"),
    ]
    steps = {step["event"]: step for step in told[1]["steps"]}
    assert steps["arguments_masked"]["arguments"] == {"card": "****"}
    assert steps["approval_required"]["policies"] == ["deploys-need-sre"]
    assert (steps["vote_cast"]["reviewer"]["id"], steps["vote_cast"]["reason"]) == ("rita", "looks right")
    assert steps["allowed"]["policies"] == ["agents-deploy"]
    assert steps["result_masked"]["response"] == {"ok": True}
    assert {step["event"]: step for step in told[2]["steps"]}["vote_cast"]["reason"] == "too risky today"
    assert told[3]["steps"][-1]["code"] == "forbidden_by_policy"
    assert not re.search(r"card\W+4111", json.dumps(answer))  # digests and ids may well hold these digits
    (look,) = [one for one in await door.looks() if one.session_id == first.session_id]
    assert (look.who.id, look.action, look.detail) == ("ada", "viewed", {"what": "replay", "shown": 4})


async def test_a_long_session_is_replayed_page_by_page(door: Door) -> None:
    await door.published()
    calls = Calls(door.platforms)
    first = await calls.refused()
    refs = [first, *[await calls.refused(session_id=first.session_id) for _ in range(4)]]
    path = f"/v1/sessions/{first.session_id}/replay"
    paged: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        status, page = await door.get(path, **query)
        assert (status, page["principal"]) == (200, AGENT.id)
        assert len(page["calls"]) <= 2
        paged += [call["id"] for call in page["calls"]]
        if page["next"] is None:
            break
        query["after"] = page["next"]
    assert paged == [str(ref) for ref in refs]
    looked = [one.detail for one in await door.looks() if one.session_id == first.session_id]
    assert looked == [{"what": "replay", "shown": shown} for shown in (2, 2, 1)]
    assert (await door.get(path, after="nonsense"))[1]["code"] == "bad_cursor"
    assert (await door.get(path, after=str(await calls.refused())))[1]["code"] == "bad_cursor"
    assert (await door.get(path, limit="0"))[0] == 422


async def test_sessions_are_listed_newest_first_page_by_page_and_filtered(door: Door) -> None:
    await door.published()
    calls = Calls(door.platforms)
    refs = [await calls.executed("crm.read_customer") for _ in range(3)]
    refs += [await calls.refused() for _ in range(2)]
    newest = [ref.session_id for ref in reversed(refs)]
    assert [row["session_id"] for row in await door.listed(5)] == newest
    paged: list[str] = []
    query: dict[str, str] = {"limit": "2"}
    while True:
        _, page = await door.get("/v1/sessions", **query)
        paged += [row["session_id"] for row in page["sessions"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert paged == newest
    for filters, found in (
        ({"state": "denied"}, newest[:2]),
        ({"function": "crm.read_customer"}, newest[2:]),
        ({"principal": AGENT.id}, newest),
        ({"principal": "nobody"}, []),
        ({"since": "2099-01-01T00:00:00Z"}, []),
    ):
        _, page = await door.get("/v1/sessions", **filters)
        assert [row["session_id"] for row in page["sessions"]] == found, filters
    for wrong in ({"state": "nothing"}, {"since": "2026-01-01T00:00:00"}, {"cursor": "AAAA"}):
        assert (await door.get("/v1/sessions", **wrong))[0] == 400


async def test_an_agent_sees_its_own_sessions_where_policy_says_so(door: Door) -> None:
    await door.published()
    mine = Calls(door.platforms, AGENT.model_copy(update={"id": "support-bot"}))
    ref = await mine.refused()
    await Calls(door.platforms).refused()
    await door.listed(2)
    _, page = await door.get("/v1/sessions", sub="support-bot")
    assert [row["session_id"] for row in page["sessions"]] == [ref.session_id]
    status, session = await door.get(f"/v1/sessions/{ref.session_id}", sub="support-bot")
    assert status == 200
    (call,) = session["calls"]
    assert (call["id"], call["state"], call["over"], call["code"]) == (str(ref), "denied", True, "forbidden_by_policy")


async def test_a_call_is_shown_with_what_proves_it(door: Door) -> None:
    await door.published()
    ref = await Calls(door.platforms).approved_and_executed()
    ingress = door.platforms[Role.INGRESS].client.jetstream()
    await ingress.publish(ref.subject("cancelled"), b"{}", headers={"ce-type": "nonsense"})
    for name in (ref.call_id, str(ref)):
        status, shown = await door.get(f"/v1/sessions/{ref.session_id}/calls/{name}")
        assert status == 200
        chain = [event for event in shown["events"] if event["place"] == "chain"]
        assert [event["role"] for event in chain] == [
            *("ingress", "masking", "policy", "approval", "approval", "policy", "executor", "executor", "masking")
        ]
        assert [event["follows"] for event in chain] == [shown["genesis"], *(event["digest"] for event in chain[:-1])]
        assert shown["head"] == chain[-1]["digest"]
        assert [event["code"] for event in shown["events"] if event["place"] == "alien"] == ["unknown_event"]
    other = await Calls(door.platforms).refused()
    for path in (
        f"/v1/sessions/{ref.session_id}/calls/{other.call_id}",
        f"/v1/sessions/{ref.session_id}/calls/{other}",
        f"/v1/sessions/{ref.session_id}/calls/nonsense",
        f"/v1/sessions/s_{'a' * 32}",
        f"/v1/sessions/s_{'a' * 32}/replay",
        "/v1/sessions/nonsense",
    ):
        assert (await door.get(path))[0] == 404


async def test_what_is_in_force_is_withdrawn_with_the_policies(door: Door) -> None:
    await door.published()
    await Calls(door.platforms).refused()
    await door.listed(1)
    await door.publish('@id("nobody") forbid(principal, action == Action::"audit", resource);')

    async def refused() -> bool | None:
        status, _ = await door.get("/v1/sessions")
        return True if status == 403 else None

    await eventually(refused)


class Terminal:
    """`callgate audit …` at a terminal, on a thread of its own."""

    def __init__(self, folder: Path, here: Deployment) -> None:
        self._config = folder / "callgate.yaml"
        document = {
            "deployment": here.settings.deployment,
            "state": str(here.settings.state),
            "broker": {"url": here.settings.broker.url},
            "identity": {"issuers": [{"issuer": AGENT.issuer, "audience": "callgate"}]},
        }
        self._config.write_text(yaml.safe_dump(document))

    async def run(self, *words: str) -> tuple[int, str]:
        """Exit code and what it printed; our own errors are `main`'s to print."""
        arguments = ["audit", *words, "--config", str(self._config)]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        if isinstance(result.exception, CallgateError):
            raise result.exception
        return result.exit_code, result.stdout

    async def json(self, *words: str) -> Any:
        code, out = await self.run(*words, "--json")
        assert code == 0
        return json.loads(out)

    async def process(self, *words: str) -> tuple[int, str, str]:
        """As a process of its own."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cli.main", "audit", *words, "--config", str(self._config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


async def story(platforms: dict[Role, Platform]) -> CallRef:
    calls = Calls(platforms)
    ref = await calls.approved_and_executed(name_session(AGENT.session_owner, "w1"))
    await calls.rejected_by_a_person(ref.session_id)
    return ref


async def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.audit_opening.configure_logging", lambda *_: None)  # the test's own logging stays
    async with running_deployment(tmp_path / "here") as here, here.platforms() as platforms:
        terminal = Terminal(tmp_path, here)
        ref = await story(platforms)
        nothing = "error: nothing is projected yet: start the audit service, or run `callgate audit rebuild`\n"
        assert await terminal.process("sessions") == (2, "", nothing)
        assert await terminal.run("rebuild") == (0, "the projection was filled from 14 messages\n")
        listed = await terminal.json("sessions", "--state", "rejected")
        assert [row["session_id"] for row in listed["sessions"]] == [ref.session_id]
        assert ref.session_id in (await terminal.run("sessions"))[1]
        called = await terminal.json("calls", ref.session_id)
        assert [row["state"] for row in called["calls"]] == ["result_masked", "rejected"]
        assert await terminal.json("calls", "w1") == called
        assert (await terminal.json("sessions", "--session", "w1"))["sessions"] == listed["sessions"]
        completed = await terminal.json("calls", ref.session_id, "--state", "completed")
        assert [row["id"] for row in completed["calls"]] == [str(ref)]
        assert str(ref) in (await terminal.run("calls", "--function", "deploys.start"))[1]
        assert (await terminal.json("show", str(ref)))["state"] == "result_masked"
        replayed = await terminal.json("replay", ref.session_id)
        assert [one["state"] for one in replayed["calls"]] == ["result_masked", "rejected"]
        await session_is_told(terminal, ref)
        whole = "14 events, 2 calls, 2 chains complete\nchains intact, no aliens\n"
        assert await terminal.run("verify", "--strict") == (0, whole)
        assert (await terminal.json("verify"))["passes"] is True
        looks = [
            standing.data
            async for standing in platforms[Role.AUDIT].records.all(ACCESS, "access.>")
            if isinstance(standing, Standing)
        ]
        assert [look.detail["what"] for look in looks if isinstance(look, Accessed)] == ["events", "replay", "replay"]
        await verification_fails(terminal, platforms)


async def session_is_told(terminal: Terminal, ref: CallRef) -> None:
    code, lines = await terminal.run("replay", "w1")
    assert code == 0
    for told in (
        "by agent-7 on behalf of ursula",
        '{"card":"****"}',
        "by deploys-need-sre: 1 of sre",
        "rita votes to approve: looks right",
        "by agents-deploy",
        'status 200 {"ok":true}',
        "rita votes to reject: too risky today",
    ):
        assert told in lines


async def verification_fails(terminal: Terminal, platforms: dict[Role, Platform]) -> None:
    calls = Calls(platforms)
    forged = await calls.allowed(await calls.requested())
    code, out = await terminal.run("verify")
    assert code == 1
    subject = forged.ref.subject("allowed")
    assert f"NOT INTACT: the first that fails is CALLS_1_0 #{forged.sequence} {subject} illegal_transition" in out
    code, out = await terminal.run("verify", "--json")
    assert code == 1
    assert json.loads(out)["first_failure"]["sequence"] == forged.sequence
    assert "ALIEN: illegal_transition" in (await terminal.run("show", str(forged.ref)))[1]
    for words in (("show", "nonsense"), ("replay", "s_x"), ("replay", f"s_{'a' * 32}"), ("calls", "--state", "x")):
        with pytest.raises(ConfigurationError):
            await terminal.run(*words)
