"""A whole deployment for a test: keys, an embedded broker, streams and genesis records, and platforms as any role."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from callgate import keys
from callgate.ids import mint_session, uuid7
from callgate.log import Draft, Origin
from callgate.platform import Platform, open_platform
from callgate.sealing import Place
from callgate.settings import Settings
from cli.embedded import EmbeddedBroker
from cli.provisioning import provision_deployment
from contracts.events import DataClass, EventData, Recorded, Sealed
from contracts.identity import Role
from contracts.subjects import CallRef


@dataclass(frozen=True, slots=True)
class Deployment:
    """`settings.state` is the folder; open what acts on it with `platform`."""

    settings: Settings
    broker: EmbeddedBroker

    @contextlib.asynccontextmanager
    async def platform(self, role: Role) -> AsyncIterator[Platform]:
        async with open_platform(self.settings, role) as platform:
            yield platform

    @contextlib.asynccontextmanager
    async def platforms(self, *roles: Role) -> AsyncIterator[dict[Role, Platform]]:
        """One platform a role; all that sign on CALLS where none is named."""
        async with contextlib.AsyncExitStack() as stack:
            wanted = roles or tuple(role for role in Role if role is not Role.PROVISIONER)
            yield {role: await stack.enter_async_context(self.platform(role)) for role in wanted}


@contextlib.asynccontextmanager
async def running_deployment(
    folder: Path, name: str = "test", overrides: Mapping[str, Any] | None = None
) -> AsyncIterator[Deployment]:
    """A new deployment under `folder`, with the keys that stand there or new ones.

    `overrides` are settings as callgate.yaml has them, `broker` merged.
    """
    if not (folder / "keys").exists():
        keys.init(folder / "keys", name)
    passwords = {role: keys.read_password(folder / "keys", role) for role in Role}
    given = dict(overrides or {})
    async with EmbeddedBroker(folder / "broker", passwords=passwords) as broker:
        layout = {**given.pop("broker", {}), "url": broker.url}
        settings = Settings(**{"deployment": name, "state": folder, "broker": layout, **given})
        await provision_deployment(settings)
        yield Deployment(settings, broker)


def new_call(platform: Platform, owner: str, session_id: str | None = None) -> CallRef:
    """The reference of a call that does not exist yet, in its session's partition."""
    session_id = session_id or mint_session(owner)
    return CallRef(platform.partition_of(session_id), session_id, uuid7())


async def append(platform: Platform, answers: Recorded | Origin, data: EventData) -> Recorded:
    """An event that carries nothing sealed (or payloads sealed for its id elsewhere)."""
    return await platform.log.append(Draft(uuid7(), platform.clock(), data), answers)


async def sealed(
    platform: Platform, ref: CallRef, event_id: str, field: str, payload: bytes, data_class: DataClass
) -> Sealed:
    return await platform.sealer.seal(payload, Place(ref, event_id, field), data_class, platform.clock())
