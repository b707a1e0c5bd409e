"""A deployment to be measured: a broker that syncs, services in processes of their own, and the demo upstream."""

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from callgate import keys
from callgate.host import bind, serve_http
from callgate.settings import Settings, load
from cli.children import start_python
from cli.composition import AUDIENCE
from cli.dev_issuer import DevIssuer, dev_issuer_app
from cli.embedded import EmbeddedBroker
from cli.provisioning import provision_deployment
from contracts.identity import Role

_TOKEN = "bench-upstream-token-0123456789"
_POLICIES = """
@id("bench") permit(principal in Group::"support-bots", action == Action::"bench.echo", resource);
@id("hold") permit(principal in Group::"support-bots", action == Action::"bench.hold", resource);

@id("held") @approvers("sre") @expires("4h")
forbid(principal, action == Action::"bench.hold", resource) unless { context.approved };

@id("sre-approves") permit(principal in Group::"sre", action == Action::"approve", resource);
"""

_ECHO: dict[str, Any] = {
    "path": "/echo",
    "input": {
        "type": "object",
        "required": ["order", "amount", "note"],
        "properties": {"order": {"type": "string"}, "amount": {"type": "number"}, "note": {"type": "string"}},
        "additionalProperties": False,
    },
}

LAYOUTS: dict[str, tuple[tuple[Role, ...], ...]] = {
    "one process": ((Role.INGRESS, Role.MASKING, Role.POLICY, Role.APPROVAL, Role.EXECUTOR, Role.AUDIT),),
    "two processes": ((Role.MASKING, Role.POLICY, Role.EXECUTOR), (Role.INGRESS, Role.APPROVAL, Role.AUDIT)),
    "a process each": tuple(
        (role,) for role in (Role.AUDIT, Role.EXECUTOR, Role.POLICY, Role.APPROVAL, Role.MASKING, Role.INGRESS)
    ),
}


@dataclass(frozen=True, slots=True)
class Process:
    """A child and what it is called in the report."""

    name: str
    pid: int
    url: str

    def cpu_seconds(self) -> float:
        """User and system time so far, from /proc (proc(5): fields 14 and 15, in clock ticks)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Deployment:
    """What the load needs to know."""

    url: str
    upstream_url: str
    upstream_token: str
    token: str
    """Of an agent."""
    reviewer: str
    """The token of somebody who may approve `bench.hold`."""
    settings: Settings
    processes: tuple[Process, ...]


@contextlib.asynccontextmanager
async def running(folder: Path, layout: Sequence[Sequence[Role]], shards: int = 1) -> AsyncIterator[Deployment]:
    """The deployment in that layout of processes, while the context lasts."""
    async with contextlib.AsyncExitStack() as stack:
        upstream = await _child(
            stack, "upstream", "-m", "examples.upstream", "--port", "0", env={"UPSTREAM_TOKEN": _TOKEN}
        )
        listener = bind("127.0.0.1:0")
        issuer_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        issuer = DevIssuer.open(folder / "issuer", issuer_url=issuer_url, audience=AUDIENCE)
        await stack.enter_async_context(serve_http(dev_issuer_app(issuer), listener))
        (folder / "policies").mkdir()
        (folder / "policies" / "bench.cedar").write_text(_POLICIES)
        keys.init(folder / "keys", "bench")
        passwords = {role: keys.read_password(folder / "keys", role) for role in Role}
        broker = await stack.enter_async_context(EmbeddedBroker(folder / "broker", passwords=passwords))
        path = folder / "callgate.yaml"
        path.write_text(yaml.safe_dump(_configuration(broker.url, shards, issuer_url, upstream.url)))
        settings = load(path)
        await provision_deployment(settings)
        services = [
            await _child(
                stack, "+".join(roles), "-m", "cli.main", "serve", *roles, "--listen", "127.0.0.1:0", "-c", str(path),
                env={"BENCH_UPSTREAM": _TOKEN},
            )
            for roles in layout
        ]  # fmt: skip
        ingress = next(process for process in services if Role.INGRESS in process.name)
        assert broker.pid is not None
        yield Deployment(
            url=ingress.url,
            upstream_url=upstream.url,
            upstream_token=_TOKEN,
            token=issuer.mint("support-bot"),
            reviewer=issuer.mint("rosa"),
            settings=settings,
            processes=(*services, Process("broker", broker.pid, ""), upstream),
        )


async def _child(stack: contextlib.AsyncExitStack, name: str, *arguments: str, env: dict[str, str]) -> Process:
    child = await start_python(stack, *arguments, env=env)
    if child is None:
        raise RuntimeError(f"{name} did not start")
    return Process(name, child.pid, child.url)


def _configuration(broker_url: str, shards: int, issuer_url: str, upstream_url: str) -> dict[str, Any]:
    return {
        "deployment": "bench",
        "state": ".",
        "broker": {"url": broker_url, "shards": shards},
        "identity": {"issuers": [{"issuer": issuer_url, "audience": AUDIENCE, "algorithms": ["ES256"]}]},
        "telemetry": {"level": "error"},
        # It may take minutes until all wait that are to be held at the same time, and they are one agent's.
        "ingress": {"max_wait": 3600, "held_share": 1},
        "connections": {
            "bench": {
                "base_url": upstream_url,
                "credential": {"kind": "bearer", "env": "BENCH_UPSTREAM"},
                "proxy": {},
                # The same at the upstream, and another route at the proxy.
                "functions": {"echo": _ECHO, "hold": {**_ECHO, "method": "PUT"}},
            }
        },
    }


def _echo() -> dict[str, Any]:
    """A function that answers with its arguments; `hold` is the same, and waits for approval."""
    return {
        "path": "/echo",
        "input": {
            "type": "object",
            "required": ["order", "amount", "note"],
            "properties": {
                "order": {"type": "string"},
                "amount": {"type": "number"},
                "note": {"type": "string"},
            },
            "additionalProperties": False,
        },
    }
