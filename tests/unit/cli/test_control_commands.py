"""The commands that stop at once, against a small stand-in for the API that speaks real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import typer
from aiohttp import web
from typer.testing import CliRunner, Result

from callgate.errors import CallgateError, ConfigurationError
from cli import control_commands, controlling

FREEZE = {
    "id": "01990000-0000-7000-8000-000000000001",
    "scope": "agent",
    "target": "support-bot",
    "issuer": None,
    "by": "sam",
    "since": "2026-01-31T12:00:00.000000Z",
    "expires_at": None,
    "reason": "odd calls",
}
GRANT: dict[str, Any] = {
    "id": "01990000-0000-7000-8000-000000000002",
    "state": "in_force",
    "by": "sam",
    "agent": "support-bot",
    "issuer": "https://issuer.test",
    "on_behalf_of": "kim",
    "session": None,
    "function": "payments.refund",
    "conditions": {"amount": {"lte": 40}},
    "policy": "permit (\n  principal\n);",
    "uses": 5,
    "left": 4,
    "calls": [],
    "since": "2026-01-31T12:00:00.000000Z",
    "expires_at": "2026-01-31T12:30:00.000000Z",
    "reason": "month end",
}


@dataclass
class StandIn:
    """Answers as services/approval does; `answers` holds what the next requests get instead."""

    url: str = ""
    answers: list[web.Response] = field(default_factory=list)
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "Bearer sams-token"
        body = await request.json() if request.body_exists else None
        self.asked.append((request.method, request.rel_url.raw_path, body))
        if self.answers:
            return self.answers.pop(0)
        if request.path.startswith("/v1/grants"):
            found = {"grants": [GRANT]} if request.method == "GET" else GRANT
            return web.json_response(found, status=201 if request.method == "POST" else 200)
        if request.method == "POST":
            return web.json_response({**FREEZE, **body_of(body), "cancelling": 2, "seen": True}, status=201)
        if request.method == "DELETE":
            return web.json_response({**FREEZE, "lifted": True})
        return web.json_response({"freezes": [FREEZE]})


def body_of(body: Any) -> dict[str, Any]:
    return {name: body[name] for name in ("scope", "target")}


@pytest.fixture
async def api() -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stand_in.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stand_in.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield stand_in
    await runner.cleanup()


async def invoke(api: StandIn, *words: str) -> Result:
    app = typer.Typer()
    control_commands.register(app)
    environment = {"CALLGATE_TOKEN": "sams-token", "CALLGATE_URL": api.url, "NO_COLOR": "1"}
    return await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)


@pytest.mark.parametrize(
    ("words", "scope", "target", "said"),
    [
        (("--agent", "support-bot"), "agent", "support-bot", "frozen: agent support-bot"),
        (("--session", "s_x"), "session", "s_x", "frozen: session s_x"),
        (("--function", "payments.refund"), "function", "payments.refund", "frozen: function payments.refund"),
        (("--connection", "payments"), "connection", "payments", "frozen: connection payments"),
        (("--all",), "everything", None, "frozen: everything"),
    ],
)
async def test_freezes_what_is_named(
    api: StandIn, words: tuple[str, ...], scope: str, target: str | None, said: str
) -> None:
    result = await invoke(api, "freeze", *words, "--reason", "odd calls", "--for", "2h")
    assert result.exit_code == 0, result.output
    assert api.asked == [
        ("POST", "/v1/freezes", {"scope": scope, "target": target, "reason": "odd calls", "for": "2h"})
    ]
    assert said in result.stdout
    assert "it stops 2 calls that wait for approval, which are cancelled now" in result.stdout
    assert f"callgate unfreeze {FREEZE['id']}" in result.stdout


@pytest.mark.parametrize(
    "words", [(), ("--agent", "a", "--all"), ("--agent", "a", "--function", "f.g"), ("--all", "--issuer", "x")]
)
async def test_freezes_one_thing_or_nothing(api: StandIn, words: tuple[str, ...]) -> None:
    result = await invoke(api, "freeze", *words, "--reason", "odd")
    assert isinstance(result.exception, ConfigurationError)
    assert api.asked == []


@pytest.mark.parametrize(
    ("waiting", "said"),
    [(0, "nothing that waits for approval is in its scope"), (1, "it stops 1 call that waits for approval, ")],
)
async def test_says_what_a_freeze_stops(api: StandIn, waiting: int, said: str) -> None:
    api.answers = [web.json_response({**FREEZE, "cancelling": waiting, "seen": waiting > 0}, status=201)]
    result = await invoke(api, "freeze", "--agent", "support-bot", "--reason", "odd calls")
    assert said in result.stdout
    assert ("is the name right?" in result.stdout) == (waiting == 0)


async def test_a_reason_is_mandatory(api: StandIn) -> None:
    result = await invoke(api, "freeze", "--all")
    assert result.exit_code == 2
    assert api.asked == []


async def test_lists_and_lifts(api: StandIn) -> None:
    result = await invoke(api, "freezes")
    assert "agent support-bot, since 2026-01-31 12:00:00 UTC by sam\n  odd calls\n1 in force" in result.stdout
    result = await invoke(api, "freezes", "--json")
    assert json.loads(result.stdout) == {"freezes": [FREEZE]}
    result = await invoke(api, "unfreeze", FREEZE["id"] or "")
    assert "lifted: agent support-bot" in result.stdout
    assert api.asked[-1] == ("DELETE", f"/v1/freezes/{FREEZE['id']}", None)
    api.answers = [web.json_response({"freezes": []})]
    assert (await invoke(api, "freezes")).stdout == "nothing is frozen that you may freeze or lift\n"


async def test_an_id_cannot_lead_elsewhere(api: StandIn) -> None:
    await invoke(api, "unfreeze", "../approvals?x")
    assert api.asked[-1][1] == "/v1/freezes/..%2Fapprovals%3Fx"


async def test_what_is_refused_exits_1_and_says_why(api: StandIn) -> None:
    api.answers = [web.json_response({"code": "not_permitted", "detail": "No policy permits you."}, status=403)]
    result = await invoke(api, "freeze", "--all", "--reason", "odd")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "No policy permits you (not_permitted)" in result.stderr


async def test_reasons_cannot_steer_the_terminal(api: StandIn) -> None:
    api.answers = [web.json_response({"freezes": [{**FREEZE, "reason": "\x1b[2J\r\nforged", "target": "a\u202e"}]})]
    result = await invoke(api, "freezes")
    assert all(character.isprintable() or character == "\n" for character in result.stdout)
    assert "\nforged" not in result.stdout


async def test_what_does_not_answer_like_callgate(api: StandIn) -> None:
    api.answers = [web.json_response(["?"])]
    result = await invoke(api, "freezes")
    assert isinstance(result.exception, CallgateError)
    assert result.exception.code == "not_callgate"


async def test_when_nobody_answers_the_doubt_is_named(api: StandIn) -> None:
    api.url = "http://127.0.0.1:9"
    result = await invoke(api, "freeze", "--all", "--reason", "odd")
    assert isinstance(result.exception, CallgateError)
    assert "`callgate freezes` tells" in result.exception.detail


# Grants

TERMS = {"uses": 5, "for": "30m", "reason": "month end"}


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (("1-0.s.c",), {"call": "1-0.s.c", "bind": "agent", "conditions": {}}),
        (("1-0.s.c", "--same-session"), {"call": "1-0.s.c", "bind": "session", "conditions": {}}),
        (
            ("--agent", "bot", "--function", "payments.refund", "--when", "amount<=40", "--when", "currency = USD|EUR"),
            {
                "agent": "bot",
                "function": "payments.refund",
                "conditions": {"amount": {"lte": 40}, "currency": {"in": ["USD", "EUR"]}},
            },
        ),
    ],
)
async def test_grants_what_is_named(api: StandIn, words: tuple[str, ...], body: dict[str, Any]) -> None:
    result = await invoke(api, "grant", *words, "--uses", "5", "--reason", "month end")
    assert result.exit_code == 0, result.output
    assert api.asked == [("POST", "/v1/grants", {**body, **TERMS})]
    assert "by support-bot for kim, 4 of 5 left, until 2026-01-31 12:30:00 UTC" in result.stdout
    assert f"callgate grants revoke {GRANT['id']}" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--agent", "bot"),
        ("--function", "payments.refund"),
        ("1-0.s.c", "--agent", "bot"),
        ("--agent", "b", "--function", "f.g", "--same-session"),
        ("1-0.s.c", "--when", "amount"),
        ("1-0.s.c", "--when", "amount<1|2"),
        ("1-0.s.c", "--when", "amount<1", "--when", "amount<2"),
    ],
)
async def test_grants_one_scope_or_nothing(api: StandIn, words: tuple[str, ...]) -> None:
    result = await invoke(api, "grant", *words, "--reason", "month end")
    assert isinstance(result.exception, ConfigurationError)
    assert api.asked == []


async def test_lists_and_revokes_grants(api: StandIn) -> None:
    result = await invoke(api, "grants")
    assert "payments.refund by support-bot for kim, 4 of 5 left" in result.stdout
    assert 'where {"amount": {"lte": 40}}\n  by sam: month end\n1 in force' in result.stdout
    assert json.loads((await invoke(api, "grants", "--json")).stdout) == {"grants": [GRANT]}
    result = await invoke(api, "grants", "revoke", GRANT["id"])
    assert "revoked: payments.refund" in result.stdout
    assert api.asked[-1] == ("DELETE", f"/v1/grants/{GRANT['id']}", None)


async def test_a_grant_that_is_used_up_is_not_in_force(api: StandIn) -> None:
    spent = {**GRANT, "id": "01990000-0000-7000-8000-000000000003", "state": "used_up", "left": 0}
    api.answers = [web.json_response({"grants": [GRANT, spent]})]
    said = (await invoke(api, "grants")).stdout
    assert "000000000003  used up\n" in said
    assert said.endswith("1 in force, 1 used up\n")


def test_conditions_read_as_they_are_written() -> None:
    found = controlling.conditions(["a<1.5", "b!=x", "c=true", 'd="12"', "/order/n >= 3"])
    assert found == {"a": {"lt": 1.5}, "b": {"ne": "x"}, "c": {"eq": True}, "d": {"eq": "12"}, "/order/n": {"gte": 3}}
