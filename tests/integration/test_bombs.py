"""Answers that are small on the wire and large in memory, from those whom Callgate asks."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from callgate.channel_settings import SlackSettings
from callgate.identity.fetch import AiohttpFetcher, FetchFailed
from cli.api import Api, Away
from services.approval.channels import SendFailed
from services.approval.slack_api import SlackApi, slack_session

UNPACKED = 128 * 1024 * 1024
GOOD = {"ok": True, "issuer": "https://id.example", "team_id": "T1"}


def bomb() -> bytes:
    """A JSON text with as many spaces in it, 128 KB in gzip."""
    packer = zlib.compressobj(9, wbits=31)
    piece = b" " * (1024 * 1024)
    parts = [packer.compress(b'{"ok": true,')]
    parts += [packer.compress(piece) for _ in range(UNPACKED // len(piece))]
    parts += [packer.compress(b'"team_id": "T1"}'), packer.flush()]
    return b"".join(parts)


@pytest.fixture(scope="module")
def packed() -> dict[str, bytes]:
    return {"bomb": bomb(), "small": gzip.compress(json.dumps(GOOD).encode())}


@pytest.fixture
async def server(packed: dict[str, bytes]) -> AsyncIterator[TestServer]:
    async def answer(request: web.Request) -> web.Response:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=packed[request.match_info["which"]], headers=headers)

    app = web.Application()
    app.router.add_route("*", "/{which}/{method}", answer)
    running = TestServer(app, host="127.0.0.1")
    async with running:
        yield running


async def peak_of(asking: Callable[[], Awaitable[Any]]) -> int:
    """Bytes that were in use at once, beside those before."""
    tracemalloc.start()
    try:
        await asking()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_an_issuers_documents_are_read_as_they_come_or_not_at_all(server: TestServer) -> None:
    async def ask() -> None:
        async with aiohttp.ClientSession() as http:
            fetcher = AiohttpFetcher(http)
            for which in ("bomb", "small"):
                with pytest.raises(FetchFailed, match="compressed"):
                    await fetcher.get(str(server.make_url(f"/{which}/keys")))
                with pytest.raises(FetchFailed, match="compressed"):
                    await fetcher.post(str(server.make_url(f"/{which}/token")), {}, None)

    assert await peak_of(ask) < 4 * 1024 * 1024


async def test_slacks_answers_are_unpacked_up_to_a_limit(server: TestServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("xoxb-1")

    def api(which: str, http: aiohttp.ClientSession) -> SlackApi:
        settings = SlackSettings(
            token_file=tmp_path / "token",
            signing_secret_file=tmp_path / "token",
            channels={"finance": "C0FINANCE"},
            api_url=str(server.make_url(f"/{which}/")),
        )
        return SlackApi(settings, http)

    async def ask() -> None:
        async with slack_session() as http:
            assert await api("small", http).team() == "T1"
            with pytest.raises(SendFailed, match="slack_unreachable"):
                await api("bomb", http).team()

    assert await peak_of(ask) < 24 * 1024 * 1024


async def test_the_command_line_reads_no_more_than_callgate_ever_answers(server: TestServer) -> None:
    async with Api(str(server.make_url("/bomb")), "token") as api:
        with pytest.raises(Away, match="too_large"):
            await api.get("/calls")
    async with Api(str(server.make_url("/small")), "token") as api:
        assert await api.get("/calls") == GOOD
