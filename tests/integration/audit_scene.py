"""What audit's tests share: databases to project into, and copies of a deployment's log to tamper with."""

import asyncio
import contextlib
import gc
import os
import secrets
import shutil
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from broker_fixtures import connected
from deployment import Deployment
from sqlalchemy import create_engine, make_url, select, text

from callgate import keys
from callgate.log import Alien, Message, reading
from callgate.platform import Platform
from callgate.provision import provision
from callgate.signing import SIGNATURE_HEADER
from callgate.streams import streams
from cli.embedded import EmbeddedBroker
from contracts.events import EVENTS, Recorded
from contracts.identity import Role
from contracts.subjects import CONTROL, Partition, parse_call_subject
from services.audit import tables
from services.audit.store import Store

T = TypeVar("T")
PARTITION = Partition(1, 0)
SIGNERS = {kind.NAME: sorted(kind.ROLES)[0] for kind in EVENTS}
"""A role that may publish each event."""


async def eventually(check: Callable[[], Awaitable[T | None]]) -> T:
    """What `check` gives once it gives something; a database tells of no event."""
    async with asyncio.timeout(30):
        while (found := await check()) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        return found


async def everything(platform: Platform, partition: Partition = PARTITION) -> list[Recorded | Alien]:
    """All that stands on a partition, verified."""
    found = reading.direct_all(platform.client, partition.stream, partition.all_calls)
    return [platform.verifier.verify(message) async for message in found]


def contents(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, in the order of its keys, without the cursor of CONTROL, which some do not follow."""
    found = {
        table.name: store.read(select(table).order_by(*table.primary_key.columns))
        for table in tables.metadata.sorted_tables
    }
    cursors = found[tables.cursor.name]
    return {**found, tables.cursor.name: [row for row in cursors if row["partition"] != CONTROL]}


@contextlib.contextmanager
def postgres_url() -> Iterator[str]:
    """A database of its own on a PostgreSQL: CALLGATE_TEST_POSTGRES, else one that Docker runs, else a skip."""
    given = os.environ.get("CALLGATE_TEST_POSTGRES")
    with contextlib.ExitStack() as stack:
        server = given or stack.enter_context(_container())
        name = f"callgate_{secrets.token_hex(6)}"
        administration = create_engine(server, isolation_level="AUTOCOMMIT")
        try:
            with administration.connect() as connection:
                connection.execute(text(f"CREATE DATABASE {name}"))
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            with administration.connect() as connection:
                connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            administration.dispose()


@contextlib.contextmanager
def _container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer

    container, why = None, ""
    try:
        container = PostgresContainer("postgres:16-alpine", driver="psycopg")
        container.start()
    except Exception as error:
        why = type(error).__name__
    if container is None or why:
        # Docker's client leaves the socket open on which no engine answers; it goes now, and not in a later test.
        container = None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        pytest.skip(f"no Docker engine runs PostgreSQL here, and CALLGATE_TEST_POSTGRES is not set ({why})")
    try:
        yield container.get_connection_url()
    finally:
        container.stop()


Change = Callable[[Message], bytes | None]
"""The body to copy a message with; None leaves it out."""


@contextlib.asynccontextmanager
async def tampered_copy(
    original: Deployment, platform: Platform, folder: Path, change: Change, deleted: int | None = None
) -> AsyncIterator[Deployment]:
    """Another broker with the same keys and genesis, to which the log was copied message by message.

    `deleted` is a sequence to delete afterwards, for which the copy's stream does without deny_delete.
    """
    shutil.copytree(original.settings.keys_folder, folder / "keys")
    users = {role: keys.read_password(folder / "keys", role) for role in Role}
    async with EmbeddedBroker(folder / "broker", passwords=users) as broker, contextlib.AsyncExitStack() as stack:
        clients = {role: (await stack.enter_async_context(connected(broker.url, role, users))).nc for role in Role}
        provisioner = clients[Role.PROVISIONER]
        if deleted is None:
            await provision(provisioner)
        else:
            for spec in streams():
                config = spec.config.evolve(deny_delete=False) if spec.name == PARTITION.stream else spec.config
                await provisioner.jetstream().add_stream(config)
        async for message in reading.direct_all(platform.client, CONTROL, "control.genesis.>"):
            await provisioner.jetstream().publish(message.subject, message.body, headers=_signed(message))
        async for message in reading.direct_all(platform.client, PARTITION.stream, PARTITION.all_calls):
            body = change(message)
            if body is not None:
                _, name = parse_call_subject(message.subject)
                client = clients[SIGNERS[name]]
                await client.jetstream().publish(message.subject, body, headers=_signed(message))
        if deleted is not None:
            await provisioner.jetstream().delete_msg(PARTITION.stream, deleted)
        settings = original.settings.model_copy(
            update={
                "state": folder,
                "broker": original.settings.broker.model_copy(update={"url": broker.url}),
            }
        )
        yield Deployment(settings, broker)


def _signed(message: Message) -> dict[str, str]:
    return {name: message.headers[name] for name in ("ce-type", SIGNATURE_HEADER)}
