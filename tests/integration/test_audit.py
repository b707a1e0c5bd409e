"""Audit on a real log: the projection is exact after any crash, and verification names what was tampered with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from audit_scene import PARTITION, contents, eventually, everything, postgres_url, tampered_copy
from calls import Calls
from deployment import Deployment, append, running_deployment
from sqlalchemy import select, update

from callgate.errors import BrokerAway, ConfigurationError
from callgate.log import Message, Origin
from callgate.platform import Platform
from callgate.records import Standing, publish_acknowledged
from callgate.telemetry import ALIENS
from contracts.events import Cancelled, Recorded
from contracts.identity import Role
from contracts.records import Alarmed
from contracts.subjects import ACCESS, CallRef, alarm_subject
from services.audit import tables
from services.audit.alarms import Alarms
from services.audit.projection import Projection
from services.audit.rebuilding import rebuild
from services.audit.rows import Placed, Rows
from services.audit.store import DatabaseAway, Store
from services.audit.verifying import verify_log

EVENTS_OF_A_DAY = 6 + 9 + 3 + 5


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Deployment]:
    async with running_deployment(tmp_path / "here") as deployment:
        yield deployment


@pytest.fixture
async def platforms(here: Deployment) -> AsyncIterator[dict[Role, Platform]]:
    async with here.platforms() as opened:
        yield opened


@pytest.fixture
def audit(platforms: dict[Role, Platform]) -> Platform:
    return platforms[Role.AUDIT]


@pytest.fixture
def calls(platforms: dict[Role, Platform]) -> Calls:
    return Calls(platforms)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.docker)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/audit.db"
    else:
        with postgres_url() as made:
            yield made


@pytest.fixture
def opened(url: str) -> Iterator[Callable[[], Store]]:
    """Opens the one database, as each replica or restart does."""
    with contextlib.ExitStack() as stack:

        def open_one() -> Store:
            store = Store.open(url)
            stack.callback(store.close)
            store.prepare([str(PARTITION)])
            return store

        yield open_one


async def a_day(calls: Calls) -> list[CallRef]:
    """A call of every kind, the first two in one session."""
    first = await calls.executed()
    return [
        first,
        await calls.approved_and_executed(first.session_id),
        await calls.refused(),
        await calls.rejected_by_a_person(),
    ]


async def misplaced(calls: Calls, ref: CallRef) -> None:
    """Two messages that are no part of any chain: one signed that nobody may write there, one not signed."""
    chain = (await calls.platforms[Role.AUDIT].log.read(ref)).call.chain
    ingress = calls.platforms[Role.INGRESS]
    last = chain[-1].sequence
    answered = Origin(ref, chain[0].digest, last)
    await append(ingress, answered, Cancelled(by="agent-7", code="withdrawn"))
    await ingress.client.jetstream().publish(ref.subject("cancelled"), b"{}", headers={"ce-type": "nonsense"})


async def rebuilt(audit: Platform, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What a projection from sequence 0 holds."""
    store = Store.in_file(folder / "rebuilt.db")
    try:
        await rebuild(audit, store)
        return contents(store)
    finally:
        store.close()


def projection(audit: Platform, store: Store) -> Projection:
    return Projection(audit.log, store, PARTITION, audit.genesis[PARTITION])


async def test_a_day_is_projected(audit: Platform, calls: Calls, opened: Callable[[], Store], tmp_path: Path) -> None:
    refs = await a_day(calls)
    await misplaced(calls, refs[0])
    store = opened()
    alarms = Alarms(audit.records, audit.clock)
    followed = Projection(audit.log, store, PARTITION, audit.genesis[PARTITION], alarms.raise_all)
    task = asyncio.create_task(followed.follow())
    try:
        late = await calls.refused()
        last = (await everything(audit))[-1].sequence
        await eventually(lambda: reached(followed, last))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    held = contents(store)
    states = {row["call_id"]: row["state"] for row in held["callgate_calls"]}
    assert states == {
        refs[0].call_id: "result_masked",
        refs[1].call_id: "result_masked",
        refs[2].call_id: "denied",
        refs[3].call_id: "rejected",
        late.call_id: "denied",
    }
    by_id = {row["call_id"]: row for row in held["callgate_calls"]}
    assert by_id[refs[1].call_id]["approvers"] == '["rita"]'
    assert by_id[refs[2].call_id]["code"] == "forbidden_by_policy"
    assert by_id[refs[0].call_id]["principal"] == "agent-7"
    assert by_id[refs[0].call_id]["on_behalf_of"] == "ursula"
    assert {row["session_id"]: row["calls"] for row in held["callgate_sessions"]}[refs[0].session_id] == 2
    assert [row["code"] for row in held["callgate_aliens"]] == ["does_not_follow", "unknown_event"]
    assert await alarmed(audit) == {row["sequence"] for row in held["callgate_aliens"]}
    assert "4111111111111111" not in str(held)
    assert held == await rebuilt(audit, tmp_path)


