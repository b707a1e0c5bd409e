"""Measures and prints; `make bench`. No figure here decides whether anything passes."""

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from prometheus_client.parser import text_string_to_metric_families

from bench import load, reference
from bench.deployment import LAYOUTS, Deployment, running
from callgate.platform import open_platform
from contracts.identity import Role

EVENTS_A_CALL = 6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Governed calls, end to end, sync always.")
    parser.add_argument("--calls", type=int, default=3000, help="calls under load (default %(default)s)")
    parser.add_argument("--alone", type=int, default=300, help="calls of the single caller (default %(default)s)")
    parser.add_argument("--callers", type=int, default=64, help="concurrent callers (default %(default)s)")
    parser.add_argument("--shards", type=int, default=1, help="streams of calls (default %(default)s)")
    parser.add_argument("--layout", choices=[*LAYOUTS, "all"], default="all", help="how services share processes")
    options = parser.parse_args()
    print(f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores, sync always,")
    print("services, broker, upstream and load generator on this machine")
    ceiling = uvloop.run(reference.measure(shards=options.shards))
    print(
        f"this machine now: {ceiling.writes:.0f} synced writes/s into the bare broker on {options.shards} stream(s), "
        f"so at most {ceiling.writes / EVENTS_A_CALL:.0f} calls/s; "
        f"one alone {ceiling.alone_ms:.2f} ms; Python {ceiling.additions:.0f} M additions/s"
    )
    for name, layout in LAYOUTS.items():
        if options.layout in (name, "all"):
            print(f"\n== {name}")
            uvloop.run(_measure(layout, options))


async def _measure(layout: Any, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="callgate-bench-") as folder:
        async with running(Path(folder), layout, options.shards) as deployment, _client() as http:
            governed, direct = load.Governed(http, deployment), load.Direct(http, deployment)
            # Sessions' keys are made and code paths warmed before anything is measured.
            await load.run(options.callers * 4, options.callers, governed)
            await load.run(200, 1, direct)
            alone_direct = await load.run(options.alone, 1, direct)
            alone = await load.run(options.alone, 1, governed)
            _print_alone(alone, alone_direct)
            before = await _counters(deployment, http)
            busy = await load.run(options.calls, options.callers, governed)
            after = await _counters(deployment, http)
            _print_busy(busy, options.callers, before, after)
            await _print_losses(deployment, http, options)


def _client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60))


def _print_alone(governed: load.Load, direct: load.Load) -> None:
    print(f"one caller            p50 {governed.percentile(0.5):6.2f} ms   p99 {governed.percentile(0.99):6.2f} ms")
    print(f"  straight to upstream p50 {direct.percentile(0.5):5.2f} ms   p99 {direct.percentile(0.99):6.2f} ms")
    print(f"  added                p50 {governed.percentile(0.5) - direct.percentile(0.5):5.2f} ms")


def _print_busy(busy: load.Load, callers: int, before: dict[str, float], after: dict[str, float]) -> None:
    spent = {name: after[name] - before.get(name, 0.0) for name in after}
    print(
        f"{callers} callers            {busy.rate:6.0f} calls/s   p50 {busy.percentile(0.5):6.1f} ms   "
        f"p95 {busy.percentile(0.95):6.1f} ms   p99 {busy.percentile(0.99):6.1f} ms   errors {busy.errors}"
    )
    print(f"  events/s            {busy.rate * EVENTS_A_CALL:6.0f}")
    cpu = {name.removeprefix("cpu "): value for name, value in spent.items() if name.startswith("cpu ")}
    for name, seconds in cpu.items():
        print(f"  CPU a call           {seconds / busy.calls * 1000:6.2f} ms  {name}")
    print(f"  CPU a call, in all   {sum(cpu.values()) / busy.calls * 1000:6.2f} ms")
    for name in sorted(spent):
        if name.startswith("stage ") and spent[f"count {name}"]:
            mean = spent[name] / spent[f"count {name}"] * 1000
            print(f"  in the handler       {mean:6.2f} ms  {name.removeprefix('stage ')} (wall time, waits included)")


async def _counters(deployment: Deployment, http: aiohttp.ClientSession) -> dict[str, float]:
    """CPU seconds of each process (the load generator's too) and the handlers' histograms."""
    times = os.times()
    found = {f"cpu {process.name}": process.cpu_seconds() for process in deployment.processes}
    found["cpu load generator"] = times.user + times.system
    for process in deployment.processes:
        if process.name in ("broker", "upstream"):
            continue
        async with http.get(f"{process.url}/metrics") as response:
            text = await response.text()
        for family in text_string_to_metric_families(text):
            if family.name != "callgate_handling_seconds":
                continue
            for sample in family.samples:
                stage = f"stage {sample.labels['service']}: {sample.labels['event']}"
                if sample.name.endswith("_sum"):
                    found[stage] = found.get(stage, 0.0) + sample.value
                elif sample.name.endswith("_count"):
                    found[f"count {stage}"] = found.get(f"count {stage}", 0.0) + sample.value
    return found


async def _print_losses(deployment: Deployment, http: aiohttp.ClientSession, options: argparse.Namespace) -> None:
    """Every governed call must stand on the log with all its events, and have reached the upstream once."""
    governed = options.callers * 4 + options.alone + options.calls
    async with http.get(f"{deployment.upstream_url}/_seen") as response:
        seen = await response.json()
    keys = seen["idempotency_keys"]
    async with open_platform(deployment.settings, Role.AUDIT) as platform:
        subjects = [f"$JS.API.STREAM.INFO.{partition.stream}" for partition in platform.partitions]
        answers = [await platform.client.request(subject, b"", timeout=5) for subject in subjects]
    events = sum(json.loads(answer.data)["state"]["messages"] for answer in answers)
    print(
        f"  governed calls {governed}, at the upstream {len(keys)}, more than once {sum(n > 1 for n in keys.values())}"
    )
    print(f"  events on the log {events}, expected {governed * EVENTS_A_CALL}")


if __name__ == "__main__":
    main()
