"""The table of streams, consumers and rights, and the configuration rendered from it."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from callgate.broker_config import Cluster, nats_config
from callgate.errors import ConfigurationError
from callgate.provision import consumer_differences, stream_differences
from callgate.rights import durables, rights
from callgate.streams import CONSUMED, ConsumerSpec, consumers, streams
from contracts.events import EVENTS
from contracts.identity import Role
from contracts.records import Accessed, Alarmed
from contracts.subjects import (
    Partition,
    access_subject,
    alarm_subject,
    event_filter,
    freeze_subject,
    grant_revoked_subject,
    grant_subject,
    grant_use_subject,
)

SERVICES = [role for role in Role if role is not Role.PROVISIONER]
USERS = {role: f"password-of-{role}-long" for role in Role}
READ_ONLY = ("$JS.API.INFO", "$JS.API.STREAM.INFO.", "$JS.API.STREAM.MSG.GET.", "$JS.API.DIRECT.GET.")


def matches(pattern: str, subject: str) -> bool:
    wanted, given = pattern.split("."), subject.split(".")
    for position, token in enumerate(wanted):
        if token == ">":
            return len(given) > position
        if position >= len(given) or token not in ("*", given[position]):
            return False
    return len(wanted) == len(given)


def may_publish(role: Role, subject: str) -> bool:
    granted = rights(role)
    allowed = any(matches(pattern, subject) for pattern in granted.publish)
    return allowed and not any(matches(pattern, subject) for pattern in granted.deny_publish)


def may_subscribe(role: Role, subject: str) -> bool:
    return any(matches(pattern, subject) for pattern in rights(role).subscribe)


def test_calls_are_immutable_and_without_limits() -> None:
    (calls,) = [spec.config for spec in streams(3, 1, 3) if spec.name.startswith("CALLS")]
    assert calls.name == "CALLS_3_0"
    assert calls.subjects == ["calls.3-0.>"]
    assert (calls.deny_delete, calls.deny_purge, calls.discard) == (True, True, "new")
    assert (calls.allow_direct, calls.allow_atomic, calls.num_replicas) == (True, True, 3)
    assert not calls.allow_rollup_hdrs
    assert not calls.allow_msg_ttl
    assert (calls.max_age, calls.max_msgs, calls.max_bytes) == (None, None, None)
    assert calls.republish is not None
    assert (calls.republish.src, calls.republish.dest) == ("calls.3-0.>", "live.calls.3-0.>")


def test_only_what_erasure_timers_and_counters_need_may_be_deleted() -> None:
    mutable = {spec.name for spec in streams(1, 2) if not spec.config.deny_delete or not spec.config.deny_purge}
    assert mutable == {"SESSION_KEYS", "PAYLOADS", "TIMERS", "NOTICES", "ADMISSION"}


def test_no_two_streams_take_the_same_subject() -> None:
    subjects = [subject for spec in streams(1, 4) for subject in spec.config.subjects or []]
    assert len({subject.removesuffix(".>") for subject in subjects}) == len(subjects)


def test_a_shard_brings_its_stream_and_its_durables() -> None:
    assert {spec.name for spec in streams(1, 2)} - {spec.name for spec in streams(1, 1)} == {"CALLS_1_1"}
    added = [spec for spec in consumers(1, 2) if spec.stream == "CALLS_1_1"]
    assert {spec.durable for spec in added} == {"masking", "policy", "approval", "approval-notices", "executor"}
    assert all(f.startswith("calls.1-1.") for spec in added for f in spec.config.filter_subjects or [])


@pytest.mark.parametrize("spec", consumers(1, 1), ids=lambda spec: f"{spec.stream}-{spec.durable}")
def test_consumers_push_to_their_service_and_never_give_up(spec: ConsumerSpec) -> None:
    config = spec.config
    assert config.deliver_subject == f"deliver.{spec.durable}"
    assert config.deliver_group == spec.durable.partition("-")[0]
    assert (config.ack_policy, config.max_deliver) == ("explicit", -1)
    waiting = {"approval-sends": 4096, "approval-notices": 1024}  # theirs wait for receivers, and for calls to end
    assert (config.ack_wait, config.max_ack_pending) == (30.0, waiting.get(spec.durable, 64))


def test_settings_of_consumers() -> None:
    tuned = {spec.durable: spec.config for spec in consumers(1, 1, ack_wait=5.0, max_ack_pending={"executor": 8})}
    assert tuned["executor"].max_ack_pending == 8
    assert tuned["policy"].max_ack_pending == 64
    assert {config.ack_wait for config in tuned.values()} == {5.0}


def test_every_event_that_asks_for_an_answer_is_consumed_once() -> None:
    """But for a settlement: masking answers what is done, the executor what is to run again."""
    consumed = Counter(event.NAME for events in CONSUMED.values() for event in events)
    assert {name for name, services in consumed.items() if services > 1} == {"outcome_settled"}
    assert "execution_started" not in consumed


@pytest.mark.parametrize("role", SERVICES)
def test_a_user_publishes_exactly_the_events_its_role_signs(role: Role) -> None:
    for event in EVENTS:
        assert may_publish(role, f"calls.1-0.s.c.{event.NAME}") is (role in event.ROLES)
    calls = {pattern for pattern in rights(role).publish if pattern.startswith("calls.")}
    assert calls == {event_filter(event.NAME) for event in EVENTS if role in event.ROLES}
    assert not may_publish(role, "calls.1-0.s.c.allowed.more")
    assert not may_publish(role, "live.calls.1-0.s.c.requested")


@pytest.mark.parametrize("role", SERVICES)
def test_a_user_writes_on_access_what_is_its_own_and_nobody_elses(role: Role) -> None:
    for other in Role:
        own = role is other and role in Accessed.ROLES | Alarmed.ROLES
        assert may_publish(role, access_subject(other, "s", "viewed")) is own
        assert may_publish(role, alarm_subject(Partition(1, 0), 7)) is (role is Role.AUDIT)
    assert not may_publish(role, "access.CALLS_1_0.alarmed_7")


@pytest.mark.parametrize("role", SERVICES)
def test_a_service_has_no_right_to_change_anything_in_the_api(role: Role) -> None:
    for pattern in rights(role).publish:
        if not pattern.startswith("$"):
            continue
        own = [f"$JS.API.CONSUMER.INFO.*.{durable}" for durable in durables(role)]
        acks = [f"$JS.ACK.*.{durable}.>" for durable in durables(role)]
        assert pattern in own or pattern in acks or pattern.startswith(READ_ONLY)


@pytest.mark.parametrize("role", SERVICES)
def test_a_service_hears_its_own_deliveries_and_inbox_only(role: Role) -> None:
    for other in Role:
        assert may_subscribe(role, f"_INBOX_{other}.x") is (role is other)
        for durable in durables(other):
            assert may_subscribe(role, f"deliver.{durable}") is (role is other)
            assert may_publish(role, f"$JS.ACK.CALLS_1_0.{durable}.1.2.3.4.5") is (role is other)
            assert may_publish(role, f"$JS.API.CONSUMER.INFO.CALLS_1_0.{durable}") is (role is other)
    assert not any(pattern in (">", "*", "_INBOX.>", "deliver.>", "deliver.*") for pattern in rights(role).subscribe)


def test_who_follows_live_and_who_reads_what() -> None:
    assert {role for role in SERVICES if may_subscribe(role, "live.calls.1-0.s.c.allowed")} == {
        Role.INGRESS,
        Role.APPROVAL,
        Role.AUDIT,
    }

    def readers(stream: str) -> set[Role]:
        get, direct = f"$JS.API.STREAM.MSG.GET.{stream}", f"$JS.API.DIRECT.GET.{stream}.some.subject"
        whole = f"$JS.API.DIRECT.GET.{stream}"
        for role in SERVICES:
            assert may_publish(role, get) is may_publish(role, direct) is may_publish(role, whole)
        return {role for role in SERVICES if may_publish(role, get)}

    assert readers("CALLS_7_3") == readers("CONTROL") == readers("SESSION_KEYS") == set(SERVICES)
    assert readers("NOTICES") == {Role.APPROVAL}
    assert {role for role in SERVICES if may_publish(role, "notices.due.x")} == {Role.APPROVAL}
    assert readers("ACCESS") == {Role.MASKING, Role.APPROVAL, Role.AUDIT}
    assert readers("TIMERS") == {Role.APPROVAL, Role.AUDIT}
    assert readers("CHECKPOINTS") == {Role.AUDIT}


def strings(text: str) -> Iterator[str]:
    """The quoted strings of the configuration, as nats-server would read them."""
    for match in re.finditer(r'"((?:[^"\\]|\\.)*)"', text):
        yield re.sub(r"\\(.)", r"\1", match[1])


def test_passwords_are_quoted_and_never_break_out() -> None:
    users = {**USERS, Role.AUDIT: 'x"} ] } # \\ $PATH {{'}
    assert users[Role.AUDIT] in set(strings(nats_config(users, port=4222, store_dir="/data")))


@pytest.mark.parametrize("password", ["", "fourteen-chars", "$2a$11$ajkdhaskjdhaskjdhaskjd", "line\nbreak-long-enough"])
def test_unusable_passwords_are_refused_and_not_quoted(password: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        nats_config({**USERS, Role.POLICY: password}, port=4222, store_dir="/data")
    assert not password or password not in str(error.value)


def test_the_broker_syncs_unless_told_otherwise() -> None:
    assert "sync_interval: always" in nats_config(USERS, port=4222, store_dir="/data")
    assert "sync_interval: always" not in nats_config(USERS, port=4222, store_dir="/data", sync_always=False)


def test_no_way_in_without_a_password() -> None:
    text = nats_config(USERS, port=4222, store_dir="/data", host="0.0.0.0")
    assert "no_auth_user" not in text
    assert "http" not in text
    assert text.count("password:") == len(Role)


def test_a_node_of_a_cluster() -> None:
    node = Cluster("n1", "callgate", 6222, ["nats://route:secret@n2:6222"], password="route-password")
    text = nats_config(USERS, port=4222, store_dir="/data", cluster=node)
    assert 'server_name: "n1"' in text
    assert 'routes: ["nats://route:secret@n2:6222"]' in text
    assert "route-password" not in repr(node)


def test_differences_name_the_field_and_ignore_what_the_server_fills_in() -> None:
    (calls,) = [spec for spec in streams() if spec.name == "CALLS_1_0"]
    filled_in = {"max_msgs": -1, "duplicate_window": 120_000_000_000, "metadata": {"_nats.ver": "2"}, "sealed": False}
    found = {**calls.request(), **filled_in}
    assert stream_differences(calls, found) == []
    evicting = stream_differences(calls, {**found, "max_age": 1_000_000})
    assert [(one.asset, one.field, one.found) for one in evicting] == [("CALLS_1_0", "max_age", 1_000_000)]
    assert [one.field for one in stream_differences(calls, {**found, "sealed": True})] == ["sealed"]


def test_a_redirected_consumer_differs() -> None:
    (executor,) = [spec for spec in consumers() if spec.durable == "executor"]
    found = {**executor.request(), "deliver_subject": "deliver.somebody"}
    (difference,) = consumer_differences(executor, found)
    assert str(difference) == (
        'CALLS_1_0/executor: deliver_subject is "deliver.somebody", the table says "deliver.executor"'
    )


def test_the_limit_of_the_store_is_the_server_s_and_over_all_replicas_the_account_s() -> None:
    text = nats_config(USERS, port=4222, store_dir="/data", max_store=5_000, replicas=3)
    assert "max_file_store: 5000\n" in text
    assert "jetstream: { max_file: 15000 }" in text
    assert "max_file" not in nats_config(USERS, port=4222, store_dir="/data")


def test_freezes_and_grants_are_made_by_approval_and_counted_by_policy() -> None:
    for subject, role in (
        (freeze_subject("f1"), Role.APPROVAL),
        (grant_subject("g1"), Role.APPROVAL),
        (grant_revoked_subject("g1"), Role.APPROVAL),
        (grant_use_subject("g1", "c1"), Role.POLICY),
    ):
        assert [one for one in SERVICES if may_publish(one, subject)] == [role]
    assert not any(may_publish(one, "control.grant.g1") for one in SERVICES)
