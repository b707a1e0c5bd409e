"""`python -m bench.doors`: what each door adds to `POST /v1/calls`, and what a call costs that waits at it.

The same call by turns through every door, one caller, so that whatever else the machine does falls on all alike.
Clients are plain HTTP with kept connections: a client's own cost is none of the door's.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from bench.deployment import LAYOUTS, Deployment, Process, running
from bench.load import arguments

Call = Callable[[int], Coroutine[Any, Any, bool]]

_MODERN = "2026-07-28"
_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": _MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
    "dev.callgate/session": "bench",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.doors", description="What each door of ingress adds.")
    parser.add_argument("--calls", type=int, default=300, help="of each door (default %(default)s)")
    parser.add_argument("--waiting", type=int, default=1000, help="calls held open at each door (default %(default)s)")
    parser.add_argument("--layout", choices=[*LAYOUTS], default="a process each")
    options = parser.parse_args()
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, sync always")
    uvloop.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="callgate-bench-") as folder:
        (Path(folder) / "overhead").mkdir()
        async with running(Path(folder) / "overhead", LAYOUTS[options.layout]) as deployment, _client() as http:
            doors = await _doors(http, deployment)
            ingress = next(process for process in deployment.processes if "ingress" in process.name)
            await _overheads(doors, ingress, options.calls)
        for name in doors if options.waiting else ():
            # In a process of its own each: memory that one door gave back would be another's for nothing.
            path = Path(folder) / name.replace("/", "-")
            path.mkdir()
            async with running(path, LAYOUTS[options.layout]) as deployment, _client() as http:
                ingress = next(process for process in deployment.processes if "ingress" in process.name)
                await _waiting(name, (await _doors(http, deployment, "bench.hold"))[name], ingress, options.waiting)


def _client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=300))


async def _doors(http: aiohttp.ClientSession, deployment: Deployment, function: str = "bench.echo") -> dict[str, Call]:
    """Every door by name; each call says whether all was well."""
    auth = {"Authorization": f"Bearer {deployment.token}"}
    mcp = f"{deployment.url}/mcp"
    tool = function.replace(".", "-")
    sent = auth | {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    session = await _session(http, mcp, sent)

    async def rest(number: int) -> bool:
        body = {"function": function, "arguments": arguments(number), "session": "bench"}
        async with http.post(f"{deployment.url}/v1/calls", json=body, headers=auth) as response:
            return bool((await response.json())["status"] == "completed")

    async def with_session(number: int) -> bool:
        params = {"name": tool, "arguments": arguments(number), "_meta": {"dev.callgate/session": "bench"}}
        return await _tool_call(http, mcp, sent | session, number, params)

    async def without(number: int) -> bool:
        params = {"name": tool, "arguments": arguments(number), "_meta": _ENVELOPE}
        headers = {"MCP-Protocol-Version": _MODERN, "Mcp-Method": "tools/call", "Mcp-Name": tool}
        return await _tool_call(http, mcp, sent | headers, number, params)

    async def tool_loop(number: int) -> bool:
        asked = {"name": tool, "arguments": json.dumps(arguments(number))}
        body = {"role": "assistant", "tool_calls": [{"id": f"call_{number}", "type": "function", "function": asked}]}
        headers = auth | {"Callgate-Session": "bench"}
        async with http.post(f"{deployment.url}/v1/tool-calls/openai", json=body, headers=headers) as response:
            return bool((await response.json())["calls"][0]["status"] == "completed")

    async def proxy(number: int) -> bool:
        method = "PUT" if function == "bench.hold" else "POST"
        headers = auth | {"Callgate-Session": "bench"}
        target = f"{deployment.url}/proxy/bench/echo"
        async with http.request(method, target, json=arguments(number), headers=headers) as response:
            await response.read()
            return response.headers["Callgate-Status"] == "completed"

    return {
        "POST /v1/calls": rest,
        "tool calls": tool_loop,
        "proxy": proxy,
        "MCP 2025-11-25": with_session,
        "MCP 2026-07-28": without,
    }


async def _session(http: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> dict[str, str]:
    params = {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    }
    hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    async with http.post(url, json=hello, headers=headers) as response:
        await response.read()
        return {"Mcp-Session-Id": response.headers["Mcp-Session-Id"], "MCP-Protocol-Version": "2025-11-25"}


async def _tool_call(
    http: aiohttp.ClientSession, url: str, headers: dict[str, str], number: int, params: dict[str, Any]
) -> bool:
    message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    async with http.post(url, json=message, headers=headers) as response:
        text = await response.read()
    if response.content_type == "text/event-stream":
        text = next(line[6:] for line in text.splitlines() if line.startswith(b'data: {"'))
    return bool(json.loads(text)["result"].get("isError") is not True)


_BLOCK = 25
"""Calls through one door before the next has its turn."""


async def _overheads(doors: dict[str, Call], ingress: Process, calls: int) -> None:
    """Time as the caller sees it, which other work on the machine stretches, and the process's, which it does not."""
    taken: dict[str, list[float]] = {name: [] for name in doors}
    spent = dict.fromkeys(doors, 0.0)
    for call in doors.values():
        for number in range(_BLOCK):  # code paths, sessions' keys, connections
            assert await call(number)
    for first in range(0, calls, _BLOCK):
        for name, call in doors.items():
            before = ingress.cpu_seconds()
            for number in range(first, first + _BLOCK):
                started = time.perf_counter()
                assert await call(number), name
                taken[name].append((time.perf_counter() - started) * 1000)
            spent[name] += ingress.cpu_seconds() - before
    (base, *_), (base_cpu, *_) = taken.values(), spent.values()
    for name, times in taken.items():
        p50, cpu = statistics.median(times), spent[name] / len(times) * 1000
        added, added_cpu = p50 - statistics.median(base), cpu - base_cpu / len(base) * 1000
        print(
            f"{name:16}  p50 {p50:6.2f} ms ({added:+5.2f})  p95 {sorted(times)[int(len(times) * 0.95)]:6.2f} ms  "
            f"CPU of {ingress.name} {cpu:5.2f} ms ({added_cpu:+5.2f})"
        )


async def _waiting(name: str, call: Call, ingress: Process, count: int) -> None:
    """Resident memory of the process for each call more that it holds open, from half of them to all: what the first
    ones take is taken once. All of them wait for people."""
    waiting: list[asyncio.Task[bool]] = []
    sizes = []
    for upto in (count // 2, count):
        waiting += [asyncio.create_task(call(number)) for number in range(len(waiting), upto)]
        await asyncio.sleep(5 + upto / 50)  # recorded, masked, judged; no door tells more than that it waits
        sizes.append(_resident(ingress.pid))
    held = sum(not task.done() for task in waiting)
    each = (sizes[1] - sizes[0]) / (count - count // 2) / 1024
    print(f"{name:16}  {held} of {count} calls wait, {each:6.1f} KB for each more")
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


def _resident(pid: int) -> int:
    """Bytes."""
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
