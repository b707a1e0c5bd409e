"""The load: callers that each post a call and wait for its answer, one after the other, bounded in number."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from bench.deployment import Deployment

CARD = "4111111111111111"


@dataclass(frozen=True, slots=True)
class Load:
    """What one run of callers saw."""

    calls: int
    errors: int
    seconds: float
    latencies: tuple[float, ...]
    """Seconds, sorted."""

    @property
    def rate(self) -> float:
        return self.calls / self.seconds

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))] * 1000


async def run(calls: int, callers: int, one: Callable[[int, int], Awaitable[bool]]) -> Load:
    """`one(caller, number)` makes a call and says whether all was well."""
    numbers = iter(range(calls))
    latencies: list[float] = []
    errors = 0

    async def caller(which: int) -> None:
        nonlocal errors
        for number in numbers:
            started = time.perf_counter()
            good = await one(which, number)
            latencies.append(time.perf_counter() - started)
            errors += not good

    started = time.perf_counter()
    await asyncio.gather(*(caller(which) for which in range(callers)))
    return Load(calls, errors, time.perf_counter() - started, tuple(sorted(latencies)))


def arguments(number: int) -> dict[str, object]:
    return {"order": f"o-{number}", "amount": 40.5, "note": f"card {CARD}, mail jo@example.com, all else as agreed"}


class Governed:
    """Calls through Callgate; each caller has a session of its own."""

    def __init__(self, http: aiohttp.ClientSession, deployment: Deployment) -> None:
        self._http = http
        self._url = f"{deployment.url}/v1/calls"
        self._headers = {"Authorization": f"Bearer {deployment.token}"}

    async def __call__(self, caller: int, number: int) -> bool:
        body = {"function": "bench.echo", "arguments": arguments(number), "session": f"caller-{caller}"}
        async with self._http.post(self._url, json=body, headers=self._headers) as response:
            answer = await response.json()
            if response.status != 200 or answer["status"] != "completed":
                return False
            echoed = answer["result"]["body"]
            return echoed["order"] == f"o-{number}" and CARD not in echoed["note"] and "[CREDIT_CARD]" in echoed["note"]


class Direct:
    """The same calls straight to the upstream, for comparison."""

    def __init__(self, http: aiohttp.ClientSession, deployment: Deployment) -> None:
        self._http = http
        self._url = f"{deployment.upstream_url}/echo"
        self._headers = {"Authorization": f"Bearer {deployment.upstream_token}"}

    async def __call__(self, caller: int, number: int) -> bool:
        del caller
        async with self._http.post(self._url, json=arguments(number), headers=self._headers) as response:
            return response.status == 200 and (await response.json())["order"] == f"o-{number}"
