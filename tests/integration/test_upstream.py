"""The demo upstream over real HTTP, and the runner's outcomes against what the upstream says has happened."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contracts.functions import Catalog, Credential, FunctionSpec, HttpConnection
from examples.upstream import server
from examples.upstream_ledger import Ledger, journalled_executions
from services.executor.credentials import read_credential
from services.executor.http import HttpRunner
from services.executor.outcomes import Completed, Outcome, Unknown
from services.executor.request import build_request

TOKEN = "upstream-token-7b1e"
REFUND = {"amount": 40, "currency": "USD", "card_number": "4000001234567899"}


def _object(*names: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {} for name in names}, "required": list(names)}


def connection(url: str) -> HttpConnection:
    return HttpConnection.model_validate(
        {
            "base_url": url,
            "credential": {"env": "UPSTREAM_TOKEN"},
            "functions": {
                "customer": {"method": "GET", "path": "/customers/{id}", "input": _object("id")},
                "export": {"path": "/customers/export", "input": _object("limit")},
                "refund": {"path": "/refunds", "input": _object(*REFUND)},
                "deploy": {"path": "/deployments", "input": _object("service", "environment", "version")},
                "firewall": {"path": "/firewall/rules", "input": _object("rule", "action")},
                "echo": {"path": "/echo"},
                "ping": {"method": "GET", "path": "/ping"},
            },
        }
    )


class Bench:
    """An upstream, a runner, and calls from one to the other by the function's name."""

    def __init__(self, url: str, runner: HttpRunner, http: aiohttp.ClientSession) -> None:
        self.url, self._runner, self._http = url, runner, http
        self._connection = connection(url)
        self._catalog = Catalog({"up": self._connection})

    async def call(self, name: str, arguments: dict[str, Any], key: str = "k", **options: Any) -> Outcome:
        function = self._catalog.get(f"up.{name}")
        assert function is not None
        assert isinstance(function.spec, FunctionSpec)
        return await self._runner.run(
            build_request(self._connection, function.spec, arguments),
            credential=read_credential(Credential(env="T"), {"T": options.get("token", TOKEN)}),
            idempotency_key=key,
            deadline_seconds=options.get("deadline", 10.0),
            response_limit=1024 * 1024,
        )

    async def ok(self, name: str, arguments: dict[str, Any]) -> Any:
        outcome = await self.call(name, arguments)
        assert isinstance(outcome, Completed)
        assert outcome.status in (200, 201)
        return json.loads(outcome.body)

    async def behave(self, route: str, mode: str, **options: Any) -> None:
        behaviour = {"route": route, "mode": mode, **options}
        async with self._http.post(self.url + "/_test/behave", json=behaviour) as response:
            assert response.status == 200

    async def seen(self) -> dict[str, Any]:
        async with self._http.get(self.url + "/_seen") as response:
            seen: dict[str, Any] = await response.json()
            return seen


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    uvicorn = server(TOKEN, Ledger())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        serving = asyncio.create_task(uvicorn.serve(sockets=[listener]))
        async with HttpRunner() as runner, aiohttp.ClientSession() as http:
            yield Bench(url, runner, http)
        uvicorn.should_exit = True
        await serving


async def test_customer_has_something_to_mask_and_something_to_keep(bench: Bench) -> None:
    customer = await bench.ok("customer", {"id": "c42"})
    assert set(customer) == {"id", "name", "email", "ssn", "card_number", "plan", "balance", "orders"}
    digits = [int(d) for d in reversed(customer["card_number"])]
    assert len(digits) == 16
    assert sum(d if i % 2 == 0 else sum(divmod(2 * d, 10)) for i, d in enumerate(digits)) % 10 == 0


@pytest.mark.parametrize("number", ["0", "5001", "c", "x", "c42/orders"])
async def test_unknown_customer(bench: Bench, number: str) -> None:
    outcome = await bench.call("customer", {"id": number})
    assert isinstance(outcome, Completed)
    assert outcome.status == 404
    assert (await bench.seen())["executed"] == {}


async def test_every_route(bench: Bench) -> None:
    assert len((await bench.ok("export", {"limit": 3}))["customers"]) == 3
    assert (await bench.ok("refund", REFUND))["status"] == "accepted"
    deployment = {"service": "shop", "environment": "production", "version": "1.2"}
    assert (await bench.ok("deploy", deployment)).items() >= deployment.items()
    assert (await bench.ok("firewall", {"rule": "any:any", "action": "allow"}))["status"] == "applied"
    assert await bench.ok("echo", {"a": [1, 2.5, "ü"]}) == {"a": [1, 2.5, "ü"]}
    assert await bench.ok("ping", {}) == {"pong": True}
    counts = dict.fromkeys(
        ["POST /customers/export", "POST /refunds", "POST /deployments", "POST /firewall/rules", "POST /echo"], 1
    )
    assert (await bench.seen())["executed"] == counts | {"GET /ping": 1}


