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
from cli.composition import AUDIENCE, SERVICES
from cli.dev_issuer import DevIssuer, dev_issuer_app
from cli.embedded import EmbeddedBroker
from cli.provisioning import provision_deployment
from contracts.identity import Role

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
            *(sys.executable, "-m", "cli.main", "serve", role, "--listen", listen, "-c", str(self.config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "FLEET_UPSTREAM": _TOKEN},
            start_new_session=True,
        )
        log.close()
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        assert "ready" in line, f"{role} did not start: {(self.folder / f'{role}-{replica}.log').read_text()[-2000:]}"
        self.urls[key] = f"http://{listen}"
        self._processes[key] = process

    async def kill(self, role: Role, replica: int = 0) -> None:
        """kill -9."""
        process = self._processes.pop((role, replica))
        process.send_signal(signal.SIGKILL)
        await process.wait()

    async def kill_broker(self) -> None:
        assert self.broker.pid is not None
        os.kill(self.broker.pid, signal.SIGKILL)
        await self.broker.watch()

    async def stop(self) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self._processes.values():
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()

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
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.upstream", "--port", "0", "--journal", str(folder / "journal")),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "UPSTREAM_TOKEN": _TOKEN},
        start_new_session=True,
    )

    async def end() -> None:
        process.terminate()
        await process.wait()

    stack.push_async_callback(end)
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().split()[-1]


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
