"""The development issuer on a real socket, and the fetcher against servers that misbehave."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from callgate.identity.authenticator import Authenticator
from callgate.identity.fetch import AiohttpFetcher, FetchFailed
from callgate.identity.settings import IssuerSettings
from cli.dev_issuer import DevIssuer, dev_issuer_server


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def test_a_token_over_http_is_verified_with_keys_over_http(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    listening = socket.create_server(("127.0.0.1", 0))  # the client may connect at once: the backlog holds it
    port = listening.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    issuer = DevIssuer.open(tmp_path, issuer_url=url, audience="callgate")
    server = dev_issuer_server(issuer, "127.0.0.1", port)
    serving = asyncio.create_task(server.serve([listening]))
    try:
        async with session.post(f"{url}/token", data={"sub": "rosa"}) as answer:
            token = (await answer.json())["access_token"]
        settings = IssuerSettings(issuer=url, audience="callgate")
        authenticator = Authenticator([settings], clock=time.time, http=AiohttpFetcher(session))
        assert (await authenticator.authenticate(f"Bearer {token}")).groups == ("sre",)
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
async def upstream() -> AsyncIterator[TestServer]:
    async def good(_: web.Request) -> web.Response:
        return web.Response(body=b"x" * 100)

    async def redirect(_: web.Request) -> web.Response:
        raise web.HTTPFound("/good")

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 1024)

    async def silent(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async def refusal(request: web.Request) -> web.Response:
        return web.json_response([dict(await request.post()), request.headers["Authorization"]], status=401)

    async def bomb(_: web.Request) -> web.Response:
        response = web.Response(body=b"x" * 10_000_000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    app = web.Application()
    ways = (good, redirect, endless, silent, refusal, bomb)
    app.add_routes([web.route("*", f"/{one.__name__}", one) for one in ways])
    async with TestServer(app, host="127.0.0.1") as server:
        yield server


async def test_a_document_within_the_limit_is_had_whole(session: aiohttp.ClientSession, upstream: TestServer) -> None:
    assert await AiohttpFetcher(session, limit=100).get(str(upstream.make_url("/good"))) == b"x" * 100
    with pytest.raises(FetchFailed):
        await AiohttpFetcher(session, limit=99).get(str(upstream.make_url("/good")))


@pytest.mark.parametrize("path", ["/redirect", "/endless", "/silent", "/bomb", "/absent"])
async def test_a_server_that_misbehaves_is_a_failed_fetch(
    session: aiohttp.ClientSession, upstream: TestServer, path: str
) -> None:
    with pytest.raises(FetchFailed) as caught:
        await AiohttpFetcher(session, timeout=0.5).get(str(upstream.make_url(path)))
    assert "127.0.0.1" not in str(caught.value)


async def test_a_form_is_answered_with_whatever_status_and_goes_nowhere_else(
    session: aiohttp.ClientSession, upstream: TestServer
) -> None:
    fetcher = AiohttpFetcher(session, timeout=0.5, limit=1000)
    status, body = await fetcher.post(str(upstream.make_url("/refusal")), {"a": "ü&="}, "Basic eDp5")
    assert (status, json.loads(body)) == (401, [{"a": "ü&="}, "Basic eDp5"])
    assert (await fetcher.post(str(upstream.make_url("/redirect")), {}, None))[0] == 302
    for path in ("/endless", "/silent", "/bomb"):
        with pytest.raises(FetchFailed):
            await fetcher.post(str(upstream.make_url(path)), {}, None)


async def test_no_server_and_no_url_are_a_failed_fetch(session: aiohttp.ClientSession) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    for url in (f"http://127.0.0.1:{port}/", "http://", "no url"):
        with pytest.raises(FetchFailed):
            await AiohttpFetcher(session).get(url)