async def test_what_it_has_seen(bench: Bench) -> None:
    await bench.call("refund", REFUND, "k1")
    await bench.call("refund", REFUND, "k1")
    await bench.call("refund", {**REFUND, "currency": "?"}, "k2")
    wrong = await bench.call("refund", REFUND, "k3", token="wrong")
    assert isinstance(wrong, Completed)
    assert wrong.status == 401
    seen = await bench.seen()
    assert seen["refused"] == 1
    assert seen["arrived"] == {"POST /refunds": 3}
    assert seen["executed"] == {"POST /refunds": 2}
    assert seen["idempotency_keys"] == {"k1": 2, "k2": 1}
    assert seen["executions"] == {"k1": 2}
    last = seen["last"]["POST /refunds"]
    assert json.loads(last["body"]) == {**REFUND, "currency": "?"}
    assert last["authorization_last4"] == TOKEN[-4:]


@pytest.mark.parametrize(("mode", "executed"), [("drop_before", {}), ("drop_after", {"k": 1})])
async def test_dropped_connection_is_unknown_whether_it_was_executed_or_not(
    bench: Bench, mode: str, executed: dict[str, int]
) -> None:
    await bench.behave("POST /refunds", mode)
    assert isinstance(await bench.call("refund", REFUND), Unknown)
    seen = await bench.seen()
    assert (seen["idempotency_keys"], seen["executions"]) == ({"k": 1}, executed)


@pytest.mark.parametrize("mode", ["drop_before", "drop_after"])
async def test_idempotent_method_on_a_kept_connection_is_not_repeated(bench: Bench, mode: str) -> None:
    await bench.ok("customer", {"id": "c1"})
    await bench.behave("GET /customers/{id}", mode)
    assert isinstance(await bench.call("customer", {"id": "c1"}, "k2"), Unknown)
    assert (await bench.seen())["idempotency_keys"] == {"k": 1, "k2": 1}


async def test_slow_answer_is_unknown_and_was_executed(bench: Bench) -> None:
    await bench.behave("POST /refunds", "slow", seconds=30)
    assert await bench.call("refund", REFUND, deadline=0.3) == Unknown("timeout")
    assert (await bench.seen())["executions"] == {"k": 1}


async def test_slow_answer_in_time_is_an_answer(bench: Bench) -> None:
    await bench.behave("POST /refunds", "slow", seconds=0.2)
    outcome = await bench.call("refund", REFUND)
    assert isinstance(outcome, Completed)
    assert outcome.status == 201
    assert outcome.duration_ms >= 200


async def test_failures_are_answers(bench: Bench) -> None:
    await bench.behave("POST /refunds", "status", status=503)
    await bench.behave("POST /refunds", "echo_error", status=400)
    await bench.behave("POST /refunds", "redirect", location=f"{bench.url}/ping")
    await bench.behave("POST /refunds", "huge", size=2_000_000)
    outcomes = [await bench.call("refund", REFUND) for _ in range(5)]
    assert [o.status for o in outcomes if isinstance(o, Completed)] == [503, 400, 307, 200, 201]
    assert [o.truncated for o in outcomes if isinstance(o, Completed)] == [False, False, False, True, False]
    assert isinstance(outcomes[1], Completed)
    assert b"4000001234567899" in outcomes[1].body
    seen = await bench.seen()
    assert seen["executed"] == {"POST /refunds": 2}  # the huge one and the last


async def test_journal_survives_a_kill(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    upstream = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "examples.upstream", "--port", "0", "--journal", str(journal)],
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "UPSTREAM_TOKEN": TOKEN},
    )
    try:
        assert upstream.stdout is not None
        url = (await upstream.stdout.readline()).decode().removeprefix("listening on ").strip()
        async with HttpRunner() as runner, aiohttp.ClientSession() as http:
            bench = Bench(url, runner, http)
            for key in ("a", "b", "a"):
                await bench.call("refund", REFUND, key)
            await bench.call("refund", {**REFUND, "amount": -1}, "refused")
    finally:
        with contextlib.suppress(ProcessLookupError):
            upstream.kill()
        await upstream.wait()
    assert journalled_executions(journal) == {"a": 2, "b": 1}
    with journal.open("ab") as file:
        file.write(b'{"route": "POST /re')
    assert journalled_executions(journal) == {"a": 2, "b": 1}
    assert journalled_executions(tmp_path / "none") == {}
