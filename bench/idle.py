"""Measures what a call costs that waits, and prints; `make bench-idle`.

Calls that wait for people are held open (`Prefer: wait=…`), each over a connection of its own, at an ingress in a
process of its own: its resident memory, before and with them, and how fast others are served beside them.
"""

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import aiohttp
import uvloop

from bench import load
from bench.deployment import LAYOUTS, Deployment, Process, running
from callgate.files import allow_open_files
from callgate.platform import Platform, open_platform
from contracts.identity import Role

WARM = 200
BATCH = 100
"""Calls posted at once."""
_EVENTS = 3
"""Of a call that waits for people: requested, arguments_masked, approval_required."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description=__doc__)
    parser.add_argument("--waiting", type=int, default=10_000, help="calls held open (default %(default)s)")
    parser.add_argument("--hold", type=int, default=1800, help="seconds each asks to be held (default %(default)s)")
    parser.add_argument("--others", type=int, default=200, help="calls beside them (default %(default)s)")
    parser.add_argument("--looks", action="store_true", help="wait until each looked at the log by itself, too")
    options = parser.parse_args()
    allow_open_files(options.waiting + 1000)
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, sync always")
    uvloop.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="callgate-bench-") as folder:
        async with (
            running(Path(folder), LAYOUTS["a process each"]) as deployment,
            open_platform(deployment.settings, Role.AUDIT) as audit,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout()) as http,
        ):
            ingress = next(process for process in deployment.processes if process.name == Role.INGRESS)
            other = load.Governed(http, deployment)
            waiting = Waiting(http, deployment, options.hold)
            await load.run(WARM, 8, other)  # code paths, sessions' keys, what the allocator keeps
            await waiting.more(WARM, audit)
            await waiting.release()
            empty = resident(ingress)
            alone = await load.run(options.others, 1, other)
            started = time.perf_counter()
            await waiting.more(options.waiting, audit)
            print(f"{options.waiting} calls wait after {time.perf_counter() - started:.0f} s")
            _print_memory("as they wait", ingress, empty, waiting)
            beside = await load.run(options.others, 1, other)
            if options.looks:
                await asyncio.sleep(options.waiting / 40)  # at most 50 looks a second, a quarter of the time more
                _print_memory("each looked at the log", ingress, empty, waiting)
            for name, seen in (("nobody waits", alone), ("beside them", beside)):
                print(
                    f"{name:24} p50 {seen.percentile(0.5):6.1f} ms  p99 {seen.percentile(0.99):6.1f} ms  "
                    f"errors {seen.errors}"
                )
            await waiting.release()


class Waiting:
    """The calls that are held open, as their one client sees them."""

    def __init__(self, http: aiohttp.ClientSession, deployment: Deployment, hold: int) -> None:
        self._http = http
        self._url = f"{deployment.url}/v1/calls"
        self._headers = {"Authorization": f"Bearer {deployment.token}", "Prefer": f"wait={hold}"}
        self._tasks: list[asyncio.Task[int]] = []

    def held(self) -> int:
        return sum(not task.done() for task in self._tasks)

    async def more(self, count: int, audit: Platform) -> None:
        """Holds so many more, and returns once all of them wait for people, as the log says."""
        expected = await _events(audit)
        for first in range(0, count, BATCH):
            batch = range(first, min(first + BATCH, count))
            self._tasks += [asyncio.create_task(self._one(number)) for number in batch]
            expected += len(batch) * _EVENTS
            while await _events(audit) < expected:
                if any(task.done() for task in self._tasks):
                    raise RuntimeError("a call was answered that should wait")
                await asyncio.sleep(0.2)

    async def _one(self, number: int) -> int:
        body = {"function": "bench.hold", "arguments": load.arguments(number), "session": f"idle-{number % 64}"}
        async with self._http.post(self._url, json=body, headers=self._headers) as response:
            await response.read()
            return response.status

    async def release(self) -> None:
        """The client goes away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


def _print_memory(when: str, ingress: Process, empty: int, waiting: Waiting) -> None:
    size, held = resident(ingress), waiting.held()
    print(
        f"{when:24} {held} held, {empty / 2**20:.0f} MB without and {size / 2**20:.0f} MB with them: "
        f"{(size - empty) / max(1, held) / 1024:.1f} KB a call"
    )


def resident(process: Process) -> int:
    """Bytes of memory, from /proc (proc(5): statm, field 2, in pages)."""
    fields = Path(f"/proc/{process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


async def _events(audit: Platform) -> int:
    """On the log of calls."""
    answers = [
        await audit.client.request(f"$JS.API.STREAM.INFO.{partition.stream}", b"", timeout=10)
        for partition in audit.partitions
    ]
    return sum(json.loads(answer.data)["state"]["messages"] for answer in answers)


if __name__ == "__main__":
    main()
