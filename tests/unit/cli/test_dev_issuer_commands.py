"""Development tokens without an issuer that gives them away: `callgate dev-issuer`."""

from pathlib import Path

import httpx
import jwt
import pytest
from typer.testing import CliRunner

from callgate.errors import ConfigurationError
from cli.dev_issuer.keys import DevKeys
from cli.dev_issuer_commands import app, keys_app


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "callgate.yaml"
    path.write_text("state: state\ndevelopment: {issuer: '127.0.0.1:8082'}\n")
    return path


def _client(config: Path) -> httpx.AsyncClient:
    kept = DevKeys.open(config.parent / "state" / "development" / "issuer")
    return httpx.AsyncClient(transport=httpx.ASGITransport(keys_app(kept)), base_url="http://issuer:8082")


async def test_a_token_verifies_with_the_served_keys(config: Path) -> None:
    result = CliRunner().invoke(app, ["token", "rosa", "--config", str(config)], catch_exceptions=False)
    assert result.exit_code == 0
    async with _client(config) as client:
        served = jwt.PyJWKSet.from_dict((await client.get("/jwks.json")).json())
    token = result.stdout.strip()
    key = served[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, algorithms=["ES256"], audience="callgate", issuer="http://127.0.0.1:8082")
    assert claims["sub"] == "rosa"
    assert claims["groups"] == ["sre"]


async def test_the_keys_are_all_that_is_served(config: Path) -> None:
    async with _client(config) as client:
        assert (await client.get("/health")).status_code == 200
        assert (await client.post("/token", data={"sub": "rosa"})).status_code == 404
        assert set((await client.get("/jwks.json")).json()["keys"][0]) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


def test_strangers_get_no_token(config: Path) -> None:
    with pytest.raises(ConfigurationError) as refused:
        CliRunner().invoke(app, ["token", "mallory", "--config", str(config)], catch_exceptions=False)
    assert refused.value.code == "invalid_grant"


def test_a_production_configuration_has_no_such_issuer(tmp_path: Path) -> None:
    path = tmp_path / "callgate.yaml"
    path.write_text("deployment: prod\n")
    with pytest.raises(ConfigurationError) as refused:
        CliRunner().invoke(app, ["token", "rosa", "--config", str(path)], catch_exceptions=False)
    assert refused.value.code == "no_development_issuer"
