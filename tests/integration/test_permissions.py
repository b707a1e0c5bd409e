"""Each service's user against a real broker: what it may do works, and nothing else does."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import nats.errors
import pytest
from broker_fixtures import User, connected, header, passwords, running_broker
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from callgate.provision import provision
from callgate.rights import durables
from contracts.events import EVENTS
from contracts.identity import Role

SERVICES = [role for role in Role if role is not Role.PROVISIONER]
STREAMS = ("CALLS_1_0", "SESSION_KEYS", "NEW")
STREAM_CHANGES = ("CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN")
CONSUMER_CHANGES = ("CREATE", "DELETE", "DURABLE.CREATE", "PAUSE", "RESET", "UNPIN", "MSG.NEXT", "LEADER.STEPDOWN")
REQUEST = "calls.1-0.s.c.requested"


@dataclass
class Setting:
    url: str
    users: dict[Role, str]
    provisioner: User


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    users = passwords()
    async with (
        running_broker(tmp_path / "broker", users) as broker,
        connected(broker.url, Role.PROVISIONER, users) as provisioner,
    ):
        await provision(provisioner.nc)
        yield Setting(broker.url, users, provisioner)


async def violations(user: User, subjects: list[str], body: bytes = b"") -> int:
    for subject in subjects:
        await user.nc.publish(subject, body)
    return len(await user.refused())


@pytest.mark.parametrize("role", SERVICES)
async def test_a_user_records_its_own_events_and_no_other(setting: Setting, role: Role) -> None:
    async with connected(setting.url, role, setting.users) as user:
        own = [event for event in EVENTS if role in event.ROLES]
        for event in own:
            stored = await user.nc.jetstream().publish(f"calls.1-0.s.c.{event.NAME}", b"")
            assert stored.stream == "CALLS_1_0"
        foreign = [f"calls.1-0.s.c.{event.NAME}" for event in EVENTS if role not in event.ROLES]
        assert await violations(user, foreign) == len(foreign)
    state = (await setting.provisioner.nc.jetstream().stream_info("CALLS_1_0")).state
    assert state.messages == len(own)


@pytest.mark.parametrize("role", SERVICES)
async def test_a_user_changes_nothing_on_the_broker(setting: Setting, role: Role) -> None:
    async with connected(setting.url, role, setting.users) as user:
        changes = [
            *(f"$JS.API.STREAM.{verb}.{stream}" for verb in STREAM_CHANGES for stream in STREAMS),
            *(f"$JS.API.CONSUMER.{verb}.CALLS_1_0.{name}" for verb in CONSUMER_CHANGES for name in ("executor", "new")),
            "$JS.API.CONSUMER.CREATE.CALLS_1_0",
            "$JS.API.CONSUMER.CREATE.CALLS_1_0.new.calls.>",
            "$JS.API.STREAM.LIST",
            "$JS.API.SERVER.REMOVE",
            "$JS.API.ACCOUNT.PURGE.LOG",
            "$SYS.REQ.SERVER.PING",
            "$KV.x.y",
        ]
        assert await violations(user, changes) == len(changes)
    report = await provision(setting.provisioner.nc)
    assert report.complete
    assert not report.created


@pytest.mark.parametrize("role", SERVICES)
async def test_a_user_hears_no_other_user(setting: Setting, role: Role) -> None:
    async with connected(setting.url, role, setting.users) as user:
        others = [
            *(f"deliver.{durable}" for other in Role if other is not role for durable in durables(other)),
            *(f"_INBOX_{other}.>" for other in Role if other is not role),
            *(">", "_INBOX.>", "deliver.>", "deliver.*", "$JS.>", "$SYS.>", "calls.>", "keys.>", "_R_.>"),
            *([] if role in (Role.INGRESS, Role.APPROVAL, Role.AUDIT) else ["live.calls.>"]),
        ]
        for subject in others:
            await user.nc.subscribe(subject)
        assert len(await user.refused()) == len(others)


@pytest.mark.parametrize("role", SERVICES)
async def test_a_user_acknowledges_its_own_deliveries_only(setting: Setting, role: Role) -> None:
    async with connected(setting.url, role, setting.users) as user:
        foreign = [durable for other in Role if other is not role for durable in durables(other)]
        acks = [f"$JS.ACK.CALLS_1_0.{durable}.1.1.1.1700000000000000000.0" for durable in foreign]
        lookups = [f"$JS.API.CONSUMER.INFO.CALLS_1_0.{durable}" for durable in foreign]
        assert await violations(user, acks + lookups, b"+TERM") == len(acks + lookups)
        for durable in durables(role):
            stream = {"approval-timers": "TIMERS", "approval-sends": "NOTICES"}.get(durable, "CALLS_1_0")
            info = await user.nc.jetstream().consumer_info(stream, durable)
            assert info.config.deliver_subject == f"deliver.{durable}"


async def test_a_delivery_is_received_acknowledged_and_gone(setting: Setting) -> None:
    async with (
        connected(setting.url, Role.INGRESS, setting.users) as ingress,
        connected(setting.url, Role.MASKING, setting.users) as masking,
    ):
        live = await ingress.nc.subscribe("live.calls.1-0.s.c.*")
        deliveries = await masking.nc.subscribe("deliver.masking", queue="masking")
        await masking.settled()
        await ingress.nc.jetstream().publish(REQUEST, b"body")
        delivery = await deliveries.next_msg(5)
        # The form that the rights are written for: $JS.ACK.<stream>.<durable>.<delivered>.<seq>.<seq>.<time>.<pending>
        tokens = delivery.reply.split(".")
        assert tokens[:4] == ["$JS", "ACK", "CALLS_1_0", "masking"]
        assert len(tokens) == 9
        await delivery.in_progress()
        await delivery.ack_sync()
        info = await masking.nc.jetstream().consumer_info("CALLS_1_0", "masking")
        assert (info.num_ack_pending, info.num_pending) == (0, 0)
        seen = await live.next_msg(5)
        assert (seen.data, header(seen, "Nats-Subject")) == (b"body", REQUEST)
        assert await masking.refused() == []


@pytest.mark.parametrize("role", SERVICES)
async def test_reads_by_leader_direct_and_batch(setting: Setting, role: Role) -> None:
    async with connected(setting.url, Role.INGRESS, setting.users) as ingress:
        for call in ("a", "b"):
            await ingress.nc.jetstream().publish(f"calls.1-0.s.{call}.requested", call.encode())
    async with connected(setting.url, role, setting.users) as user:
        js = user.nc.jetstream()
        assert (await js.get_msg("CALLS_1_0", seq=1)).data == b"a"
        assert (await js.get_msg("CALLS_1_0", subject="calls.1-0.s.b.requested", direct=True)).data == b"b"
        with pytest.raises(NotFoundError):
            await js.get_msg("CALLS_1_0", seq=9)
        inbox = user.nc.new_inbox()
        answers = await user.nc.subscribe(inbox)
        batch = json.dumps({"seq": 1, "batch": 10, "next_by_subj": "calls.1-0.s.>"}).encode()
        await user.nc.publish("$JS.API.DIRECT.GET.CALLS_1_0", batch, reply=inbox)
        received = [await answers.next_msg(5) for _ in range(3)]
        assert [message.data for message in received] == [b"a", b"b", b""]
        assert header(received[2], "Status") == "204"


async def test_streams_a_service_does_not_need_stay_closed_to_it(setting: Setting) -> None:
    async with connected(setting.url, Role.EXECUTOR, setting.users) as executor:
        closed = ["$JS.API.STREAM.MSG.GET.ACCESS", "$JS.API.DIRECT.GET.ACCESS", "$JS.API.DIRECT.GET.TIMERS.timers.x"]
        assert await violations(executor, closed) == len(closed)


async def test_a_reply_subject_gives_no_right_that_the_user_does_not_have(setting: Setting) -> None:
    """The server checks no reply subject, and would itself publish a chosen stored body there (see broker_config)."""
    evil = {
        "$JS.API.STREAM.DELETE.TIMERS": b"",
        "$JS.API.STREAM.PURGE.SESSION_KEYS": b"",
        "$JS.API.STREAM.MSG.DELETE.SESSION_KEYS": b'{"seq":1}',
        "$JS.API.CONSUMER.DELETE.CALLS_1_0.executor": b"",
        "$JS.API.CONSUMER.CREATE.CALLS_1_0.evil": json.dumps(
            {
                "stream_name": "CALLS_1_0",
                "config": {"name": "evil", "durable_name": "evil", "deliver_subject": "x", "ack_policy": "none"},
            }
        ).encode(),
        "calls.1-0.s.c.allowed": b"forged",
        "live.calls.1-0.s.c.allowed": b"forged",
        "deliver.executor": b"forged",
        "$JS.ACK.CALLS_1_0.executor.1.1.1.1700000000000000000.0": b"+TERM",
    }
    async with (
        connected(setting.url, Role.MASKING, setting.users) as masking,
        connected(setting.url, Role.EXECUTOR, setting.users) as executor,
        connected(setting.url, Role.AUDIT, setting.users) as audit,
    ):
        js = masking.nc.jetstream()
        await js.publish("keys.s.k", b"wrapped")
        deliveries = await executor.nc.subscribe("deliver.executor", queue="executor")
        live = await audit.nc.subscribe("live.calls.>")
        await executor.settled()
        await audit.settled()
        for index, (target, body) in enumerate(evil.items()):
            subject = f"access.masking.s.{index}"
            await js.publish(subject, body)
            await masking.nc.publish(f"$JS.API.DIRECT.GET.ACCESS.{subject}", b"", reply=target)
            await masking.nc.publish(subject, body, reply=target)
        # One request after the others on the same connection, so that all of them have been served.
        await js.get_msg("ACCESS", seq=1, direct=True)
        assert (await js.get_msg("SESSION_KEYS", seq=1)).data == b"wrapped"
        report = await provision(setting.provisioner.nc)
        assert report.complete
        assert not report.created
        names = [info.name for info in await setting.provisioner.nc.jetstream().consumers_info("CALLS_1_0")]
        assert sorted(names) == ["approval", "approval-notices", "executor", "masking", "policy"]
        assert (await setting.provisioner.nc.jetstream().stream_info("CALLS_1_0")).state.messages == 0
        for listening in (deliveries, live):
            with pytest.raises(nats.errors.TimeoutError):
                await listening.next_msg(0.2)


async def test_a_wrong_password_opens_nothing(setting: Setting) -> None:
    for user, password in (("policy", "not-the-password-of-policy"), (None, None)):
        nc = Client()
        try:
            with pytest.raises(nats.errors.Error):
                await nc.connect(setting.url, allow_reconnect=False, error_cb=_ignore, user=user, password=password)
        finally:
            await nc.close()


async def _ignore(_error: Exception) -> None:
    return None
