"""A multi-process run: a broker, every service in processes of its own, and the demo upstream with a journal."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml

from callgate import keys
from callgate.host import bind, serve_http
from callgate.settings import Settings, load
from cli.children import ended, start_python, tied
from cli.composition import AUDIENCE, SERVICES
from cli.dev_issuer import DevIssuer, dev_issuer_app
from cli.embedded import EmbeddedBroker
from cli.provisioning import provision_deployment
from contracts.identity import Role

READY_SECONDS, STOP_SECONDS = 90, 40
"""On a slow machine: for one process of twelve that start at once, and for more than a service itself allows a stop."""
_TOKEN = "fleet-upstream-token-0123456789"
_POLICIES = """
@id("agents-pay") permit(principal in Group::"support-bots", action == Action::"shop.pay", resource);
@id("agents-look") permit(principal in Group::"support-bots", action == Action::"shop.look", resource);
@id("agents-ship") permit(principal in Group::"support-bots", action == Action::"shop.ship", resource);
@id("sre-ships") @approvers("sre") @expires("5m")
forbid(principal, action == Action::"shop.ship", resource) unless { context.approved };
@id("sre-approves") permit(principal in Group::"sre", action == Action::"approve", resource);
"""


class Fleet:
    """Starts, kills and restarts services by role and replica."""

    def __init__(
        self, folder: Path, broker: EmbeddedBroker, issuer: DevIssuer, config: Path, upstream_url: str
    ) -> None:
        self.folder = folder
        self.broker = broker
        self.issuer = issuer
        self.config = config
        self.settings: Settings = load(config)
        self.journal = folder / "journal"
        self.upstream_url = upstream_url
        self.urls: dict[tuple[Role, int], str] = {}
        self._processes: dict[tuple[Role, int], asyncio.subprocess.Process] = {}

    async def start(self, role: Role, replica: int = 0) -> None:
        """Starts it on the address that it had before, or on a free one; returns when it is ready."""
        key = (role, replica)
        listen = self.urls.get(key, f"http://127.0.0.1:{free_port()}").removeprefix("http://")
        log = (self.folder / f"{role}-{replica}.log").open("ab")
        process = await asyncio.create_subprocess_exec(
            *tied(sys.executable, "-m", "cli.main", "serve", role, "--listen", listen, "-c", str(self.config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "FLEET_UPSTREAM": _TOKEN},
            start_new_session=True,
        )
        log.close()
        self._processes[key] = process
        assert process.stdout is not None
        line = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                line = await process.stdout.readline()
        assert b"ready" in line, (
            f"{role} is not ready after {READY_SECONDS} s, or ended (exit code {process.returncode}): {self._tail(key)}"
        )
        self.urls[key] = f"http://{listen}"

    async def kill(self, role: Role, replica: int = 0) -> None:
        """kill -9."""
        process = self._processes.pop((role, replica))
        process.kill()
        async with asyncio.timeout(READY_SECONDS):
            await process.wait()

    async def kill_broker(self) -> None:
        assert self.broker.pid is not None
        os.kill(self.broker.pid, signal.SIGKILL)
        async with asyncio.timeout(READY_SECONDS):
            await self.broker.watch()

    async def stop(self) -> None:
        """SIGTERM to all. AssertionError with the end of its log for one that had to be killed."""
        stubborn = []
        codes = await asyncio.gather(*(ended(process, STOP_SECONDS) for process in self._processes.values()))
        for key, code in zip(self._processes, codes, strict=True):
            if code == -signal.SIGKILL:
                stubborn.append(f"{key[0]}-{key[1]} did not end within {STOP_SECONDS} s: {self._tail(key)}")
        assert not stubborn, stubborn

    def _tail(self, key: tuple[Role, int]) -> str:
        return (self.folder / f"{key[0]}-{key[1]}.log").read_text()[-2000:]

    def logs(self) -> str:
        """What every service wrote to standard error."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


@contextlib.asynccontextmanager
async def fleet(folder: Path, *, replicas: int = 1, broker: dict[str, Any] | None = None) -> AsyncIterator[Fleet]:
    """A running fleet. Time limits are short, so that a test need not wait long for a dead executor's deadline."""
    async with contextlib.AsyncExitStack() as stack:
        listener = bind("127.0.0.1:0")
        issuer_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        issuer = DevIssuer.open(folder / "issuer", issuer_url=issuer_url, audience=AUDIENCE)
        await stack.enter_async_context(serve_http(dev_issuer_app(issuer), listener))
        upstream_url = await _upstream(stack, folder)
        (folder / "policies").mkdir()
        (folder / "policies" / "fleet.cedar").write_text(_POLICIES)
        keys.init(folder / "keys", "fleet")
        passwords = {role: keys.read_password(folder / "keys", role) for role in Role}
        nats = await stack.enter_async_context(EmbeddedBroker(folder / "broker", passwords=passwords))
        config = folder / "callgate.yaml"
        layout = {"url": nats.url, "ack_wait": 2.0, **(broker or {})}
        config.write_text(yaml.safe_dump(_configuration(layout, issuer_url, upstream_url)))
        running = Fleet(folder, nats, issuer, config, upstream_url)
        await provision_deployment(running.settings)
        stack.push_async_callback(running.stop)
        for replica in range(replicas):
            await asyncio.gather(*(running.start(role, replica) for role in SERVICES))
        yield running


async def _upstream(stack: contextlib.AsyncExitStack, folder: Path) -> str:
    arguments = ("-m", "examples.upstream", "--port", "0", "--journal", str(folder / "journal"))
    child = await start_python(stack, *arguments, env={"UPSTREAM_TOKEN": _TOKEN})
    assert child is not None, "the upstream did not start"
    return child.url


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _configuration(broker: dict[str, Any], issuer_url: str, upstream_url: str) -> dict[str, Any]:
    payment = {
        "type": "object",
        "required": ["amount", "currency", "card_number"],
        "properties": {
            "amount": {"type": "number"},
            "currency": {"type": "string"},
            "card_number": {"type": "string"},
        },
        "additionalProperties": False,
    }
    customer = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string"}},
        "additionalProperties": False,
    }
    release = {
        "type": "object",
        "required": ["service", "environment", "version"],
        "properties": {
            "service": {"type": "string"},
            "environment": {"type": "string"},
            "version": {"type": "string"},
        },
        "additionalProperties": False,
    }
    return {
        "deployment": "fleet",
        "state": ".",
        "broker": broker,
        "identity": {"issuers": [{"issuer": issuer_url, "audience": AUDIENCE, "algorithms": ["ES256"]}]},
        "executor": {"clock_skew": 0.2},
        "telemetry": {"level": "info", "style": "json"},
        "connections": {
            "shop": {
                "base_url": upstream_url,
                "timeout": 2.0,
                "credential": {"kind": "bearer", "env": "FLEET_UPSTREAM"},
                "functions": {
                    "pay": {"path": "/refunds", "idempotent": False, "input": payment},
                    "ship": {"path": "/deployments", "idempotent": False, "input": release},
                    "look": {"path": "/customers/{id}", "method": "GET", "idempotent": True, "input": customer},
                },
            }
        },
    }
