"""Every error is a problem document, and none carries a text that is not ours."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict

from callgate.errors import BrokerAway, Fatal, Rejected, Retryable
from callgate.http import PROBLEM, Problem, create_app, json_response, straight
from callgate.identity.errors import Refusal, Unauthenticated
from callgate.service import Service
from callgate.telemetry import REQUESTS
from contracts.identity import Role

SECRET = "4111111111111111"


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    amount: int


def routes() -> APIRouter:
    router = APIRouter()

    @router.get("/things/{thing}")
    async def thing(thing: int) -> Any:
        return json_response({"thing": thing})

    @router.delete("/things/{thing}")
    async def drop(thing: int) -> Any:
        return json_response({"thing": thing})

    @router.post("/things")
    async def make(body: Body) -> Any:
        return json_response({"amount": body.amount}, 201)

    @router.get("/crash")
    async def crash() -> None:
        raise ValueError(SECRET)

    @router.get("/rejected")
    async def rejected() -> None:
        raise Rejected("never", SECRET)

    @router.get("/away")
    async def away() -> None:
        raise BrokerAway

    @router.get("/problem")
    async def problem() -> None:
        raise Problem(409, "taken", "Take another.", {"Retry-After": "9"}, {"which": "this"})

    return router


class Ready:
    waits_for: str | None = None


@pytest.fixture
def ready() -> Ready:
    return Ready()


@pytest.fixture
async def client(ready: Ready) -> AsyncIterator[httpx.AsyncClient]:
    services = [
        Service(Role.POLICY, routers=(routes(),), ready=lambda: ready.waits_for),
        Service(Role.AUDIT),
    ]
    # As a server sees it: what escapes the application would be raised here.
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://callgate.test") as client:
        yield client


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == PROBLEM
    assert SECRET not in answer.text
    body: dict[str, Any] = answer.json()
    assert body["type"] == f"https://callgate.dev/problems/{code}"
    assert (body["status"], body["code"]) == (status, code)
    assert body["title"]
    assert body["detail"]
    return body


async def test_what_is_not_there(client: httpx.AsyncClient) -> None:
    problem(await client.get(f"/{SECRET}"), 404, "not_found")


async def test_another_method(client: httpx.AsyncClient) -> None:
    answer = await client.put("/things")
    body = problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    assert body["detail"] == "This path takes POST only."


async def test_another_method_than_the_several_of_a_path(client: httpx.AsyncClient) -> None:
    answer = await client.patch("/things/1")
    assert problem(answer, 405, "method_not_allowed")["detail"] == "This path takes DELETE, GET only."
    assert answer.headers["allow"] == "DELETE, GET"


async def test_a_problem_ends_its_line(client: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/problem", "/away", "/crash"):
        assert (await client.get(path)).text.endswith("}\n")


@pytest.mark.parametrize(
    ("code", "says", "detail", "challenge"),
    [
        (Refusal.MISSING_TOKEN, "send a token", "Send a token.", "Bearer"),
        (
            Refusal.EXPIRED,
            "the token has expired",
            "The token has expired. Send the header `Authorization: Bearer <token>` with a valid one.",
            'Bearer error="invalid_token"',
        ),
    ],
)
async def test_who_is_not_known_is_told_which_header(code: Refusal, says: str, detail: str, challenge: str) -> None:
    router = APIRouter()

    @router.get("/mine")
    async def mine() -> None:
        raise Unauthenticated(code, says)

    transport = httpx.ASGITransport(create_app([Service(Role.POLICY, routers=(router,))]))
    async with httpx.AsyncClient(transport=transport, base_url="http://callgate.test") as client:
        answer = await client.get("/mine")
    assert problem(answer, 401, code)["detail"] == detail
    assert answer.headers["www-authenticate"] == challenge


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"amount": SECRET + "x"}},
        {"json": {"amount": 1, "extra": SECRET}},
        {"json": [SECRET]},
        {"json": {}},
        {"content": b"{" + SECRET.encode(), "headers": {"content-type": "application/json"}},
        {"content": SECRET.encode()},
        {"content": b"\xff\xfe", "headers": {"content-type": "application/json"}},
        {},
    ],
)
async def test_another_shape(client: httpx.AsyncClient, sent: dict[str, Any]) -> None:
    body = problem(await client.post("/things", **sent), 422, "invalid_request")
    assert all(set(error) == {"at", "problem"} for error in body["errors"])


async def test_a_wrong_parameter(client: httpx.AsyncClient) -> None:
    body = problem(await client.get(f"/things/x{SECRET}"), 422, "invalid_request")
    assert body["errors"] == [{"at": "path/thing", "problem": "int_parsing"}]


@pytest.mark.parametrize("path", ["/crash", "/rejected"])
async def test_a_fault_of_ours_shows_nothing(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    problem(await client.get(path), 500, "internal_error")
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "callgate.http"
    assert "test_http.py" in record.__dict__["error"]
    assert SECRET not in caplog.text
    assert SECRET not in json.dumps(record.__dict__, default=str)


async def test_a_broker_that_is_away(client: httpx.AsyncClient) -> None:
    answer = await client.get("/away")
    problem(answer, 503, "broker_away")
    assert answer.headers["retry-after"] == "2"


async def test_a_problem_of_a_service(client: httpx.AsyncClient) -> None:
    answer = await client.get("/problem")
    assert problem(answer, 409, "taken")["which"] == "this"
    assert answer.headers["retry-after"] == "9"


async def test_health_is_of_every_service(client: httpx.AsyncClient, ready: Ready) -> None:
    answer = await client.get("/health")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ok", "services": {"policy": "ok", "audit": "ok"}}
    ready.waits_for = "no policies yet"
    answer = await client.get("/health")
    assert answer.status_code == 503
    assert answer.json() == {"status": "waiting", "services": {"policy": "no policies yet", "audit": "ok"}}


def counted(route: str, status: int) -> float:
    return float(REQUESTS.labels("http", route, str(status))._value.get())


async def test_requests_are_counted_by_route_and_never_by_path(client: httpx.AsyncClient) -> None:
    before = counted("/things/{thing}", 200), counted("/crash", 500), counted("none", 404)
    await client.get("/things/42")
    await client.get("/crash")
    await client.get(f"/{SECRET}")
    assert (counted("/things/{thing}", 200), counted("/crash", 500), counted("none", 404)) == tuple(
        n + 1 for n in before
    )
    metrics = await client.get("/metrics")
    assert "callgate_http_requests_total" in metrics.text
    assert SECRET not in metrics.text


@pytest.mark.parametrize(
    ("peer", "status"),
    [("127.0.0.1", 200), ("127.8.8.8", 200), ("::1", 200), ("10.0.0.7", 403), ("2001:db8::1", 403), ("elsewhere", 403)],
)
async def test_metrics_are_for_this_machine(peer: str, status: int) -> None:
    transport = httpx.ASGITransport(create_app([]), client=(peer, 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://callgate.test") as client:
        answer = await client.get("/metrics")
    assert answer.status_code == status
    if status == 403:
        problem(answer, 403, "metrics_are_local")


async def test_metrics_for_everyone_where_that_is_said() -> None:
    transport = httpx.ASGITransport(create_app([], metrics_for_everyone=True), client=("10.0.0.7", 50000))
    async with httpx.AsyncClient(transport=transport, base_url="http://callgate.test") as client:
        assert (await client.get("/metrics")).status_code == 200


async def test_what_is_fatal_in_a_request_reaches_the_host_and_what_may_work_later_is_a_503() -> None:
    router = APIRouter()

    @router.get("/fatal")
    async def fatal() -> None:
        raise Fatal("key_retired", "restart it")

    @router.get("/later")
    async def later() -> None:
        raise Retryable("sealing_key_away", "give it the new ones")

    stopped: list[Fatal] = []
    app = create_app([Service(Role.INGRESS, routers=(router,))], on_fatal=stopped.append)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        answer = await http.get("/later")
        assert (answer.status_code, answer.json()["code"]) == (503, "sealing_key_away")
        assert stopped == []
        answer = await http.get("/fatal")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert [error.code for error in stopped] == ["key_retired"]


@pytest.mark.parametrize("shortcut", [False, True])
async def test_a_straight_endpoint_answers_as_any_other(shortcut: bool, caplog: pytest.LogCaptureFixture) -> None:
    router, failures = (
        APIRouter(),
        iter([None, Problem(409, "taken", "x"), BrokerAway(), HTTPException(404), ValueError()]),
    )
    marked: Any = straight if shortcut else lambda endpoint: endpoint

    @router.post("/v1/asked", openapi_extra={"x-of": "it"})
    @marked  # type: ignore[untyped-decorator]
    async def asked(request: Request) -> Response:
        failure = next(failures)
        if failure is not None:
            raise failure
        assert ("route" in request.scope) is not shortcut  # FastAPI was, or was not, there
        return json_response({"body": (await request.body()).decode(), "query": request.query_params["a"]}, 201)

    app = create_app([Service(Role.INGRESS, routers=(router,))])
    before = counted("/v1/asked", 201), counted("/v1/asked", 500)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        answer = await http.post("/v1/asked?a=b", content=b"text")
        assert (answer.status_code, answer.json()) == (201, {"body": "text", "query": "b"})
        problem(await http.post("/v1/asked"), 409, "taken")
        problem(await http.post("/v1/asked"), 503, "broker_away")
        problem(await http.post("/v1/asked"), 404, "not_found")
        problem(await http.post("/v1/asked"), 500, "internal_error")
        problem(await http.get("/v1/asked"), 405, "method_not_allowed")
        assert (await http.get("/openapi.json")).json()["paths"]["/v1/asked"]["post"]["x-of"] == "it"
    assert (counted("/v1/asked", 201), counted("/v1/asked", 500)) == (before[0] + 1, before[1] + 1)
    assert [record.name for record in caplog.records if record.levelno == logging.ERROR] == ["callgate.http"]
