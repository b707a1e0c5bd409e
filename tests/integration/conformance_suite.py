"""The official conformance suite against Callgate's /mcp, and against another server straight and through Callgate.

The suite knows no tokens, and calls tools by the names of the server that it was written for. So it runs against a
front that adds the token, and takes the connection's name off the names of tools.

    python tests/integration/conformance_suite.py FOLDER --connection NAME --direct http://…/mcp --through http://…/mcp

runs it against both, for a server that is the connection NAME of a Callgate, and says what passes straight and not
through Callgate. FOLDER is where the suite is installed (`.ci/run` says how).
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

KNOWN = Path(__file__).parent / "conformance"
PACKAGES = {"2025-11-25": "conformance-2025", "2026-07-28": "conformance-2026"}
"""The released suite of the protocol with sessions, and the one that has the scenarios of the protocol without."""
_HOP = frozenset({"content-length", "transfer-encoding", "connection", "authorization", "content-encoding"})
_FORM = ("SUCCESS", "wire-schema-valid")
"""Of every scenario, whatever comes of it."""


@dataclass(frozen=True, slots=True)
class Report:
    """Checks that passed and failed, by scenario; what needs a fixture that the server lacks fails."""

    passed: Mapping[str, frozenset[str]]
    failed: Mapping[str, frozenset[str]]

    @property
    def failing(self) -> set[str]:
        """`scenario: check`, for each that failed."""
        return {f"{scenario}: {check}" for scenario, checks in self.failed.items() for check in checks}


async def run(folder: Path, url: str, revision: str) -> Report:
    """Runs every server scenario of a revision. RuntimeError where the suite itself does not run."""
    package = folder / "node_modules" / PACKAGES[revision] / "dist" / "index.js"
    chosen = ("--requirements", revision) if revision != "2025-11-25" else ("--suite", "active")
    with tempfile.TemporaryDirectory() as results:
        process = await asyncio.create_subprocess_exec(
            *(str(folder / "node_modules" / ".bin" / "node"), str(package), "server", "--url", url, *chosen),
            *("-o", results),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        printed, _ = await process.communicate()
        report = _report(Path(results))
    if not report.passed and not report.failed:
        raise RuntimeError(f"the conformance suite did not run: {printed.decode()[-2000:]}")
    return report


def _report(results: Path) -> Report:
    by_status: dict[str, dict[str, set[str]]] = {"SUCCESS": {}, "FAILURE": {}}
    for path in results.glob("server-*/checks.json"):
        scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT[\d-]+Z$", "", path.parent.name)
        for check in json.loads(path.read_text()):
            if check["status"] in by_status and (check["status"], check["id"]) != _FORM:
                by_status[check["status"]].setdefault(scenario, set()).add(check["id"])
    passed, failed = ({name: frozenset(ids) for name, ids in by_status[key].items()} for key in ("SUCCESS", "FAILURE"))
    return Report(passed, failed)


def exceptions(name: str) -> dict[str, str]:
    """What need not pass, and why: a scenario, or `scenario: check`."""
    listed = yaml.safe_load((KNOWN / f"{name}.yaml").read_text()) or {}
    return {str(what): str(why) for why, whats in listed.items() for what in whats}


def lost(straight: Report, through: Report) -> set[str]:
    """What passes straight and fails through Callgate: a check, or a scenario of which nothing passes any more."""
    gone = {scenario for scenario in straight.passed if scenario not in through.passed.keys() | through.failed.keys()}
    return (through.failing - straight.failing) | gone


def unexplained(failing: set[str], excepted: Mapping[str, str]) -> set[str]:
    return {one for one in failing if one not in excepted and one.partition(": ")[0] not in excepted}


def stale(failing: set[str], report: Report, excepted: Mapping[str, str]) -> set[str]:
    """Exceptions of scenarios that ran, under which nothing fails any more."""
    ran = report.passed.keys() | report.failed.keys()
    needed = failing | {one.partition(": ")[0] for one in failing}
    return {what for what in excepted if what.partition(": ")[0] in ran and what not in needed}


@contextlib.asynccontextmanager
async def front(url: str, token: str, connection: str | None = None) -> AsyncIterator[str]:
    """An address that needs no token, before a Callgate that does; with a connection, its tools without its name.

    It hands on what headers mean, not their bytes: how those are read is tested in test_http_connections.py.
    """
    prefix = f"{connection}-" if connection else ""

    async def forward(request: web.Request) -> web.StreamResponse:
        body = _named(await request.read(), prefix)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        headers["Authorization"] = f"Bearer {token}"
        if headers.get("Mcp-Method") == "tools/call" and "Mcp-Name" in headers:
            headers["Mcp-Name"] = _qualified(headers["Mcp-Name"], prefix)
        async with http.request(request.method, url, data=body, headers=headers) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            if answer.content_type != "text/event-stream":
                listed = (await answer.read()).replace(f'"name":"{prefix}'.encode(), b'"name":"')
                return web.Response(status=answer.status, headers=kept, body=listed)
            response = web.StreamResponse(status=answer.status, headers=kept)
            with contextlib.suppress(ConnectionResetError):  # the suite heard enough
                await response.prepare(request)
                async for part in answer.content.iter_any():
                    await response.write(part)
                await response.write_eof()
            return response

    application = web.Application(client_max_size=16 * 1024 * 1024)
    application.router.add_route("*", "/mcp", forward)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/mcp"
        finally:
            await runner.cleanup()


def _named(body: bytes, prefix: str) -> bytes:
    try:
        message = json.loads(body) if prefix else None
    except ValueError:
        return body
    if isinstance(message, dict) and message.get("method") == "tools/call" and "name" in message.get("params", {}):
        message["params"]["name"] = _qualified(message["params"]["name"], prefix)
        return json.dumps(message).encode()
    return body


def _qualified(tool: str, prefix: str) -> str:
    """The name at Callgate of a tool of the connection; the door's own tools keep theirs."""
    return tool if tool.startswith("callgate_") else prefix + tool


async def _main(options: argparse.Namespace) -> int:
    found: dict[str, list[str]] = {}
    token = os.environ.get("CALLGATE_TOKEN", "")
    async with front(options.through, token, options.connection) as through:
        for revision in PACKAGES:
            straight, governed = [await run(options.folder, url, revision) for url in (options.direct, through)]
            found[revision] = sorted(unexplained(lost(straight, governed), exceptions("through")))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="What passes straight must pass through Callgate.")
    parser.add_argument("folder", type=Path, help="where the suite is installed")
    parser.add_argument("--direct", required=True, help="the server's own /mcp")
    parser.add_argument("--through", required=True, help="Callgate's /mcp, its token in CALLGATE_TOKEN")
    parser.add_argument("--connection", required=True, help="the name under which Callgate knows the server")
    sys.exit(asyncio.run(_main(parser.parse_args())))
