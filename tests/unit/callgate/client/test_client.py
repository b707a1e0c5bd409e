"""The client against a Callgate in memory: what it asks, how it waits, and that nothing is asked for twice."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from callgate.client import AsyncClient, Client, NotCompleted, Outcome, Problem, Unreachable, clients, flows
from callgate.client.following import LAST
from callgate.errors import CallgateError
from contracts.lifecycle import TERMINAL

URL = "http://callgate.test"
DONE = {
    "id": "1-0.s_x.c",
    "session": "s_x",
    "function": "crm.get",
    "status": "completed",
    "result": {"status": 200, "body": {"name": "[PERSON]"}},
}
WAITS = {**DONE, "status": "waiting_for_approval", "result": None}
DENIED = {**DONE, "status": "denied", "code": "forbidden", "detail": "No policy allows it.", "result": None}

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]] | Exception


class Server:
    """Answers in the order given; the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        status, body, *headers = answer
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx2.Response(status, content=content, headers=headers[0] if headers else {})

    @property
    def lines(self) -> list[str]:
        return [f"{one.method} {one.url.raw_path.decode()}" for one in self.asked]


class Both:
    """The same call through either client, each method run to its end."""

    def __init__(self, kind: str, server: Server, **more: Any) -> None:
        self.kind = kind
        transport = httpx2.MockTransport(server)
        self.client: Any = (
            Client(URL, "token-1", transport=transport, **more)
            if kind == "sync"
            else AsyncClient(URL, "token-1", transport=transport, **more)
        )

    def do(self, name: str, *arguments: Any, **more: Any) -> Any:
        made = getattr(self.client, name)(*arguments, **more)
        if self.kind == "sync":
            return made
        return asyncio.run(self._await(made))

    def events(self, call_id: str) -> list[Any]:
        if self.kind == "sync":
            return list(self.client.events(call_id))

        async def collected() -> list[Any]:
            return [event async for event in self.client.events(call_id)]

        return asyncio.run(collected())

    async def _await(self, made: Any) -> Any:
        return await made


