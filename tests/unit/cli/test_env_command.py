"""`callgate env`: what a client is to be given, and no token that nobody asked for."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callgate.errors import ConfigurationError
from cli.main import app

CONFIG = """
listen: 127.0.0.1:9000
connections:
  crm:
    base_url: http://crm.test
    proxy: {}
    functions: {read: {path: /read}}
  pay:
    base_url: http://pay.test
    proxy: {env: [PAY_URL, PAY_BASE], token_env: [PAY_KEY]}
    functions: {read: {path: /read}}
  plain:
    base_url: http://plain.test
    functions: {read: {path: /read}}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("CALLGATE_URL", "CALLGATE_TOKEN", "CALLGATE_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "callgate.yaml"
    path.write_text(CONFIG)
    return path


def printed(config: Path, *more: str) -> str:
    result = CliRunner().invoke(app, ["env", *more, "--config", str(config)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_the_shell_lines_set_what_they_say(config: Path) -> None:
    lines = printed(config, "crm")
    assert lines == "export CRM_BASE_URL=http://127.0.0.1:9000/proxy/crm\n"
    asked = subprocess.run(
        ["sh", "-c", f'eval {shlex.quote(lines)}; printf %s "$CRM_BASE_URL"'],
        capture_output=True,
        check=True,
        text=True,
    )
    assert asked.stdout == "http://127.0.0.1:9000/proxy/crm"


def test_names_are_the_clients_and_the_address_is_the_one_that_agents_see(config: Path) -> None:
    document = json.loads(printed(config, "pay", "--json", "--url", "https://gate.example/"))
    assert document == dict.fromkeys(("PAY_URL", "PAY_BASE"), "https://gate.example/proxy/pay")


def test_a_token_is_printed_where_somebody_asks_for_it_alone(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLGATE_TOKEN", "s'cret")
    assert "cret" not in printed(config, "pay")
    assert "PAY_KEY='s'\"'\"'cret'" in printed(config, "pay", "--with-token")
    assert json.loads(printed(config, "crm", "--with-token", "--json"))["CRM_API_KEY"] == "s'cret"


@pytest.mark.parametrize("name", ["plain", "nothing"])
def test_what_the_proxy_does_not_serve_is_said_with_what_it_does(config: Path, name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        printed(config, name)
    assert "proxy: {}" in refused.value.detail
    assert "served: crm, pay" in refused.value.detail


def test_a_token_that_is_asked_for_must_be_there(config: Path) -> None:
    with pytest.raises(ConfigurationError):
        printed(config, "crm", "--with-token")
