"""The reviewers' commands against a small stand-in for the API that speaks real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import typer
from aiohttp import web
from typer.testing import CliRunner, Result

from callgate.errors import CallgateError, ConfigurationError
from cli import listing, reviewers
from cli.api import Refused

CALL = "1-0.s_" + "a" * 32 + ".01990000-0000-7000-8000-000000000001"
DIGEST = "d1" * 32


def item(**changed: Any) -> dict[str, Any]:
    expires = (datetime.now(UTC) + timedelta(minutes=30)).isoformat()
    return {
        "id": CALL,
        "state": "approval_required",
        "status": "waiting_for_approval",
        "function": "deploys.start",
        "requester": "support-bot",
        "on_behalf_of": None,
        "arguments": {"service": "web"},
        "findings": [],
        "policies": ["production-deployments-need-sre"],
        "requirements": [need(1)],
        "asked_at": expires,
        "expires_at": expires,
        "digest": DIGEST,
        "your_vote": None,
    } | changed


def need(missing: int) -> dict[str, Any]:
    return {"policies": ["production-deployments-need-sre"], "approvers": ["sre"], "quorum": 1, "missing": missing}


def unknown(**changed: Any) -> dict[str, Any]:
    """A call whose outcome nobody knows."""
    lost = {"state": "outcome_unknown", "status": "unknown", "code": "timeout", "attempts": 1}
    return item() | lost | {"since": "2026-01-31T12:00:05.000000Z"} | changed


def problem(status: int, code: str, detail: str, **extra: Any) -> web.Response:
    return web.json_response({"code": code, "detail": detail, "status": status, **extra}, status=status)


INPUT = {"properties": {"version": {"type": "string"}, "count": {"type": "integer"}}}


@dataclass
class StandIn:
    """Answers as services/approval does; `answers` holds what the next requests get instead."""

    url: str = ""
    items: list[dict[str, Any]] = field(default_factory=lambda: [item()])
    lost: list[dict[str, Any]] = field(default_factory=lambda: [unknown()])
    answers: list[web.Response] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)
    tags: list[str | None] = field(default_factory=list)
    ballots: list[dict[str, Any]] = field(default_factory=list)
    asked: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def handle(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization"))
        self.tags.append(request.headers.get("If-None-Match"))
        self.asked.release()
        if self.answers:
            return self.answers.pop(0)
        if request.method == "POST":
            self.ballots.append(await request.json())
            if request.path in (f"/v1/approvals/{CALL}/amendments", f"/v1/outcomes/{CALL}/settlement"):
                state = "arguments_amended" if "approvals" in request.path else "outcome_settled"
                return web.json_response({"id": CALL, "state": state, "status": "pending"}, status=201)
            assert request.path == f"/v1/approvals/{CALL}/votes"
            return web.json_response({"id": CALL, "state": "approved", "votes": [], "requirements": [need(0)]})
        if request.path == "/v1/approvals":
            first = int(request.query.get("after", "0"))
            following = str(first + 1) if first + 1 < len(self.items) else None
            return web.json_response({"approvals": self.items[first : first + 1], "next": following})
        if request.path == "/v1/outcomes":
            return web.json_response({"outcomes": self.lost, "next": None})
        if request.path == "/v1/functions":
            return web.json_response({"functions": [{"name": "deploys.start", "input": INPUT}]})
        if request.path == f"/v1/outcomes/{CALL}":
            return web.json_response(self.lost[0] | {"votes": []})
        assert request.path == f"/v1/approvals/{CALL}"
        return web.json_response(self.items[0] | {"votes": []})


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


async def invoke(*words: str, token: str = "rosas-token") -> Result:
    app = typer.Typer()
    reviewers.register(app)
    environment = {"CALLGATE_TOKEN": token, "CALLGATE_URL": "", "NO_COLOR": "1"}
    return await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)


async def test_lists_every_page(api: StandIn) -> None:
    api.items = [item(), item(function="crm.export_customers", on_behalf_of="kim")]
    result = await invoke("approvals", "--url", api.url)
    assert result.exit_code == 0
    assert api.tokens == ["Bearer rosas-token"] * 2
    assert CALL in result.stdout
    assert 'deploys.start  asked by support-bot  expires in 29 min\n  {"service": "web"}' in result.stdout
    assert "crm.export_customers  asked by support-bot for kim" in result.stdout
    assert "needs 1 more of 1 from sre (production-deployments-need-sre)" in result.stdout
    assert "2 waiting" in result.stdout


async def test_says_when_nothing_waits(api: StandIn) -> None:
    api.items = []
    result = await invoke("approvals", "--url", api.url)
    assert (result.exit_code, result.stdout) == (0, "nothing waits for you\n")


async def test_gives_json_whole(api: StandIn) -> None:
    api.items = [item(arguments={"text": "x" * 5000})]
    result = await invoke("approvals", "--json", "--url", api.url)
    assert json.loads(result.stdout)["approvals"] == api.items


async def test_arguments_cannot_steer_the_terminal(api: StandIn) -> None:
    api.items = [item(arguments={"\x1b[2J": "\u202e\x9b31m\r\nforged"}, requester="bot\x1b]0;x\x07")]
    result = await invoke("approvals", "--url", api.url)
    assert result.exit_code == 0
    assert all(character.isprintable() or character == "\n" for character in result.stdout)
    assert "\nforged" not in result.stdout


@pytest.mark.parametrize(
    ("words", "decision", "reason", "said"),
    [
        (("approve", CALL), "approve", None, "approved: the call is approved; Callgate runs it now\n"),
        (
            ("approve", CALL, "--reason", "planned"),
            "approve",
            "planned",
            "approved: the call is approved; Callgate runs it now\n",
        ),
        (("reject", CALL, "--reason", "too many"), "reject", "too many", "rejected: the call is approved"),
    ],
)
async def test_votes_on_what_it_shows(
    api: StandIn, words: tuple[str, ...], decision: str, reason: str | None, said: str
) -> None:
    result = await invoke(*words, "--url", api.url)
    assert result.exit_code == 0
    assert api.ballots == [{"decision": decision, "reason": reason, "digest": DIGEST}]
    assert '{"service": "web"}' in result.stdout
    assert said in result.stdout


async def test_does_not_vote_on_a_call_that_changed(api: StandIn) -> None:
    result = await invoke("approve", CALL, "--digest", "0" * 16, "--url", api.url)
    assert result.exit_code == 1
    assert f"has changed since you looked: its digest is {DIGEST[:16]}" in result.stderr
    assert f"`callgate approve {CALL} --digest {DIGEST[:16]}`" in result.stderr
    assert not api.ballots
    assert (await invoke("approve", CALL, "--digest", DIGEST[:16], "--url", api.url)).exit_code == 0


async def test_a_rejection_needs_a_reason(api: StandIn) -> None:
    result = await invoke("reject", CALL, "--url", api.url)
    assert result.exit_code == 2
    assert not api.ballots


async def test_a_refusal_is_one_line_with_what_to_do_next(api: StandIn) -> None:
    api.answers = [problem(401, "expired", "The token has expired.")]
    result = await invoke("approvals", "--url", api.url)
    assert result.exit_code == 1
    advice = "give a valid token with --token, --token-file or CALLGATE_TOKEN"
    assert result.stderr == f"error: The token has expired (expired); {advice}\n"


async def test_a_refusal_tells_people_a_command_and_not_a_request(api: StandIn) -> None:
    detail = "The request names no token. Send the header `Authorization: Bearer <token>` with a valid one."
    api.answers = [problem(401, "missing_token", detail)]
    result = await invoke("approvals", "--url", api.url)
    assert result.stderr.startswith("error: The request names no token (missing_token); give a valid token with")


@pytest.mark.parametrize(
    ("code", "detail", "path", "said"),
    [
        (
            "unknown_function",
            "There is no such function; GET /v1/functions lists them.",
            "/v1/freezes",
            "There is no such function (unknown_function); `callgate functions` lists them",
        ),
        (
            "not_found",
            "There is no such delivery.",
            "/v1/notices/deliveries/x/again",
            "There is no such delivery (not_found); `callgate notices deliveries` lists them",
        ),
        (
            "not_found",
            "None waits.",
            "/v1/outcomes/x",
            "None waits (not_found); `callgate outcomes` lists the calls for you to settle",
        ),
        ("not_found", "There is no such file.", "/x", "There is no such file (not_found)"),
        (
            "not_an_operator",
            "Only the groups that `approval.operators` names may look at this.",
            "/v1/notices",
            "Only the "
            "groups that `approval.operators` names may look at this (not_an_operator); ask one of their members",
        ),
        ("bad_cursor", "GET /v1/approvals gives it.", "/v1/approvals", "GET /v1/approvals gives it (bad_cursor)"),
    ],
)
def test_advice_is_of_what_was_asked(code: str, detail: str, path: str, said: str) -> None:
    assert Refused(404, code, detail, None, path).detail == said


@pytest.mark.parametrize(
    ("decision", "state", "missing", "said"),
    [
        ("approve", "vote_cast", 2, "approved: 2 more must approve"),
        ("reject", "rejected", 1, "rejected: the call is not run, and its agent is told why"),
        ("approve", "cancelled", 0, "approved: the call is cancelled"),
    ],
)
async def test_after_a_vote_it_is_said_what_happens_now(
    api: StandIn, decision: str, state: str, missing: int, said: str
) -> None:
    cast = web.json_response({"id": CALL, "state": state, "requirements": [need(missing)]}, status=201)
    api.answers = [web.json_response(item() | {"votes": []}), cast]
    result = await invoke(decision, CALL, "--reason", "r", "--url", api.url)
    assert result.stdout.splitlines()[-1] == said


async def test_whose_approval_is_not_enough_is_told_before_they_vote(api: StandIn) -> None:
    changed = item() | {"amended_by": ["rosa"]}
    api.answers = [web.json_response(changed), web.json_response({"state": "vote_cast", "requirements": [need(1)]})]
    result = await invoke("approve", CALL, "--url", api.url)
    assert "  arguments changed by rosa, whose approval alone is not enough\n" in result.stdout


async def test_a_refused_vote_says_how_the_call_stands(api: StandIn) -> None:
    waiting = web.json_response(item())
    api.answers = [waiting, problem(409, "not_waiting", "The call does not wait any more.", state="rejected")]
    result = await invoke("approve", CALL, "--url", api.url)
    assert result.exit_code == 1
    assert "does not wait any more; it is rejected now (not_waiting)" in result.stderr


def voted(reviewer: str, decision: str) -> dict[str, Any]:
    return {"reviewer": reviewer, "decision": decision, "at": "2026-01-31T12:00:05.123456Z", "reason": None}


FINISHED = item(state="result_masked", status="completed") | {
    "votes": [voted("rosa", "approve"), voted("sam", "approve")]
}
EXPIRED = item(state="approval_expired", status="expired", expires_at="2026-01-31T12:00:05Z") | {"votes": []}
CANCELLED = item(state="cancelled", status="cancelled") | {"votes": []}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            FINISHED,
            ": rosa approved it at 2026-01-31 12:00:05 UTC, sam approved it at 2026-01-31 12:00:05 UTC; "
            "the call is completed now",
        ),
        (EXPIRED, ": its time was up at 2026-01-31 12:00:05 UTC; the call is expired now"),
        (CANCELLED, "; the call is cancelled now"),
    ],
)
async def test_a_call_that_is_over_says_who_decided_and_when(api: StandIn, found: dict[str, Any], said: str) -> None:
    api.answers = [web.json_response(found)]
    result = await invoke("approve", CALL, "--url", api.url)
    assert result.exit_code == 1
    assert not api.ballots
    assert result.stderr == f"error: there is nothing to decide any more{said}\n"
    assert not result.stdout, "nothing that reads as if it still waited"


async def test_a_vote_that_came_second_says_who_was_first(api: StandIn) -> None:
    late = problem(409, "not_waiting", "The call does not wait any more.", state="execution_completed")
    api.answers = [web.json_response(item()), late, web.json_response(FINISHED)]
    result = await invoke("reject", CALL, "--reason", "no", "--url", api.url)
    assert result.exit_code == 1
    assert "rosa approved it at 2026-01-31 12:00:05 UTC" in result.stderr


async def test_glass_is_broken_by_who_may(api: StandIn) -> None:
    late = {"approvers": ["leads"], "at": "2026-01-31T12:00:05.000000Z"}
    more = need(2) | {"approvers": ["sre", "finance"], "each": True, "escalation": late}
    api.items = [item(requirements=[more], reason_required=True, may_break_glass=True)]
    result = await invoke("approve", CALL, "--break-glass", "--reason", "the site is down", "--url", api.url)
    assert result.exit_code == 0
    assert api.ballots == [{"decision": "approve", "reason": "the site is down", "digest": DIGEST, "break_glass": True}]
    assert "needs 2 more of 1 from each of sre and finance" in result.stdout
    assert "from 2026-01-31 12:00:05 UTC also from leads" in result.stdout
    assert "--break-glass" in result.stdout


async def test_a_call_that_changed_in_that_moment_says_where_to_look(api: StandIn) -> None:
    api.answers = [web.json_response(item()), problem(409, "call_changed", "The call has changed.", state="vote_cast")]
    result = await invoke("approve", CALL, "--url", api.url)
    assert "(call_changed); `callgate approvals` shows it as it is now" in result.stderr


@pytest.mark.parametrize(
    "answer",
    [
        lambda: web.Response(text="<html>"),
        lambda: web.Response(text="gone", status=502),
        lambda: web.json_response([1]),
        lambda: web.Response(status=307, headers={"Location": "/elsewhere"}),
    ],
)
async def test_another_server_is_recognised(api: StandIn, answer: Any) -> None:
    api.answers = [answer()]
    result = await invoke("approvals", "--url", api.url)
    assert isinstance(result.exception, CallgateError)
    assert result.exception.code == "not_callgate"
    assert len(api.tokens) == 1


async def test_says_where_nobody_answers(unused_tcp_port: int) -> None:
    result = await invoke("approvals", "--url", f"http://127.0.0.1:{unused_tcp_port}")
    assert isinstance(result.exception, CallgateError)
    assert result.exception.code == "unreachable"
    assert "callgate up" in result.exception.detail


async def test_wants_a_token(api: StandIn, tmp_path: Any) -> None:
    result = await invoke("approvals", "--url", api.url, token="")
    assert isinstance(result.exception, ConfigurationError)
    assert "CALLGATE_TOKEN" in result.exception.detail
    assert not api.tokens
    (tmp_path / "token").write_text("from-file\n")
    assert (await invoke("approvals", "--url", api.url, "--token-file", str(tmp_path / "token"))).exit_code == 0
    assert api.tokens == ["Bearer from-file"]


async def test_watching_shows_changes_only_and_outlives_an_outage(
    api: StandIn, capsys: pytest.CaptureFixture[str]
) -> None:
    async def looks(count: int) -> None:
        for _ in range(count):
            await api.asked.acquire()

    watching = asyncio.create_task(listing.watch_approvals(api.url, "t", 0.01, as_json=True))
    async with asyncio.timeout(20):
        await looks(3)
        api.items = []
        await looks(3)
        api.answers = [problem(503, "broker_away", "The event log is out of reach.") for _ in range(2)]
        await looks(4)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    printed = capsys.readouterr()
    assert [len(json.loads(line)["approvals"]) for line in printed.out.splitlines()] == [1, 0, 0]
    assert printed.err.count("out of reach") == 1


async def test_watching_ends_where_it_may_not_look(api: StandIn) -> None:
    api.answers = [problem(401, "expired", "The token has expired.")]
    assert await listing.watch_approvals(api.url, "t", 0.01, as_json=True) == 1


async def test_watching_asks_what_changed_and_tells_only_that(api: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    other = item(function="crm.export_customers") | {"id": CALL[:-1] + "2"}
    one, two = {"ETag": '"1"'}, {"ETag": '"2"'}
    api.answers = [
        web.json_response({"approvals": [item()], "next": None}, headers=one),
        web.Response(status=304, headers=one),
        web.json_response({"approvals": [other], "next": None}, headers=two),
        problem(401, "expired", "The token has expired."),
    ]
    assert await listing.watch_approvals(api.url, "t", 0.01, as_json=False) == 1
    assert api.tags == [None, '"1"', '"1"', '"2"']
    printed = capsys.readouterr().out
    assert printed.count(f"{CALL}\n") == 1
    assert "crm.export_customers" in printed
    assert f"{CALL} waits for you no more" in printed


@pytest.mark.parametrize("words", [("approve", CALL), ("reject", CALL, "--reason", "no")])
async def test_votes_answer_in_json_alone(api: StandIn, words: tuple[str, ...]) -> None:
    result = await invoke(*words, "--json", "--url", api.url)
    assert json.loads(result.stdout)["state"] == "approved"


@pytest.mark.parametrize(
    ("words", "patch", "shown"),
    [
        (("--set", "amount=40"), [{"op": "add", "path": "/amount", "value": 40}], "/amount: nothing → 40"),
        (("--set", "service=api"), [{"op": "replace", "path": "/service", "value": "api"}], '"web" → "api"'),
        (("service=40",), [{"op": "replace", "path": "/service", "value": "40"}], '"web" → "40"'),
        (("service:=40",), [{"op": "replace", "path": "/service", "value": 40}], '"web" → 40'),
        (("version=2.1",), [{"op": "add", "path": "/version", "value": "2.1"}], '/version: nothing → "2.1"'),
        (("--set", "/version=2.1"), [{"op": "add", "path": "/version", "value": "2.1"}], 'nothing → "2.1"'),
        (("count=2",), [{"op": "add", "path": "/count", "value": 2}], "/count: nothing → 2"),
        (("--remove", "service"), [{"op": "remove", "path": "/service"}], '/service: "web" → nothing'),
        (
            ("--set", 'a={"b":[1]}', "--set", "/a/b/0=2"),
            [{"op": "add", "path": "/a", "value": {"b": [1]}}, {"op": "replace", "path": "/a/b/0", "value": 2}],
            '/a: nothing → {"b": [2]}',
        ),
    ],
)
async def test_amends_what_it_shows(api: StandIn, words: tuple[str, ...], patch: list[Any], shown: str) -> None:
    result = await invoke("amend", CALL, *words, "--reason", "less", "--url", api.url)
    assert result.exit_code == 0, result.stderr
    assert api.ballots == [{"digest": DIGEST, "patch": patch, "reason": "less"}]
    assert shown in result.stdout
    assert "votes start over" in result.stdout


async def test_amends_by_a_file_and_answers_in_json(api: StandIn, tmp_path: Any) -> None:
    patch = [{"op": "remove", "path": "/service"}]
    (tmp_path / "patch.json").write_text(json.dumps(patch))
    result = await invoke("amend", CALL, "--patch", str(tmp_path / "patch.json"), "--json", "--url", api.url)
    assert json.loads(result.stdout) == {"id": CALL, "state": "arguments_amended", "status": "pending"}
    assert api.ballots[0]["patch"] == patch


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--set", "amount"),
        ("--set", "=40"),
        ("--remove", "nothing"),
        ("--set", "/a/b=1"),
        ("--patch", "nowhere.json"),
        ("--patch", "x.json", "--set", "a=1"),
    ],
)
async def test_what_is_no_amendment_is_said_before_anything_is_sent(api: StandIn, words: tuple[str, ...]) -> None:
    result = await invoke("amend", CALL, *words, "--url", api.url)
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.detail
    assert not api.ballots


async def test_a_patch_that_breaks_the_schema_says_where(api: StandIn) -> None:
    places = [{"pointer": "/service", "keyword": "enum"}]
    refusal = problem(422, "breaks_schema", "The arguments would break the schema.", problems=places)
    gone = problem(404, "not_found", "Reviewers have a door of their own here.")
    api.answers = [web.json_response(item() | {"votes": []}), gone, refusal]
    result = await invoke("amend", CALL, "--set", "service=x", "--url", api.url)
    assert result.exit_code == 1
    assert "would break the schema: /service (enum) (breaks_schema); `callgate functions` shows" in result.stderr


async def test_lists_and_settles_what_nobody_knows(api: StandIn, tmp_path: Any) -> None:
    listed = await invoke("outcomes", "--url", api.url)
    assert "unknown since 2026-01-31 12:00:05 UTC" in listed.stdout
    assert "timeout, tried 1 time" in listed.stdout
    assert json.loads((await invoke("outcomes", "--json", "--url", api.url)).stdout) == {"outcomes": api.lost}
    (tmp_path / "result.json").write_text('{"id": 1}')
    more = ("--reason", "seen", "--evidence", "t-1", "--result", str(tmp_path / "result.json"))
    result = await invoke("settle", CALL, "--outcome", "done", *more, "--url", api.url)
    assert result.exit_code == 0, result.stderr
    assert "settled" in result.stdout
    result = await invoke("settle", CALL, "--outcome", "run-again", "--reason", "no", "--json", "--url", api.url)
    assert json.loads(result.stdout)["state"] == "outcome_settled"
    assert api.ballots == [
        {"outcome": "done", "reason": "seen", "evidence": "t-1", "result": {"id": 1}, "digest": DIGEST},
        {"outcome": "run_again", "reason": "no", "evidence": None, "result": None, "digest": DIGEST},
    ]
    api.lost = []
    assert "no outcome is unknown" in (await invoke("outcomes", "--url", api.url)).stdout


async def test_what_is_known_is_not_settled(api: StandIn) -> None:
    api.lost = [unknown(state="execution_failed", status="failed")]
    result = await invoke("settle", CALL, "--outcome", "done", "--reason", "x", "--url", api.url)
    assert result.exit_code == 1
    assert result.stderr == "error: what became of it is known: the call is failed now\n"
    api.lost = [unknown()]
    result = await invoke("settle", CALL, "--outcome", "done", "--reason", "x", "--digest", "0" * 16, "--url", api.url)
    assert "`callgate settle" in result.stderr
    assert not api.ballots


@pytest.mark.parametrize("command", ["approve", "reject", "amend", "settle"])
async def test_call_ids_complete_in_the_shell(api: StandIn, command: str) -> None:
    app = typer.Typer()
    reviewers.register(app)
    words = {"COMP_WORDS": f"main {command} 1-0", "COMP_CWORD": "2", "_MAIN_COMPLETE": "complete_bash"}
    environment = words | {"CALLGATE_TOKEN": "rosas-token", "CALLGATE_URL": api.url}

    async def completed(**more: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, [], prog_name="main", env=environment | more)

    assert (await completed()).stdout.split() == [CALL]
    assert api.tokens == ["Bearer rosas-token"]
    for nothing in (
        {"COMP_WORDS": f"main {command} 2-"},
        {"CALLGATE_TOKEN": ""},
        {"CALLGATE_URL": "http://127.0.0.1:9"},
    ):
        result = await completed(**nothing)
        assert (result.stdout.strip(), result.stderr) == ("", "")
    api.answers = [web.json_response([1])]
    assert (await completed()).stdout.strip() == ""