@pytest.fixture(params=["sync", "async"])
def both(request: pytest.FixtureRequest) -> Callable[..., Both]:
    return lambda server, **more: Both(request.param, server, **more)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No test waits; what would have been waited for."""
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(clients.time, "sleep", waited.append)
    monkeypatch.setattr(clients.asyncio, "sleep", pause)
    return waited


def test_a_call_is_one_request_with_a_key_of_its_own(both: Callable[..., Both]) -> None:
    server = Server((200, DONE))
    client = both(server)
    outcome = client.do("call", "crm.get", {"id": "c42"})
    assert (outcome.ok, outcome.value(), outcome.function_status) == (True, {"name": "[PERSON]"}, 200)
    (asked,) = server.asked
    assert json.loads(asked.content) == {"function": "crm.get", "arguments": {"id": "c42"}}
    assert asked.headers["authorization"] == "Bearer token-1"
    assert asked.headers["prefer"] == "wait=50"
    client.do("call", "crm.get", {"id": "c42"})
    assert asked.headers["idempotency-key"] != server.asked[1].headers["idempotency-key"]
    assert json.loads(server.asked[1].content)["session"] == "s_x", "the session that the first call opened"


def test_a_call_that_waits_for_people_is_waited_for(both: Callable[..., Both]) -> None:
    server = Server((202, WAITS), (202, WAITS), (200, DONE))
    assert both(server).do("call", "crm.get").ok
    assert server.lines == ["POST /v1/calls", "GET /v1/calls/1-0.s_x.c", "GET /v1/calls/1-0.s_x.c"]


def test_what_still_waits_after_the_timeout_is_no_error(both: Callable[..., Both]) -> None:
    server = Server((202, WAITS))
    outcome = both(server).do("submit", "crm.get")
    assert (outcome.answered, outcome.status) == (False, "waiting_for_approval")
    assert [one.headers["prefer"] for one in server.asked] == ["respond-async"]


def test_a_denial_is_an_outcome_and_only_its_value_raises(both: Callable[..., Both]) -> None:
    outcome: Outcome = both(Server((200, DENIED))).do("call", "crm.get")
    assert (outcome.ok, outcome.status, outcome.code, outcome.detail) == (
        False,
        "denied",
        "forbidden",
        "No policy allows it.",
    )
    with pytest.raises(NotCompleted, match="denied"):
        outcome.value()
    by_policy: Outcome = both(Server((200, DENIED | {"policies": ["p1", "p2"]}))).do("call", "crm.get")
    with pytest.raises(NotCompleted, match=r"No policy allows it. \(policies: p1, p2\)"):
        by_policy.value()


def test_what_the_reviewer_said_is_told(both: Callable[..., Both]) -> None:
    rejected = DENIED | {"status": "rejected", "detail": "A reviewer said no.", "reason": "not on a friday"}
    outcome: Outcome = both(Server((200, rejected))).do("call", "crm.get")
    assert (outcome.detail, outcome.reason) == ("A reviewer said no.", "not on a friday")
    with pytest.raises(NotCompleted, match=r"A reviewer said no. Reason: not on a friday"):
        outcome.value()


@pytest.mark.parametrize(
    "trouble",
    [httpx2.ConnectError("x"), httpx2.ReadTimeout("x"), (503, {"code": "broker_away", "detail": "d"}), (502, b"bad")],
)
def test_trouble_that_passes_is_tried_again_under_the_same_key(
    both: Callable[..., Both], trouble: Answer, pauses: list[float]
) -> None:
    server = Server(trouble, trouble, (200, DONE))
    assert both(server).do("call", "crm.get").ok
    assert len({one.headers["idempotency-key"] for one in server.asked}) == 1
    assert len(pauses) == 2
    assert 0 < pauses[0] < pauses[1]


def test_callgate_says_when_to_come_again(both: Callable[..., Both], pauses: list[float]) -> None:
    limited = 429, {"code": "rate_limited", "detail": "d"}, {"Retry-After": "7"}
    assert both(Server(limited, (200, DONE))).do("call", "crm.get").ok
    assert 7 <= pauses[0] < 8


def test_who_never_answers_is_unreachable_and_the_key_is_told(both: Callable[..., Both]) -> None:
    server = Server(httpx2.ConnectError("secret in the text"))
    with pytest.raises(Unreachable) as raised:
        both(server).do("call", "crm.get", idempotency_key="k-7")
    assert raised.value.idempotency_key == "k-7"
    assert "secret" not in str(raised.value)
    assert len(server.asked) == flows.TRIES


def test_a_refusal_is_not_tried_again(both: Callable[..., Both]) -> None:
    server = Server((422, {"code": "bad_function", "detail": "It must be `connection.name`."}))
    with pytest.raises(Problem) as raised:
        both(server).do("call", "nothing")
    assert (raised.value.status, raised.value.code, len(server.asked)) == (422, "bad_function", 1)


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, {"hello": "world"}), (404, b"not here"), (302, b"")])
def test_what_is_not_callgate_is_told_as_such(both: Callable[..., Both], answer: Answer) -> None:
    with pytest.raises(Exception, match="does not answer like Callgate"):
        both(Server(answer)).do("call", "crm.get")


def test_a_token_may_be_fresh_for_each_request(both: Callable[..., Both]) -> None:
    server = Server((200, DONE))
    client = both(server)
    client.client._token = iter(["a", "b"]).__next__
    client.do("call", "crm.get")
    client.do("wait", "1-0.s_x.c")
    assert [one.headers["authorization"] for one in server.asked] == ["Bearer a", "Bearer b"]


def test_the_calls_of_a_session_are_read_page_by_page(both: Callable[..., Both]) -> None:
    page = {"calls": [{**WAITS, "answered": False}], "next": "1-0.s_x.c"}
    last = {"calls": [{**DONE, "answered": True}], "next": None}
    server = Server((200, page), (200, last))
    found = both(server, session="run 7").do("calls")
    assert [(one.status, one.answered) for one in found] == [("waiting_for_approval", False), ("completed", True)]
    assert server.lines == ["GET /v1/calls?session=run%207", "GET /v1/calls?session=run%207&after=1-0.s_x.c"]


def _sent(sequence: int, name: str) -> bytes:
    return f'id: {sequence}\nevent: {name}\ndata: {{"event": "{name}"}}\n\n'.encode()


def test_events_are_followed_to_the_last_over_lost_connections(both: Callable[..., Both]) -> None:
    kind = {"Content-Type": "text/event-stream"}
    first = b"retry: 2000\n\n" + _sent(1, "requested") + b":\n\n" + _sent(2, "arguments_masked")
    server = Server(
        (200, first, kind), httpx2.ConnectError("gone"), (503, {"code": "broker_away"}), (200, _sent(3, "denied"), kind)
    )
    events = both(server).events("1-0.s_x.c")
    assert [(one.name, one.sequence) for one in events] == [("requested", 1), ("arguments_masked", 2), ("denied", 3)]
    assert [one.headers.get("last-event-id") for one in server.asked] == [None, "2", "2", "2"]


def test_events_go_on_with_a_new_token_once_one_counts_no_more(both: Callable[..., Both]) -> None:
    kind = {"Content-Type": "text/event-stream"}
    ended = b'event: unauthenticated\ndata: {"code": "expired"}\n\n'
    server = Server((200, _sent(1, "requested") + ended, kind), (200, _sent(2, "denied"), kind))
    assert [one.name for one in both(server).events("1-0.s_x.c")] == ["requested", "denied"]
    assert [one.headers.get("last-event-id") for one in server.asked] == [None, "1"]
    refused = Server((200, _sent(1, "requested") + ended, kind), (401, {"code": "expired", "detail": "It is over."}))
    with pytest.raises(Problem):
        both(refused).events("1-0.s_x.c")


@pytest.mark.parametrize("hold", [0.4, None])
def test_who_does_not_hold_a_request_is_not_asked_without_end(
    both: Callable[..., Both], pauses: list[float], monkeypatch: pytest.MonkeyPatch, hold: float | None
) -> None:
    monkeypatch.setattr(clients.time, "monotonic", lambda: sum(pauses))
    server = Server(*[(202, WAITS, {"Retry-After": "5"})] * 4, (200, DONE))
    outcome = both(server).do("call", "crm.get", timeout=hold)
    if hold is None:
        assert outcome.ok
        assert [5 <= pause < 5.5 for pause in pauses] == [True] * 4
    else:
        assert (outcome.answered, len(server.asked), pauses) == (False, 1, [hold])
        assert server.asked[0].headers["prefer"] == "wait=1", "less than a second is one"


def test_a_call_to_which_nothing_happens_is_followed_for_as_long_as_callgate_answers(
    both: Callable[..., Both], pauses: list[float]
) -> None:
    kind = {"Content-Type": "text/event-stream"}
    quiet: list[Answer] = [(200, b":\n\n", kind), httpx2.ReadError("cut off")]
    server = Server(*quiet * flows.TRIES, (200, _sent(1, "denied"), kind))
    assert [one.name for one in both(server).events("1-0.s_x.c")] == ["denied"]
    assert min(pauses) > 0


def test_tool_calls_that_nobody_answered_can_be_run_again_under_their_key(both: Callable[..., Both]) -> None:
    answer = {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "crm-get", "arguments": "{}"}}]}
    gone: list[Answer] = [httpx2.ReadError("gone")] * flows.TRIES
    server = Server((200, {"tools": []}), *gone, (200, {"messages": [{"role": "tool"}], "session": "s_x"}))
    client = both(server)
    tools = client.do("tools", "openai")

    def run(**more: Any) -> Any:
        made = tools.run(answer, **more)
        return made if client.kind == "sync" else asyncio.run(client._await(made))

    with pytest.raises(Unreachable) as raised:
        run()
    assert run(idempotency_key=raised.value.idempotency_key) == [{"role": "tool"}]
    assert len({one.headers["idempotency-key"] for one in server.asked[1:]}) == 1


def test_events_of_a_strange_call_are_a_problem(both: Callable[..., Both]) -> None:
    with pytest.raises(Problem, match="unknown_call"):
        both(Server((404, {"code": "unknown_call", "detail": "There is no such call of yours."}))).events("x")


def test_the_last_events_are_those_of_the_contract() -> None:
    assert LAST == TERMINAL


def test_importing_it_loads_nothing_of_the_services() -> None:
    """Agents' processes pay for what they import, and may not have the rest installed."""
    heavy = ("nats", "fastapi", "starlette", "pydantic", "faststream", "aiohttp", "contracts", "services", "mcp")
    code = f"import sys, callgate.client; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize("url", ["127.0.0.1:8080", "localhost:8080", "http://", "", "ftp://callgate.test"])
def test_an_address_that_is_none_is_refused_at_once(kind: type[Client | AsyncClient], url: str) -> None:
    with pytest.raises(CallgateError, match="must be http://host:port or https://host"):
        kind(url, "token-1")
