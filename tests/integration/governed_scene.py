"""A whole deployment in one process: every service, a token issuer, and an upstream that counts and misbehaves."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from deployment import Deployment, running_deployment
from doors import bearer, serving, token_issuer, trusting

from callgate.platform import Platform
from callgate.telemetry import ALIENS
from cli.composition import SERVICES, builder
from cli.dev_issuer import DevIssuer
from contracts.events import Recorded
from contracts.identity import Role
from contracts.lifecycle import Call
from contracts.records import PolicySetPublished
from contracts.subjects import CONTROL, POLICY_SET_SUBJECT, CallRef, Partition
from examples.upstream import server
from examples.upstream_ledger import Behaviour, Ledger, Mode

T = TypeVar("T")

TOKEN = "governed-upstream-token-5c1d"
CARD = "4111111111111111"
PAY: dict[str, Any] = {"currency": "USD", "card_number": CARD}
SKEW = 0.3
PAY_ROUTE, LOOK_ROUTE = "POST /refunds", "GET /customers/{id}"
POLICIES = """
@id("bots-look") permit(principal in Group::"support-bots", action == Action::"shop.look", resource);
@id("bots-pay") permit(principal in Group::"support-bots",
  action in [Action::"shop.pay", Action::"shop.quick_pay"], resource);
@id("bots-echo") permit(principal in Group::"support-bots", action == Action::"shop.echo", resource);
@id("bots-count") permit(principal in Group::"support-bots", action == Action::"shop.count", resource);
@id("bots-proxied") permit(principal in Group::"support-bots", action in Action::"tag:proxied", resource);
@id("bots-charge") permit(principal in Group::"support-bots", action == Action::"shop.charge", resource);

@id("large-needs-finance") @approvers("finance") @expires("5m")
forbid(principal, action == Action::"shop.pay", resource)
unless { context.approved || context.input.amount.lessThanOrEqual(decimal("100.0")) };

@id("never") forbid(principal, action == Action::"shop.wall", resource);

@id("large-transfers") @approvers("finance") @expires("5m")
forbid(principal, action == Action::"api.transfer", resource)
unless { context.approved || context.input.amount.lessThanOrEqual(decimal("100.0")) };

@id("none-to-mars") forbid(principal, action == Action::"api.transfer", resource)
when { context.input.account == "mars" };

@id("too-much") forbid(principal, action == Action::"shop.count", resource)
when { context.input.number * 10000 > 1 };

@id("finance-approves") permit(principal in Group::"finance",
  action in [Action::"approve", Action::"settle"], resource);
