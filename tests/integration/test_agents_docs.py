"""Every line of docs/agents.md that can be run is run, against `callgate up` with the example configuration."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "agents.md"
PRINTED = "http://127.0.0.1:8080"
"""The address that the page gives."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def on_free_ports(configuration: str) -> str:
    """The example configuration on ports that nobody uses at this moment."""
    with contextlib.ExitStack() as stack:
        for port in sorted(set(re.findall(r"127\.0\.0\.1:(\d+)", configuration))):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            configuration = configuration.replace(f"127.0.0.1:{port}", f"127.0.0.1:{listener.getsockname()[1]}")
    return configuration


@dataclass
class Up:
    """A running `callgate up`: where it is, and the tokens of its agent and of a reviewer."""

    url: str
    agent: str
    rosa: str
    folder: Path

    async def run(self, *command: str) -> str:
        """What a command prints; it must end well and complain of nothing."""
        (self.folder / "bin").mkdir(exist_ok=True)
        callgate = self.folder / "bin" / "callgate"
        callgate.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cli.main "$@"\n')
        callgate.chmod(0o755)
        environment = {
            **os.environ,
            "AGENT": self.agent,
            "ROSA": self.rosa,
            "CALLGATE_URL": self.url,
            "PYTHONPATH": str(ROOT),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(60):
            printed, complaints = await process.communicate()
        assert (process.returncode, complaints.decode()) == (0, "")
        return printed.decode()

    async def shell(self, text: str) -> str:
        return await self.run("sh", "-euc", text.replace(PRINTED, self.url))

    async def python(self, text: str) -> str:
        return await self.run(sys.executable, "-W", "error", "-c", text.replace(PRINTED, self.url))


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    configuration = tmp_path / "callgate.yaml"
    configuration.write_text(on_free_ports((ROOT / "callgate.yaml").read_text()))
    shutil.copytree(ROOT / "policies", tmp_path / "policies")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CALLGATE_CONFIG": str(configuration)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli.main", "up"), env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    printed = ""
    try:
        async with asyncio.timeout(60):
            while "what the upstream saw" not in printed:
                line = await process.stdout.readline()
                assert line, printed
                printed += line.decode()
        (url,) = re.findall(r"agents post calls to +(http://\S+)/v1/calls", printed)
        (agent,), (rosa,) = (re.findall(rf"{name}=(\S+)", printed) for name in ("AGENT", "ROSA"))
        yield Up(url, agent, rosa, tmp_path)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()


def documents(printed: str) -> list[Any]:
    """The JSON documents that curl printed one after the other."""
    decoder, found, position = json.JSONDecoder(), [], 0
    while position < len(printed.rstrip()):
        document, position = decoder.raw_decode(printed, position)
        found.append(document)
    return found


async def test_the_page_does_what_it_says(up: Up) -> None:
    http, twice, loops, commands = blocks("sh")
    (outcome,) = documents(await up.shell(http))
    assert (outcome["status"], outcome["result"]["status"]) == ("completed", 200)
    first, second = documents(await up.shell(twice))
    assert (first["status"], first["id"]) == ("completed", second["id"])
    openai, anthropic = documents(await up.shell(loops))
    assert openai["messages"][0]["tool_call_id"] == "call_1"
    assert anthropic["messages"][0]["content"][0]["tool_use_id"] == "toolu_1"
    printed = await up.shell(commands)
    assert "payments.refund" in printed
    assert printed.count("completed") == 4, "two calls, and both in the list"

    client, loop = blocks("python")
    lines = (await up.python(client)).splitlines()
    assert lines[0].startswith("completed ")
    assert lines[1:] == ["denied forbidden", "goes on", "cancelled"]
    assert (await up.python(loop)).splitlines() == ["True", "tool call_1"]
