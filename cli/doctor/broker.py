"""What the broker tells: who gets in, whether streams and consumers stand as the table says, its disk, its clock."""

import contextlib
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from nats.aio.client import Client

from callgate import keys
from callgate.errors import BrokerAway, ConfigurationError
from callgate.log import reading
from callgate.provision import SAFE_CONSUMER, SAFE_STREAM, Difference, consumer_differences, stream_differences
from callgate.rights import durables
from callgate.settings import Settings
from callgate.streams import APPROVAL_TIMERS, CONSUMED, consumers, streams
from cli.broker_client import connect
from cli.doctor.findings import Finding
from contracts.identity import Role

CLOCK_LIMIT = 2.0
"""Seconds by which the clocks of this machine and the broker may differ."""
_CALLS = re.compile(r"CALLS_([1-9]\d*)_(\d+)")


@dataclass(frozen=True, slots=True)
class Visit:
    """A connection to the broker as one of the roles whose keys lie here."""

    client: Client
    role: Role
    url: str


@contextlib.asynccontextmanager
async def visit(settings: Settings, url: str) -> AsyncIterator[Visit | Finding]:
    """As the provisioner where its password lies here, since it sees everything; else as any other role."""
    role, password = _credentials(settings)
    if role is None:
        yield Finding("FAIL", "broker", f"no role's nats.password lies in {settings.keys_folder}: nobody to ask it as")
        return
    try:
        client = await connect(settings, url, role, password)
    except BrokerAway as away:
        yield Finding("FAIL", "broker", f"{away.detail}; is it running, with these keys' passwords?")
        return
    try:
        yield Visit(client, role, url)
    finally:
        await client.close()


def _credentials(settings: Settings) -> tuple[Role | None, str]:
    for role in (Role.PROVISIONER, Role.AUDIT, *Role):
        with contextlib.suppress(ConfigurationError):
            return role, keys.read_password(settings.keys_folder, role)
    return None, ""


async def examine_broker(visit: Visit, settings: Settings, local_store: Path | None) -> list[Finding]:
    """Everything that the broker tells this role. `local_store`: the store's folder, where it is on this machine."""
    version = visit.client.connected_server_version
    server = f"nats-server {version.major}.{version.minor}.{version.patch} at {visit.url}"
    findings = [Finding("ok", "broker", f"{server} lets {visit.role} in")]
    try:
        findings += await _streams(visit, settings)
        findings += await _consumers(visit, settings)
        findings += await _disk(visit, settings, local_store)
        findings += await _clock(visit)
    except BrokerAway:
        findings.append(Finding("FAIL", "broker", f"it stopped answering {visit.role}; look at its log"))
    return findings


async def _streams(visit: Visit, settings: Settings) -> list[Finding]:
    layout = settings.broker
    wanted = {spec.name: spec for spec in streams(layout.epoch, layout.shards, layout.replicas)}
    for epoch, shard in await _other_partitions(visit, settings):
        spec = streams(epoch, shard + 1, layout.replicas)[-1]
        wanted[spec.name] = spec
    findings: list[Finding] = []
    intact, mending = 0, _mending(settings)
    for name, spec in wanted.items():
        info = await reading.request_json(visit.client, f"$JS.API.STREAM.INFO.{name}", {})
        if "error" in info:
            findings.append(Finding("FAIL", "streams", f"{name} is missing; {mending.make}"))
            continue
        old = name.startswith("CALLS_") and not name.startswith(f"CALLS_{layout.epoch}_")
        ignored = {"sealed"} if old else set()
        differences = [each for each in stream_differences(spec, info["config"]) if each.field not in ignored]
        findings += [_deviation("streams", each, SAFE_STREAM, mending) for each in differences]
        intact += not differences
    if intact:
        findings.append(Finding("ok", "streams", f"{intact} stand as the table says, immutable where they must be"))
    return findings


async def _other_partitions(visit: Visit, settings: Settings) -> list[tuple[int, int]]:
    """Streams of calls of other epochs; only the provisioner may list streams."""
    if visit.role is not Role.PROVISIONER:
        return []
    answer = await reading.request_json(visit.client, "$JS.API.STREAM.NAMES", {})
    found = [match for name in answer.get("streams") or [] if (match := _CALLS.fullmatch(name))]
    pairs = [(int(match[1]), int(match[2])) for match in found]
    return [(epoch, shard) for epoch, shard in pairs if epoch != settings.broker.epoch]


