"""compose.yaml on a real engine: calls go through, and each container has and reaches no more than it must."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from stand_ins import Unavailable, base_images, docker, engine_problem

ROOT = Path(__file__).parents[2]
SERVICES = ("ingress", "masking", "policy", "approval", "executor", "audit")
RUNNING = (*SERVICES, "nats", "issuer", "upstream")
IMAGE = "callgate-e2e:test"
HEALTHY_WITHIN = 120.0

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]  # the first builds the images and the stack


class Stack:
    """The running composition, under a project name and on ports of its own."""

    def __init__(self) -> None:
        self.project = f"callgate-e2e-{secrets.token_hex(4)}"
        self.ports = dict(zip(("ingress", "approval", "audit"), _free_ports(3), strict=True))
        self._command = ("docker", "compose") if _plugin() else ("docker-compose",)
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CALLGATE_", "COMPOSE_"))},
            **{f"CALLGATE_{name.upper()}_PORT": str(port) for name, port in self.ports.items()},
            "COMPOSE_PROJECT_NAME": self.project,
            "CALLGATE_IMAGE": IMAGE,
            "DOCKER_BUILDKIT": "0",  # as in stand_ins.docker
        }
        self._inspected: dict[str, dict[str, Any]] = {}

    def compose(self, *words: str, timeout: float = 60) -> str:
        command = (*self._command, "-f", str(ROOT / "compose.yaml"), "--project-directory", str(ROOT), *words)
        done = subprocess.run(
            command, env=self._environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done.stdout

    def execute(self, service: str, *words: str) -> str:
        return docker("exec", self.inspect(service)["Id"], *words)

    def python(self, service: str, code: str) -> Any:
        """What the code prints as JSON, run in the service's container."""
        return json.loads(self.execute(service, "python", "-c", code))

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine says of the service's only container; asked once, since nothing here replaces any."""
        if not self._inspected:
            label = f"label=com.docker.compose.project={self.project}"
            identities = docker("ps", "--quiet", "--filter", label).split()
            for found in json.loads(docker("inspect", *identities)):
                self._inspected[found["Config"]["Labels"]["com.docker.compose.service"]] = found
        return self._inspected[service]

    def token(self, sub: str) -> str:
        return self.execute("issuer", "callgate", "dev-issuer", "token", sub).strip()

    def http(
        self, door: str, path: str, token: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[door]}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json", **(headers or {})},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)

    def until_asked(self, ref: str, token: str) -> None:
        """Follows the call's own events until an approval is asked for."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports['ingress']}/v1/calls/{ref}/events",
            headers={"Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(request, timeout=60) as events:
            assert any(line.strip() == b"event: approval_required" for line in events)

    def until_healthy(self, since: int) -> None:
        """Reads the engine's events, those that were and those that come, until every container is healthy."""
        wanted = {self.inspect(service)["Id"] for service in RUNNING}
        command = ("docker", "events", "--since", str(since), "--format", "{{.ID}} {{.Status}}")
        filters = ("--filter", f"label=com.docker.compose.project={self.project}", "--filter", "event=health_status")
        with subprocess.Popen((*command, *filters), stdout=subprocess.PIPE, text=True) as events:
            assert events.stdout is not None
            late = threading.Timer(HEALTHY_WITHIN, events.kill)
            late.start()
            try:
                for line in events.stdout:
                    identity, _, status = line.strip().partition(" ")
                    if status.endswith(": healthy"):
                        wanted.discard(identity)
                    if not wanted:
                        return
            finally:
                late.cancel()
                events.kill()
        pytest.fail(f"not healthy after {HEALTHY_WITHIN:.0f} s:\n{self.compose('logs', '--no-color', '--tail=20')}")


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    problem = engine_problem()
    if problem is not None:
        pytest.skip(f"{problem}: compose.yaml is not tried")
    if not _plugin() and shutil.which("docker-compose") is None:
        pytest.skip("neither `docker compose` nor docker-compose is installed: compose.yaml is not tried")
    composed = Stack()
    with ExitStack() as ends:
        try:
            ends.enter_context(base_images())
        except Unavailable as why:
            pytest.skip(f"no base images: {why}")
        before = docker("images", "--quiet", IMAGE)
        since = int(time.time())
        ends.callback(composed.compose, "down", "-v", "--remove-orphans", timeout=120)
        composed.compose("build", "init", timeout=480)  # which all the others' image is, too
        composed.compose("up", "-d", "--no-build", timeout=240)
        if before and before != docker("images", "--quiet", IMAGE):
            docker("rmi", before)
        composed.until_healthy(since)
        yield composed


def test_a_read_is_answered_with_its_result_masked(stack: Stack) -> None:
    call = {"function": "crm.read_customer", "arguments": {"id": "c42"}}
    status, answer = stack.http("ingress", "/v1/calls", stack.token("support-bot"), call)
    assert (status, answer["status"]) == (200, "completed")
    body = answer["result"]["body"]
    assert body["id"] == "c42"
    assert (body["email"], body["ssn"], body["card_number"]) == ("[EMAIL_ADDRESS]", "[US_SSN]", "[CREDIT_CARD]")


