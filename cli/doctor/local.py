"""What this machine tells by itself: keys, policies, credentials, development."""

import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from callgate import keys
from callgate.cedar.policies import InvalidPolicies
from callgate.cedar.schema import untypable
from callgate.errors import CallgateError, ConfigurationError
from callgate.identity.settings import is_loopback
from callgate.keyring import CLOCK_SKEW, KeyRing
from callgate.settings import Settings
from cli import output
from cli.doctor.findings import Finding
from contracts.functions import Connection, Credential, McpConnection
from contracts.identity import Role
from services.executor.credentials import CredentialError, read_credential
from services.masking.composition import Side, hints_by_name, tools_of
from services.policy.source import load_rules, read_files

_CREDENTIAL_ADVICE = {
    "credential_missing": "is missing; calls to it end as failed",
    "credential_unreadable": "may not be read by this user; calls to it end as failed",
    "credential_malformed": "does not fit into an HTTP header; check that it is the bare secret on one line",
}


def examine_keys(settings: Settings, now: datetime | None = None) -> Iterator[Finding]:
    """The ring and the keys that lie here: a server has one service's, an embedded deployment has all."""
    folder = settings.keys_folder
    if settings.broker.url is None and not (folder / "ring.json").exists():
        yield Finding("note", "keys", f"none yet: `callgate up` makes them in {folder}")
        return
    try:
        ring = keys.read_ring(folder)
    except CallgateError as error:
        yield Finding("FAIL", "keys", error.detail or error.code)
        return
    verified = f"ring {ring.serial} of deployment {ring.deployment} is signed by its root"
    if ring.deployment == settings.deployment:
        yield Finding("ok", "keys", verified)
    else:
        wrong = f"the configuration says deployment {settings.deployment}; set `deployment:` or `keys:` right"
        yield Finding("FAIL", "keys", f"{verified}, but {wrong}")
    held = [role for role in Role if (folder / role).is_dir()]
    for role in held:
        yield from _role(folder, role, ring, now or datetime.now(UTC))
    if len(held) < len(Role):
        away = ", ".join(role for role in Role if role not in held)
        yield Finding("note" if held else "FAIL", "keys", f"no keys of {away} here; `serve` needs its service's own")
    yield from _permissions(folder)
    if (folder / "root" / "root.key").exists():
        root = folder / "root" / "root.key"
        yield Finding("warn", "root key", f"{root} lies on this machine and can sign any ring; move it offline")


def _role(folder: Path, role: Role, ring: KeyRing, now: datetime) -> Iterator[Finding]:
    try:
        held = keys.load(folder, role)
    except (CallgateError, ValueError) as error:
        known = isinstance(error, CallgateError) and error.detail
        yield Finding("FAIL", "keys", known or f"a key in {folder / role} is damaged; restore it from a backup")
        return
    signing = next(key for key in ring.keys if key.id == held.signer.key_id)
    if signing.valid_at(now, CLOCK_SKEW):
        sealing = f"; sealing keys: {len(held.seal)}" if role in keys.SEALED_TO else ""
        yield Finding("ok", "keys", f"{role}: {held.signer.key_id} is in the ring{sealing}")
    else:
        yield Finding("FAIL", "keys", f"{role}: {held.signer.key_id} is not in force; `callgate keys rotate {role}`")


def _permissions(folder: Path) -> Iterator[Finding]:
    private = [path for pattern in ("*/*.key", "*/nats.password") for path in sorted(folder.glob(pattern))]
    open_ones = [path for path in private if path.stat().st_mode & 0o077]
    for path in open_ones:
        yield Finding("FAIL", "keys", f"other users can read {path}; `chmod 600 {path}`, then rotate it")
    if private and not open_ones:
        yield Finding("ok", "keys", f"{len(private)} private files, readable by their owner only")


def examine_policies(settings: Settings) -> Iterator[Finding]:
    """What `callgate policy validate` says."""
    try:
        rules = load_rules(read_files(settings.policy.folder), settings.catalog)
    except InvalidPolicies as invalid:
        for problem in invalid.problems:
            yield Finding("FAIL", "policies", str(problem))
        return
    except CallgateError as error:
        yield Finding("FAIL", "policies", error.detail or error.code)
        return
    if rules.policies is not None:
        digest = rules.policies.digest[:16]
        valid = f"{output.count(len(rules.policies), 'valid policy', 'valid policies')} in {settings.policy.folder}"
        yield Finding("ok", "policies", f"{valid}; digest {digest}…")
    for left_out in untypable(settings.catalog):
        where = f"{left_out.function} {left_out.pointer}: {left_out.why}"
        yield Finding("note", "policies", f"{where}; a call that passes it is denied")


def examine_masking(settings: Settings) -> Iterator[Finding]:
    """What masking would refuse to start with: its own settings and lists, and annotations of functions' schemas."""
    try:
        tools_of(settings.masking, settings.catalog)
        for side in get_args(Side):
            hints_by_name(settings.catalog, side)
    except ConfigurationError as error:
        yield Finding("FAIL", "masking", error.detail)


def examine_credentials(settings: Settings, environ: Mapping[str, str] | None = None) -> Iterator[Finding]:
    """Whether the executor could read each connection's credential here, without showing it."""
    if not settings.connections:
        yield Finding("warn", "connections", "none is configured, so there is nothing to call; add `connections:`")
    for name, connection in settings.connections.items():
        yield from _credential(settings, name, connection, os.environ if environ is None else environ)


def _credential(settings: Settings, name: str, connection: Connection, environ: Mapping[str, str]) -> Iterator[Finding]:
    credential, subject = connection.credential, name
    if isinstance(connection, McpConnection) and connection.command is not None:
        missing = [variable for variable in connection.env if variable not in environ]
        if missing:
            told = f"its command is to be given {', '.join(missing)}, not set here; set them for the executor"
            yield Finding("FAIL", subject, told)
        return
    if credential is None:
        yield Finding("note", subject, "calls its functions without a credential")
        return
    source = f"the variable {credential.env}" if credential.env else f"the file {credential.file}"
    try:
        read_credential(credential, environ)
    except CredentialError as error:
        if error.code == "credential_missing" and _made_by_up(settings, credential):
            yield Finding("note", subject, f"its credential, {source}, is made by `callgate up`")
        else:
            yield Finding("FAIL", subject, f"its credential, {source}, {_CREDENTIAL_ADVICE[error.code]}")
        return
    if credential.file is not None and credential.file.stat().st_mode & 0o077:
        yield Finding("warn", subject, f"other users can read {credential.file}; `chmod 600 {credential.file}`")
    parts = urlsplit(connection.address or "")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield Finding("warn", subject, f"its credential goes to {connection.address} in clear; use https")
    yield Finding("ok", subject, f"its credential, {source}, can be read here")


def _made_by_up(settings: Settings, credential: Credential) -> bool:
    development = settings.development
    return development is not None and credential.file is not None and credential.file == development.upstream_token


def examine_development(settings: Settings) -> Iterator[Finding]:
    development = settings.development
    if development is None:
        return
    if development.issuer is not None:
        harm = "`development.issuer` gives anybody on this machine any identity"
        yield Finding("warn", "development", f"{harm}; remove it in production")
    elif development.upstream is not None:
        yield Finding("warn", "development", "`development:` starts a demo upstream; remove it in production")
