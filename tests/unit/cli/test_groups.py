"""The list of commands: what it shows, and what it does without."""

import subprocess
import sys
from importlib import import_module

import pytest
from typer.testing import CliRunner

from cli.composition import SERVICES
from cli.groups import GROUPS
from cli.main import app
from cli.options import ServiceName

HEAVY = ("sqlalchemy", "aiohttp", "fastapi", "faststream", "re2", "cedarpy", "uvloop", "nats", "jwt", "cryptography")
_LIST = f"""
import sys
from cli.main import app
try:
    app(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
print("imported:", *[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""
PATTERNS = {
    "keys": "rotate",
    "policy": "validate",
    "audit": "replay",
    "mask": "entities",
    "dev-issuer": "token",
    "notices": "again",
}


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["serve", "--help"], ["approve", "--help"]])
def test_help_imports_nothing_that_takes_time(arguments: list[str]) -> None:
    child = subprocess.run(
        [sys.executable, "-c", _LIST, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert child.returncode == 0, child.stderr
    assert "Usage:" in child.stdout
    assert child.stderr == "imported:\n"


def test_the_list_has_every_group_with_the_first_line_of_its_help() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for name, group in GROUPS.items():
        whole = import_module(group.module).app.info.help
        assert whole.splitlines()[0] == group.help
        assert f"{name} " in shown
        assert group.help in shown
    panels = [shown.index(f"─ {panel} ─") for panel in ("Run", "Operate", "Review", "Audit", "Develop")]
    assert panels == sorted(panels)


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_is_imported_where_it_is_asked_for(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert f"callgate {name} " in shown.output
    assert PATTERNS[name] in shown.output
    assert "--install-completion" not in shown.output


def test_a_groups_commands_run_and_a_mistyped_one_is_corrected() -> None:
    assert "--if-missing" in CliRunner().invoke(app, ["keys", "init", "--help"], env={"COLUMNS": "200"}).output
    wrong = CliRunner().invoke(app, ["keys", "rotat"])
    assert wrong.exit_code == 2
    assert "Did you mean 'rotate'" in wrong.output


def test_completion_knows_a_groups_commands() -> None:
    completed = CliRunner().invoke(
        app, [], env={"_CALLGATE_COMPLETE": "complete_bash", "COMP_WORDS": "callgate keys ro", "COMP_CWORD": "2"}
    )
    assert completed.output.split() == ["rotate"]


def test_serve_offers_the_services_and_nobody_else() -> None:
    assert {service.value for service in ServiceName} == {role.value for role in SERVICES}
    wrong = CliRunner().invoke(app, ["serve", "provisioner"])
    assert wrong.exit_code == 2
    assert "provisioner" not in CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
