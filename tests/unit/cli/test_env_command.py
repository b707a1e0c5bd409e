"""`callgate env`: what a client is to be given, and no token that nobody asked for."""

import json
import shlex
import shutil
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
  notes:
    kind: mcp
    url: http://notes.test/mcp
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


HOSTILE = "a'b\"c$(id)`id`\\'d\u2019; e"


@pytest.mark.parametrize(
    ("shell", "line"),
    [
        ("fish", "set -gx CRM_API_KEY 'a\\'b\"c$(id)`id`\\\\\\'d\u2019; e'"),
        ("powershell", "$Env:CRM_API_KEY = 'a''b\"c$(id)`id`\\''d\u2019\u2019; e'"),
    ],
)
def test_other_shells_have_lines_of_their_own(config: Path, shell: str, line: str) -> None:
    lines = printed(config, "crm", "--shell", shell, "--with-token", "--token", HOSTILE).splitlines()
    assert lines[1] == line
    address = "http://127.0.0.1:9000/proxy/crm"
    assert lines[0] in (f"set -gx CRM_BASE_URL '{address}'", f"$Env:CRM_BASE_URL = '{address}'")


@pytest.mark.parametrize("shell", [name for name in ("dash", "bash", "zsh") if shutil.which(name)])
def test_no_value_is_run_by_a_shell(config: Path, shell: str) -> None:
    lines = printed(config, "crm", "--with-token", "--token", HOSTILE)
    asked = subprocess.run(
        [shell, "-c", f'eval {shlex.quote(lines)}; printf %s "$CRM_API_KEY"'], capture_output=True, check=True
    )
    assert asked.stdout.decode() == HOSTILE


@pytest.mark.parametrize(
    ("listen", "host"), [("0.0.0.0:80", "127.0.0.1"), ("'[::]:80'", "127.0.0.1"), ("'[::1]:80'", "[::1]")]
)
def test_where_everybody_is_listened_to_is_an_address_to_go_to(config: Path, listen: str, host: str) -> None:
    config.write_text(CONFIG.replace("127.0.0.1:9000", listen))
    assert json.loads(printed(config, "crm", "--json"))["CRM_BASE_URL"] == f"http://{host}:80/proxy/crm"


@pytest.mark.parametrize("url", ["gate.example", "ftp://gate.example", "http://a b", "https://me:pw@gate.example"])
def test_what_is_no_address_is_not_handed_on(config: Path, url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        printed(config, "crm", "--url", url)
    assert refused.value.code == "bad_url"
    assert "CALLGATE_URL" in refused.value.detail
    assert url not in refused.value.detail


@pytest.mark.parametrize(
    ("name", "why"), [("plain", "give it `proxy: {}`"), ("nothing", "there is no connection"), ("notes", "MCP server")]
)
def test_what_the_proxy_does_not_serve_is_said_with_what_it_does(config: Path, name: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        printed(config, name)
    assert why in refused.value.detail
    assert "served: crm, pay" in refused.value.detail


def test_a_token_that_is_asked_for_must_be_there(config: Path) -> None:
    with pytest.raises(ConfigurationError):
        printed(config, "crm", "--with-token")
