"""Measures what reviewers wait for, and prints; `make bench-approvals`.

Many calls wait: how long the inbox and the API take to list them. One call waits: how long from the last vote to the
start of the execution, by the broker's own clock.
"""

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from bench import load
from bench.deployment import LAYOUTS, Deployment, running
from callgate.platform import Platform, open_platform
from contracts.identity import Role
from contracts.subjects import CallRef

LOOKS = 30
_STEPS = (
    ("vote_cast", "execution_started"),
    ("vote_cast", "approved"),
    ("approved", "allowed"),
    ("allowed", "execution_started"),
)
"""The whole way first, then its parts."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.approvals", description=__doc__)
    parser.add_argument("--waiting", type=int, default=10_000, help="calls that wait (default %(default)s)")
    parser.add_argument("--votes", type=int, default=200, help="calls voted on one by one (default %(default)s)")
    parser.add_argument("--callers", type=int, default=64, help="concurrent callers that post (default %(default)s)")
    parser.add_argument("--layout", choices=LAYOUTS, default="one process", help="how services share processes")
    options = parser.parse_args()
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, sync always")
    uvloop.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="callgate-bench-") as folder:
        async with (
            running(Path(folder), LAYOUTS[options.layout]) as deployment,
            open_platform(deployment.settings, Role.AUDIT) as audit,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        ):
            bench = _Bench(deployment, audit, http)
            await bench.vote(5)  # code paths warmed
            _print_votes(await bench.vote(options.votes))
            await bench.fill(options.waiting, options.callers)
            _print(f"GET /v1/approvals, {options.waiting} waiting", await bench.look("/v1/approvals?limit=50"))
            _print(f"GET /approvals, {options.waiting} waiting", await bench.look("/approvals"))
            _print_votes(await bench.vote(options.votes // 4))


class _Bench:
    def __init__(self, deployment: Deployment, audit: Platform, http: aiohttp.ClientSession) -> None:
        self._url = {role: process.url for process in deployment.processes for role in process.name.split("+")}
        self._agent = {"Authorization": f"Bearer {deployment.token}"}
        self._reviewer = {"Authorization": f"Bearer {deployment.reviewer}"}
        self._token = deployment.reviewer
        self._audit = audit
        self._http = http
        self._filled = 0

    async def vote(self, times: int) -> list[list[float]]:
        """Milliseconds of each of _STEPS after a deciding vote, as the broker recorded them."""
        found: list[list[float]] = [[] for _ in _STEPS]
        for number in range(times):
            ref = await self._submit(0, number)
            url = f"{self._url[Role.INGRESS]}/v1/calls/{ref}/events"
            async with self._http.get(url, headers=self._agent) as response:  # the agent looks on, as one that waits
                response.raise_for_status()
                digest = await self._asked(ref)
                url = f"{self._url[Role.APPROVAL]}/v1/approvals/{ref}/votes"
                ballot = {"decision": "approve", "digest": digest}
                async with self._http.post(url, json=ballot, headers=self._reviewer) as voted:
                    voted.raise_for_status()
                await response.read()  # it ends with the call
            chain = (await self._audit.log.read(ref)).call.chain
            at = {recorded.name: recorded.recorded_at for recorded in chain}
            for steps, (name, following) in zip(found, _STEPS, strict=True):
                steps.append((at[following] - at[name]).total_seconds() * 1000)
        return found

    async def fill(self, calls: int, callers: int) -> None:
        """Calls that wait for approval, each as an agent posts it; until the last of them is listed."""
        done = await load.run(calls, callers, self._waits)
        print(f"{calls} calls posted in {done.seconds:.0f} s, refused {done.errors}")
        for _ in range(60):
            if await self._count() >= calls - done.errors:
                return
            await asyncio.sleep(2)

    async def look(self, path: str) -> list[float]:
        """Milliseconds of one request at a time."""
        headers = await self._signed_in() if path == "/approvals" else self._reviewer
        found: list[float] = []
        for _ in range(LOOKS):
            began = time.perf_counter()
            async with self._http.get(self._url[Role.APPROVAL] + path, headers=headers) as response:
                response.raise_for_status()
                await response.read()
            found.append((time.perf_counter() - began) * 1000)
        return found

    async def _waits(self, caller: int, number: int) -> bool:
        try:
            await self._submit(caller, number)
        except aiohttp.ClientResponseError:
            return False
        return True

    async def _submit(self, caller: int, number: int) -> CallRef:
        body = {"function": "bench.hold", "arguments": load.arguments(number), "session": f"caller-{caller}"}
        headers = {**self._agent, "Prefer": "respond-async"}
        async with self._http.post(f"{self._url[Role.INGRESS]}/v1/calls", json=body, headers=headers) as response:
            response.raise_for_status()
            return CallRef.parse((await response.json())["id"])

    async def _asked(self, ref: CallRef) -> str:
        """The digest of the open question, once there is one."""
        while True:
            async with self._http.get(
                f"{self._url[Role.APPROVAL]}/v1/approvals/{ref}", headers=self._reviewer
            ) as response:
                if response.status == 200:
                    return str((await response.json())["digest"])
            await asyncio.sleep(0.005)

    async def _count(self) -> int:
        count, after = 0, ""
        while True:
            url = f"{self._url[Role.APPROVAL]}/v1/approvals"
            async with self._http.get(
                url, params={"limit": "200", "brief": "true", "after": after}, headers=self._reviewer
            ) as response:
                page: dict[str, Any] = await response.json()
            count += len(page["approvals"])
            after = page["next"] or ""
            if not after:
                return count

    async def _signed_in(self) -> dict[str, str]:
        url = self._url[Role.APPROVAL]
        form = {"token": self._token, "next": "/approvals"}
        async with self._http.post(
            f"{url}/approvals/sign-in", data=form, headers={"Origin": url}, allow_redirects=False
        ) as response:
            cookies = "; ".join(f"{name}={cookie.value}" for name, cookie in response.cookies.items())
        return {"Cookie": cookies}


def _print_votes(steps: list[list[float]]) -> None:
    for (name, following), milliseconds in zip(_STEPS, steps, strict=True):
        indent = "" if (name, following) == _STEPS[0] else "  "
        _print(f"{indent}{name} to {following}", milliseconds)


def _print(what: str, milliseconds: list[float]) -> None:
    ordered = sorted(milliseconds)
    p95 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]
    print(f"{what:44} p50 {statistics.median(ordered):7.1f} ms   p95 {p95:7.1f} ms   n {len(ordered)}")


if __name__ == "__main__":
    main()
