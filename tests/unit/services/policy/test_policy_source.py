"""The policies folder: what comes into force, when, and what is said of what does not."""

import asyncio
import logging
from pathlib import Path
from typing import cast

import pytest
from memory_log import NOW

from callgate.cedar.policies import InvalidPolicies
from callgate.errors import BrokerAway, ConfigurationError, LostRace, TooLarge
from callgate.keyring import BadSignature
from callgate.records import Records, Standing
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from contracts.identity import Role
from contracts.records import ConnectionRegistered, PolicySetPublished, RecordData, make_record
from contracts.subjects import POLICY_SET_SUBJECT, connection_subject
from services.policy.source import PolicySource, load_rules, read_files

CATALOG = Catalog({"shop": HttpConnection(base_url="http://127.0.0.1:1", functions={"pay": FunctionSpec(path="/pay")})})
PERMIT = '@id("all") permit(principal, action == Action::"shop.pay", resource);'
FORBID = '@id("none") forbid(principal, action == Action::"shop.pay", resource);'


class MemoryRecords:
    """CONTROL as its writer sees it. `faults` meet the next publications."""

    def __init__(self) -> None:
        self.standing: dict[str, Standing] = {}
        self.published: list[RecordData] = []
        self.faults: list[Exception] = []
        self.alien = False

    async def last(self, stream: str, subject: str) -> Standing | None:
        if self.alien:
            raise BadSignature("bad_signature")
        return self.standing.get(subject)

    async def publish(self, subject: str, data: RecordData, at: object, expected_last: int | None = None) -> int:
        if self.faults:
            raise self.faults.pop(0)
        assert expected_last is None or expected_last == getattr(self.standing.get(subject), "sequence", 0)
        self.published.append(data)
        record = make_record("r", "unit", subject, NOW, data)
        self.standing[subject] = Standing(record, Role.POLICY, "d" * 64, len(self.published))
        return len(self.published)


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.records = MemoryRecords()
        self.source = PolicySource(path, CATALOG, cast(Records, self.records), lambda: NOW, 3600)
        self.write(PERMIT)

    def write(self, text: str, name: str = "calls.cedar") -> None:
        (self.path / name).write_text(text)

    async def look(self, times: int = 2) -> None:
        for _ in range(times):
            await self.source._look()

    @property
    def in_force(self) -> set[str]:
        """The ids of the policies in force."""
        assert self.source.current is not None
        assert self.source.current.policies is not None
        return set(self.source.current.policies.policies)


@pytest.fixture
async def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    await made.source.start()
    return made


# Reading


def test_every_cedar_file_is_read(tmp_path: Path) -> None:
    for name in ("b.cedar", "a.cedar", "notes.txt"):
        (tmp_path / name).write_text(name)
    assert list(read_files(tmp_path).items()) == [("a.cedar", "a.cedar"), ("b.cedar", "b.cedar")]


def test_a_folder_without_policies_is_an_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigurationError) as error:
            read_files(folder)
        assert error.value.code == "no_policies"


def test_what_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.cedar").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError) as error:
        read_files(tmp_path)
    assert error.value.code == "policies_unreadable"
    (tmp_path / "a.cedar").unlink()
    (tmp_path / "b.cedar").mkdir()
    with pytest.raises(ConfigurationError):
        read_files(tmp_path)


def test_a_policy_on_an_unknown_attribute_is_refused() -> None:
    with pytest.raises(InvalidPolicies) as error:
        load_rules({"calls.cedar": f"{PERMIT[:-1]} when {{ context.input.amonut == 1 }};"}, CATALOG)
    assert "calls.cedar" in error.value.detail


@pytest.mark.parametrize("read", ['"shop.pya"', '"shop.pay" && context.input["shop.pay"] has amonut'])
def test_a_right_by_an_unknown_argument_is_refused(read: str) -> None:
    policy = f"""
    @id("limit") permit(principal, action == Action::"approve", resource)
    when {{ context.input has {read} }};"""
    with pytest.raises(InvalidPolicies) as refused:
        load_rules({"people.cedar": policy}, CATALOG)
    (problem,) = refused.value.problems
    assert (problem.policy, problem.file, problem.line) == ("limit", "people.cedar", 2)
    assert "there is no function shop.pya" in problem.message or "has no argument amonut" in problem.message


# Starting


async def test_the_start_publishes_policies_and_connections(folder: Folder) -> None:
    assert folder.in_force == {"all"}
    published = folder.records.standing[POLICY_SET_SUBJECT].data
    assert isinstance(published, PolicySetPublished)
    assert published.files == {"calls.cedar": PERMIT}
    assert folder.source.current is not None
    assert folder.source.current.policies is not None
    assert published.policy_set == folder.source.current.policies.digest
    registered = folder.records.standing[connection_subject("shop")].data
    assert registered == ConnectionRegistered(connection="shop", functions={"shop.pay": CATALOG.digest_of("shop.pay")})


