"""Ingress, approval and audit, each on a listener of its own: all end what a client spins out, and serve others."""

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from deployment import running_deployment
from doors import serving, token_issuer, trusting
from raw_peers import Door

from callgate import host
from callgate.connections import Limits
from cli.composition import builder
from contracts.identity import Role

GET = b"GET /health HTTP/1.1\r\nhost: t\r\n"
POST = b"POST /v1/anything HTTP/1.1\r\nhost: t\r\ncontent-length: 9\r\n\r\n{"


async def test_what_is_spun_out_ends_at_every_listener_and_others_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "Limits", partial(Limits, head_seconds=0.3, body_seconds=0.3))
    async with AsyncExitStack() as stack:
        issuer = await stack.enter_async_context(token_issuer(tmp_path))
        deployment = running_deployment(tmp_path, overrides={"identity": trusting(issuer)})
        here = await stack.enter_async_context(deployment)
        for role in (Role.INGRESS, Role.APPROVAL, Role.AUDIT):
            url = await stack.enter_async_context(serving(here, (role, builder(role))))
            door = Door(urlsplit(url).port or 0)
            stack.push_async_callback(door.close)
            await _tried(door)


async def _tried(door: Door) -> None:
    for begun, code in (
        (GET + b"x-a: ", b"headers_too_slow"),
        (GET + b"x-long: " + b"x" * 40_000 + b"\r\n\r\n", b"headers_too_large"),
        (POST, b'"not_found"'),  # answered at once, and the connection ends since the body never does
    ):
        peer = await door.connect()
        await peer.send(begun)
        assert code in await peer.rest()
    for begun in (b"", GET, POST):
        peer = await door.connect()
        await peer.send(begun)
        peer.half_close()
        await peer.rest()
    peer = await door.connect()
    await peer.send(GET + b"\r\n")
    assert (await peer.answer()).status in (200, 503), "served, whether or not it is ready"
