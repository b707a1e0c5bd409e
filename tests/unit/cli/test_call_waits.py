"""`callgate call` and `callgate watch` against a Callgate in memory: what is told meanwhile, and of what came of it."""

import json
from typing import Any

import httpx2
import pytest

from callgate.client import Client
from callgate.errors import CallgateError
from cli import calling
from cli.arguments import Given

NEED = {"groups": ["sre"], "policies": ["big"], "quorum": 2, "each": False, "missing": 2}
BASE = {"id": "1-0.s_x.c", "session": "s_x", "function": "deploys.start"}
DONE = {**BASE, "status": "completed", "result": {"status": 200, "body": {"ok": 1}}}
NOTHING = Given((), None)


def waiting(missing: int) -> dict[str, Any]:
    approvals = {"requirements": [NEED | {"missing": missing}], "expires_at": "2026-01-02T03:04:05Z"}
    return {**BASE, "status": "waiting_for_approval", "approvals": approvals}


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


CLOCK = Clock()


class Server:
    """Answers in the order given, what goes on after it was held for as long as that was asked for; an exception stands
    for one that is raised while somebody waits."""

    def __init__(self, *answers: tuple[int, Any] | BaseException) -> None:
        self.answers = list(answers)
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        if answer[0] == 202:
            CLOCK.sleep(float(request.headers["Prefer"].removeprefix("wait=")))
        return httpx2.Response(answer[0], json=answer[1])


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("callgate.client.clients.time", CLOCK)


def call(server: Server, *, key: str | None = None, as_json: bool = False, given: Given = NOTHING) -> int:
    callgate = Client("http://callgate.test", "t", transport=httpx2.MockTransport(server))
    return calling.call(callgate, "deploys.start", given, None, key, as_json=as_json)


def test_a_call_that_waits_says_how_it_stands_and_each_change_once(capsys: pytest.CaptureFixture[str]) -> None:
    server = Server((202, waiting(2)), (202, waiting(2)), (202, waiting(1)), (200, DONE))
    assert call(server, as_json=True) == 0
    shown = capsys.readouterr()
    stands = "waiting for approval by sre, {} of 2, until 2026-01-02 03:04:05 UTC"
    first = stands.format(0) + "; Ctrl-C leaves it running: callgate watch 1-0.s_x.c"
    assert shown.err.splitlines() == [first, stands.format(1)]
    assert json.loads(shown.out) == DONE  # standard output is for the answer alone
    assert [one.method for one in server.asked] == ["POST", "GET", "GET", "GET"]


def test_each_of_several_groups_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    stands = waiting(3)
    stands["approvals"]["requirements"][0] |= {"groups": ["sre", "fin\x1b"], "each": True, "quorum": 2}
    call(Server((202, stands), (200, DONE)))
    assert "by sre and fin\\x1b, 1 of 4, until" in capsys.readouterr().err


def test_a_call_that_is_over_at_once_says_nothing_beside(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(Server((200, DONE))) == 0
    assert capsys.readouterr().err == ""


def test_ctrl_c_says_how_to_take_the_call_up(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        call(Server((202, waiting(2)), KeyboardInterrupt()))
    assert ended.value.code == calling.GOES_ON
    assert capsys.readouterr().err.endswith("it goes on: `callgate watch 1-0.s_x.c` takes it up\n")


def test_ctrl_c_before_it_is_recorded_names_the_key() -> None:
    server = Server(KeyboardInterrupt())
    with pytest.raises(CallgateError, match="the same command with --key") as ended:
        call(server)
    assert server.asked[0].headers["Idempotency-Key"] in ended.value.detail


def test_a_call_that_nobody_answers_names_the_key() -> None:
    with pytest.raises(CallgateError, match="same command with --key k1 runs nothing twice"):
        call(Server(*[httpx2.ConnectError("")] * 6), key="k1")


@pytest.mark.parametrize(
    ("result", "lines"),
    [
        ({"status": 204, "body": None}, ["completed  deploys.start  1-0.s_x.c"]),
        ({"status": 404, "body": {}}, ["completed, the function answered 404  deploys.start  1-0.s_x.c", "  {}"]),
    ],
)
def test_the_function_own_status_and_no_bare_null(
    result: dict[str, Any], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(Server((200, DONE | {"result": result}))) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_a_denial_names_its_policies(capsys: pytest.CaptureFixture[str]) -> None:
    denied = {**BASE, "status": "denied", "code": "forbidden", "detail": "No.", "policies": ["p1", "p\x1b2"]}
    assert call(Server((200, denied))) == 1
    assert capsys.readouterr().out.splitlines()[1:] == ["  No.", "  by p1, p\\x1b2"]


def test_a_rejection_has_what_the_reviewer_said(capsys: pytest.CaptureFixture[str]) -> None:
    said = "A reviewer said no; it was not run."
    assert call(Server((200, {**BASE, "status": "rejected", "detail": said, "reason": "not on a\nfriday"}))) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [f"  {said}", "  reason: not on a\\nfriday"]


NAMES = ("crm.read", "deploys.start_all", "x.deploys")
FUNCTIONS: dict[str, Any] = {"functions": [{"name": name, "input": {}} for name in NAMES]}
UNKNOWN = {**BASE, "function": "unknown", "status": "denied", "code": "unknown_function", "detail": "None such."}


@pytest.mark.parametrize("pairs", [(), ("a=1",)])
def test_a_mistyped_name_is_answered_with_one_that_is_like_it(
    pairs: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    answers = [(200, FUNCTIONS), (200, UNKNOWN)]
    server = Server(*(answers if pairs else answers[::-1]))
    assert call(server, given=Given(pairs, None)) == 1
    assert capsys.readouterr().err == "did you mean deploys.start_all?\n"
    assert len(server.asked) == 2  # the functions are asked for once


def test_a_name_that_is_none_is_answered_with_one_that_ends_so() -> None:
    problem = {"code": "bad_function", "detail": "It must be connection.name"}
    server = Server((422, problem), (200, FUNCTIONS))
    callgate = Client("http://callgate.test", "t", transport=httpx2.MockTransport(server))
    with pytest.raises(CallgateError, match=r"; did you mean crm\.read\?"):
        calling.call(callgate, "read", NOTHING, None, None, as_json=False)