async def _consumers(visit: Visit, settings: Settings) -> list[Finding]:
    layout = settings.broker
    pending = dict.fromkeys((*CONSUMED, APPROVAL_TIMERS), layout.max_ack_pending)
    table = consumers(layout.epoch, layout.shards, ack_wait=layout.ack_wait, max_ack_pending=pending)
    mine = table if visit.role is Role.PROVISIONER else [c for c in table if c.durable in durables(visit.role)]
    findings: list[Finding] = []
    intact, mending = 0, _mending(settings)
    for spec in mine:
        name = f"{spec.stream}/{spec.durable}"
        info = await reading.request_json(visit.client, f"$JS.API.CONSUMER.INFO.{spec.stream}.{spec.durable}", {})
        if "error" in info:
            findings.append(Finding("FAIL", "consumers", f"{name} is missing; {mending.make}"))
            continue
        differences = consumer_differences(spec, info["config"])
        findings += [_deviation("consumers", each, SAFE_CONSUMER, mending) for each in differences]
        intact += not differences
    if intact:
        findings.append(Finding("ok", "consumers", f"{intact} stand as the table says"))
    if len(mine) < len(table):
        rest = f"{len(table) - len(mine)} more can be seen with the provisioner's keys only"
        findings.append(Finding("note", "consumers", rest))
    return findings


class _Mending(NamedTuple):
    """What to do about what is missing, and about what differs and may be changed."""

    make: str
    change: str


def _mending(settings: Settings) -> _Mending:
    """An embedded broker is provisioned by the `callgate up` that starts it; `callgate provision` does not reach it."""
    if settings.broker.url is None:
        again = "end `callgate up` and start it again"
        return _Mending(f"{again}, which makes it", f"{again} with --upgrade")
    return _Mending("`callgate provision` makes it", "`callgate provision --upgrade` sets it right")


def _deviation(subject: str, difference: Difference, safe: frozenset[str], mending: _Mending) -> Finding:
    """What can be changed back in peace is a warning; anything else has let, or will let, an event be lost."""
    if difference.field in safe:
        return Finding("warn", subject, f"{difference}; {mending.change}")
    return Finding("FAIL", subject, f"{difference}; somebody changed it: find out who, and verify the log")


async def _disk(visit: Visit, settings: Settings, local_store: Path | None) -> list[Finding]:
    account = await reading.request_json(visit.client, "$JS.API.INFO", {})
    limit, findings = settings.broker.disk_limit, []
    used, most = account.get("storage", 0), account.get("limits", {}).get("max_storage", -1)
    if most > 0:
        findings.append(_fullness(f"streams take {_size(used)} of {_size(most)}", used / most, limit))
    elif local_store is None:
        unseen = f"streams take {_size(used)} of nobody knows what: calls are admitted until the broker's disk is full"
        advice = "write its configuration with `callgate provision --nats-config … --max-store 50GB`"
        findings.append(Finding("FAIL", "disk", f"{unseen}; {advice}"))
    if local_store is not None:
        disk = shutil.disk_usage(local_store)
        share = disk.used / (disk.used + disk.free)
        findings.append(_fullness(f"{_size(disk.free)} are free in {local_store}", share, limit))
    return findings


def _fullness(what: str, share: float, limit: float) -> Finding:
    text = f"{what}, {share:.0%} in use"
    if share >= limit:
        return Finding("FAIL", "disk", f"{text}: from {limit:.0%} on no call is admitted; make room")
    return Finding("warn" if share >= limit - 0.1 else "ok", "disk", text)


async def _clock(visit: Visit) -> list[Finding]:
    """The broker's time from an answer's `ts`, against the middle of the request."""
    asked = datetime.now(UTC)
    info = await reading.request_json(visit.client, "$JS.API.STREAM.INFO.CONTROL", {})
    answered = datetime.now(UTC)
    stamp = info.get("ts")
    if not isinstance(stamp, str):
        return [Finding("warn", "clock", "the broker does not tell its time; compare the clocks yourself")]
    return [clock_finding(datetime.fromisoformat(stamp), asked, answered)]


def clock_finding(told: datetime, asked: datetime, answered: datetime) -> Finding:
    """How this machine's clock stands to the broker's. Half the request's duration is the doubt."""
    doubt = (answered - asked) / 2
    ahead = (asked + doubt - told).total_seconds()
    text = f"this machine is {abs(ahead):.3f} s {'ahead of' if ahead > 0 else 'behind'} the broker"
    if abs(ahead) > CLOCK_LIMIT + doubt / timedelta(seconds=1):
        return Finding("warn", "clock", f"{text}: expiry and deadlines suffer; let NTP set both")
    return Finding("ok", "clock", text)


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