async def reached(followed: Projection, last: int) -> bool | None:
    return True if followed.seen >= last else None


async def alarmed(audit: Platform) -> set[int]:
    found = [standing async for standing in audit.records.all(ACCESS, "access.>")]
    assert all(isinstance(standing, Standing) for standing in found)
    data = [standing.data for standing in found if isinstance(standing, Standing)]
    sequences = [alarm.sequence for alarm in data if isinstance(alarm, Alarmed)]
    assert len(sequences) == len(set(sequences))
    return set(sequences)


async def test_an_alarm_is_raised_once_however_often_it_is_asked_for(
    audit: Platform, calls: Calls, opened: Callable[[], Store]
) -> None:
    await misplaced(calls, await calls.refused())
    items = await everything(audit)
    alarms = Alarms(audit.records, audit.clock)
    store = opened()
    for _ in range(2):
        again = Projection(audit.log, store, PARTITION, audit.genesis[PARTITION], alarms.raise_all)
        await asyncio.to_thread(store.reset, [str(PARTITION)])
        await again.begin()
        await again.write(items)
    assert len(await alarmed(audit)) == 2


async def test_nobody_but_audit_itself_silences_an_alarm(
    audit: Platform, platforms: dict[Role, Platform], calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    ref = await calls.refused()
    at, code = (await audit.log.read(ref)).last_sequence + 1, "unknown_event"
    taken = alarm_subject(PARTITION, at)
    with pytest.raises((BrokerAway, TimeoutError)):  # nats-server refuses it, and so nobody acknowledges
        async with asyncio.timeout(0.5):
            await publish_acknowledged(platforms[Role.INGRESS].client, taken, b"junk")
    # What only audit's own user could put there: junk, another record, and an alarm of something else.
    await publish_acknowledged(audit.client, taken, b"junk")
    other = Alarmed(stream=PARTITION.stream, sequence=at + 1, subject="x", code=code)
    await audit.records.publish(taken, other, audit.clock())
    before = told(code)
    alarms = Alarms(audit.records, audit.clock)
    alien = Placed(at, ref.subject("cancelled"), audit.clock(), code)
    for _ in range(2):
        await alarms.raise_all(PARTITION, [alien])
    assert await standing_alarms(audit, taken) == [at + 1, at]
    assert told(code) == before + 1
    # Another process finds the record, and tells nevertheless: this one's log may be the only one that is watched.
    caplog.clear()
    await Alarms(audit.records, audit.clock).raise_all(PARTITION, [alien])
    assert await standing_alarms(audit, taken) == [at + 1, at]
    assert told(code) == before + 2
    assert [getattr(record, "sequence", None) for record in caplog.records if record.levelname == "ERROR"] == [at]


def told(code: str) -> float:
    return float(ALIENS.labels(Role.AUDIT, code)._value.get())


async def standing_alarms(audit: Platform, subject: str) -> list[int]:
    found = [standing async for standing in audit.records.all(ACCESS, subject)]
    return [one.data.sequence for one in found if isinstance(one, Standing) and isinstance(one.data, Alarmed)]


class Crash(Exception):
    """The process dies here."""


@pytest.mark.parametrize("where", ["before the rows", "after the rows", "after the commit"])
@pytest.mark.parametrize("at", [0, 1, 3])
async def test_a_crash_in_any_transaction_leaves_the_projection_exact(
    audit: Platform, calls: Calls, url: str, tmp_path: Path, where: str, at: int
) -> None:
    await misplaced(calls, (await a_day(calls))[0])
    items = await everything(audit)
    batches = [items[begin : begin + 5] for begin in range(0, len(items), 5)]
    done, crashes = 0, 0
    for attempt in ("crashing", "restarted"):
        store = CrashingStore.open(url) if attempt == "crashing" else Store.open(url)
        try:
            store.prepare([str(PARTITION)])
            if isinstance(store, CrashingStore):
                store.crash(where, at)
            done += await project(projection(audit, store), batches)
            held = contents(store)
        except Crash:
            crashes += 1
        finally:
            store.close()
    assert crashes == 1
    assert done
    assert held == await rebuilt(audit, tmp_path)


async def project(one: Projection, batches: Sequence[Sequence[Any]]) -> int:
    """Goes on from the database's cursor, as after a restart."""
    after = await one.begin()
    count = 0
    for batch in batches:
        rest = [item for item in batch if item.sequence > after]
        if rest:
            await one.write(rest)
            count += len(rest)
    return count


class CrashingStore(Store):
    """Dies in the n-th transaction, at a chosen point of it."""

    where = ""
    left = -1

    def crash(self, where: str, at: int) -> None:
        self.where, self.left = where, at

    def write(self, partition: str, seen: int, last: int, rows: Rows) -> bool:
        written = super().write(partition, seen, last, rows)
        if self.left == 0 and self.where == "after the commit":
            raise Crash
        self.left -= 1
        return written

    def _write_rows(self, connection: Any, rows: Rows) -> None:
        if self.left == 0 and self.where == "before the rows":
            raise Crash
        super()._write_rows(connection, rows)
        if self.left == 0 and self.where == "after the rows":
            raise Crash


async def test_two_replicas_on_one_database_project_each_event_once(
    audit: Platform, calls: Calls, opened: Callable[[], Store], tmp_path: Path
) -> None:
    first, second = opened(), opened()
    replicas = [projection(audit, first), projection(audit, second)]
    tasks = [asyncio.create_task(replica.follow()) for replica in replicas]
    try:
        for _ in range(3):
            await a_day(calls)
        last = (await everything(audit))[-1].sequence
        assert last == 3 * EVENTS_OF_A_DAY
        for replica in replicas:
            await eventually(lambda replica=replica: reached(replica, last))  # type: ignore[misc]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert contents(first) == await rebuilt(audit, tmp_path)


async def test_a_rebuild_beside_a_service_that_follows(
    audit: Platform, calls: Calls, opened: Callable[[], Store], tmp_path: Path
) -> None:
    store = opened()
    followed = projection(audit, store)
    task = asyncio.create_task(followed.follow())
    try:
        await a_day(calls)
        await eventually(lambda: reached(followed, EVENTS_OF_A_DAY))
        await rebuild(audit, opened())
        await calls.refused()
        await eventually(lambda: reached(followed, EVENTS_OF_A_DAY + 3))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert contents(store) == await rebuilt(audit, tmp_path)


async def test_a_database_of_another_version_is_refused_and_rebuilt(
    audit: Platform, calls: Calls, opened: Callable[[], Store], tmp_path: Path
) -> None:
    await a_day(calls)
    store = opened()
    with store._writer.begin() as connection:
        connection.execute(update(tables.schema_version).values(version=99))
    for refusing in (store.require_version, lambda: store.prepare([str(PARTITION)])):
        with pytest.raises(ConfigurationError, match=r"version 99.*callgate audit rebuild"):
            refusing()
    assert await rebuild(audit, store) == EVENTS_OF_A_DAY
    store.prepare([str(PARTITION)])
    assert contents(store) == await rebuilt(audit, tmp_path)


def test_a_database_that_does_not_answer_says_nothing_of_its_url() -> None:
    store = Store.open("postgresql+psycopg://somebody:hunter2@127.0.0.1:1/nothing")
    with pytest.raises(DatabaseAway) as raised:
        store.prepare(["1-0"])
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None
    for url in ("mysql://x", "nonsense", "postgresql+nothing://x"):
        with pytest.raises(ConfigurationError):
            Store.open(url)
    store.close()


async def test_a_whole_log_verifies(audit: Platform, calls: Calls) -> None:
    await a_day(calls)
    open_call = (await calls.requested()).ref
    seen: list[tuple[str, int, int]] = []
    report = await verify_log(audit, lambda *reached: seen.append(reached))
    assert (report.events, report.calls, report.complete) == (EVENTS_OF_A_DAY + 1, 5, 4)
    assert report.passes(strict=True)
    assert seen[-1] == (PARTITION.stream, EVENTS_OF_A_DAY + 1, EVENTS_OF_A_DAY + 1)
    assert open_call.partition == PARTITION


async def test_aliens_are_listed_and_leave_the_chains_intact(audit: Platform, calls: Calls) -> None:
    refs = await a_day(calls)
    await misplaced(calls, refs[2])
    report = await verify_log(audit)
    assert report.intact
    assert not report.passes(strict=True)
    assert [(found.sequence, found.code) for found in report.listed_aliens] == [
        (EVENTS_OF_A_DAY + 1, "call_is_over"),
        (EVENTS_OF_A_DAY + 2, "unknown_event"),
    ]


async def test_a_signed_event_on_the_head_that_may_not_stand_there_is_named(audit: Platform, calls: Calls) -> None:
    requested = await calls.requested()
    forged = await calls.allowed(requested)  # policy's key, but masking has not spoken
    report = await verify_log(audit)
    assert report.first_failure is not None
    assert (report.first_failure.sequence, report.first_failure.code) == (forged.sequence, "illegal_transition")
    assert report.first_failure.subject == requested.ref.subject("allowed")


def unchanged(message: Message) -> bytes:
    return message.body


async def test_a_faithful_copy_verifies(here: Deployment, audit: Platform, calls: Calls, tmp_path: Path) -> None:
    await a_day(calls)
    async with (
        tampered_copy(here, audit, tmp_path / "copy", unchanged) as copy,
        copy.platform(Role.AUDIT) as auditor,
    ):
        assert (await verify_log(auditor)).passes(strict=True)


async def test_one_changed_byte_is_named(here: Deployment, audit: Platform, calls: Calls, tmp_path: Path) -> None:
    await a_day(calls)
    changed = 8

    def change(message: Message) -> bytes:
        body = message.body
        return body[:-3] + bytes([body[-3] ^ 1]) + body[-2:] if message.sequence == changed else body

    async with (
        tampered_copy(here, audit, tmp_path / "copy", change) as copy,
        copy.platform(Role.AUDIT) as auditor,
    ):
        report = await verify_log(auditor)
    assert not report.passes()
    assert report.first_failure is not None
    assert (report.first_failure.sequence, report.first_failure.code) == (changed, "bad_signature")


async def test_a_message_left_out_of_a_copy_breaks_its_chain(
    here: Deployment, audit: Platform, calls: Calls, tmp_path: Path
) -> None:
    await a_day(calls)
    async with (
        tampered_copy(
            here, audit, tmp_path / "copy", lambda message: None if message.sequence == 3 else message.body
        ) as copy,
        copy.platform(Role.AUDIT) as auditor,
    ):
        report = await verify_log(auditor)
    assert report.first_failure is not None
    assert report.first_failure.code == "broken_link"
    assert (report.first_failure.sequence, report.first_failure.subject.rpartition(".")[2]) == (3, "execution_started")


async def test_a_deleted_message_and_a_stream_that_lets_it_happen_are_named(
    here: Deployment, audit: Platform, calls: Calls, tmp_path: Path
) -> None:
    await a_day(calls)
    async with (
        tampered_copy(here, audit, tmp_path / "copy", unchanged, deleted=12) as copy,
        copy.platform(Role.AUDIT) as auditor,
    ):
        report = await verify_log(auditor)
    assert [found.code for found in report.deviations] == ["deny_delete"]
    assert report.first_failure is not None
    assert (report.first_failure.sequence, report.first_failure.code) == (12, "missing")


async def test_a_chain_of_another_deployment_is_no_chain_here(audit: Platform, calls: Calls, tmp_path: Path) -> None:
    await calls.executed()
    async with (
        running_deployment(tmp_path / "elsewhere") as elsewhere,
        elsewhere.platforms() as strangers,
    ):
        ref = await Calls(strangers).executed()
        theirs = (await strangers[Role.AUDIT].log.read(ref)).call.chain
    for recorded in theirs:
        await republish(calls, recorded)
    report = await verify_log(audit)
    assert (report.calls, report.complete) == (1, 1)
    assert {found.code for found in report.listed_aliens} == {"unknown_key"}
    assert len(report.listed_aliens) == len(theirs)


async def republish(calls: Calls, recorded: Recorded) -> None:
    """With the right user and the strangers' key id; its bytes are not at hand, and do not matter to who signed."""
    role = sorted(type(recorded.data).ROLES)[0]
    headers = {"ce-type": recorded.data.TYPE, "callgate-signature": f"{recorded.key_id}:{'A' * 86}=="}
    body = recorded.event.model_dump_json().encode()
    await calls.platforms[role].client.jetstream().publish(recorded.ref.subject(recorded.name), body, headers=headers)


async def test_a_limit_on_the_log_is_a_deviation(here: Deployment, audit: Platform, calls: Calls) -> None:
    from broker_fixtures import connected

    from callgate import keys

    await calls.refused()
    users = {role: keys.read_password(here.settings.keys_folder, role) for role in Role}
    async with connected(here.broker.url, Role.PROVISIONER, users) as provisioner:
        stream = provisioner.nc.jetstream()
        info = await stream.stream_info(PARTITION.stream)
        await stream.update_stream(info.config.evolve(max_age=3600))
    report = await verify_log(audit)
    assert [(found.stream, found.code) for found in report.deviations] == [(PARTITION.stream, "max_age")]
    assert not report.passes()


async def test_cursors_of_another_partition_are_its_own(opened: Callable[[], Store]) -> None:
    store = opened()
    store.prepare(["1-0", "2-0"])
    assert store.write("2-0", 0, 5, Rows())
    assert not store.write("2-0", 0, 6, Rows())
    assert (store.cursor("1-0"), store.cursor("2-0")) == (0, 5)
    assert store.read(select(tables.cursor.c.sequence).where(tables.cursor.c.partition == "2-0")) == [{"sequence": 5}]