"""


def _object(**properties: str) -> dict[str, Any]:
    typed = {name: {"type": kind} for name, kind in properties.items()}
    return {"type": "object", "properties": typed, "required": list(properties), "additionalProperties": False}


def _charge() -> dict[str, Any]:
    properties = {
        "card_number": {"type": "string", "pattern": "^[0-9]{16}$", "x-callgate-mask": "CREDIT_CARD"},
        "account": {"type": "integer", "x-callgate-accepts": ["CREDIT_CARD"]},
        "webhook_url": {"type": "string"},
        "note": {"type": "string"},
    }
    output = {"properties": {"note": {"x-callgate-mask": "PERSON"}}}
    arguments = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"path": "/echo", "input": arguments, "output": output}


def _connections(url: str, token: Path) -> dict[str, Any]:
    payment = _object(amount="number", currency="string", card_number="string")
    return {
        "shop": {
            "base_url": url,
            "timeout": 10.0,
            "credential": {"kind": "bearer", "file": str(token)},
            "functions": {
                "look": {"path": "/customers/{id}", "method": "GET", "idempotent": True, "input": _object(id="string")},
                "pay": {"path": "/refunds", "input": payment},
                "quick_pay": {"path": "/refunds", "input": payment, "timeout": 0.8},
                "echo": {"path": "/echo", "idempotent": True, "input": _object(text="string", card="string")},
                "count": {"path": "/echo", "input": _object(number="integer")},
                "charge": _charge(),
                "wall": {"path": "/firewall/rules", "input": _object(rule="string", action="string")},
            },
        },
        "api": _proxied(url, token),
    }


def _proxied(url: str, token: Path) -> dict[str, Any]:
    """The connection that is served at `/proxy/api/`."""
    search = {
        "type": "object",
        "properties": {
            "q": {"type": "string"},
            "limit": {"type": "integer"},
            "exact": {"type": "boolean"},
            "price": {"type": "number"},
            "tag": {"type": "array", "items": {"type": "string"}},
            "either": {"type": ["string", "integer"]},
        },
        "additionalProperties": False,
    }
    note = _object(id="string", text="string")
    functions: dict[str, Any] = {
        "customer": {"method": "GET", "path": "/customers/{id}", "input": _object(id="string")},
        "export": {"path": "/customers/export", "input": _object(limit="integer")},
        "search": {"method": "GET", "path": "/search", "input": search},
        "transfer": {"path": "/accounts/{account}/transfers", "input": _object(account="string", amount="number")},
        "replace": {"method": "PUT", "path": "/notes/{id}", "input": note},
        "remove": {"method": "DELETE", "path": "/notes/{id}", "input": _object(id="string")},
        "form": {"path": "/form", "input": search, "content": "application/x-www-form-urlencoded"},
        "text": {"path": "/text/{id}", "input": note, "content": "text/plain"},
        "patch": {"method": "PATCH", "path": "/echo", "input": note, "content": "application/merge-patch+json"},
        "anything": {"path": "/anything", "input": {"type": "object"}},
    }
    return {
        "base_url": url,
        "timeout": 10.0,
        "proxy": {"env": ["API_BASE_URL"]},
        "headers": {"Api-Version": "2026-01-31"},
        "credential": {"kind": "bearer", "file": str(token)},
        "functions": {name: one | {"tags": ["proxied"]} for name, one in functions.items()},
    }


class WatchedLedger(Ledger):
    """A ledger on which a test can wait for requests."""

    def __init__(self) -> None:
        super().__init__()
        self._came = asyncio.Event()

    def arrive(self, route: str, key: str | None, request: dict[str, Any]) -> None:
        super().arrive(route, key, request)
        self._came.set()

    async def until_arrived(self, keys: Iterable[str]) -> None:
        """Requests with all of these idempotency keys."""
        wanted = set(keys)
        async with asyncio.timeout(30):
            while not wanted <= self.keys_arrived.keys():
                self._came.clear()
                await self._came.wait()


@contextlib.asynccontextmanager
async def upstream() -> AsyncIterator[tuple[str, WatchedLedger]]:
    """The demo upstream on a free port, and what it remembers."""
    ledger = WatchedLedger()
    listener = socket.create_server(("127.0.0.1", 0))
    running = server(TOKEN, ledger)
    task = asyncio.create_task(running.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", ledger
    finally:
        running.should_exit = running.force_exit = True
        await task


async def eventually(check: Callable[[], Awaitable[T | None]]) -> T:
    """What `check` gives once it gives something, for what tells of no event."""
    async with asyncio.timeout(30):
        while (found := await check()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return found


def alarms(role: Role, code: str) -> float:
    """What `/metrics` says of the aliens that a service of this process met."""
    value: float = ALIENS.labels(role, code)._value.get()
    return value


@dataclass
class Governed:
    """`log` reads as audit does. `call` is what an agent does."""

    here: Deployment
    folder: Path
    issuer: DevIssuer
    url: str
    http: aiohttp.ClientSession
    ledger: WatchedLedger
    audit: Platform

    async def request(self, method: str, path: str, who: str = "support-bot", **more: Any) -> tuple[int, Any]:
        headers = {**bearer(self.issuer, who), **more.pop("headers", {})}
        async with self.http.request(method, f"{self.url}{path}", headers=headers, **more) as response:
            return response.status, json.loads(await response.read())

    async def call(self, function: str, wait: float = 20, **arguments: Any) -> Any:
        """The outcome document of a call that ended within `wait`, or of one that was just asked for."""
        body = {"function": function, "arguments": arguments}
        status, document = await self.request("POST", "/v1/calls", json=body, headers={"Prefer": f"wait={wait}"})
        assert status == (200 if wait else 202), document
        return document

    async def outcome(self, ref: CallRef) -> Any:
        status, document = await self.request("GET", f"/v1/calls/{ref}", headers={"Prefer": "wait=25"})
        assert status == 200, document
        return document

    async def vote(self, ref: CallRef, who: str, decision: str = "approve", **more: Any) -> Any:
        """The reviewer's vote, as soon as the call waits for one."""
        digest = (await self.until(ref, "approval_required")).digest
        ballot = {"decision": decision, "digest": digest, **more}
        status, answer = await self.request("POST", f"/v1/approvals/{ref}/votes", who, json=ballot)
        assert status == 201, answer
        return answer

    async def until(self, ref: CallRef, *names: str) -> Recorded:
        """The first event of these names on the call."""
        async with asyncio.timeout(30):
            async for recorded in self.audit.log.follow(ref.partition):
                if isinstance(recorded, Recorded) and recorded.ref == ref and recorded.name in names:
                    return recorded
        raise AssertionError("following a log does not end")

    async def chain(self, ref: CallRef | str) -> Call:
        return (await self.audit.log.read(CallRef.parse(ref) if isinstance(ref, str) else ref)).call

    async def names(self, ref: CallRef | str) -> list[str]:
        return [recorded.name for recorded in (await self.chain(ref)).chain]

    def misbehave(self, route: str, mode: Mode, **more: Any) -> None:
        self.ledger.misbehave(Behaviour(route=route, mode=mode, **more))

    async def use_policies(self, text: str) -> None:
        """Replaces the file as an operator would, and waits until the new set is published."""
        written = self.folder / "policies" / "new"
        written.write_text(text)
        os.replace(written, self.folder / "policies" / "calls.cedar")  # noqa: PTH105

        async def published() -> bool | None:
            standing = await self.audit.records.last(CONTROL, POLICY_SET_SUBJECT)
            assert standing is not None
            assert isinstance(standing.data, PolicySetPublished)
            return standing.data.files == {"calls.cedar": text} or None

        await eventually(published)

    async def metrics(self) -> str:
        async with self.http.get(f"{self.url}/metrics") as response:
            return await response.text()

    @property
    def partitions(self) -> Sequence[Partition]:
        return self.audit.partitions