async def test_a_second_start_publishes_nothing_new(folder: Folder) -> None:
    before = len(folder.records.published)
    await PolicySource(folder.path, CATALOG, cast(Records, folder.records), lambda: NOW, 1).start()
    assert len(folder.records.published) == before


@pytest.mark.parametrize("text", ["permit(", FORBID.replace('@id("none") ', "")])
async def test_invalid_policies_do_not_start(tmp_path: Path, text: str) -> None:
    folder = Folder(tmp_path)
    folder.write(text)
    with pytest.raises(ConfigurationError):
        await folder.source.start()
    assert folder.source.current is None
    assert folder.records.published == []


async def test_policies_that_no_message_holds_do_not_start(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.records.faults = [TooLarge()]
    with pytest.raises(ConfigurationError) as error:
        await folder.source.start()
    assert error.value.code == "policies_too_large"
    assert folder.source.current is None


async def test_two_replicas_that_start_at_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.records.faults = [LostRace()]
    await folder.source.start()
    assert folder.in_force == {"all"}


async def test_an_alien_on_control_is_replaced(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    folder.records.alien = True
    folder.write(PERMIT + FORBID)
    await folder.look()
    assert folder.in_force == {"all", "none"}
    assert "alien" in caplog.text


# Reloading


async def test_a_change_comes_into_force_and_stands_on_control(folder: Folder) -> None:
    folder.write(PERMIT + FORBID)
    await folder.look()
    assert folder.in_force == {"all", "none"}
    published = folder.records.standing[POLICY_SET_SUBJECT].data
    assert isinstance(published, PolicySetPublished)
    assert published.files == {"calls.cedar": PERMIT + FORBID}


async def test_a_folder_that_is_being_written_does_not_count(folder: Folder) -> None:
    """Truncated and not yet written again, it would be a valid set without its forbids."""
    folder.write(FORBID, "limits.cedar")
    await folder.look()
    assert folder.in_force == {"all", "none"}
    folder.write("", "limits.cedar")
    await folder.look(times=1)
    folder.write(FORBID, "limits.cedar")
    await folder.look()
    assert folder.in_force == {"all", "none"}
    assert [data for data in folder.records.published if isinstance(data, PolicySetPublished)][-1].files == {
        "calls.cedar": PERMIT,
        "limits.cedar": FORBID,
    }


async def test_the_rules_before_stay_in_force_until_the_new_ones_stand_on_control(folder: Folder) -> None:
    before = folder.source.current
    seen: list[bool] = []
    publish = folder.records.publish

    async def observed(*args: object, **more: object) -> int:
        seen.append(folder.source.current is before)
        return await publish(*args, **more)  # type: ignore[arg-type]

    folder.records.publish = observed  # type: ignore[method-assign]
    folder.write(PERMIT + FORBID)
    await folder.look()
    assert seen == [True]
    assert folder.source.current is not before


async def test_a_change_waits_for_the_broker(folder: Folder) -> None:
    folder.write(PERMIT + FORBID)
    await folder.look(times=1)
    folder.records.faults = [BrokerAway()]
    with pytest.raises(BrokerAway):
        await folder.look(times=1)
    assert folder.in_force == {"all"}
    await folder.look(times=1)
    assert folder.in_force == {"all", "none"}


@pytest.mark.parametrize("text", ["permit(", '@id("x") permit(principal, action == Action::"shop.refund", resource);'])
async def test_an_invalid_change_is_refused_and_said_once(
    folder: Folder, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    folder.write(text)
    await folder.look(times=5)
    assert folder.in_force == {"all"}
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
    folder.write(PERMIT + FORBID)
    await folder.look()
    assert folder.in_force == {"all", "none"}, "a mended file is taken up"


async def test_a_change_that_no_message_holds_is_refused(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    folder.write(PERMIT + FORBID)
    folder.records.faults = [TooLarge()]
    await folder.look(times=4)
    assert folder.in_force == {"all"}
    assert caplog.text.count("refused") == 1


async def test_each_time_the_folder_goes_away_it_is_said(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    for times in (1, 2):
        (folder.path / "calls.cedar").unlink()
        await folder.look(times=3)
        assert folder.in_force == {"all"}, "no policies at all are no change"
        assert caplog.text.count("no *.cedar") == times
        folder.write(PERMIT)
        await folder.look()


async def test_the_watch_outlives_a_broker_that_is_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = Folder(tmp_path)
    folder.source = PolicySource(tmp_path, CATALOG, cast(Records, folder.records), lambda: NOW, 0.001)
    await folder.source.start()
    folder.records.faults = [BrokerAway(), BrokerAway()]
    folder.write(PERMIT + FORBID)
    taken_up = asyncio.Event()
    publish = folder.records.publish

    async def observed(*args: object, **more: object) -> int:
        sequence = await publish(*args, **more)  # type: ignore[arg-type]
        taken_up.set()
        return sequence

    folder.records.publish = observed  # type: ignore[method-assign]
    watch = asyncio.create_task(folder.source.watch())
    async with asyncio.timeout(10):
        await taken_up.wait()
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    assert caplog.text.count("wait for the broker") == 2
