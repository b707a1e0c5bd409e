"""The examination, in order."""

import os
from collections import Counter
from collections.abc import Sequence

import aiohttp

from callgate.identity.fetch import AiohttpFetcher, FetchFailed
from callgate.settings import Settings, mistyped
from cli import output
from cli.doctor.broker import Visit, examine_broker, visit
from cli.doctor.channels import examine_channels
from cli.doctor.durability import durability_of_file, durability_of_monitoring, durability_unseen
from cli.doctor.findings import Finding, show
from cli.doctor.local import examine_credentials, examine_development, examine_keys, examine_masking, examine_policies
from cli.doctor.network import examine_connections, examine_issuers
from cli.state_folder import StateFolder


async def examine(settings: Settings, monitors: Sequence[str] = ()) -> int:
    """Prints one line a finding; 1 where any is a failure, else 0.

    `monitors`: base URLs of the brokers' monitoring (`http://server:8222`), which alone tells whether they sync.
    """
    functions = output.count(len(settings.catalog), "function")
    findings = [Finding("ok", "settings", f"deployment {settings.deployment}, {functions}")]
    findings += [Finding("warn", "environment", line) for line in mistyped(settings, os.environ)]
    findings += examine_keys(settings)
    embedded, up = await _broker(settings, monitors)
    findings += embedded
    findings += examine_policies(settings)
    findings += examine_masking(settings)
    findings += examine_credentials(settings)
    findings += await examine_connections(settings, up=up)
    findings += await examine_issuers(settings, up=up)
    findings += await examine_channels(settings)
    findings += examine_development(settings)
    show(findings)
    return _conclude(findings)


async def _broker(settings: Settings, monitors: Sequence[str]) -> tuple[list[Finding], bool]:
    """The broker's findings, and whether an embedded one runs here."""
    if settings.broker.url is not None:
        async with visit(settings, settings.broker.url) as visited:
            seen = [visited] if isinstance(visited, Finding) else await examine_broker(visited, settings, None)
        return [*seen, *(await _durability(monitors))], False
    folder = StateFolder((settings.state / "broker").absolute())
    if not folder.config.exists():
        return [
            Finding("note", "broker", f"embedded, and not made yet: `callgate up` makes it in {folder.root}")
        ], False
    durability = [durability_of_file(folder.config)]
    port = folder.noted_port()
    # The note may be of a server that is gone; its process tells.
    if port is None or folder.orphan() is None:
        return [Finding("note", "broker", "embedded, and not running; `callgate up` starts it"), *durability], False
    async with visit(settings, f"nats://127.0.0.1:{port}") as visited:
        if isinstance(visited, Visit):
            return [*(await examine_broker(visited, settings, folder.root)), *durability], True
        return [visited, *durability], False


async def _durability(monitors: Sequence[str]) -> list[Finding]:
    if not monitors:
        return [durability_unseen()]
    findings = []
    async with aiohttp.ClientSession() as http:
        fetcher = AiohttpFetcher(http)
        for monitor in monitors:
            try:
                body = await fetcher.get(f"{monitor.rstrip('/')}/jsz")
            except FetchFailed:
                text = f"{monitor} does not answer, so whether the broker syncs is unknown; check --monitor"
                findings.append(Finding("FAIL", "durability", text))
                continue
            findings.append(durability_of_monitoring(monitor, body))
    return findings


def _conclude(findings: list[Finding]) -> int:
    counts = Counter(finding.level for finding in findings)
    failed = counts["FAIL"]
    output.say()
    if failed:
        output.say(f"{failed} of {len(findings)} findings must be put right")
        return 1
    warned = f", {counts['warn']} to look at" if counts["warn"] else ""
    output.say(f"nothing is wrong{warned}")
    return 0
