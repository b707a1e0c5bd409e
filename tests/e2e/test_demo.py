"""`callgate demo` as a user runs it: a process of its own, nothing left behind, and an end that can be bad."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = (
    "1. The agent reads a customer",
    "2. It deploys to production",
    "3. It exports 5,000 customers",
    "4. It opens the firewall",
    "5. It refunds 40 USD to a card",
    "6. It uses a tool of an MCP server",
    "7. The auditor replays the session and verifies the log",
)
TIMEOUT = 120


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CALLGATE_")}
    environment |= {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "TMPDIR": str(folder)}
    return subprocess.Popen(
        # As a shell's background job: SIGINT is ignored from the start on, unless the program says otherwise.
        ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "cli.main", "demo", *words],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def ended() -> Iterator[list[subprocess.Popen[str]]]:
    """Whatever a test started and did not see to its end."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=TIMEOUT)


def test_tells_the_whole_story_and_leaves_nothing(tmp_path: Path, ended: list[subprocess.Popen[str]]) -> None:
    process = start(tmp_path)
    ended.append(process)
    told, complaints = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, told + complaints
    assert complaints == ""
    places = [told.index(step) for step in STEPS]
    assert places == sorted(places)
    assert "38 signed events in 7 chains, 7 of them complete; 0 failures, 0 alien" in told
    assert told.count(": 0 hits, plain, JSON-escaped, base64 or hex") == 6
    assert re.search(r"scanned +\d\d+ files, [\d,]{6,} bytes", told)
    assert re.search(r"All \d\d checks came out as told\.\n$", told)
    assert "FAIL" not in told
    assert "\x1b" not in told
    assert list(tmp_path.iterdir()) == []
    assert not running_on(tmp_path)


def test_tells_what_did_not_come_out_and_ends_badly(tmp_path: Path, ended: list[subprocess.Popen[str]]) -> None:
    """Policies under which nobody is asked about production, and the firewall is open to agents."""
    shutil.copy(ROOT / "callgate.yaml", tmp_path)
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    rules = (tmp_path / "policies" / "calls.cedar").read_text()
    begin = rules.index('@id("production-deployments-need-sre")')
    rules = rules[:begin] + rules[rules.index("@id", begin + 1) :]
    firewall = rules.index('@id("firewall-is-never-for-agents")')
    rules = rules[:firewall] + rules[firewall:].replace("forbid", "permit")
    (tmp_path / "policies" / "calls.cedar").write_text(rules)
    process = start(tmp_path, "--config", str(tmp_path / "callgate.yaml"), "--state", str(tmp_path / "state"))
    ended.append(process)
    told, complaints = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1, told + complaints
    assert "2. It deploys to production: paused: the agent waits for a person" in told
    assert "4. It opens the firewall: denied, and the policy is named" in told
    assert "1. The agent reads a customer:" not in told  # what came out is not among what did not
    assert re.search(r"\d+ of \d+ checks did not come out as told:", told)
    assert (tmp_path / "state" / "broker" / "jetstream").is_dir()
    assert not running_on(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_cleanly_when_interrupted(
    tmp_path: Path, ended: list[subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = start(tmp_path)
    ended.append(process)
    assert process.stdout is not None
    late = threading.Timer(TIMEOUT, process.kill)
    late.start()
    try:
        assert any(line.startswith("1. ") for line in process.stdout), f"no first step within {TIMEOUT} s"
    finally:
        late.cancel()
    process.send_signal(number)
    process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []
    assert not running_on(tmp_path)


def running_on(folder: Path) -> list[str]:
    """Processes that were started with something in this folder: a broker or an upstream left alone."""
    listed = subprocess.run(["ps", "-ww", "-eo", "command="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if str(folder) in line]
