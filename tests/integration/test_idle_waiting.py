"""Hundreds of calls that wait at one ingress: what each costs, that others are served, and what is left of them."""

import asyncio
import contextlib
import gc
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from deployment import running_deployment
from doors import bearer, serving, token_issuer, trusting
from governed_scene import eventually

from callgate.telemetry import HELD
from cli.dev_issuer import DevIssuer
from contracts.identity import Role
from services.ingress.app import build

MANY = 300
KILOBYTES = 40
"""A call may take in what Python counts, warm caches and the test's own socket included; `make bench-idle` measures."""
BODY = json.dumps({"function": "crm.read", "arguments": {"id": "c_1"}, "session": "idle"}).encode()


@dataclass
class Crowd:
    """Clients that ask for a call each, and wait."""

    url: str
    issuer: DevIssuer
    sockets: list[socket.socket] = field(default_factory=list)

    async def held(self, count: int) -> None:
        """So many more are held; nobody answers them, since ingress runs alone."""
        wanted = len(self.sockets) + count
        host, _, port = self.url.removeprefix("http://").partition(":")
        head = f"POST /v1/calls HTTP/1.1\r\nhost: t\r\nprefer: wait=300\r\ncontent-length: {len(BODY)}\r\n"
        head += f"content-type: application/json\r\nauthorization: {self.head['Authorization']}\r\n\r\n"
        for _ in range(count):
            peer = socket.create_connection((host, int(port)))
            self.sockets.append(peer)
            peer.sendall(head.encode() + BODY)
            await asyncio.sleep(0)
        await eventually(lambda: here(wanted))

    @property
    def head(self) -> dict[str, str]:
        return bearer(self.issuer, "support-bot")

    def leave(self) -> None:
        for peer in self.sockets:
            peer.close()
        self.sockets.clear()


async def here(count: int) -> bool | None:
    """Whether so many calls are held now."""
    return HELD._value.get() == count or None


@pytest.fixture
async def crowd(tmp_path: Path) -> AsyncIterator[Crowd]:
    arguments = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    function = {"path": "/c/{id}", "input": arguments}
    connections = {"crm": {"base_url": "http://127.0.0.1:1", "functions": {"read": function}}}
    async with contextlib.AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(token_issuer(tmp_path))
        overrides = {
            "identity": trusting(issuer),
            "connections": connections,
            "ingress": {"held": MANY + 100, "held_share": 1, "max_wait": 300},
        }
        deployment = await stack.enter_async_context(running_deployment(tmp_path, overrides=overrides))
        url = await stack.enter_async_context(serving(deployment, (Role.INGRESS, build)))
        crowd = Crowd(url, issuer)
        stack.callback(crowd.leave)
        yield crowd


async def test_what_waits_costs_little_and_leaves_nothing(crowd: Crowd) -> None:
    await crowd.held(50)
    gc.collect()
    tracemalloc.start()
    try:
        await crowd.held(MANY)
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / MANY
    finally:
        tracemalloc.stop()
    assert each < KILOBYTES * 1024

    async with aiohttp.ClientSession(crowd.url, headers=crowd.head) as http:
        for _ in range(5):  # others are served: asked for without waiting, read, withdrawn
            async with http.post("/v1/calls", json=json.loads(BODY), headers={"Prefer": "wait=0"}) as response:
                assert response.status == 202
                place = response.headers["Location"]
            async with http.delete(place) as response:
                assert (response.status, (await response.json())["status"]) == (200, "cancelled")

        crowd.leave()
        await eventually(lambda: here(0))
        async with http.get("/v1/calls", params={"session": "idle", "limit": "200"}) as response:
            page = await response.json()
        assert len(page["calls"]) == 200  # they stand, whoever left
        assert page["next"] is not None


async def test_room_for_so_many_and_no_more(crowd: Crowd) -> None:
    await crowd.held(MANY + 100)
    async with aiohttp.ClientSession(crowd.url, headers=crowd.head) as http:
        async with http.post("/v1/calls", json=json.loads(BODY)) as response:
            assert (response.status, (await response.json())["code"]) == (503, "too_many_waiting")
            assert response.headers["Retry-After"]
        async with http.post("/v1/calls", json=json.loads(BODY), headers={"Prefer": "respond-async"}) as response:
            assert response.status == 202


async def test_who_half_closes_is_let_go(crowd: Crowd) -> None:
    await crowd.held(3)
    for peer in crowd.sockets:
        peer.shutdown(socket.SHUT_WR)
    await eventually(lambda: here(0))


async def test_stopping_answers_all_that_wait(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(token_issuer(tmp_path))
        deployment = await stack.enter_async_context(
            running_deployment(tmp_path, overrides={"identity": trusting(issuer)})
        )
        async with asyncio.timeout(60), serving(deployment, (Role.INGRESS, build)) as url:
            crowd = Crowd(url, issuer)
            await crowd.held(MANY)
        answers = [peer.recv(65536) for peer in crowd.sockets]
        assert all(answer.startswith(b"HTTP/1.1 202 ") for answer in answers)
        crowd.leave()
    assert HELD._value.get() == 0
