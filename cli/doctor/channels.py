"""The channels that tell people: whether their secrets can be read here, who answers there, and who hears of what."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from callgate.approval_settings import ApprovalSettings
from callgate.settings import Settings
from cli.doctor.findings import Finding
from cli.doctor.network import PORTS, TIMEOUT, connect
from services.approval.channel_secrets import lacking
from services.approval.secret_files import SecretMissing, read_secret

_SUBJECT = "channels"


class _Channel(NamedTuple):
    """`url` is where it is told; None where the file that holds it cannot be read."""

    name: str
    url: str | None
    secrets: Sequence[Path]


async def examine_channels(settings: Settings) -> list[Finding]:
    """A TCP connection to each, and no request. A workflow's URL is a secret, and never shown."""
    approval = settings.approval
    channels = list(_channels(approval))
    found = [Finding("FAIL", _SUBJECT, error.detail) for error in lacking(approval)]
    found += [finding for channel in channels for finding in _open_to_others(channel)]
    found += await asyncio.gather(*(_reach(one.name, one.url) for one in channels if one.url is not None))
    if approval.unheard is not None:
        text = f"of some calls nobody would hear that their outcome is unknown: {approval.unheard}"
        found.append(Finding("warn", _SUBJECT, text))
    return found


def _channels(approval: ApprovalSettings) -> Iterator[_Channel]:
    if approval.slack is not None:
        files = (approval.slack.token_file, approval.slack.signing_secret_file, approval.slack.app_token_file)
        yield _Channel("slack", approval.slack.api_url, [path for path in files if path is not None])
    if approval.teams is not None:
        for channel in approval.teams.channels:
            yield _Channel(f"teams {channel.name}", _written_in(channel.url_file), [channel.url_file])
    if approval.email is not None:
        password = approval.email.password_file
        server = f"smtp://{approval.email.host}:{approval.email.port}"
        yield _Channel("email", server, [password] if password is not None else [])
    for webhook in approval.webhooks:
        yield _Channel(f"webhook {webhook.name}", webhook.url, webhook.secret_files)


def _written_in(path: Path) -> str | None:
    try:
        return read_secret(path)
    except SecretMissing:
        return None


def _open_to_others(channel: _Channel) -> Iterator[Finding]:
    for path in channel.secrets:
        if _written_in(path) is not None and path.stat().st_mode & 0o077:
            yield Finding("warn", _SUBJECT, f"{channel.name}: other users can read {path}; `chmod 600 {path}`")


async def _reach(name: str, url: str) -> Finding:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
        await connect(host, port)
    except (OSError, TimeoutError, ValueError):
        told = f"{name}: nothing answers there within {TIMEOUT:.0f} s; check its address, and the way there"
        return Finding("FAIL", _SUBJECT, told)
    return Finding("ok", _SUBJECT, f"{name}: {host}:{port} takes connections")
