"""Whoever waits with a token waits no longer than it counts, at every door: it expires, or somebody revokes it."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from calls import Calls
from deployment import running_deployment
from doors import serving, token_issuer, trusting
from governed_scene import eventually

from callgate.ids import uuid7
from callgate.platform import Platform
from callgate.telemetry import HELD
from cli.dev_issuer import DevIssuer
from contracts.events import Sealed
from contracts.identity import Principal, Role
from contracts.records import Revoked
from contracts.subjects import CallRef, revocation_subject
from services.ingress.app import build

PATIENCE = 60.0
BODY = {"function": "crm.read", "arguments": {"id": "c_1"}, "session": "waits"}
CONNECTIONS = {
    "crm": {
        "base_url": "http://127.0.0.1:1",
        "proxy": {},
        "functions": {
            "read": {
                "method": "GET",
                "path": "/c/{id}",
                "input": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
            }
        },
    }
}
OPENAI = {
    "role": "assistant",
    "tool_calls": [{"id": "t1", "type": "function", "function": {"name": "crm-read", "arguments": '{"id": "c_1"}'}}],
}
MCP = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


@dataclass
class Door:
    """Ingress, with nobody behind it: whatever is asked for waits."""

    url: str
    issuer: DevIssuer
    http: aiohttp.ClientSession
    platforms: dict[Role, Platform]

    async def ask(self, method: str, path: str, token: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
        """Status, headers and document; waits for as long as it may."""
        sent = {"Authorization": f"Bearer {token}", "Prefer": "wait=300", **headers}
        async with self.http.request(method, f"{self.url}{path}", headers=sent, json=body) as response:
            return response.status, response.headers, await response.json(content_type=None)

    async def pending(self) -> CallRef:
        token = self.issuer.mint("support-bot")
        status, _, document = await self.ask("POST", "/v1/calls", token, BODY, Prefer="respond-async")
        assert status == 202
        return CallRef.parse(document["id"])

    async def events(self, ref: CallRef, token: str, after: int = 0) -> list[tuple[str, str, Any]]:
        """Those of the stream, to its end: event, id, data."""
        found: list[tuple[str, str, Any]] = []
        headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": str(after)}
        async with self.http.get(f"{self.url}/v1/calls/{ref}/events", headers=headers) as response:
            assert response.status == 200
            fields: dict[str, str] = {}
            async for line in response.content:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                fields[name] = value
                if line == b"\n":
                    if "event" in fields:
                        found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
                    fields = {}
        return found

    async def mcp(self, token: str) -> Any:
        """The result of a tool call that waits in a session of 2025-11-25."""
        begin = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}
        status, headers, _ = await self.ask("POST", "/mcp", token, begin, **MCP)
        assert status == 200
        params = {"name": "crm-read", "arguments": {"id": "c_1"}}
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
        session = {"Mcp-Session-Id": headers["Mcp-Session-Id"]}
        status, _, document = await self.ask("POST", "/mcp", token, call, **MCP, **session)
        assert status == 200
        return document["result"]

    async def everywhere(self, ref: CallRef, token: str) -> Sequence[Any]:
        """All doors at the same time: what each says once it lets go."""
        async with asyncio.timeout(PATIENCE):
            answers: Sequence[Any] = await asyncio.gather(
                self.ask("POST", "/v1/calls", token, BODY),
                self.ask("GET", f"/v1/calls/{ref}", token),
                self.ask("POST", "/v1/tool-calls/openai", token, OPENAI),
                self.ask("GET", "/proxy/crm/c/c_1", token),
                self.events(ref, token),
                self.mcp(token),
            )
        return answers


HELD_AT_ONCE = 6


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        issuer = await enter(token_issuer(tmp_path))
        issuers = [{**trusting(issuer)["issuers"][0], "leeway": 0}]
        ingress = {"wait": 300, "max_wait": 300, "mcp": {"hold": 300}}
        overrides = {"identity": {"issuers": issuers}, "connections": CONNECTIONS, "ingress": ingress}
        here = await enter(running_deployment(tmp_path, overrides=overrides))
        platforms = await enter(here.platforms(Role.MASKING, Role.POLICY, Role.APPROVAL))
        url = await enter(serving(here, (Role.INGRESS, build)))
        http = await enter(aiohttp.ClientSession())

        async def healthy() -> bool | None:
            async with http.get(f"{url}/health") as answer:
                return answer.status == 200 or None

        await eventually(healthy)
        yield Door(url, issuer, http, platforms)


def check(answers: Sequence[Any], code: str) -> None:
    """What every door said of a call that had no answer when the token ended."""
    posted, looked, tools, proxied, events, result = answers
    for status, headers, document in (posted, looked):
        assert (status, document["status"], headers["Location"]) == (202, "pending", f"/v1/calls/{document['id']}")
    assert (tools[0], [call["status"] for call in tools[2]["calls"]]) == (202, ["pending"])
    assert (proxied[0], proxied[2]["code"]) == (503, "pending")
    name, last_id, told = events[-1]
    assert (name, last_id, told["code"]) == ("unauthenticated", "", code)
    assert [name for name, *_ in events[:-1]] == ["requested"]
    assert "has no answer yet" in json.dumps(result)


async def test_what_waits_ends_when_its_token_expires_and_the_call_goes_on(door: Door) -> None:
    ref, lifetime = await door.pending(), 4.0
    while True:
        token = door.issuer.mint("support-bot", lifetime=lifetime)
        try:
            answers = await door.everywhere(ref, token)
            break
        except AssertionError:  # a slow machine: the token was over before all had asked
            lifetime *= 2
            assert lifetime < PATIENCE
    check(answers, "expired")
    status, _, problem = await door.ask("GET", f"/v1/calls/{ref}", token)
    assert (status, problem["code"]) == (401, "expired")

    # With a new token, from the event that was seen last; nothing was lost between the two streams.
    (seen,) = [int(last) for name, last, _ in answers[4] if name == "requested"]
    others = Calls(door.platforms)
    requested = (await door.platforms[Role.POLICY].log.read(ref)).call.chain[-1]
    await others.denied(await others.masked(requested))
    async with asyncio.timeout(PATIENCE):
        rest = await door.events(ref, door.issuer.mint("support-bot"), seen)
    assert [name for name, *_ in rest] == ["arguments_masked", "denied"]


async def test_what_waits_ends_when_its_token_is_revoked_and_another_waits_on(door: Door) -> None:
    ref = await door.pending()
    token, other = door.issuer.mint("support-bot"), door.issuer.mint("support-bot")
    waits = asyncio.create_task(door.everywhere(ref, token))
    waits_on = asyncio.create_task(door.ask("GET", f"/v1/calls/{ref}", other))

    async def all_wait() -> bool | None:
        assert not waits.done(), await waits
        return HELD._value.get() == HELD_AT_ONCE + 1 or None

    await eventually(all_wait)
    await revoke(door, token)
    check(await waits, "revoked")
    status, _, problem = await door.ask("GET", f"/v1/calls/{ref}", token)
    assert (status, problem["code"]) == (401, "revoked")
    assert not waits_on.done()
    status, _, document = await door.ask("DELETE", f"/v1/calls/{ref}", other)
    assert (status, document["status"]) == (200, "cancelled")
    async with asyncio.timeout(PATIENCE):
        assert (await waits_on)[0] == 200


async def revoke(door: Door, token: str) -> None:
    payload = token.split(".")[1]
    jti = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"]
    approval, revocation_id = door.platforms[Role.APPROVAL], uuid7()
    by = Principal(id="rosa", issuer=door.issuer.url)
    reason = Sealed(key_id="key-of-nobody", nonce="bm9uY2U=", ciphertext="Y2lwaGVydGV4dA==")
    revoked = Revoked(
        revocation_id=revocation_id, scope="token", target=jti, issuer=door.issuer.url, by=by, reason=reason
    )
    await approval.records.publish(revocation_subject(revocation_id), revoked, approval.clock())


async def test_one_agent_keeps_nobody_else_out_at_any_door(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        issuer = await enter(token_issuer(tmp_path))
        ingress = {"wait": 300, "max_wait": 300, "held": 8, "mcp": {"hold": 300}}
        overrides = {"identity": trusting(issuer), "connections": CONNECTIONS, "ingress": ingress}
        here = await enter(running_deployment(tmp_path, overrides=overrides))
        url = await enter(serving(here, (Role.INGRESS, build)))
        http = await enter(aiohttp.ClientSession())
        door = Door(url, issuer, http, {})

        async def admitted() -> CallRef | None:
            with contextlib.suppress(AssertionError):  # until it has looked at the broker's store
                return await door.pending()
            return None

        ref = await eventually(admitted)
        mine, acting = issuer.mint("support-bot"), issuer.mint("kim", act="support-bot")
        waits = [
            asyncio.create_task(door.ask("GET", f"/v1/calls/{ref}", mine)),
            asyncio.create_task(door.ask("POST", "/v1/calls", acting, BODY)),
        ]

        async def held() -> bool | None:
            return HELD._value.get() == len(waits) or None

        await eventually(held)
        for method, path, body in (
            ("POST", "/v1/calls", BODY),
            ("GET", f"/v1/calls/{ref}", None),
            ("GET", f"/v1/calls/{ref}/events", None),
            ("GET", "/proxy/crm/c/c_1", None),
            ("POST", "/v1/tool-calls/openai", OPENAI),
        ):
            headers = {"Idempotency-Key": "k"} if "tool-calls" in path else {}
            status, answer, problem = await door.ask(method, path, mine, body, **headers)
            assert (status, problem["code"], problem["limit"]) == (503, "too_many_waiting", "ingress.held_share")
            assert answer["Retry-After"]
        assert "too_many_waiting" in json.dumps(await door.mcp(mine))
        waits.append(asyncio.create_task(door.ask("POST", "/v1/calls", issuer.mint("kim"), BODY)))
        await eventually(held)
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