def test_a_paused_call_runs_once_after_a_reviewer_approved_it(stack: Stack) -> None:
    agent, reviewer = stack.token("support-bot"), stack.token("rosa")
    arguments = {"service": "shop", "environment": "production", "version": "1.2"}
    call = {"function": "deploys.start", "arguments": arguments}
    status, paused = stack.http("ingress", "/v1/calls", agent, call, {"Prefer": "respond-async"})
    assert status == 202
    ref = paused["id"]
    stack.until_asked(ref, agent)
    _, asked = stack.http("approval", f"/v1/approvals/{ref}", reviewer)
    assert asked["arguments"] == arguments
    status, _ = stack.http(
        "approval", f"/v1/approvals/{ref}/votes", reviewer, {"decision": "approve", "digest": asked["digest"]}
    )
    assert status == 201
    status, answer = stack.http("ingress", f"/v1/calls/{ref}", agent, headers={"Prefer": "wait=30"})
    assert (status, answer["status"]) == (200, "completed")
    code = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8081/_seen').read().decode())"
    assert stack.python("upstream", code)["executed"]["POST /deployments"] == 1


def test_the_whole_log_verifies(stack: Stack) -> None:
    said = stack.execute("audit", "callgate", "audit", "verify", "--strict")
    assert "chains intact" in said


@pytest.mark.parametrize("service", RUNNING)
def test_a_container_has_no_privilege(stack: Stack, service: str) -> None:
    inspected = stack.inspect(service)
    host = inspected["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert [name.removeprefix("CAP_") for name in host["CapDrop"]] == ["ALL"]
    assert any(option.startswith("no-new-privileges") for option in host["SecurityOpt"])
    assert not host["Privileged"]
    # From outside, of the process itself: one of the images has no shell to ask.
    facts = dict(
        line.split(":", 1) for line in Path(f"/proc/{inspected['State']['Pid']}/status").read_text().splitlines()
    )
    assert set(facts["Uid"].split()) == {"10001"}
    assert int(facts["CapEff"], 16) == 0


def test_only_three_doors_are_open_and_only_on_loopback(stack: Stack) -> None:
    published = {
        service: [binding for bindings in found.values() for binding in bindings or ()]
        for service in RUNNING
        if (found := stack.inspect(service)["NetworkSettings"]["Ports"])
    }
    doors = {service: bindings for service, bindings in published.items() if bindings}
    assert doors == {service: [{"HostIp": "127.0.0.1", "HostPort": str(port)}] for service, port in stack.ports.items()}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_holds_its_own_keys_only(stack: Stack, service: str) -> None:
    code = (
        "import json, os; print(json.dumps([sorted(os.listdir('/run/callgate/keys')),"
        "[os.path.join(at, f) for at, _, files in os.walk('/') if not at.startswith(('/proc', '/sys', '/opt', '/usr'))"
        " for f in files if f in ('sign.key', 'root.key', 'nats.password', 'nats.conf', 'signing_keys.json')"
        " or (at, f) == ('/run/callgate/upstream', 'token')]]))"
    )
    listed, secret = stack.python(service, code)
    assert listed == sorted([service, "ring.json", "root.pub"])
    own = {f"/run/callgate/keys/{service}/{name}" for name in ("sign.key", "nats.password")}
    assert set(secret) == own | ({"/run/callgate/upstream/token"} if service == "executor" else set())


def _reached(stack: Stack, service: str) -> set[str]:
    """Which other containers take a connection from this one, by address: names would hide what routes lead to."""
    targets = [
        (other, network["IPAddress"], {"nats": 4222, "issuer": 8082, "upstream": 8081}.get(other, 8080))
        for other in RUNNING
        if other != service
        for network in stack.inspect(other)["NetworkSettings"]["Networks"].values()
    ]
    code = (
        "import json, socket\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "def open_(target):\n"
        "    try: socket.create_connection(target[1:], timeout=2).close(); return target[0]\n"
        "    except OSError: return None\n"
        f"with ThreadPoolExecutor(32) as pool: print(json.dumps(list(pool.map(open_, {targets!r}))))"
    )
    return set(stack.python(service, code)) - {None}


@pytest.mark.parametrize(
    ("service", "may"),
    [
        ("masking", {"nats"}),
        ("policy", {"nats"}),
        ("executor", {"nats", "upstream"}),
        ("ingress", {"nats", "issuer", "approval", "audit"}),
        ("approval", {"nats", "issuer", "ingress", "audit"}),
        ("audit", {"nats", "issuer", "ingress", "approval"}),
        ("upstream", {"executor"}),
    ],
)
def test_a_container_reaches_no_more_than_it_must(stack: Stack, service: str, may: set[str]) -> None:
    assert _reached(stack, service) == may


def test_starting_again_keeps_keys_and_log(stack: Stack) -> None:
    ring = stack.execute("audit", "cat", "/run/callgate/keys/ring.json")
    stack.compose("up", "-d", "--no-build", timeout=240)
    assert stack.execute("audit", "cat", "/run/callgate/keys/ring.json") == ring
    call = {"function": "crm.read_customer", "arguments": {"id": "c7"}}
    status, answer = stack.http("ingress", "/v1/calls", stack.token("support-bot"), call)
    assert (status, answer["status"]) == (200, "completed")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def _plugin() -> bool:
    """Whether compose is a plugin of docker (v2), or the older command."""
    done = subprocess.run(("docker", "compose", "version"), capture_output=True, check=False)
    return done.returncode == 0
