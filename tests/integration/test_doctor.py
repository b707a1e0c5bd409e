"""`callgate doctor` against real brokers, upstreams and key folders: what it must see, and what it must not show."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nats
import pytest
from aiohttp import web
from deployment import running_deployment

from callgate import keys
from callgate.broker_config import nats_config
from callgate.rights import inbox_prefix
from callgate.settings import BrokerSettings, Settings
from callgate.streams import consumers, streams
from cli.dev_issuer import DevIssuer
from cli.doctor import examine
from cli.doctor.broker import clock_finding
from cli.embedded import find_nats_server
from contracts.identity import Role

SECRET = "the-upstreams-own-secret-0123456789"
POLICY = '@id("agents-ping") permit (principal, action == Action::"api.ping", resource);'


@pytest.fixture
async def server() -> AsyncIterator[dict[str, Any]]:
    """An issuer and a broker's monitoring in one; a test changes what it answers."""
    answers: dict[str, Any] = {}

    async def handle(request: web.Request) -> web.Response:
        answer = answers.get(request.path)
        return web.json_response(answer) if answer is not None else web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    answers["url"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield answers
    await runner.cleanup()


@pytest.fixture
def overrides(tmp_path: Path, server: dict[str, Any]) -> dict[str, Any]:
    """Settings under which nothing is wrong, once the broker is there."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "calls.cedar").write_text(POLICY)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    issuer = DevIssuer.open(tmp_path / "issuer", issuer_url=server["url"], audience="callgate")
    server["/.well-known/openid-configuration"] = issuer.discovery()
    server["/jwks.json"] = issuer.keys.jwks
    server["/jsz"] = {"config": {"sync_always": True}}
    connection = {
        "base_url": server["url"],
        "credential": {"file": str(secret)},
        "functions": {"ping": {"method": "GET", "path": "/ping"}},
    }
    return {
        "broker": {"max_ack_pending": 64},  # as `running_deployment` provisions
        "policy": {"folder": str(tmp_path / "policies")},
        "identity": {"issuers": [{"issuer": server["url"], "audience": "callgate"}]},
        "connections": {"api": connection},
    }


async def examined(
    settings: Settings, capsys: pytest.CaptureFixture[str], *monitors: str
) -> tuple[int, dict[str, list[str]]]:
    """The exit code, and the findings by level, each `subject text`."""
    code = await examine(settings, monitors)
    lines = capsys.readouterr().out.splitlines()
    found: dict[str, list[str]] = {"ok": [], "note": [], "warn": [], "FAIL": []}
    for line in lines[: lines.index("")]:
        level, subject, text = line[:6].strip(), line[6:18].strip(), line[19:]
        found[level].append(f"{subject} {text}")
    assert SECRET not in "\n".join(lines)
    return code, found


def named(findings: list[str], *words: str) -> bool:
    return any(all(word in finding for word in words) for finding in findings)


async def test_finds_nothing_wrong_where_nothing_is(
    tmp_path: Path, overrides: dict[str, Any], server: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_deployment(tmp_path / "state", overrides=overrides) as deployment:
        code, found = await examined(deployment.settings, capsys, server["url"])
    assert (code, found["FAIL"]) == (0, [])
    assert [warning.split()[0] for warning in found["warn"]] == ["root"]
    for subject in ("keys", "broker", "streams", "consumers", "disk", "clock", "durability", "policies", "api"):
        assert named(found["ok"], f"{subject} "), subject
    assert named(found["ok"], f"streams {len(streams())} stand")
    assert named(found["ok"], f"consumers {len(consumers())} stand")
    assert named(found["ok"], "issuers", "1 key")


async def test_sees_what_was_changed_on_the_broker(
    tmp_path: Path, overrides: dict[str, Any], server: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_deployment(tmp_path / "state", overrides=overrides) as deployment:
        async with provisioner(deployment.settings) as client:
            config = json.loads((await client.request("$JS.API.STREAM.INFO.CALLS_1_0", b"")).data)["config"]
            for action, body in (
                ("STREAM.UPDATE.CALLS_1_0", {**config, "max_age": 3_600_000_000_000}),
                ("STREAM.DELETE.ACCESS", {}),
                ("STREAM.DELETE.ADMISSION", {}),
                ("CONSUMER.DELETE.CALLS_1_0.executor", {}),
            ):
                answer = await client.request(f"$JS.API.{action}", json.dumps(body).encode())
                assert "error" not in json.loads(answer.data)
        changed = deployment.settings.broker.model_copy(update={"ack_wait": 12.0})
        settings = deployment.settings.model_copy(update={"broker": changed})
        code, found = await examined(settings, capsys, server["url"])
    assert code == 1
    assert len(found["FAIL"]) == 4
    assert named(found["FAIL"], "streams ADMISSION is missing", "callgate provision")
    assert named(found["FAIL"], "streams CALLS_1_0: max_age is 3600000000000", "verify the log")
    assert named(found["FAIL"], "streams ACCESS is missing", "callgate provision")
    assert named(found["FAIL"], "consumers CALLS_1_0/executor is missing")
    assert named(found["warn"], "consumers CALLS_1_0/policy: ack_wait", "--upgrade")


async def test_one_services_host_sees_its_own_part(
    tmp_path: Path, overrides: dict[str, Any], server: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the executor's keys lie here, as on a server that runs it alone."""
    async with running_deployment(tmp_path / "state", overrides=overrides) as deployment:
        for role in Role:
            if role is not Role.EXECUTOR:
                (deployment.settings.keys_folder / role).rename(tmp_path / f"away-{role}")
        (deployment.settings.keys_folder / "root").rename(tmp_path / "away-root")
        code, found = await examined(deployment.settings, capsys, server["url"])
    assert (code, found["FAIL"], found["warn"]) == (0, [], [])
    assert named(found["ok"], "broker", "lets executor in")
    assert named(found["ok"], f"streams {len(streams())} stand")
    assert named(found["ok"], "consumers 1 stand")
    assert named(found["note"], "consumers 6 more", "provisioner")
    assert named(found["note"], "no keys of ingress, masking")


async def test_says_loudly_that_a_broker_does_not_sync(
    tmp_path: Path, overrides: dict[str, Any], server: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    async with running_deployment(tmp_path / "state", overrides=overrides) as deployment:
        code, found = await examined(deployment.settings, capsys)
        assert code == 0
        assert named(found["warn"], "WHETHER THE BROKER SYNCS CANNOT BE SEEN", "sync_interval: always")
        server["/jsz"] = {"config": {"sync_interval": 120_000_000_000}}
        code, found = await examined(deployment.settings, capsys, server["url"])
        assert code == 1
        assert named(found["FAIL"], "durability", "DOES NOT SYNC (every 120 s only)")
        del server["/jsz"]
        assert named((await examined(deployment.settings, capsys, server["url"]))[1]["FAIL"], "does not answer")


async def test_a_real_servers_monitoring_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fields that the doctor reads are those that nats-server writes."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for sync_always in (True, False):
        async with monitored_broker(tmp_path / str(sync_always), port, sync_always=sync_always) as settings:
            _, found = await examined(settings, capsys, f"http://127.0.0.1:{port}")
            told = found["ok"] if sync_always else found["FAIL"]
            assert named(told, "durability", "sync always" if sync_always else "DOES NOT SYNC")


async def test_a_broker_whose_disk_nobody_sees_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for max_store in (None, 1_000_000_000):
        async with monitored_broker(tmp_path / str(max_store), port, max_store=max_store) as settings:
            async with provisioner(settings) as client:
                subjects = {"name": "CONTROL", "subjects": ["control.>"], "storage": "file"}
                await client.request("$JS.API.STREAM.CREATE.CONTROL", json.dumps(subjects).encode())
            _, found = await examined(settings, capsys, f"http://127.0.0.1:{port}")
        if max_store is None:
            assert named(found["FAIL"], "disk", "until the broker's disk is full", "--max-store")
        else:
            assert named(found["ok"], "disk streams take", "of 1.0 GB, 0% in use")


async def test_examines_an_embedded_broker_by_its_state_folder(
    tmp_path: Path, overrides: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state"
    settings = Settings(**{"deployment": "test", "state": state, **overrides})
    code, found = await examined(settings, capsys)
    assert code == 0
    assert named(found["note"], "broker embedded, and not made yet")
    assert named(found["note"], "keys none yet")
    async with running_deployment(state, overrides=overrides) as deployment:
        code, found = await examined(settings, capsys)
        assert (code, found["FAIL"]) == (0, [])
        assert named(found["ok"], "broker nats-server", "lets provisioner in")
        assert named(found["ok"], "durability sync_interval: always")
        assert named(found["ok"], "disk", "free in")
        changed = settings.broker.model_copy(update={"ack_wait": 12.0})
        code, found = await examined(settings.model_copy(update={"broker": changed}), capsys)
        assert code == 0
        assert named(found["warn"], "consumers CALLS_1_0/policy: ack_wait", "end `callgate up`", "--upgrade")
        assert not named(found["warn"], "callgate provision")
        async with provisioner(deployment.settings) as client:
            await client.request("$JS.API.STREAM.DELETE.ACCESS", b"")
        code, found = await examined(settings, capsys)
        assert code == 1
        assert named(found["FAIL"], "streams ACCESS is missing; end `callgate up` and start it again")
    code, found = await examined(settings, capsys)
    assert code == 0
    assert named(found["note"], "broker embedded, and not running")
    config = state / "broker" / "nats-server.conf"
    config.write_text(config.read_text().replace("always", "2m"))
    code, found = await examined(settings, capsys)
    assert code == 1
    assert named(found["FAIL"], "THE BROKER DOES NOT SYNC")


async def test_sees_what_is_wrong_with_keys(
    tmp_path: Path, overrides: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "keys"
    keys.init(folder, "test")
    settings = Settings(**{"deployment": "other", "state": tmp_path, **overrides})
    (folder / "policy" / "sign.key").chmod(0o644)
    next((folder / "masking").glob("seal-*.key")).unlink()
    (folder / "executor" / "sign.key").write_bytes((folder / "audit" / "sign.key").read_bytes())
    (folder / "approval" / "sign.key").write_text("rubbish")
    code, found = await examined(settings, capsys)
    assert code == 1
    assert named(found["FAIL"], "keys ring 1 of deployment test", "the configuration says deployment other")
    assert named(found["FAIL"], "keys other users can read", "policy/sign.key", "chmod 600")
    assert named(found["FAIL"], "masking/seal-", "is missing; copy the role's whole folder")
    assert named(found["FAIL"], "executor/sign.key is not in ring.json")
    assert named(found["FAIL"], "approval/sign.key")
    assert named(found["warn"], "root key")
    ring = json.loads((folder / "ring.json").read_text())
    (folder / "ring.json").write_text(json.dumps({**ring, "payload": ring["payload"][::-1]}))
    code, found = await examined(settings, capsys)
    assert (code, named(found["FAIL"], "keys ring.json")) == (1, True)


async def test_sees_what_is_wrong_around(
    tmp_path: Path, overrides: dict[str, Any], server: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    connection = overrides["connections"]["api"]
    overrides["connections"] |= {
        "gone": {**connection, "base_url": nobody, "credential": {"env": "NO_SUCH_VARIABLE_OF_OURS"}},
        "far": {**connection, "base_url": "http://192.0.2.1:9"},
        "none": {name: value for name, value in connection.items() if name != "credential"},
    }
    (tmp_path / "secret").chmod(0o640)
    (tmp_path / "policies" / "calls.cedar").write_text(f"\n{POLICY}\n{POLICY}")
    server["/jwks.json"] = {"keys": []}
    overrides["development"] = {"issuer": "127.0.0.1:0"}
    settings = Settings(**{"deployment": "test", "state": tmp_path, **overrides})
    code, found = await examined(settings, capsys)
    assert code == 1
    assert named(found["FAIL"], f"gone nothing answers at {nobody}")
    assert named(found["FAIL"], "gone its credential, the variable NO_SUCH_VARIABLE_OF_OURS, is missing")
    assert named(found["FAIL"], "far nothing answers")
    assert named(found["warn"], "far its credential goes to", "in clear")
    assert named(found["warn"], "api other users can read", "chmod 600")
    assert named(found["note"], "none calls its functions without a credential")
    assert named(found["FAIL"], "policies calls.cedar:3")
    assert named(found["FAIL"], "issuers no usable key set")
    assert named(found["warn"], "development")


@pytest.mark.parametrize(
    ("card", "told"),
    [
        ({"x-callgate-mask": "CREDITCARD"}, "at /properties/card/x-callgate-mask: nothing is found as CREDITCARD"),
        (
            {"x-callgate-accepts": ["CREDIT_CRAD"]},
            "/properties/card/x-callgate-accepts: nothing is found as CREDIT_CRAD",
        ),
        ({"$ref": "#/$defs/none"}, "$ref leads nowhere"),
    ],
)
async def test_sees_what_masking_would_refuse_to_start_with(
    tmp_path: Path,
    overrides: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    card: dict[str, Any],
    told: str,
) -> None:
    ping = overrides["connections"]["api"]["functions"]["ping"]
    ping["input"] = {"type": "object", "properties": {"card": card}}
    settings = Settings(**{"deployment": "test", "state": tmp_path, **overrides})
    _, found = await examined(settings, capsys)
    assert named(found["FAIL"], "masking the input of api.ping", told)


async def test_says_when_no_broker_lets_it_in(
    tmp_path: Path, overrides: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"nats://127.0.0.1:{free.getsockname()[1]}"
    settings = Settings(**{"deployment": "test", "state": tmp_path, **overrides, "broker": {"url": url}})
    code, found = await examined(settings, capsys)
    assert (code, named(found["FAIL"], "broker no role's nats.password")) == (1, True)
    keys.init(tmp_path / "keys", "test")
    code, found = await examined(settings, capsys)
    assert (code, named(found["FAIL"], f"broker no broker at {url} lets provisioner in")) == (1, True)


@pytest.mark.parametrize(
    ("told", "level", "text"),
    [(0.4, "ok", "behind"), (-0.4, "ok", "ahead"), (3.5, "warn", "3.000 s behind"), (-2.5, "warn", "3.000 s ahead")],
)
def test_compares_clocks_by_the_middle_of_the_request(told: float, level: str, text: str) -> None:
    asked = datetime(2026, 1, 1, tzinfo=UTC)
    finding = clock_finding(asked + timedelta(seconds=told), asked, asked + timedelta(seconds=1))
    assert finding.level == level
    assert text in finding.text or level == "ok"


@contextlib.asynccontextmanager
async def provisioner(settings: Settings) -> AsyncIterator[Any]:
    client = await nats.connect(
        settings.broker.url or "",
        user=Role.PROVISIONER.value,
        password=keys.read_password(settings.keys_folder, Role.PROVISIONER),
        inbox_prefix=inbox_prefix(Role.PROVISIONER).encode(),
    )
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def monitored_broker(
    folder: Path, port: int, *, sync_always: bool = True, max_store: int | None = None
) -> AsyncIterator[Settings]:
    """A nats-server as `provision --nats-config --monitor` has it; its streams do not matter here."""
    keys.init(folder / "keys", "test")
    passwords = {role: keys.read_password(folder / "keys", role) for role in Role}
    store = str(folder / "store")
    text = nats_config(passwords, port=-1, store_dir=store, sync_always=sync_always, max_store=max_store)
    (folder / "nats.conf").write_text(f'{text}http: "127.0.0.1:{port}"\n')
    command = [str(find_nats_server()), "-c", str(folder / "nats.conf")]
    server = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert server.stderr is not None
    try:
        url = ""
        async with asyncio.timeout(30):
            async for line in server.stderr:
                if b"Listening for client connections on" in line:
                    url = "nats://" + line.decode().split()[-1]
                if b"Server is ready" in line:
                    break
        yield Settings(deployment="test", state=folder, broker=BrokerSettings(url=url))
    finally:
        server.terminate()
        await server.communicate()
