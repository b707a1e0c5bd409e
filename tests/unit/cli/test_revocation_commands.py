"""The commands that revoke, against a small stand-in for the API that speaks real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import typer
from aiohttp import web
from typer.testing import CliRunner, Result

from callgate.errors import ConfigurationError
from cli import revocation_commands, revoking

ITEM: dict[str, Any] = {
    "id": "01990000-0000-7000-8000-000000000001",
    "scope": "subject",
    "target": "support-bot",
    "issuer": None,
    "issued_before": None,
    "by": "sam",
    "since": "2026-01-31T12:00:00.000000Z",
    "expires_at": None,
    "reason": "a stolen laptop",
}


@dataclass
class StandIn:
    """Answers as services/approval does."""

    url: str = ""
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json() if request.body_exists else None
        self.asked.append((request.method, request.rel_url.raw_path, body))
        if request.method == "GET":
            return web.json_response({"revocations": [ITEM]})
        if request.path.endswith("unknown"):
            problem = {"status": 404, "code": "unknown_revocation", "detail": "There is no such revocation."}
            return web.json_response(problem, status=404, content_type="application/problem+json")
        return web.json_response(ITEM, status=201 if request.method == "POST" else 200)


@pytest.fixture
async def stand_in() -> AsyncIterator[StandIn]:
    found = StandIn()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


async def run(stand_in: StandIn, *arguments: str) -> Result:
    app = typer.Typer()
    revocation_commands.register(app)
    command = [*arguments, "--url", stand_in.url, "--token", "sams-token"]
    return await asyncio.to_thread(CliRunner().invoke, app, command)


async def test_a_subject_is_revoked_and_the_way_back_is_told(stand_in: StandIn) -> None:
    result = await run(stand_in, "revoke", "--subject", "support-bot", "--so-far", "--reason", "x", "--for", "2h")
    assert result.exit_code == 0, result.output
    assert f"callgate unrevoke {ITEM['id']}" in result.output
    wish = {"scope": "subject", "target": "support-bot", "issuer": None, "issued_so_far": True}
    assert stand_in.asked == [("POST", "/v1/revocations", {**wish, "reason": "x", "for": "2h"})]


async def test_what_is_revoked_is_listed_and_lifted(stand_in: StandIn) -> None:
    listed = await run(stand_in, "revocations")
    assert "subject support-bot, since 2026-01-31 12:00:00 UTC by sam" in listed.output
    assert "a stolen laptop" in listed.output
    lifted = await run(stand_in, "unrevoke", ITEM["id"])
    assert (lifted.exit_code, "count again" in lifted.output) == (0, True)
    assert (await run(stand_in, "unrevoke", "unknown")).exit_code == 1


@pytest.mark.parametrize(
    ("subject", "jti", "issuer", "so_far"),
    [(None, None, None, False), ("a", "b", "c", False), (None, "b", None, False), (None, "b", "c", True)],
)
def test_what_names_no_one_thing_is_refused(
    subject: str | None, jti: str | None, issuer: str | None, so_far: bool
) -> None:
    with pytest.raises(ConfigurationError):
        revoking.aim(subject, jti, issuer, so_far)
