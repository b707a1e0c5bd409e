"""What `callgate doctor` says of channels and signing in: who answers, which secret is missing, what nobody hears."""

import base64
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from callgate.identity.settings import IssuerSettings
from callgate.settings import Settings
from cli.doctor.channels import examine_channels
from cli.doctor.findings import Finding
from cli.doctor.network import examine_issuers

HOOK = f"whsec_{base64.b64encode(b'x' * 24).decode()}"
PASSWORD = "the-relays-own-password"


def settings_of(folder: Path, **sections: Any) -> Settings:
    return Settings(**{"deployment": "test", "state": folder, **sections})


def texts(found: list[Finding], level: str) -> list[str]:
    return [finding.text for finding in found if finding.level == level]


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def nobody() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def channels(folder: Path, port: int, **more: Any) -> dict[str, Any]:
    """All four, at that port."""
    secrets = {"token": "xoxb-1", "signing": "s", "password": PASSWORD, "hook": HOOK}
    for name, secret in (secrets | {"workflow": f"http://127.0.0.1:{port}/a-secret-path"}).items():
        (folder / name).write_text(secret)
        (folder / name).chmod(0o600)
    return {
        "slack": {
            "token_file": folder / "token",
            "signing_secret_file": folder / "signing",
            "channels": {"sre": "C024BE91L"},
            "api_url": f"http://127.0.0.1:{port}/api/",
        },
        "teams": {
            "channels": [{"name": "ops", "groups": ["sre"], "url_file": folder / "workflow"}],
            "allow_private": True,
        },
        "email": {
            "host": "127.0.0.1",
            "port": port,
            "username": "gate",
            "password_file": folder / "password",
            "sender": "gate@example.com",
            "lists": [{"name": "ops", "groups": ["sre"], "to": ["sre@example.com"]}],
        },
        "webhooks": [
            {
                "name": "soc",
                "url": f"http://127.0.0.1:{port}/hook",
                "secret_files": [folder / "hook"],
                "allow_private": True,
                "groups": ["sre"],
            }
        ],
        **more,
    }


async def test_every_channel_is_reached_and_no_secret_is_shown(tmp_path: Path, listening: int) -> None:
    found = await examine_channels(settings_of(tmp_path, approval=channels(tmp_path, listening, settlers=["sre"])))
    there = f"127.0.0.1:{listening} takes connections"
    assert texts(found, "ok") == [f"{name}: {there}" for name in ("slack", "teams ops", "email", "webhook soc")]
    assert len(found) == 4
    assert "secret-path" not in str(found)


async def test_what_is_wrong_with_channels(tmp_path: Path) -> None:
    approval = channels(tmp_path, nobody())
    (tmp_path / "token").unlink()
    (tmp_path / "workflow").write_text("two lines\nof it")
    (tmp_path / "hook").write_text("whsec_x")
    (tmp_path / "hook").chmod(0o644)
    approval["email"]["ca_file"] = tmp_path / "token"
    found = await examine_channels(settings_of(tmp_path, approval=approval))
    failures = texts(found, "FAIL")
    assert failures[:4] == [
        f"approval.slack.token_file: {tmp_path / 'token'} is no file with one line of ASCII that this user may read",
        f"approval.webhooks: soc: {tmp_path / 'hook'} must hold whsec_ and base64 of 24 to 64 random bytes",
        f"approval.teams: ops: {tmp_path / 'workflow'} is no file with one line of ASCII that this user may read",
        f"approval.email.ca_file: {tmp_path / 'token'} is no file of certificates in PEM",
    ]
    silent = [text.partition(":")[0] for text in failures if "nothing answers" in text]
    assert silent == ["slack", "email", "webhook soc"]
    open_to_all, unheard = texts(found, "warn")
    assert "chmod 600" in open_to_all
    assert "approval.settlers" in unheard
    assert PASSWORD not in str(found)


async def test_a_workflows_url_that_approval_would_refuse(tmp_path: Path, listening: int) -> None:
    approval = channels(tmp_path, listening, settlers=["sre"])
    approval["teams"]["allow_private"] = False
    (failure,) = texts(await examine_channels(settings_of(tmp_path, approval=approval)), "FAIL")
    assert failure == f"approval.teams: ops: {tmp_path / 'workflow'} must hold the https URL that Workflows gives"


async def test_without_channels_nothing_is_said(tmp_path: Path) -> None:
    assert await examine_channels(settings_of(tmp_path)) == []


@pytest.fixture
async def issuer() -> AsyncIterator[dict[str, Any]]:
    """What an issuer answers by path; `url` is its own."""
    answers: dict[str, Any] = {}

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(answers[request.path]) if request.path in answers else web.Response(status=404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    answers["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield answers
    await runner.cleanup()


async def test_signing_in_takes_the_endpoints_of_the_very_issuer(tmp_path: Path, issuer: dict[str, Any]) -> None:
    url = issuer["url"]
    sign_in = {"client_id": "gate", "client_secret_file": tmp_path / "client"}
    named = IssuerSettings.model_validate({"issuer": url, "audience": "callgate", "sign_in": sign_in})

    async def found(**more: Any) -> list[Finding]:
        settings = settings_of(tmp_path, identity={"issuers": [named.model_dump()]}, **more)
        return [one for one in await examine_issuers(settings, up=False) if one.subject == "sign-in"]

    assert [finding.level for finding in await found()] == ["FAIL", "FAIL"]
    assert "public_url" in (await found())[0].text
    assert f"{url}/.well-known/openid-configuration" in (await found())[1].text
    public = {"public_url": "https://gate.example"}
    assert str(tmp_path / "client") in (await found(**public))[0].text

    (tmp_path / "client").write_text("secret")
    document = {"issuer": url, "jwks_uri": f"{url}/jwks", "authorization_endpoint": f"{url}/authorize"}
    issuer["/.well-known/openid-configuration"] = document
    assert [finding.level for finding in await found(**public)] == ["FAIL"], "there is no token endpoint"
    document["token_endpoint"] = f"{url}/token"
    assert [finding.level for finding in await found(**public)] == ["ok"]
    document["issuer"] = "https://another.example"
    assert [finding.level for finding in await found(**public)] == ["FAIL"]


async def test_an_issuer_without_keys_names_both_places(tmp_path: Path, issuer: dict[str, Any]) -> None:
    identity = {"issuers": [{"issuer": issuer["url"], "audience": "callgate"}]}
    (finding,) = await examine_issuers(settings_of(tmp_path, identity=identity), up=False)
    assert finding.level == "FAIL"
    for place in ("openid-configuration", "oauth-authorization-server"):
        assert f"{issuer['url']}/.well-known/{place}" in finding.text