@contextlib.asynccontextmanager
async def governed(
    folder: Path,
    *,
    replicas: dict[Role, int] | None = None,
    roles: Sequence[Role] = SERVICES,
    name: str = "test",
    policies: str = POLICIES,
    **overrides: Any,
) -> AsyncIterator[Governed]:
    """Everything, healthy. `replicas` for more than one of a service without a door, `overrides` as callgate.yaml."""
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        issuer = await enter(token_issuer(folder))
        upstream_url, ledger = await enter(upstream())
        (folder / "policies").mkdir()
        (folder / "policies" / "calls.cedar").write_text(policies)
        (folder / "upstream.token").write_text(TOKEN)
        settings = {
            "identity": trusting(issuer),
            "policy": {"folder": folder / "policies", "check_every": 0.05},
            "executor": {"clock_skew": SKEW},
            "connections": _connections(upstream_url, folder / "upstream.token"),
            **overrides,
        }
        here = await enter(running_deployment(folder, name, settings))
        parts = [(role, builder(role)) for role in roles for _ in range((replicas or {}).get(role, 1))]
        url = await enter(serving(here, *parts))
        audit = await enter(here.platform(Role.AUDIT))
        http = await enter(aiohttp.ClientSession())
        scene = Governed(here, folder, issuer, url, http, ledger, audit)

        async def healthy() -> bool | None:
            async with http.get(f"{url}/health") as response:
                return response.status == 200 or None

        await eventually(healthy)
        yield scene
