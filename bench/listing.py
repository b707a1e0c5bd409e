"""Measures what a page of a long session costs, and prints; `make bench-listing`.

One session of many governed calls, then `GET /v1/calls?session=` page by page, at an ingress in a process of its own:
the time to a page and the processor time that ingress took for it, at the beginning of the session, and over all of it.
Beside that, reading and verifying the whole session, as `callgate audit replay` does.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

import aiohttp
import uvloop

from bench import load
from bench.deployment import LAYOUTS, Deployment, Process, running
from callgate.platform import open_platform
from contracts.identity import Role
from contracts.subjects import homes

CALLERS = 32
SESSION = "caller-0"
"""Of `load.Governed`: the session of its first caller."""
REPEATED = 20
"""How often the first page is asked for."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.listing", description=__doc__)
    parser.add_argument("--calls", type=int, default=5000, help="calls in the session (default %(default)s)")
    parser.add_argument("--page", type=int, default=50, help="calls in a page (default %(default)s)")
    parser.add_argument("--pages", type=int, default=100, help="pages walked at most (default %(default)s)")
    options = parser.parse_args()
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, sync always")
    uvloop.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="callgate-bench-") as folder:
        async with (
            running(Path(folder), LAYOUTS["a process each"]) as deployment,
            open_platform(deployment.settings, Role.AUDIT) as audit,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout()) as http,
        ):
            governed = load.Governed(http, deployment)
            filled = await load.run(options.calls, CALLERS, lambda _, number: governed(0, number))
            print(f"{options.calls} calls in one session after {filled.seconds:.0f} s, errors {filled.errors}")
            ingress = next(process for process in deployment.processes if process.name == Role.INGRESS)
            listing = Listing(http, deployment, ingress, options.page)
            for _ in range(REPEATED):
                await listing.page("")
            listing.report("the first page")
            after: str | None = ""
            walked = 0
            while after is not None and walked < options.pages:
                after, walked = await listing.page(after), walked + 1
            listing.report(f"{walked} pages, one after the other")
            (home,) = homes(listing.session_id, audit.partitions)
            started, cpu = time.perf_counter(), time.process_time()
            chains = await audit.log.read_session(home, listing.session_id)
            print(
                f"all {len(chains)} calls read and verified at once: {time.perf_counter() - started:.1f} s, "
                f"CPU {time.process_time() - cpu:.1f} s"
            )


class Listing:
    """The pages of the session, as an agent asks for them."""

    def __init__(self, http: aiohttp.ClientSession, deployment: Deployment, ingress: Process, size: int) -> None:
        self._http = http
        self._url = f"{deployment.url}/v1/calls"
        self._headers = {"Authorization": f"Bearer {deployment.token}"}
        self._ingress = ingress
        self._size = size
        self._seconds: list[float] = []
        self._cpu = ingress.cpu_seconds()
        self.session_id = ""

    async def page(self, after: str) -> str | None:
        """`next` of the page."""
        wanted = {"session": SESSION, "limit": str(self._size)} | ({"after": after} if after else {})
        started = time.perf_counter()
        async with self._http.get(self._url, params=wanted, headers=self._headers) as response:
            page = await response.json()
        self._seconds.append(time.perf_counter() - started)
        if response.status != 200 or not page["calls"]:
            raise RuntimeError("no page of the session came back")
        self.session_id = page["calls"][0]["session"]
        following: str | None = page["next"]
        return following

    def report(self, what: str) -> None:
        """Prints what was asked for since the report before."""
        cpu, count = self._ingress.cpu_seconds() - self._cpu, len(self._seconds)
        slowest, middle = max(self._seconds), statistics.median(self._seconds)
        print(
            f"{what}: p50 {middle * 1000:.0f} ms, at most {slowest * 1000:.0f} ms; "
            f"CPU of ingress {cpu / count * 1000:.0f} ms a page"
        )
        self._seconds, self._cpu = [], self._ingress.cpu_seconds()


if __name__ == "__main__":
    main()
